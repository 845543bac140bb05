"""What is told of the network that the gateway is in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.answers.base import Answers
from gateway.answers.ladders import ladder_with, ladders
from gateway.control.netcheck import (
    FamilyNetworkReport,
    FindingReport,
    LadderReport,
    NetcheckReport,
    NetcheckRequest,
    RouterReport,
    SpokenReport,
)
from gateway.errors import GatewayError
from tunnels import limits
from tunnels.crossing.own import describe
from tunnels.errors import TunnelError
from tunnels.nat.dialback import Verdict
from tunnels.nat.report import findings, remedies
from tunnels.relay.status import home_of
from tunnels.serverless import OFF, ON

if TYPE_CHECKING:
    from tunnels.crossing.description import Description
    from tunnels.nat.report import FamilyReport
    from tunnels.nat.report import RouterReport as RouterSeen
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
            if request.lifetime:
                report = await endpoint.network_report_with_lifetime()
        except TunnelError as error:
            raise GatewayError(f"netcheck: {error}") from None
        port = endpoint.addresses[0].port if endpoint.addresses else 0
        mapping = endpoint.mapping()
        is_mapped = mapping is not None and mapping.verdict is Verdict.VERIFIED
        described = describe(report, is_mapped=is_mapped, network=b"")
        return NetcheckReport(
            udp_blocked=report.udp_blocked,
            ipv4=_family(report.ipv4),
            ipv6=_family(report.ipv6),
            router=_router(report.router) if report.router is not None else None,
            firewall=_router(report.firewall) if report.firewall is not None else None,
            seconds=report.seconds,
            age=loop.time() - report.measured_at,
            findings=(
                *(
                    FindingReport(what=each.what, value=each.value, meaning=each.meaning)
                    for each in findings(report)
                ),
                _pwnat(endpoint.pwnat),
            ),
            pwnat=endpoint.pwnat,
            remedies=remedies(report, port),
            network_class=described.network_class.value,
            ladders=self._ladders(request, described),
        )

    def _ladders(self, request: NetcheckRequest, described: Description) -> tuple[LadderReport, ...]:
        """As many as were asked for; GatewayError if the peer did not tell of its network."""
        if not request.ladder:
            return ()
        if not request.peer:
            return ladders(described)
        endpoint = self.parts.endpoint
        pair = endpoint.pair_with(self._owner(self._name(request.peer)))
        if pair is None:
            raise GatewayError(
                f"netcheck: {request.peer} has not told of its network, as peers do while there is a connection; "
                f"make one with: overlay ping {request.peer}"
            )
        return (ladder_with(pair, f"{request.peer}: {pair.theirs.network_class}", endpoint.history),)

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
                alone = "; pwnat, which needs no beacon, is on" if self.parts.endpoint.pwnat == ON else ""
                raise GatewayError(f"netcheck: {_why_nobody_is_asked(home, relays)}{alone}")
            await asyncio.sleep(_LOOK_AGAIN)


def _pwnat(state: str) -> FindingReport:
    value, meaning = state, ""
    if state == ON:
        meaning = "who knows our id and address may call without any beacon"
    elif state != OFF:
        value, meaning = "missing", state
    return FindingReport(what="pwnat", value=value, meaning=meaning)


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


def _router(router: RouterSeen) -> RouterReport:
    return RouterReport(
        address=router.address,
        outside=str(router.outside or ""),
        external=str(router.external or ""),
        state=router.verdict.value if router.external is not None else "",
        protocols=tuple(
            SpokenReport(protocol=one.protocol.value, support=one.support.value, reason=one.words)
            for one in router.spoken
        ),
    )


def _family(report: FamilyReport) -> FamilyNetworkReport:
    behavior = report.behavior
    return FamilyNetworkReport(
        has_address=report.has_address,
        nat64=str(report.nat64 or ""),
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
        nats=(behavior.levels.least, behavior.levels.most),
        outermost_nat=behavior.levels.outermost,
        lifetime=(behavior.lifetime.least, behavior.lifetime.most),
        own_mapping=report.own_mapping.value,
        own_addresses=tuple(map(str, report.own_addresses)),
    )
