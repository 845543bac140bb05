"""A network of each class, as a peer in it would describe it: for people who ask what would be tried with one. Sans-IO."""

from __future__ import annotations

from typing import Final

from tunnels.crossing.description import Description, NetworkClass
from tunnels.nat.behavior import UNKNOWN, Allocation, AllocationKind, Behavior, Filtering, Mapping

BLOCK: Final = (20480, 21503)
"""A provider's block of 1024 ports, as most of those that are documented have."""

NOISE: Final = 2.0
"""Mappings in a second that others in a home make."""

_ONE_PORT = Mapping.ENDPOINT_INDEPENDENT
_MANY_PORTS = Mapping.ADDRESS_AND_PORT_DEPENDENT
_STRICT = Filtering.ADDRESS_AND_PORT_DEPENDENT

_BEHAVIORS: Final = {
    NetworkClass.OPEN: Behavior(True, _ONE_PORT, Filtering.ENDPOINT_INDEPENDENT),
    NetworkClass.ADDRESS_RESTRICTED: Behavior(True, _ONE_PORT, Filtering.ADDRESS_DEPENDENT),
    NetworkClass.PORT_RESTRICTED: Behavior(True, _ONE_PORT, _STRICT, inbound_first_poisons=False),
    NetworkClass.SEQUENTIAL: Behavior(
        True, _MANY_PORTS, _STRICT, Allocation(AllocationKind.DELTA, delta=1), noise=NOISE
    ),
    NetworkClass.BLOCK: Behavior(True, _MANY_PORTS, _STRICT, Allocation(AllocationKind.BLOCK, span=BLOCK)),
    NetworkClass.RANDOM: Behavior(True, _MANY_PORTS, _STRICT, Allocation(AllocationKind.RANDOM)),
    NetworkClass.BLOCKED: UNKNOWN,
    NetworkClass.UNKNOWN: UNKNOWN,
}


def typical(network_class: NetworkClass) -> Description:
    """A usual one: IPv4 only, nothing mapped, seen at an address that is not told."""
    return Description(
        behavior=_BEHAVIORS[network_class], udp_blocked=network_class is NetworkClass.BLOCKED or None
    )
