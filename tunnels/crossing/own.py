"""Our own network, as peers are told of it: from what was measured. Sans-IO."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tunnels.crossing.description import Description
from tunnels.nat.behavior import UNKNOWN, Behavior, Mapping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunnels.addresses import Address
    from tunnels.nat.report import FamilyReport, NetworkReport


def describe(
    report: NetworkReport | None,
    *,
    is_mapped: bool,
    network: bytes,
    is_small: bool = False,
    challenge: bytes = b"",
    attester: Address | None = None,
    through_nat64: bool = False,
) -> Description:
    """Our IPv4, and whether there is IPv6. None for a report: nothing was measured yet."""
    return Description(
        behavior=UNKNOWN if report is None else _behavior(report.ipv4),
        udp_blocked=None if report is None else report.ipv4.is_blocked,
        is_mapped=is_mapped,
        network=network,
        is_small=is_small,
        challenge=challenge,
        attester=attester,
        has_ipv6=report is not None and report.ipv6.has_address and report.ipv6.is_blocked is not True,
        through_nat64=through_nat64,
    )


def is_contradicted(report: NetworkReport, observed: Iterable[Address]) -> bool:
    """Whether a peer sees the tunnels' own socket at a port where no server saw it, though the report says that all see the same.

    It may also be that the mapping is another one by now, or that the peer lies: a reason to measure again, and no more.
    """
    family = report.ipv4
    if _behavior(family).mapping.varies is not False or not family.own_addresses:
        return False
    ips = {address.ip for address in family.own_addresses}
    return any(address.ip in ips and address not in family.own_addresses for address in observed)


def _behavior(report: FamilyReport) -> Behavior:
    """As the fresh sockets of the measurement showed it, and the tunnels' own socket where these did not tell.

    What is not translated has no NAT, so every peer sees the port it has; a firewall may still let in only who was sent to.
    """
    behavior = report.behavior
    if behavior.mapping is not Mapping.UNKNOWN:
        return behavior
    untranslated = behavior.translated is False
    return replace(behavior, mapping=Mapping.ENDPOINT_INDEPENDENT if untranslated else report.own_mapping)
