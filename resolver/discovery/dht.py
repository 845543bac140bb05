"""Records in the Mainline DHT, as pkarr keeps them: signed items of BEP 44 at the SHA-1 of the key. ⚡

Nodes of the DHT are anybody's. What they give is verified here, the newest counts, and a caller waits only a moment
after the first valid record: what comes later is told by `on_news`. Both are bounded in time, nodes and messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import heapq
import itertools
import logging
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from resolver.discovery import krpc
from resolver.discovery.base import Scope
from resolver.discovery.dht_search import Search, Storing, is_public
from resolver.discovery.dht_socket import DhtSockets, Questions
from resolver.discovery.krpc import Answer, Node, Refusal, distance, signed_packet, target_of
from resolver.errors import DiscoveryError, RecordError
from resolver.limits import (
    DHT_ANNOUNCES_PER_HOUR,
    DHT_BOOTSTRAP_BELOW,
    DHT_PEERS,
    DHT_PUBLISH_PER_HOUR,
    DHT_SEARCH_SECONDS,
    DHT_SEARCHES,
    DHT_SETTLE_SECONDS,
    DHT_WIDTH,
)
from tunnels.addresses import Address
from tunnels.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from resolver.discovery.dht_table import DhtTable
    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)

_REFUSALS: Final = {
    203: "our question is wrong for them",
    205: "our record is too large for them",
    206: "our record's signature is wrong for them",
    302: "they have a newer record of us; does another gateway use this identity, or is the clock wrong?",
}


@dataclass(frozen=True, slots=True)
class Publication:
    """What came of publishing our record."""

    stored: int
    """Nodes that keep it."""
    at: float
    """By the event loop's clock."""
    problem: str = ""


