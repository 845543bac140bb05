"""What moves now: one pass over the connections, without a look at anything that waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.answers.base import Answers
from gateway.control.live import LaneReport, LiveReport, MovedReport, PeerLiveReport, ProcessReport
from gateway.process_use import process_use
from gateway.reach import path_word, selected, tier_word, via
from tunnels.events import TunnelState
from tunnels.paths.reports import Moved

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tunnels.identity import EndpointId
    from tunnels.paths.candidates import Tier
    from tunnels.status import TunnelStatus


class LiveAnswers(Answers):
    """`GET /v1/live`."""

    async def live(self) -> LiveReport:
        parts = self.parts
        use = await asyncio.to_thread(process_use)
        ours: dict[EndpointId, list[TunnelStatus]] = {}
        for tunnel in parts.endpoint.status():
            if tunnel.state is TunnelState.OPEN and (tunnel.is_current or tunnel.lane is not None):
                ours.setdefault(tunnel.endpoint_id, []).append(tunnel)
        peers = tuple(
            self._peer(
                next((one for one in tunnels if one.is_current), tunnels[0]),
                [one for one in tunnels if one.lane is not None],
            )
            for tunnels in ours.values()
        )
        moved = parts.endpoint.moved()
        total = sum(moved.values(), Moved())
        return LiveReport(
            moment=asyncio.get_running_loop().time(),
            started=parts.started,
            process=ProcessReport(
                rss=use.rss,
                descriptors=use.descriptors,
                descriptors_most=use.descriptors_most,
                cpu_seconds=use.cpu_seconds,
                threads=use.threads,
                tasks=len(asyncio.all_tasks()),
            ),
            peers=peers,
            sent=total.sent,
            received=total.received,
            moved=_by_kind(moved),
            streams=sum(peer.streams for peer in peers),
            flows=sum(peer.flows for peer in peers),
        )

    def _peer(self, tunnel: TunnelStatus, lanes: Sequence[TunnelStatus]) -> PeerLiveReport:
        parts = self.parts
        contact = parts.contacts.book.find_id(tunnel.endpoint_id)
        paths = self._paths(tunnel.endpoint_id) if tunnel.is_current else None
        used = selected(paths)
        word = path_word(tunnel.address, paths, is_lent=self._is_lent)
        moved = parts.endpoint.moved_with(tunnel.endpoint_id)
        total = sum(moved.values(), Moved())
        return PeerLiveReport(
            endpoint_id=str(tunnel.endpoint_id),
            petname=contact.petname if contact is not None else "",
            path=word,
            where=via(tunnel.address, word),
            path_seconds=None if used is None else used.selected_for,
            rtt=tunnel.rtt if used is None or used.rtt is None else used.rtt,
            sent=total.sent,
            received=total.received,
            moved=_by_kind(moved),
            streams=sum(one.streams for one in lanes) + (tunnel.streams if tunnel.is_current else 0),
            flows=parts.flows_with(tunnel.endpoint_id),
            seconds=tunnel.age or 0.0,
            trying=tunnel.trying,
            lanes=tuple(map(self._lane, lanes)),
        )

    def _lane(self, tunnel: TunnelStatus) -> LaneReport:
        assert tunnel.lane is not None  # noqa: S101 - it was chosen for it
        word = path_word(tunnel.address, is_lent=self._is_lent)
        return LaneReport(
            profile=tunnel.lane.name,
            policy=tunnel.lane.policy.value,
            path=word,
            where=via(tunnel.address, word),
            rtt=tunnel.rtt,
            streams=tunnel.streams,
            sent=tunnel.bytes_sent,
            received=tunnel.bytes_received,
        )


def _by_kind(moved: Mapping[Tier, Moved]) -> tuple[MovedReport, ...]:
    return tuple(
        MovedReport(path=tier_word(tier), sent=of.sent, received=of.received)
        for tier, of in sorted(moved.items())
    )
