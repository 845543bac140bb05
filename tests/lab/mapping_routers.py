"""A real miniupnpd on the router of a home: PCP, NAT-PMP and UPnP, each of which can be left out."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Literal, Self

from tests.lab.beacons_real import ServerProcess
from tests.lab.gateways import wait_until

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

    from tests.lab.networks import Home

Spoken = Literal["PCP", "NAT-PMP", "UPnP"]

_TABLE = """
table inet filter {
    chain forward { type filter hook forward priority -1; policy accept; jump miniupnpd; }
    chain miniupnpd { }
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
}
"""
"""Mapped ports come in; what goes out keeps being translated as the home's NAT does it."""

_CONFIG = """
ext_ifname=eth0
listening_ip=lan
http_port=0
enable_natpmp={natpmp}
enable_upnp={upnp}
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
allow 1024-65535 {net}.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


class MappingRouter(ServerProcess):
    """The miniupnpd of one home."""

    def __init__(self, home: Home, place: Path, *spoken: Spoken) -> None:
        self.home, self.place, self.spoken = home, place, spoken
        place.mkdir()
        (place / "leases").touch()
        self._config = place / "miniupnpd.conf"
        self._config.write_text(
            _CONFIG.format(
                natpmp="yes" if {"PCP", "NAT-PMP"} & set(spoken) else "no",
                upnp="yes" if "UPnP" in spoken else "no",
                place=place,
                net=home.net,
            )
        )

    def start(self) -> Self:
        self.home.let_mapped_in()
        self.home.router.nft(f"table inet filter\ndelete table inet filter\n{_TABLE}")
        if "PCP" not in self.spoken:  # version 2 and everything of it: the router is older than PCP
            self._drop("udp dport 5351 @th,64,8 2 drop")
        if "NAT-PMP" not in self.spoken:
            self._drop("udp dport 5351 @th,64,8 0 drop")
        with (self.place / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(
                self.home.router.command(
                    "miniupnpd", "-d", "-f", str(self._config), "-P", str(self.place / "pid")
                ),
                stdout=output,
                stderr=output,
            )
        wait_until(self._listens, what=f"miniupnpd listens: {self.said()}")
        return self

    def _drop(self, rule: str) -> None:
        self.home.router.nft(
            "table inet filter {\nchain input {\ntype filter hook input priority 0; policy accept;\n"
            f"iifname lan {rule}\n}}\n}}"
        )

    def _listens(self) -> bool:
        sockets = self.home.router.run("ss", "-lunH").stdout
        return ":1900" in sockets if "UPnP" in self.spoken else ":5351" in sockets

    def said(self) -> str:
        return (self.place / "output.txt").read_text()

    def mapped(self) -> str:
        """The rules that send ports on; empty if there are none."""
        rules = self.home.router.run("nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd").stdout
        return "\n".join(line.strip() for line in rules.splitlines() if "dnat" in line)


def mapping_router(
    home: Home, place: Path, *spoken: Spoken
) -> contextlib.AbstractContextManager[MappingRouter]:
    return MappingRouter(home, place, *spoken).running()