class DhtSource:
    """The DHT as a RecordSource, and as a place where those of one topic meet. `open` it, `close` it once."""

    name = "dht"
    scope = Scope.PUBLIC

    def __init__(
        self,
        table: DhtTable,
        *,
        hosts: Sequence[str],
        bootstrap: Sequence[str],
        private: bool = False,
        on_news: Callable[[SignedPacket], None] = lambda _: None,
    ) -> None:
        """`hosts` are ips of ours to ask from; `bootstrap` are asked while the table is nearly empty.

        `on_news` is told of a record that is newer than the one that `find` returned, and came later.
        """
        self._table = table
        self._hosts = hosts
        self._bootstrap = bootstrap
        self._private = private
        self._on_news = on_news
        self._sockets = DhtSockets()
        self._own_id = secrets.token_bytes(krpc.ID_BYTES)
        self._searches: set[asyncio.Task[None]] = set()
        self._publishing = Bucket(DHT_PUBLISH_PER_HOUR / 3600, DHT_PUBLISH_PER_HOUR)
        self._announcing = Bucket(DHT_ANNOUNCES_PER_HOUR / 3600, DHT_ANNOUNCES_PER_HOUR)
        self.last_publication: Publication | None = None

    def __repr__(self) -> str:
        return f"<DhtSource, {len(self._table.nodes)} nodes>"

    async def open(self) -> None:
        """Bind the sockets and start the table; DiscoveryError says why it cannot be done."""
        try:
            await self._sockets.open(self._hosts)
        except OSError as error:
            raise DiscoveryError(f"the DHT cannot be asked from {', '.join(self._hosts)}: {error}") from None
        try:
            await self._table.open()
        except DiscoveryError:
            self._sockets.close()
            raise

    async def close(self) -> None:
        """Give up all searches, and end."""
        for search in tuple(self._searches):
            search.cancel()
        await asyncio.gather(*self._searches, return_exceptions=True)
        self._sockets.close()
        await self._table.close()

    @property
    def nodes(self) -> int:
        """Live nodes in our table."""
        return len(self._table.nodes)

    async def state(self) -> bytes:
        """The nodes known now, for the table of the next start."""
        return await self._table.state()

    async def find(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The newest record that nodes give soon; DiscoveryError if none of them answers."""
        lookup = self._begin(_Lookup(endpoint_id))
        try:
            await lookup.settle()
        finally:
            lookup.told = True
        if lookup.best is None and not lookup.answered:
            raise DiscoveryError("no node of the DHT answers; is UDP to the Internet blocked here?")
        return lookup.best

    async def publish(self, packet: SignedPacket) -> None:
        """Have our record kept by the nodes closest to it; DiscoveryError if none of them does."""
        now = asyncio.get_running_loop().time()
        if not self._publishing.take(now):
            raise DiscoveryError(f"more than {DHT_PUBLISH_PER_HOUR} publications an hour; it will be later")
        try:
            stored = await self._publish(packet)
        except DiscoveryError as error:
            self.last_publication = Publication(0, now, str(error))
            raise
        self.last_publication = Publication(stored, now)

    def announce(self, topic: bytes, port: int) -> None:
        """Tell once that an endpoint is at UDP `port` of this machine's public address; nodes forget in half an hour.

        `topic` has 20 bytes. It is done by itself; beyond DHT_ANNOUNCES_PER_HOUR, or with too many searches, not at all.
        """
        if self._announcing.take(asyncio.get_running_loop().time()):
            with contextlib.suppress(DiscoveryError):
                self._run(self._announce(topic, port))

    async def find_peers(self, topic: bytes) -> tuple[Address, ...]:
        """Addresses announced for `topic`, by anybody: only a handshake tells who is there.

        DiscoveryError if too many searches are under way.
        """
        answers: list[tuple[Address, ...]] = []
        task = self._run(
            self._look(
                topic,
                [],
                lambda tx: krpc.get_peers(tx, self._own_id, topic),
                lambda answer: answers.append(answer.peers),
            )
        )
        try:
            await asyncio.wait((task,))
        finally:
            task.cancel()
        shares = itertools.chain.from_iterable(itertools.zip_longest(*answers))
        usable = (peer for peer in shares if peer is not None and (self._private or is_public(peer)))
        return tuple(itertools.islice(dict.fromkeys(usable), DHT_PEERS))

    async def _announce(self, topic: bytes, port: int) -> None:
        searches: list[Search] = []
        await self._look(topic, searches, lambda tx: krpc.get_peers(tx, self._own_id, topic), lambda _: None)
        await self._store(
            searches, lambda tx, token: krpc.announce_peer(tx, self._own_id, token, topic, port)
        )

    async def _find(self, lookup: _Lookup) -> None:
        """Search for a record until all is over."""

        def heard(answer: Answer) -> None:
            lookup.answered += 1
            if self._take(answer, lookup):
                for search in lookup.searches:
                    search.found = True

        try:
            await self._look(
                lookup.target,
                lookup.searches,
                lambda tx: krpc.get(tx, self._own_id, lookup.target, lookup.newest),
                heard,
                hurries=lookup.newer_than is not None,
            )
        finally:
            lookup.ended.set()
            lookup.news.set()

    async def _publish(self, packet: SignedPacket) -> int:
        """How many nodes keep it."""
        lookup = self._begin(_Lookup(packet.endpoint_id, newer_than=packet.timestamp))
        await lookup.ended.wait()
        if lookup.best is not None:
            raise DiscoveryError(f"the DHT has a newer record: {_REFUSALS[krpc.OLD_SEQUENCE]}")
        if not lookup.answered:
            raise DiscoveryError("no node of the DHT answers; is UDP to the Internet blocked here?")
        results = await self._store(
            lookup.searches, lambda tx, token: krpc.put(tx, self._own_id, token, packet)
        )
        stored = sum(storing.stored for storing in results)
        if not stored:
            codes = [code for storing in results for code in storing.refusals]
            why = _REFUSALS.get(codes[0], f"error {codes[0]}") if codes else "none answers"
            raise DiscoveryError(f"no node of the DHT keeps our record: {why}")
        return stored

    def _begin(self, lookup: _Lookup) -> _Lookup:
        """Start a lookup that goes on by itself until it ends."""
        self._run(self._find(lookup))
        return lookup

    def _run(self, search: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a search; DiscoveryError if there are too many."""
        if len(self._searches) >= DHT_SEARCHES:
            search.close()
            raise DiscoveryError(f"{DHT_SEARCHES} searches in the DHT are under way; try again in a moment")
        task = asyncio.get_running_loop().create_task(search, name="search in the DHT")
        self._searches.add(task)
        task.add_done_callback(self._searches.discard)
        return task

    async def _look(
        self,
        target: bytes,
        searches: list[Search],
        question: Callable[[bytes], bytes],
        heard: Callable[[Answer], None],
        *,
        hurries: bool = True,
    ) -> None:
        """Search in each family of addresses until all is over; `searches` gets them.

        `question` makes the message of a transaction; `heard` takes each answer of a node that is what it should be.
        """
        try:
            async with asyncio.timeout(DHT_SEARCH_SECONDS):
                seeds = await self._seeds(target)
                for version in self._sockets.versions:
                    search = Search(target, seeds, version=version, private=self._private, hurries=hurries)
                    searches.append(search)
                async with asyncio.TaskGroup() as group:
                    for search in searches:
                        group.create_task(self._search(search, question, heard), name="search in the DHT")
        except TimeoutError:
            _logger.debug("a search in the DHT took its whole time")

    async def _search(
        self, search: Search, question: Callable[[bytes], bytes], heard: Callable[[Answer], None]
    ) -> None:
        loop = asyncio.get_running_loop()

        def on_reply(node: Node, reply: Answer | Refusal) -> None:
            if isinstance(reply, Refusal):
                search.fail(node)
            elif search.answer(node, reply, loop.time()):
                heard(reply)

        with Questions(self._sockets, on_reply) as questions:
            while True:
                for node in search.next_queries(loop.time()):
                    await questions.ask(node, question)
                if (due := search.due(loop.time())) is None:
                    return
                await questions.wait_until(due)

    def _take(self, answer: Answer, lookup: _Lookup) -> bool:
        """Whether the answer has a valid record that is news; the newest is kept."""
        item = answer.item
        if item is None or (lookup.newest is not None and item.sequence <= lookup.newest):
            return False
        try:
            packet = signed_packet(item, lookup.endpoint_id)
        except RecordError as error:
            _logger.debug("a node of the DHT gave a record that is none: %s", error)
            return False
        lookup.best = packet
        lookup.news.set()
        if lookup.told:
            self._on_news(packet)
        return True

    async def _store(self, searches: list[Search], message: Callable[[bytes, bytes], bytes]) -> list[Storing]:
        """Have the nodes that each search found closest keep something; `message` makes it of transaction and token."""
        results = [Storing(search.closest()) for search in searches]
        async with asyncio.TaskGroup() as group:
            for storing in results:
                group.create_task(self._store_at(storing, message), name="store in the DHT")
        return results

    async def _store_at(self, storing: Storing, message: Callable[[bytes, bytes], bytes]) -> None:
        loop = asyncio.get_running_loop()

        def on_reply(node: Node, reply: Answer | Refusal) -> None:
            if isinstance(reply, Refusal):
                storing.refuse(node, reply.code)
            else:
                storing.answer(node)

        with Questions(self._sockets, on_reply) as questions:
            while True:
                for node, token in storing.next_puts(loop.time()):
                    await questions.ask(node, functools.partial(_swapped, message, token))
                if (due := storing.due(loop.time())) is None:
                    return
                await questions.wait_until(due)

    async def _seeds(self, target: bytes) -> list[Node]:
        """Where a search begins: the closest nodes of the table, and who knows others while those are few."""
        live = self._table.nodes
        seeds = heapq.nsmallest(2 * DHT_WIDTH, live, key=lambda node: distance(node.id or b"", target))
        if len(live) < DHT_BOOTSTRAP_BELOW:
            seeds += await resolved(self._bootstrap)
        return seeds


class _Lookup:
    """One question to the DHT, and what came of it so far."""

    def __init__(self, endpoint_id: EndpointId, newer_than: int | None = None) -> None:
        """Records that are not newer than `newer_than` are of no interest."""
        self.endpoint_id = endpoint_id
        self.target = target_of(endpoint_id)
        self.newer_than = newer_than
        self.searches: list[Search] = []
        self.best: SignedPacket | None = None
        self.answered = 0
        self.told = False
        """Whether somebody was given the best; what is newer is told by itself then."""
        self.news = asyncio.Event()
        self.ended = asyncio.Event()

    @property
    def newest(self) -> int | None:
        """The timestamp that a record must exceed to be of interest."""
        return self.newer_than if self.best is None else self.best.timestamp

    async def settle(self) -> None:
        """Until it ended, or nothing newer came for a moment after a valid record."""
        while not self.ended.is_set():
            self.news.clear()
            try:
                async with asyncio.timeout(None if self.best is None else DHT_SETTLE_SECONDS):
                    await self.news.wait()
            except TimeoutError:
                return


def _swapped(message: Callable[[bytes, bytes], bytes], token: bytes, transaction: bytes) -> bytes:
    return message(transaction, token)


async def resolved(places: Iterable[str]) -> list[Node]:
    """The nodes at these places, `host:port`; those whose names lead nowhere are left out."""
    loop = asyncio.get_running_loop()
    found = []
    for place in places:
        host, _, port = place.rpartition(":")
        try:
            known = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        except OSError:
            continue
        found += [Node(Address.of(entry[4][0], entry[4][1]), None) for entry in known]  # type: ignore[arg-type]
    return found
