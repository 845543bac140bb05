"""Punching: both ping each other from the very sockets that are seen at one port by everybody, so each opens its NAT or firewall
for what the other one sends.

It fails where both routers take the other's ping for the first of a new flow and then give ours another port: there the
first pings must die on the way (`two_stage`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategies.passive import Passive, meets

if TYPE_CHECKING:
    from tunnels.crossing.description import Pair


_HOMES = (NetworkClass.ADDRESS_RESTRICTED, NetworkClass.PORT_RESTRICTED)


def _fits(pair: Pair) -> bool:
    """Whether each is seen at one port by everybody, and neither lets strangers in."""
    return all(each in _HOMES for each in pair.classes) and meets(pair)


def _chance(pair: Pair) -> float:
    poisons = [each.behavior.inbound_first_poisons for each in (pair.mine, pair.theirs)]
    if all(poisons):
        return 0.2
    return 0.97


STRATEGY = Passive(
    code=8,
    name="punching",
    summary="both ping each other from sockets that everybody sees at one port",
    fits=_fits,
    chance=_chance,
)
