"""Homes whose router translates UDP as `Rules` say, by a process of its own; TCP and ICMP go through the kernel's NAT.

So TCP sees a port-restricted NAT in all of them, and ICMP errors about a machine's UDP reach the router, not the machine.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.networks import HOME_NET, Home
from tests.lab.translation import Counters, Rules

if TYPE_CHECKING:
    from tests.lab.internet import Internet
    from tests.lab.networks import Machine

_ROOT = Path(__file__).parents[2]
_DEVICE, _TABLE = "nat0", 200


class SimulatedHome(Home):
    """A home behind `tests.lab.tun_nat`."""

    def __init__(
        self,
        internet: Internet,
        router: Machine,
        rules: Rules,
        net: str = HOME_NET,
        *,
        ipv6: bool = False,
        delay: float = 0.0,
        loss: float = 0.0,
    ) -> None:
        """`delay` and `loss` are added by the router, to UDP alone and both ways; the seed of `rules` is not used."""
        self.rules = rules
        super().__init__(internet, router, "port-restricted", net, ipv6=ipv6)
        chance = replace(rules, seed=int(IPv4Address(router.address)))  # no two of an internet draw alike
        arguments = (_DEVICE, net, chance.as_text(), str(delay), str(loss))
        self._process = internet.start(
            router, sys.executable, "-m", "tests.lab.tun_nat", *arguments, directory=_ROOT
        )
        assert self._line() == "ready", "the NAT could not be made; is there /dev/net/tun?"
        router.sysctl(
            conf__all__rp_filter=0,
            conf__eth0__rp_filter=0,
            **{f"conf__{_DEVICE}__rp_filter": 0, f"conf__{_DEVICE}__accept_local": 1},
        )
        # What is for the router itself from outside must reach the device before the kernel sees that it is local.
        router.ip(
            f"link set {_DEVICE} txqueuelen 10000 up",
            f"route add default dev {_DEVICE} table {_TABLE}",
            f"rule add pref 1 iif lan to {net}.0/24 lookup local",
            f"rule add pref 2 iif lan ipproto udp lookup {_TABLE}",
            f"rule add pref 3 iif eth0 ipproto udp lookup {_TABLE}",
            "rule add pref 50 lookup local",
            "rule del pref 0",
        )

    def _apply(self) -> None:
        self._own_ways = f"iifname eth0 oifname {_DEVICE} accept\niifname {_DEVICE} accept"
        super()._apply()
        self.router.nft(
            "table ip simulated\ndelete table ip simulated\n"
            "table ip simulated {\nchain untracked {\ntype filter hook prerouting priority -300\n"
            "meta l4proto udp notrack\n}\n}"
        )

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def _ask(self, what: str) -> Counters:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n".encode())
        self._process.stdin.flush()
        return Counters(**json.loads(self._line()))

    def counters(self) -> Counters:
        """What happened since `forget`."""
        return self._ask("counters")

    def forget_flows(self) -> None:
        super().forget_flows()
        self._ask("forget")

    def _forget_own(self) -> None:
        super()._forget_own()
        self._ask("forget")
