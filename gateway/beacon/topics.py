"""Who says to be in which topic at this node of a beacon. Sans-IO; chance is an argument.

A login proves an id, which costs nothing, and nothing proves that somebody is in a topic: those who are told of
somebody find that out themselves. So what counts here are places: one address has few of them in a topic, whatever
ids it makes up, and an answer is a choice by chance among addresses first and among their ids then. A topic that is
full stays open to newcomers, who take the place of somebody by chance: neither who came first nor who came last owns it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from gateway.beacon.limits import BEACON_TOPIC_ENTRIES, BEACON_TOPIC_MEMBERS, BEACON_TOPIC_PER_ADDRESS
from tunnels.limits import RELAY_TOPIC_PEERS, RELAY_TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tunnels.identity import EndpointId

    Place = str | EndpointId
    """A client's address; who comes from none that counts, such as a test or our own machine, is a place of its own."""

_Item = TypeVar("_Item")


class _Topic:
    """Those in one topic, by where they come from."""

    __slots__ = ("places", "size")

    def __init__(self) -> None:
        self.places: dict[Place, dict[EndpointId, None]] = {}
        self.size = 0

    def __contains__(self, member: tuple[EndpointId, Place]) -> bool:
        endpoint_id, place = member
        return endpoint_id in self.places.get(place, ())

    def add(self, endpoint_id: EndpointId, place: Place) -> None:
        self.places.setdefault(place, {})[endpoint_id] = None
        self.size += 1

    def remove(self, endpoint_id: EndpointId, place: Place) -> bool:
        here = self.places.get(place, {})
        if endpoint_id not in here:
            return False
        del here[endpoint_id]
        self.size -= 1
        if not here:
            del self.places[place]
        return True


_NOBODY = _Topic()


class TopicTable:
    """All of it, within bounds."""

    def __init__(
        self,
        below: Callable[[int], int],
        *,
        entries: int = BEACON_TOPIC_ENTRIES,
        members: int = BEACON_TOPIC_MEMBERS,
        per_address: int = BEACON_TOPIC_PER_ADDRESS,
    ) -> None:
        """`below(n)` gives a whole number from 0 to n-1 by chance; the rest are the bounds: in all, and of one topic."""
        self._below = below
        self._most_entries, self._most_members, self._most_per_address = entries, members, per_address
        self._topics: dict[bytes, _Topic] = {}
        self._joined: dict[EndpointId, tuple[Place, tuple[bytes, ...]]] = {}
        self.entries = 0
        """Members of all topics together."""

    def __len__(self) -> int:
        """How many topics somebody is in."""
        return len(self._topics)

    def __repr__(self) -> str:
        return f"TopicTable({len(self)} topics, {self.entries} entries)"

    def join(self, endpoint_id: EndpointId, client: str | None, topics: Iterable[bytes]) -> tuple[bytes, ...]:
        """The endpoint is in these topics and in no others; those that it has a place in now."""
        place: Place = endpoint_id if client is None else client
        wanted = tuple(dict.fromkeys(topics))[:RELAY_TOPICS]
        was_at, before = self._joined.get(endpoint_id, (place, ()))
        for topic in before:
            if topic not in wanted or was_at != place:
                self._remove(topic, endpoint_id, was_at)
        kept = tuple(topic for topic in wanted if self._add(topic, endpoint_id, place))
        if kept:
            self._joined[endpoint_id] = place, kept
        else:
            self._joined.pop(endpoint_id, None)
        return kept

    def leave(self, endpoint_id: EndpointId) -> tuple[bytes, ...]:
        """The endpoint is gone; the topics that it was in."""
        place, topics = self._joined.pop(endpoint_id, (endpoint_id, ()))
        return tuple(topic for topic in topics if self._remove(topic, endpoint_id, place))

    def sample(
        self, topic: bytes, asker: EndpointId, most: int = RELAY_TOPIC_PEERS
    ) -> tuple[EndpointId, ...]:
        """Some of those in the topic, without the asker: from as many addresses as there are, by chance."""
        known = self._topics.get(topic)
        if known is None:
            return ()
        found: list[EndpointId] = []
        rest = [self._shuffled(known.places[place]) for place in self._shuffled(known.places)]
        while rest and len(found) < most:
            found += [ids.pop() for ids in rest]
            rest = [ids for ids in rest if ids]
        return tuple(endpoint_id for endpoint_id in found if endpoint_id != asker)[:most]

    def has(self, topic: bytes, endpoint_id: EndpointId) -> bool:
        """Whether others are told that the endpoint is in the topic."""
        place, topics = self._joined.get(endpoint_id, (endpoint_id, ()))
        return topic in topics and (endpoint_id, place) in self._topics.get(topic, _NOBODY)

    def all(self) -> Iterator[tuple[bytes, EndpointId]]:
        """Every topic with everybody in it."""
        for endpoint_id, (_, topics) in self._joined.items():
            yield from ((topic, endpoint_id) for topic in topics if self.has(topic, endpoint_id))

    def _add(self, topic: bytes, endpoint_id: EndpointId, place: Place) -> bool:
        known = self._topics.get(topic)
        if known is not None and (endpoint_id, place) in known:
            return True
        if known is not None and len(known.places.get(place, ())) >= self._most_per_address:
            return False
        if known is not None and known.size >= self._most_members:
            places = list(known.places)
            loser_at = places[self._below(len(places))]
            ids = list(known.places[loser_at])
            self._remove(topic, ids[self._below(len(ids))], loser_at)
        if self.entries >= self._most_entries:
            return False
        self._topics.setdefault(topic, known or _Topic()).add(endpoint_id, place)
        self.entries += 1
        return True

    def _remove(self, topic: bytes, endpoint_id: EndpointId, place: Place) -> bool:
        known = self._topics.get(topic)
        if known is None or not known.remove(endpoint_id, place):
            return False
        self.entries -= 1
        if not known.size:
            del self._topics[topic]
        return True

    def _shuffled(self, items: Iterable[_Item]) -> list[_Item]:
        shuffled = list(items)
        for at in range(len(shuffled) - 1, 0, -1):
            other = self._below(at + 1)
            shuffled[at], shuffled[other] = shuffled[other], shuffled[at]
        return shuffled
