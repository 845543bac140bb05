"""When we announce ourselves, ask and answer on the local network, in datagrams of our own. Sans-IO.

An announcement goes to everybody at start, at each change and seldom otherwise; a question goes to everybody, and its answer
to the asker alone, who is on the same network and put more into it than he gets. However many ask or come, what goes out is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from resolver.discovery import lan_messages
from resolver.limits import (
    LAN_ANNOUNCE_JITTER,
    LAN_ANNOUNCE_SECONDS,
    LAN_ANNOUNCE_TIMES,
    LAN_ANSWERS_PER_SECOND,
    LAN_ANSWERS_PER_SOURCE,
    LAN_NEWCOMER_GAP,
    LAN_NEWCOMER_SECONDS,
    LAN_QUESTION_TIMES,
    LAN_QUESTIONS_BURST,
    LAN_QUESTIONS_PER_SECOND,
    LAN_SEARCHES,
    LAN_SOURCES,
)
from tunnels.bucket import Bucket
from tunnels.destinations import Destinations

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import Address
    from tunnels.identity import EndpointId


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A datagram to be sent."""

    datagram: bytes
    to: Address | None = None
    """The one asker; None for everybody on every network of ours."""


class LanTalk:
    """Our side of it. Times are seconds of one clock that never goes back."""

    def __init__(self, chance: Callable[[], float]) -> None:
        """`chance` gives numbers in [0, 1)."""
        self._chance = chance
        self._packet = b""
        self._announce_at: list[float] = []
        """Soonest first."""
        self._announced_at = -inf
        self._questions: dict[EndpointId, list[float]] = {}
        """When each endpoint is asked for, soonest first."""
        self._answers: list[Outgoing] = []
        self._question_bucket = Bucket(LAN_QUESTIONS_PER_SECOND, LAN_QUESTIONS_BURST)
        self._answer_bucket = Bucket(LAN_ANSWERS_PER_SECOND)
        self._askers = Destinations(
            LAN_ANSWERS_PER_SOURCE, 2 * LAN_ANSWERS_PER_SOURCE, LAN_SOURCES, makes_room=True
        )

    def __repr__(self) -> str:
        return f"<LanTalk, {len(self._questions)} searches>"

    def set_packet(self, packet: bytes, now: float, *, is_news: bool = True) -> None:
        """What we tell of ourselves from now on; empty for nothing. Unless it `is_news`, only its time is another: once will do."""
        if packet == self._packet:
            return
        self._packet = packet
        if is_news or not packet:
            self.announce(now)
        elif not self._announce_at or self._announce_at[0] > now + LAN_ANNOUNCE_TIMES[-1]:
            self._announce_at = [now]

    def announce(self, now: float) -> None:
        """Tell everybody a few times, because we or our networks are new."""
        jitter = LAN_ANNOUNCE_JITTER * self._chance()
        self._announce_at = [now + after + jitter for after in LAN_ANNOUNCE_TIMES] if self._packet else []

    def met_newcomer(self, now: float) -> None:
        """Somebody is here who was not, and may not have heard of us."""
        if not self._packet:
            return
        at = max(now, self._announced_at + LAN_NEWCOMER_GAP) + LAN_NEWCOMER_SECONDS * self._chance()
        if not self._announce_at or self._announce_at[0] > at:
            self._announce_at.insert(0, at)

    def ask(self, endpoint_id: EndpointId, now: float) -> None:
        """Ask everybody for an endpoint, until `stop_asking` or often enough."""
        if endpoint_id not in self._questions and len(self._questions) < LAN_SEARCHES:
            self._questions[endpoint_id] = [now + after for after in LAN_QUESTION_TIMES]

    def stop_asking(self, endpoint_id: EndpointId) -> None:
        """It was heard, or nobody waits for it."""
        self._questions.pop(endpoint_id, None)

    def asked(self, wanted: EndpointId, own: EndpointId, asker: Address, now: float) -> None:
        """Somebody on our network asks for an endpoint; we answer if we are that, and not too often."""
        if (
            wanted == own
            and self._packet
            and self._askers.take(asker.ip, now)
            and self._answer_bucket.take(now)
        ):
            self._answers.append(Outgoing(lan_messages.answer(self._packet), asker))

    def farewell(self, packet: bytes) -> Outgoing:
        """Our last words to everybody; nothing of us follows."""
        self._packet = b""
        self._announce_at = []
        self._questions.clear()
        self._answers.clear()
        return Outgoing(lan_messages.announcement(packet))

    def get_timer(self) -> float | None:
        """When there is something to send; None for nothing planned."""
        times = [questions[0] for questions in self._questions.values()]
        times += self._announce_at[:1]
        return -inf if self._answers else min(times, default=None)

    def datagrams_to_send(self, now: float) -> list[Outgoing]:
        """What is due."""
        ready, self._answers = self._answers, []
        if self._announce_at and self._announce_at[0] <= now:
            ready.append(Outgoing(lan_messages.announcement(self._packet)))
            self._announced_at = now
            self._announce_at = [at for at in self._announce_at if at > now]
            if not self._announce_at:
                self._announce_at = [now + LAN_ANNOUNCE_SECONDS * (1 - 0.25 * self._chance())]
        for endpoint_id, times in list(self._questions.items()):
            if times[0] <= now:
                rest = [at for at in times if at > now]
                if rest:
                    self._questions[endpoint_id] = rest
                else:
                    del self._questions[endpoint_id]
                if self._question_bucket.take(now):
                    ready.append(Outgoing(lan_messages.question(endpoint_id, self._packet)))
        return ready
