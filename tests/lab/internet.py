"""A small internet of network namespaces: public servers, homes behind NAT, and what goes wrong between them.

    with an_internet(delay=0.01) as internet:
        server = internet.server("beacon")
        laptop = internet.home("alice").host("laptop")

Everything is routed, so that each packet can be delayed or dropped; what asks for it has IPv6 beside IPv4. Nothing of it
touches this machine's own network.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.lab.netns import Namespace, ip, new_tag, remove_leftovers, uninterrupted
from tests.lab.networks import PROXY_PORT, Home, Link, Machine, Nat, Network
from tests.lab.simulated_homes import SimulatedHome
from tests.lab.translation import Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

PROVIDER_NET = "100.64.0"  # RFC 6598
_NET6 = "2001:db8"
T = TypeVar("T")
_DELAY_DEVICE, _DELAY_TABLE = "longway", 100
_END_SECONDS = 10


class Internet(Network):
    """Routes between all that is plugged in; `delay` is the time in seconds that each packet takes across, and `loss` the
    share of 1 of packets that do not arrive."""

    NETS = "203.0.113", "198.51.100", "11.22.33"

    def __init__(self, delay: float = 0.0, loss: float = 0.0) -> None:
        super().__init__()
        self.delay, self.loss = delay, loss
        self._is_long = bool(delay or loss)
        self._nets6 = itertools.count(10)
        self._has_ipv6 = False
        self._tag = new_tag()
        self._stack = contextlib.ExitStack()
        self._numbers = itertools.count(10)
        self._net = self.NETS[0]
        self._labels: set[str] = set()
        self._holes: list[Namespace] = []
        self.core = Namespace(f"{self._tag}internet")

    def __enter__(self) -> Internet:
        remove_leftovers()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._stack.close()

    def _start(self) -> None:
        self._stack.callback(self.core.remove)
        self.core.create()
        self.core.ip(*(f"addr add {net}.1/32 dev lo" for net in self.NETS))
        # Packets that come back from the long way have sources that are routed elsewhere.
        self.core.sysctl(
            ip_forward=1,
            conf__all__rp_filter=0,
            conf__default__rp_filter=0,
            conf__all__send_redirects=0,
            conf__default__send_redirects=0,
        )
        self._make_hole_table(self.core, "forward")
        if self._is_long:
            process = self.start(
                self.core,
                sys.executable,
                str(Path(__file__).with_name("delay.py")),
                _DELAY_DEVICE,
                str(self.delay),
                str(self.loss),
            )
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n", (
                "the long way could not be made; is there /dev/net/tun?"
            )
            self.core.ip(
                f"link set {_DELAY_DEVICE} txqueuelen 10000 up",
                f"route add default dev {_DELAY_DEVICE} table {_DELAY_TABLE}",
            )

    def machine(self, label: str) -> Machine:
        """A machine that is plugged in nowhere yet; it is removed with the internet."""
        assert label not in self._labels, f"there is a {label} already"
        self._labels.add(label)
        machine = Machine(f"{self._tag}{label}", label)
        self._stack.callback(machine.remove)
        machine.create()
        return machine

    def server(self, name: str, *, net: int = 0, ipv6: bool = False) -> Machine:
        """A machine with a public address in 203.0.113.0/24, or in 198.51.100.0/24 for net 1, and perhaps an IPv6 one."""
        machine = self.machine(name)
        self._net = self.NETS[net]
        self.plug(machine)
        self._net = self.NETS[0]
        if ipv6:
            link = machine.links["eth0"]
            link.address6 = f"{self.new_net6(machine)}::10"
            machine.ip(f"addr add {link.address6}/128 dev eth0 nodad")
        return machine

    def home(
        self,
        name: str,
        nat: Nat | Rules = "port-restricted",
        *,
        behind: Home | None = None,
        net: int = 0,
        ipv6: bool = False,
        drops_strangers: bool = True,
        delay: float = 0.0,
        loss: float = 0.0,
    ) -> Home:
        """A home whose router is at the internet, or at the `provider` it is behind.

        With `Rules` its NAT is a `SimulatedHome`, which alone can add `delay` and `loss`; otherwise it is the kernel's.
        For `ipv6` and `drops_strangers` see `Home`.
        Net 2 is 11.22.33.0/24: miniupnpd takes addresses of the other two, which are for documentation, for private ones.
        """
        router = self.machine(name)
        self._net = self.NETS[net]
        (behind or self).plug(router)
        self._net = self.NETS[0]
        if isinstance(nat, Rules):
            return SimulatedHome(self, router, nat, ipv6=ipv6, delay=delay, loss=loss)
        return Home(self, router, nat, ipv6=ipv6, drops_strangers=drops_strangers)

    def provider(self, name: str, nat: Nat | Rules = "port-restricted") -> Home:
        """A provider whose customers share one public address: homes can be made behind it."""
        router = self.machine(name)
        self.plug(router)
        if isinstance(nat, Rules):
            return SimulatedHome(self, router, nat, PROVIDER_NET)
        return Home(self, router, nat, PROVIDER_NET)

    def new_net6(self, machine: Machine) -> str:
        """Route a new /64 to a machine of ours, which reaches all others by it; how its addresses begin, before `::`."""
        if not self._has_ipv6:
            self._has_ipv6 = True
            self.core.run("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
            if self._is_long:
                self.core.ip(f"route add ::/0 dev {_DELAY_DEVICE} table {_DELAY_TABLE}")
        link = machine.links["eth0"]
        assert link.network is self, "a provider has no IPv6"
        prefix = machine.routed_net6 = f"{_NET6}:0:{next(self._nets6)}"
        self.core.ip(
            f"addr add fe80::1/64 dev {link.port} nodad",
            f"route add {prefix}::/64 via fe80::2 dev {link.port}",
        )
        if self._is_long:
            ip(
                "-n",
                self.core.name,
                "-6",
                "rule",
                "add",
                "pref",
                "10",
                "iif",
                link.port,
                "lookup",
                str(_DELAY_TABLE),
            )
        machine.ip("addr add fe80::2/64 dev eth0 nodad", "route add ::/0 via fe80::1 dev eth0")
        return prefix

    def forget(self) -> None:
        """There is no NAT on the internet."""

    def new_address(self) -> str:
        return f"{self._net}.{next(self._numbers)}"

    def _attach(self, machine: Machine, link: Link, replaced: str) -> None:
        if replaced:
            self.core.ip(f"route del {replaced}/32 dev {link.port}")
        else:
            self.core.ip(f"link set {link.port} up")
            if self._is_long:
                self.core.ip(f"rule add pref 10 iif {link.port} lookup {_DELAY_TABLE}")
        self.core.ip(f"route add {link.address}/32 dev {link.port}")
        gateway = link.address.rpartition(".")[0] + ".1"
        link.route = f"via {gateway} dev {link.name} onlink"
        machine.ip(
            f"addr flush dev {link.name} scope global",
            f"addr add {link.address}/32 dev {link.name}",
            *([f"addr add {link.address6}/128 dev {link.name} nodad"] if link.address6 else []),
            f"link set {link.name} up",
            machine.default_route(link),
        )

    # What goes wrong

    def change_address(self, machine: Machine, name: str = "eth0") -> None:
        """The machine, or the router of a home, has another address on the same link from now on."""
        network = machine.links[name].network
        if network is self:
            super().change_address(machine, name)
        else:
            network.change_address(machine, name)

    def move(self, machine: Machine, to: Network) -> None:
        """Take the machine's eth0 out of its network and plug it in elsewhere, as someone who leaves the house."""
        machine.links["eth0"].network.unplug(machine)
        to.plug(machine)

    def blackhole(self, source: Machine | Home, target: Machine | Home) -> None:
        """Nothing that `source` sends reaches `target`, and neither learns of it; the other way is open."""
        here, there = _machine(source), _machine(target)
        if here.public_address != there.public_address:
            self._hole(self.core, f"ip saddr {here.public_address} ip daddr {there.public_address}")
            if here.net6 and there.net6:
                self._hole(self.core, f"ip6 saddr {here.net6}::/64 ip6 daddr {there.net6}::/64")
        else:
            assert here.network is there.network, "two networks of one address do not reach each other anyway"
            self._make_hole_table(there, "input")
            self._hole(there, f"ip saddr {here.address}")

    def cut_off(self, machine: Machine | Home) -> None:
        """Nothing reaches the machine or leaves it: to the internet it is as if it had burnt down."""
        address, net6 = _machine(machine).public_address, _machine(machine).net6
        for end in ("saddr", "daddr"):
            self._hole(self.core, f"ip {end} {address}")
            if net6:
                self._hole(self.core, f"ip6 {end} {net6}::/64")

    def mend(self) -> None:
        """Undo every `blackhole` and `cut_off`."""
        for namespace in self._holes:
            namespace.nft("flush chain inet holes drops")

    def _make_hole_table(self, namespace: Namespace, hook: str) -> None:
        namespace.nft(
            f"table inet holes {{\nchain drops {{\ntype filter hook {hook} priority -10; policy accept;\n}}\n}}"
        )
        if namespace not in self._holes:
            self._holes.append(namespace)

    def _hole(self, namespace: Namespace, match: str) -> None:
        namespace.nft(f"add rule inet holes drops {match} drop")

    # Processes

    def start(
        self, where: Namespace, *command: str, directory: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """A process that runs there until it ends or the internet does; its output can be read, and its input written."""
        process = subprocess.Popen(
            where.command(*command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=directory
        )
        self._stack.callback(_end, process)
        return process

    def keep(self, running: contextlib.AbstractContextManager[T]) -> T:
        """Enter something that is left when the internet ends."""
        return self._stack.enter_context(running)

    def connect_proxy(self, name: str = "proxy", *ports: int) -> Machine:
        """A server with an HTTP proxy at PROXY_PORT (tinyproxy) that does CONNECT to these ports, or to 443."""
        machine = self.server(name)
        directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        (directory / "tinyproxy.conf").write_text(
            f"Port {PROXY_PORT}\nListen {machine.address}\nTimeout 600\nMaxClients 50\n"
            + "".join(f"ConnectPort {port}\n" for port in ports or (443,))
        )
        process = self.start(machine, "tinyproxy", "-d", "-c", str(directory / "tinyproxy.conf"))
        assert process.stdout is not None
        for line in process.stdout:
            if b"Accepting connections" in line:
                return machine
        raise AssertionError("tinyproxy did not start")


def _machine(machine: Machine | Home) -> Machine:
    return machine.router if isinstance(machine, Home) else machine


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait(_END_SECONDS)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


@contextlib.contextmanager
def an_internet(delay: float = 0.0, loss: float = 0.0) -> Iterator[Internet]:
    """An internet, and everything in it is removed at the end."""
    with Internet(delay, loss) as internet:
        yield internet


def an_internet_of_links(delay: float, loss: float = 0.0) -> contextlib.AbstractContextManager[Internet]:
    """One where each machine's link takes `delay`, one way, and loses that share of its packets: each crosses two."""
    return an_internet(2 * delay, 1 - (1 - loss) ** 2)
