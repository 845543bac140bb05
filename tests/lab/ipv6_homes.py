"""A home with IPv6 behind a stateful firewall, the miniupnpd that opens pinholes in it, and one server outside.

laptop 2001:db8:1::10 - router (fe80::1, nothing is let in that was not asked for) - server 2001:db8:2::2
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import Self

from tests.lab.beacons_real import ServerProcess
from tests.lab.gateways import wait_until
from tests.lab.netns import new_tag, remove_leftovers, uninterrupted
from tests.lab.networks import Machine

LAPTOP, SERVER = "2001:db8:1::10", "2001:db8:2::2"
SERVER_IPV4 = "11.22.33.2"
"""Tayga does not translate to the networks that are for documentation."""

_FIREWALL = """
table inet filter {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname { lan, nat64 } accept
        meta l4proto ipv6-icmp accept
        jump miniupnpd
    }
    chain miniupnpd { }
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
}
"""

_TAYGA = """
tun-device nat64
ipv4-addr 192.168.255.1
ipv6-addr 2001:db8:ff::1
prefix 64:ff9b::/96
dynamic-pool 192.168.255.0/24
data-dir {place}
"""

_MASQUERADE = """
table ip nat64 {
    chain postrouting { type nat hook postrouting priority 100; ip saddr 192.168.255.0/24 oifname wan masquerade; }
}
"""

_CONFIG = """
ext_ifname=wan
listening_ip=lan
http_port=0
enable_natpmp=yes
enable_upnp=no
ipv6_disable=no
min_lifetime=60
max_lifetime=86400
secure_mode=no
lease_file={place}/leases
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
uuid=11111111-2222-3333-4444-555555555555
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


class Ipv6Machine(Machine):
    """A machine with one IPv6 address."""

    def __init__(self, tag: str, label: str, address: str = "") -> None:
        super().__init__(f"{tag}{label}", label)
        self._address = address

    @property
    def address(self) -> str:
        """As it stands in a URL."""
        return f"[{self._address}]"

    def resolve_at(self, server: str) -> contextlib.AbstractContextManager[object]:
        """Programs that are started in it ask that server for names; removed when it is left."""
        place = Path("/etc/netns") / self.name
        stack = contextlib.ExitStack()
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        place.mkdir(parents=True)
        (place / "resolv.conf").write_text(f"nameserver {server}\n")
        return stack


class Ipv6Home:
    """The three machines, as long as it is entered."""

    def __init__(self) -> None:
        tag = new_tag()
        self.laptop = Ipv6Machine(tag, "laptop", LAPTOP)
        self.router = Ipv6Machine(tag, "router")
        self.server = Ipv6Machine(tag, "server", SERVER)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        remove_leftovers()
        try:
            for machine in (self.laptop, self.router, self.server):
                self._stack.callback(machine.remove)
                machine.create()
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._stack.close()

    def _connect(self) -> None:
        router = self.router
        router.ip(
            f"link add lan type veth peer name eth0 netns {self.laptop.name}",
            f"link add wan type veth peer name eth0 netns {self.server.name}",
            "addr add fe80::1/64 dev lan nodad",
            "addr add 2001:db8:1::1/64 dev lan nodad",
            "addr add 2001:db8:2::1/64 dev wan nodad",
            "addr add 192.168.1.1/24 dev lan",  # miniupnpd does not start without IPv4, and the laptop has none
            "addr add 11.22.33.1/24 dev wan",
            "link set lan up",
            "link set wan up",
        )
        router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        for machine, address, gateway in (
            (self.laptop, LAPTOP, "fe80::1"),
            (self.server, SERVER, "2001:db8:2::1"),
        ):
            machine.ip(
                f"addr add {address}/64 dev eth0 nodad",
                "link set eth0 up",
                f"route add default via {gateway} dev eth0",
            )
        router.nft(_FIREWALL)

    def add_ipv4(self) -> None:
        """The server has both, while the laptop never had IPv4."""
        self.server.ip(f"addr add {SERVER_IPV4}/24 dev eth0", "route add default via 11.22.33.1 dev eth0")

    def leave_ipv4_only(self) -> None:
        """The server has no IPv6 any more, while the laptop never had IPv4."""
        self.server.ip(
            "addr flush dev eth0",
            f"addr add {SERVER_IPV4}/24 dev eth0",
            "route add default via 11.22.33.1 dev eth0",
        )


class PinholeDaemon(ServerProcess):
    """The miniupnpd of such a home."""

    def __init__(self, home: Ipv6Home, place: Path) -> None:
        self.home, self.place = home, place
        place.mkdir()
        (place / "leases").touch()
        (place / "miniupnpd.conf").write_text(_CONFIG.format(place=place))

    def start(self) -> Self:
        with (self.place / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(
                self.home.router.command(
                    "miniupnpd", "-d", "-f", str(self.place / "miniupnpd.conf"), "-P", str(self.place / "pid")
                ),
                stdout=output,
                stderr=output,
            )
        wait_until(self._listens, what=f"miniupnpd listens: {self.said()}")
        return self

    def _listens(self) -> bool:
        return ":5351" in self.home.router.run("ss", "-lunH6").stdout

    def said(self) -> str:
        return (self.place / "output.txt").read_text()

    def pinholes(self) -> str:
        """The rules that let something in; empty if there are none."""
        rules = self.home.router.run("nft", "list", "chain", "inet", "filter", "miniupnpd").stdout
        return "\n".join(line.strip() for line in rules.splitlines() if "accept" in line)


class Translator(ServerProcess):
    """A tayga on the router, and the dnsmasq that tells of it as RFC 7050 has it."""

    def __init__(self, home: Ipv6Home, place: Path) -> None:
        self.home, self.place = home, place
        self._names: subprocess.Popen[bytes] | None = None
        place.mkdir()
        (place / "tayga.conf").write_text(_TAYGA.format(place=place))

    def start(self) -> Self:
        router, config = self.home.router, str(self.place / "tayga.conf")
        router.run("tayga", "--mktun", "-c", config)
        router.ip(
            "link set nat64 up", "route add 192.168.255.0/24 dev nat64", "route add 64:ff9b::/96 dev nat64"
        )
        router.sysctl(ip_forward=1)
        router.nft(_MASQUERADE)
        with (self.place / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(
                router.command("tayga", "--nodetach", "-c", config), stdout=output, stderr=output
            )
            self._names = subprocess.Popen(
                router.command(
                    "dnsmasq",
                    "--keep-in-foreground",
                    "--conf-file=/dev/null",
                    "--no-resolv",
                    "--no-hosts",
                    "--user=root",
                    "--pid-file=",
                    "--bind-interfaces",
                    "--listen-address=2001:db8:1::1",
                    "--address=/ipv4only.arpa/64:ff9b::192.0.0.170",
                    "--address=/ipv4only.arpa/64:ff9b::192.0.0.171",
                ),
                stdout=output,
                stderr=output,
            )
        wait_until(
            lambda: ":53" in router.run("ss", "-lunH6").stdout,
            what=f"dnsmasq listens: {(self.place / 'output.txt').read_text()}",
        )
        return self

    def kill(self) -> None:
        super().kill()
        if self._names is not None:
            self._names.kill()
            self._names.wait(20)
            self._names = None
