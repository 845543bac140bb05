"""A small internet of network namespaces: public servers, homes behind NAT, and what goes wrong between them.

    with an_internet(delay=0.01) as internet:
        server = internet.server("beacon")
        laptop = internet.home("alice").host("laptop")

Everything is IPv4, and routed, so that each packet can be delayed or dropped. Nothing of it touches this machine's own
network.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.netns import Namespace, new_tag, remove_leftovers, uninterrupted
from tests.lab.networks import PROXY_PORT, Home, Link, Machine, Nat, Network

if TYPE_CHECKING:
    from collections.abc import Iterator

PROVIDER_NET = "100.64.0"  # RFC 6598
_DELAY_DEVICE, _DELAY_TABLE = "longway", 100
_END_SECONDS = 10


class Internet(Network):
    """Routes between all that is plugged in; `delay` is the time in seconds that each packet takes across."""

    NETS = "203.0.113", "198.51.100", "11.22.33"

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__()
        self.delay = delay
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
        if self.delay:
            process = self.start(
                self.core,
                sys.executable,
                str(Path(__file__).with_name("delay.py")),
                _DELAY_DEVICE,
                str(self.delay),
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

    def server(self, name: str, *, net: int = 0) -> Machine:
        """A machine with a public address in 203.0.113.0/24, or in 198.51.100.0/24 for net 1."""
        machine = self.machine(name)
        self._net = self.NETS[net]
        self.plug(machine)
        self._net = self.NETS[0]
        return machine

    def home(
        self, name: str, nat: Nat = "port-restricted", *, behind: Home | None = None, net: int = 0
    ) -> Home:
        """A home whose router is at the internet, or at the `provider` it is behind.

        Net 2 is 11.22.33.0/24: miniupnpd takes addresses of the other two, which are for documentation, for private ones.
        """
        router = self.machine(name)
        self._net = self.NETS[net]
        (behind or self).plug(router)
        self._net = self.NETS[0]
        return Home(self, router, nat)

    def provider(self, name: str, nat: Nat = "port-restricted") -> Home:
        """A provider whose customers share one public address: homes can be made behind it."""
        router = self.machine(name)
        self.plug(router)
        return Home(self, router, nat, PROVIDER_NET)

    def new_address(self) -> str:
        return f"{self._net}.{next(self._numbers)}"

    def _attach(self, machine: Machine, link: Link, replaced: str) -> None:
        if replaced:
            self.core.ip(f"route del {replaced}/32 dev {link.port}")
        else:
            self.core.ip(f"link set {link.port} up")
            if self.delay:
                self.core.ip(f"rule add pref 10 iif {link.port} lookup {_DELAY_TABLE}")
        self.core.ip(f"route add {link.address}/32 dev {link.port}")
        gateway = link.address.rpartition(".")[0] + ".1"
        link.route = f"via {gateway} dev {link.name} onlink"
        machine.ip(
            f"addr flush dev {link.name} scope global",
            f"addr add {link.address}/32 dev {link.name}",
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
        else:
            assert here.network is there.network, "two networks of one address do not reach each other anyway"
            self._make_hole_table(there, "input")
            self._hole(there, f"ip saddr {here.address}")

    def cut_off(self, machine: Machine | Home) -> None:
        """Nothing reaches the machine or leaves it: to the internet it is as if it had burnt down."""
        address = _machine(machine).public_address
        self._hole(self.core, f"ip saddr {address}")
        self._hole(self.core, f"ip daddr {address}")

    def mend(self) -> None:
        """Undo every `blackhole` and `cut_off`."""
        for namespace in self._holes:
            namespace.nft("flush chain ip holes drops")

    def _make_hole_table(self, namespace: Namespace, hook: str) -> None:
        namespace.nft(
            f"table ip holes {{\nchain drops {{\ntype filter hook {hook} priority -10; policy accept;\n}}\n}}"
        )
        if namespace not in self._holes:
            self._holes.append(namespace)

    def _hole(self, namespace: Namespace, match: str) -> None:
        namespace.nft(f"add rule ip holes drops {match} drop")

    # Processes

    def start(self, where: Namespace, *command: str) -> subprocess.Popen[bytes]:
        """A process that runs there until it ends or the internet does; its output can be read from it."""
        process = subprocess.Popen(where.command(*command), stdout=subprocess.PIPE)
        self._stack.callback(_end, process)
        return process

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
    if process.stdout is not None:
        process.stdout.close()


@contextlib.contextmanager
def an_internet(delay: float = 0.0) -> Iterator[Internet]:
    """An internet, and everything in it is removed at the end."""
    with Internet(delay) as internet:
        yield internet
