"""What is told of the network that the gateway is in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.answers.base import Answers
from gateway.control.netcheck import FamilyNetworkReport, FindingReport, NetcheckReport, NetcheckRequest
from gateway.errors import GatewayError
from tunnels import limits
from tunnels.errors import TunnelError
from tunnels.nat.report import findings, remedies
from tunnels.relay.status import home_of

if TYPE_CHECKING:
    from tunnels.nat.report import FamilyReport
    from tunnels.transports.relayed import RelayStatus

_LOOK_AGAIN = 0.1
"""Seconds between looks at beacons that are being connected."""


class NetworkAnswers(Answers):
    """Netcheck."""

    async def netcheck(self, request: NetcheckRequest) -> NetcheckReport:
        loop = asyncio.get_running_loop()
        endpoint = self.parts.endpoint
        await self._wait_for_beacon()
        try:
            report = await endpoint.network_report(request.max_age)
        except TunnelError as error:
            raise GatewayError(f"netcheck: {error}") from None
        port = endpoint.addresses[0].port if endpoint.addresses else 0
        return NetcheckReport(
            udp_blocked=report.udp_blocked,
            ipv4=_family(report.ipv4),
            ipv6=_family(report.ipv6),
            seconds=report.seconds,
            age=loop.time() - report.measured_at,
            findings=tuple(
                FindingReport(what=each.what, value=each.value, meaning=each.meaning)
                for each in findings(report)
            ),
            remedies=remedies(report, port),
        )

    async def _wait_for_beacon(self) -> None:
        """Until a beacon has told us of STUN servers; GatewayError, with the remedy, if none does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.NETCHECK_SERVERS_WAIT
        while True:
            relays = self.parts.endpoint.relays()
            home = home_of(relays)
            if home is not None and home.welcome is not None and home.welcome.stun:
                return
            if home is not None or not relays or loop.time() >= deadline:
                raise GatewayError(f"netcheck: {_why_nobody_is_asked(home, relays)}")
            await asyncio.sleep(_LOOK_AGAIN)


def _why_nobody_is_asked(home: RelayStatus | None, relays: tuple[RelayStatus, ...]) -> str:
    if home is not None:
        return (
            f"{home.url} tells of no STUN server; its owner can turn one on with enabled = true in [stun] "
            "of beacon.toml, or name another beacon with: overlay up --beacon URL"
        )
    if not relays:
        return (
            "this gateway knows no beacon, which would tell where the network shows us; "
            "name one with: overlay up --beacon URL"
        )
    reason = next((relay.error for relay in relays if relay.error), "no answer in time")
    return (
        f"no beacon is connected ({reason}); overlay status tells more, overlay up --beacon URL names another"
    )


def _family(report: FamilyReport) -> FamilyNetworkReport:
    behavior = report.behavior
    return FamilyNetworkReport(
        has_address=report.has_address,
        stun_asked=tuple(map(str, report.asked)),
        stun_answered=tuple(map(str, report.answered)),
        translated=behavior.translated,
        mapping=behavior.mapping.value,
        filtering=behavior.filtering.value,
        allocation=behavior.allocation.kind.value,
        delta=behavior.allocation.delta,
        span=behavior.allocation.span,
        keeps_parity=behavior.allocation.keeps_parity,
        noise=behavior.noise,
        external_ips=tuple(map(str, behavior.external_ips)),
        hairpin=behavior.hairpin,
        inbound_first_poisons=behavior.inbound_first_poisons,
        own_mapping=report.own_mapping.value,
        own_addresses=tuple(map(str, report.own_addresses)),
    )
