"""Whom to ask next whether it is in a topic, who proved it, and who is left alone. Sans-IO.

::

    told of by a source ──▶ waiting ──take──▶ being asked ──proved──▶ peer ──a quarter of an hour──▶ waiting
                              ▲                  └──no, or no answer──▶ left alone ──a while──┐
                              └────────────────────── told of again ◀──────────────────────────┘

Strangers fill every table here, so each has a bound; what a flood does is to delay others, within these rules: sources take
turns, and peers that are to be asked again are one of them; of too many that wait some by chance are forgotten; a topic
that has all its peers takes nobody up; and who failed is left alone for a while.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.topics.base import Candidate
from gateway.topics.limits import (
    TOPIC_CHECKS_AT_ONCE,
    TOPIC_CHECKS_BURST,
    TOPIC_CHECKS_PER_MINUTE,
    TOPIC_LEFT_ALONE,
    TOPIC_PEERS,
    TOPIC_RECHECK_SECONDS,
    TOPIC_RETRY_LONGEST,
    TOPIC_RETRY_SECONDS,
    TOPIC_WAITING,
)
from tunnels.bucket import Bucket
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.topics.hello import Found
    from gateway.topics.manifest import Manifest
    from tunnels.addresses import Address

    Key = EndpointId | Address

MET: Final = "it asked us"
"""How we know a peer that nobody told us of."""
_AGAIN: Final = "again"
"""The line of peers that are asked again."""


@dataclass(frozen=True, slots=True)
class Peer:
    """An endpoint that proved to be in a topic."""

    endpoint_id: EndpointId
    manifest: Manifest | None
    source: str
    """Who told of it first."""
    since: float
    """When it proved it first; times are of one clock that never goes back."""
    verified_at: float
    """When it did last."""


@dataclass(slots=True)
class _Waiting:
    """One candidate; the topics for which it was told of."""

    candidate: Candidate
    topics: set[bytes] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Check:
    """Somebody to be asked now."""

    source: str
    candidate: Candidate


class Swarm:
    """Everything we know of who is in our topics."""

    def __init__(self, own: EndpointId, below: Callable[[int], int]) -> None:
        """`below(n)` gives a whole number from 0 to n-1 by chance."""
        self._own = own
        self._below = below
        self._peers: dict[bytes, dict[EndpointId, Peer]] = {}
        self._waiting: OrderedDict[str, OrderedDict[Key, _Waiting]] = OrderedDict()
        self._asking: dict[Key, str] = {}
        self._left_alone: OrderedDict[Key, tuple[float, float]] = OrderedDict()
        """Until when, and for how long that is."""
        self._rate = Bucket(TOPIC_CHECKS_PER_MINUTE / 60, TOPIC_CHECKS_BURST)

    def __repr__(self) -> str:
        peers = sum(map(len, self._peers.values()))
        waiting = sum(map(len, self._waiting.values()))
        return f"Swarm({len(self._peers)} topics, {peers} peers, {waiting} waiting)"

    # --- topics -----------------------------------------------------------------------------------------

    @property
    def topics(self) -> tuple[bytes, ...]:
        """Those we are in."""
        return tuple(self._peers)

    def set_topics(self, topics: Iterable[bytes]) -> None:
        """We are in these from now on; of others, everything is forgotten."""
        self._peers = {topic: self._peers.get(topic, {}) for topic in dict.fromkeys(topics)}
        for table in self._waiting.values():
            for key, waiting in list(table.items()):
                waiting.topics.intersection_update(self._peers)
                if not waiting.topics:
                    del table[key]
        # Who is in none of the old topics may be in a new one.
        self._left_alone.clear()

    def forgive(self) -> None:
        """Our network or our home is another one: who did not answer may do so now."""
        self._left_alone.clear()

    def peers(self, topic: bytes) -> tuple[Peer, ...]:
        """Who proved to be in a topic; the one that did longest ago first."""
        return tuple(self._peers.get(topic, {}).values())

    def is_peer(self, endpoint_id: EndpointId) -> bool:
        """Whether the endpoint proved to be in one of our topics."""
        return any(endpoint_id in table for table in self._peers.values())

    @property
    def is_alone(self) -> bool:
        """Whether one of our topics has no peer."""
        return any(not table for table in self._peers.values())

    @property
    def statistics(self) -> tuple[int, int, int]:
        """How many wait, are being asked, and are left alone."""
        return sum(map(len, self._waiting.values())), len(self._asking), len(self._left_alone)

    # --- candidates -------------------------------------------------------------------------------------

    def offer(self, topic: bytes, candidate: Candidate, source: str, now: float) -> bool:
        """A source tells of somebody; whether it is to be asked."""
        key = candidate.key
        table = self._peers.get(topic)
        if table is None or key == self._own or key in self._asking:
            return False
        if key in table or len(table) >= TOPIC_PEERS or self._is_left_alone(key, now):
            return False
        line = self._waiting.setdefault(source, OrderedDict())
        waiting = line.get(key)
        if waiting is None:
            if len(line) >= TOPIC_WAITING:
                del line[list(line)[self._below(len(line))]]
            waiting = line[key] = _Waiting(candidate)
        waiting.candidate = candidate
        waiting.topics.add(topic)
        return True

    def take(self, now: float) -> Check | None:
        """Whom to ask now; to be asked again until there is nobody, or no room."""
        if len(self._asking) >= TOPIC_CHECKS_AT_ONCE:
            return None
        self._wait_for_due_peers(now)
        while self._waiting:
            source = next(iter(self._waiting))
            line = self._waiting[source]
            if not self._useful(line):
                del self._waiting[source]
                continue
            if not self._rate.take(now):
                return None
            _, waiting = line.popitem(last=False)
            self._waiting.move_to_end(source)
            self._asking[waiting.candidate.key] = source
            return Check(source, waiting.candidate)
        return None

    def get_timer(self, now: float) -> float | None:
        """When to call `take` again, if nothing else happens; None for not at all."""
        if len(self._asking) >= TOPIC_CHECKS_AT_ONCE:
            return None
        if any(self._waiting.values()):
            return now + 60 / TOPIC_CHECKS_PER_MINUTE
        due = [peer.verified_at for table in self._peers.values() for peer in table.values()]
        return min(due) + TOPIC_RECHECK_SECONDS if due else None

    def _useful(self, line: OrderedDict[Key, _Waiting]) -> bool:
        """Whether somebody waits here who is worth asking: topics may have filled up meanwhile."""
        while line:
            key, waiting = next(iter(line.items()))
            if any(
                key in self._peers[topic] or len(self._peers[topic]) < TOPIC_PEERS for topic in waiting.topics
            ):
                return True
            del line[key]
        return False

    def _wait_for_due_peers(self, now: float) -> None:
        """Peers that proved themselves too long ago stand in a line of their own."""
        for topic, table in self._peers.items():
            for peer in table.values():
                if now - peer.verified_at >= TOPIC_RECHECK_SECONDS and peer.endpoint_id not in self._asking:
                    line = self._waiting.setdefault(_AGAIN, OrderedDict())
                    waiting = line.setdefault(peer.endpoint_id, _Waiting(Candidate(peer.endpoint_id)))
                    waiting.topics.add(topic)

    # --- what came of it --------------------------------------------------------------------------------

    def proved(self, key: Key, endpoint_id: EndpointId, found: Found, now: float) -> None:
        """Who was asked at `key` is this endpoint, and is in these topics, in no others of ours."""
        source = self._asking.pop(key, MET)
        self.met(endpoint_id, found, now, source=source)
        for topic, table in self._peers.items():
            if topic not in found:
                table.pop(endpoint_id, None)
        if not found:
            for each in {key, endpoint_id}:
                self._leave_alone(each, now)
            return
        self._left_alone.pop(endpoint_id, None)
        if key != endpoint_id:
            self._leave_alone(key, now)  # who is there is known now

    def failed(self, key: Key, now: float) -> None:
        """Whoever is there did not answer, or not well: it is no peer, and not asked again for a while."""
        self._asking.pop(key, None)
        if isinstance(key, EndpointId):
            for table in self._peers.values():
                table.pop(key, None)
        self._leave_alone(key, now)

    def met(self, endpoint_id: EndpointId, found: Found, now: float, *, source: str = MET) -> bool:
        """An endpoint proved to be in these topics; whether that is news."""
        is_news = False
        for topic, manifest in found.items():
            table = self._peers.get(topic)
            if table is None or endpoint_id == self._own:
                continue
            known = table.get(endpoint_id)
            if known is not None:
                is_news |= known.manifest != manifest
                table[endpoint_id] = replace(known, manifest=manifest, verified_at=now)
            elif len(table) < TOPIC_PEERS:
                is_news = True
                told_by = MET if source == _AGAIN else source
                table[endpoint_id] = Peer(endpoint_id, manifest, told_by, now, now)
        return is_news

    def _is_left_alone(self, key: Key, now: float) -> bool:
        return self._left_alone.get(key, (-inf, 0.0))[0] > now

    def _leave_alone(self, key: Key, now: float) -> None:
        _, before = self._left_alone.pop(key, (now, TOPIC_RETRY_SECONDS / 2))
        seconds = min(TOPIC_RETRY_LONGEST, 2 * before)
        self._left_alone[key] = now + seconds, seconds
        if len(self._left_alone) > TOPIC_LEFT_ALONE:
            self._left_alone.popitem(last=False)
