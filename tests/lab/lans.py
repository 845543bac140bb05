"""One local network and nothing else: machines in namespaces of their own on a bridge, with no router and no beacon."""

from __future__ import annotations

import itertools
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gateway.config.settings import ServiceSettings
from gateway.control.services import ExposeRequest
from tests.lab.beacons_real import ServerProcess
from tests.lab.gateways import GatewayProcess, clean_environment, wait_until
from tests.lab.netns import Namespace, new_tag, remove_leftovers, uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={place}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
</policy></busconfig>
"""
FILTERED = "add table inet lab; add chain inet lab {0} {{ type filter hook {0} priority 0; }}; add rule inet lab {0} udp dport {1} drop"


class LanMachine(Namespace):
    """A machine on a `Lan` by `eth0`."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(name)
        self.number = number
        self.address = f"10.77.0.{number}"
        self.address6 = f"fd77::{number:x}"

    def filter_udp(self, port: int) -> None:
        """Nothing to this port comes in or goes out, as where a network filters it."""
        for hook in ("input", "output"):
            self.nft(FILTERED.format(hook, port))


class Lan:
    """A bridge; `versions` are the IP versions that its machines have."""

    def __init__(self, *versions: int, assigns: bool = True) -> None:
        """Where nobody `assigns` addresses, machines have those that they give themselves: IPv6 link-local ones."""
        self._assigns = assigns
        self._tag = new_tag()
        self._versions = versions or (4, 6)
        self._numbers = itertools.count(1)
        self._machines: list[LanMachine] = []
        self.core = Namespace(f"{self._tag}lan")

    def create(self) -> None:
        self.core.create()
        self.core.ip("link add lan type bridge mcast_snooping 0", "link set lan up")

    def remove(self) -> None:
        for each in (*self._machines, self.core):
            each.remove()

    def machine(self, *, plugged: bool = True) -> LanMachine:
        """A new machine; unless it is `plugged`, it has no interface yet."""
        number = next(self._numbers)
        machine = LanMachine(f"{self._tag}m{number}", number)
        self._machines.append(machine)
        machine.create()
        if 6 not in self._versions:
            machine.run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1")
            machine.run("sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1")
        if plugged:
            self.plug(machine)
            if 6 in self._versions:
                wait_until(
                    lambda: "tentative" not in machine.run("ip", "-6", "addr").stdout,
                    what="its addresses may be used",
                )
        return machine

    def plug(self, machine: LanMachine, name: str = "eth0") -> None:
        """Give the machine an interface to this network, with addresses."""
        port = f"port{machine.number}"
        self.core.ip(f"link add {port} type veth peer name {name} netns {machine.name}")
        self.core.ip(f"link set {port} master lan up")
        addresses = []
        if 4 in self._versions and self._assigns:
            addresses.append(f"addr add {machine.address}/24 dev {name}")
        if 6 in self._versions and self._assigns:
            addresses.append(f"addr add {machine.address6}/64 dev {name}")
        machine.ip(*addresses, f"link set {name} up")

    def unplug(self, machine: LanMachine) -> None:
        self.core.ip(f"link del port{machine.number}")


@contextmanager
def a_lan(*versions: int, assigns: bool = True) -> Iterator[Lan]:
    """One with machines that have these IP versions, both if none is said; removed in the end."""
    remove_leftovers()
    lan = Lan(*versions, assigns=assigns)
    try:
        lan.create()
        yield lan
    finally:
        with uninterrupted():
            lan.remove()


def gateway_on(machine: Namespace, home: Path, nickname: str, *flags: str, **options: Any) -> GatewayProcess:
    """A gateway as people have it: nothing is configured."""
    return GatewayProcess(home, *flags, nickname=nickname, namespace=machine, bind=(), **options)


def offer_web(gateway: GatewayProcess, port: int) -> None:
    """Everybody may use the server on that port."""
    settings = ServiceSettings(target=f"127.0.0.1:{port}", public=True)
    gateway.control.expose(ExposeRequest(name="web", settings=settings))


def fetch(gateway: GatewayProcess, host: str, most: float = 20.0) -> tuple[bytes, float]:
    """What a browser of that machine gets from `http://host/`, and the seconds until its first byte."""
    done = subprocess.run(
        gateway.namespace.command(
            *("curl", "-sS", "--max-time", str(most), "-o", "-", "-w", "\n%{time_starttransfer}"),
            *("--proxy", f"socks5h://{gateway.listens('proxy')}", f"http://{host}/"),
        ),
        capture_output=True,
        text=True,
        timeout=most + 10,
        check=False,
        env=clean_environment(),
    )
    assert done.returncode == 0, done.stderr + gateway.said()[-3000:]
    page, _, seconds = done.stdout.rpartition("\n")
    return page.encode(), float(seconds)


class Avahi(ServerProcess):
    """An avahi-daemon on a machine, with a message bus of its own: what other programs see of the local network."""

    def __init__(self, machine: Namespace, place: Path) -> None:
        place.mkdir()
        self.machine, self.place = machine, place
        self._bus: subprocess.Popen[bytes] | None = None
        self._environment = clean_environment() | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={place}/bus"}
        (place / "bus.conf").write_text(_BUS.format(place=place))
        (place / "avahi.conf").write_text(
            "[server]\nuse-ipv4=yes\nuse-ipv6=yes\n[publish]\npublish-workstation=no\n"
        )

    def start(self) -> Self:
        with (self.place / "output.txt").open("ab") as output:
            self._bus = subprocess.Popen(
                ["dbus-daemon", "--nofork", "--config-file", str(self.place / "bus.conf")],
                stdout=output,
                stderr=output,
            )
            wait_until((self.place / "bus").exists, what="the message bus is there")
            # The place of its pid file is compiled in, so it gets one of its own: `ip netns exec` gives it its own mounts.
            run = "mkdir -p /run/avahi-daemon && mount -t tmpfs tmpfs /run/avahi-daemon && exec avahi-daemon --no-drop-root"
            self.process = subprocess.Popen(
                self.machine.command(
                    *(
                        "sh",
                        "-c",
                        f'{run} --no-chroot --no-rlimits --file "$0"',
                        str(self.place / "avahi.conf"),
                    )
                ),
                stdout=output,
                stderr=output,
                env=self._environment,
            )
        wait_until(lambda: "startup complete" in self.said(), 20, what=f"avahi started: {self.said()}")
        return self

    def kill(self) -> None:
        super().kill()
        if self._bus is not None:
            self._bus.kill()
            self._bus.wait(20)
            self._bus = None

    def said(self) -> str:
        return (self.place / "output.txt").read_text()

    def services(self) -> list[list[str]]:
        """What `avahi-browse` resolves of our type now: interface, protocol, name, type, domain, host, address, port, text."""
        done = subprocess.run(
            self.machine.command("avahi-browse", "--resolve", "--parsable", "--terminate", "_overlay._udp"),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=True,
            env=self._environment,
        )
        return [line.split(";", 9)[1:] for line in done.stdout.splitlines() if line.startswith("=")]
