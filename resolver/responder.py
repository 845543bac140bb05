"""One query in, one reply out: at once where everything is at hand, else after a lookup or from upstream.

Both sockets of `server` come here. Whole replies to the questions last asked are kept ready, so that asking the same
again costs two dictionary look-ups; the facts are compared each time, so that a kept reply is never out of date.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from resolver.limits import ALIAS_HOPS, CACHED_REPLIES, CONCURRENT_LOOKUPS, LOOKUP_SECONDS
from resolver.messages import ExtendedError, Kind, Query, failure_reply, parse_query, reply_limit
from resolver.names import OverlayName
from resolver.zone import AddressSubject, Fixed, NameSubject, Zone

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from resolver.facts import NameFacts, NameSource
    from resolver.forwarder import Forwarder

    _Answer = Callable[[], Coroutine[None, None, bytes]]
    _Known = tuple[tuple[OverlayName, NameFacts], ...]

_BUSY = "too many names are being looked up at once; ask again"
_SLOW = "the lookup took too long; ask again"


@dataclass(frozen=True, slots=True)
class ResponderStatus:
    """Counters since the start."""

    queries: int
    from_ready_replies: int
    lookups: int
    """Queries that had to wait for a lookup or an upstream server."""
    waiting: int
    """Those that wait now."""
    overloaded: int
    """Those refused because too many were waiting."""


class Responder:
    """Answers queries; needs a running loop only for those that must wait."""

    def __init__(
        self,
        zone: Zone,
        names: NameSource,
        *,
        forwarder: Forwarder | None = None,
        concurrent: int = CONCURRENT_LOOKUPS,
        lookup_seconds: float = LOOKUP_SECONDS,
    ) -> None:
        self._zone = zone
        self._names = names
        self._forwarder = forwarder
        self._concurrent = concurrent
        self._lookup_seconds = lookup_seconds
        self._ready: dict[bytes, tuple[_Known, bytes]] = {}
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._queries = self._from_ready = self._lookups = self._overloaded = 0

    def status(self) -> ResponderStatus:
        """The counters."""
        return ResponderStatus(
            self._queries, self._from_ready, self._lookups, len(self._tasks), self._overloaded
        )

    def __repr__(self) -> str:
        return f"<Responder {self._queries} queries, {len(self._tasks)} waiting>"

    def respond(self, data: bytes, *, over_tcp: bool, done: Callable[[bytes | None], None]) -> None:
        """Answer one message: `done` is called exactly once, perhaps at once, with the reply or with None for none."""
        self._queries += 1
        if not over_tcp:
            ready = self._ready.get(data[2:])  # all but the message id
            if ready is not None:
                known, reply = ready
                if self._is_current(known):
                    self._from_ready += 1
                    done(data[:2] + reply)
                    return
        query = parse_query(data)
        if isinstance(query, Query):
            self._respond_to(query, data, over_tcp, done)
        else:
            done(query)

    async def close(self) -> None:
        """Give up all that wait; each of them is still told so through `done`."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_current(self, known: _Known) -> bool:
        """Whether what a reply was made of still holds."""
        for name, facts in known:
            now = self._names.lookup_nowait(name)
            if now is not facts and now != facts:
                return False
        return True

    def _respond_to(
        self, query: Query, data: bytes, over_tcp: bool, done: Callable[[bytes | None], None]
    ) -> None:
        subject = self._zone.subject_of(query)
        limit = reply_limit(query, over_tcp=over_tcp)
        match subject:
            case Fixed.OUTSIDE if self._forwarder is not None:
                forward = self._forwarder.forward
                self._spawn(query, lambda: forward(query, data, over_tcp=over_tcp), done)
            case Fixed():
                reply = self._zone.answer_fixed(query, subject, limit)
                self._keep(data, over_tcp, (), reply)
                done(reply)
            case NameSubject():
                known = self._known_nowait(query, subject)
                if known is None:
                    self._spawn(query, lambda: self._look_up(query, subject, limit), done)
                else:
                    reply = self._zone.answer_name(query, subject, known[0][1], limit, known[1:])
                    self._keep(data, over_tcp, known, reply)
                    done(reply)
            case AddressSubject():
                done(self._zone.answer_address(query, self._names.name_at(subject.address), limit))
            case _:
                assert_never(subject)

    def _keep(self, data: bytes, over_tcp: bool, known: _Known, reply: bytes) -> None:
        if not over_tcp:
            if len(self._ready) >= CACHED_REPLIES:
                del self._ready[next(iter(self._ready))]
            self._ready[data[2:]] = (known, reply[2:])

    def _known_nowait(self, query: Query, subject: NameSubject) -> _Known | None:
        """The facts of the name, and of those that it is an alias of; None if some are not at hand."""
        facts = self._names.lookup_nowait(subject.name)
        if facts is None:
            return None
        known = [(subject.name, facts)]
        while (name := _next_alias(query, subject, known)) is not None:
            facts = self._names.lookup_nowait(name)
            if facts is None:
                return None
            known.append((name, facts))
        return tuple(known)

    async def _look_up(self, query: Query, subject: NameSubject, limit: int) -> bytes:
        known = [(subject.name, await self._names.lookup(subject.name))]
        while (name := _next_alias(query, subject, known)) is not None:
            known.append((name, await self._names.lookup(name)))
        return self._zone.answer_name(query, subject, known[0][1], limit, known[1:])

    def _spawn(self, query: Query, answer: _Answer, done: Callable[[bytes | None], None]) -> None:
        """Run `answer` in a task; `done` is called when that ends, however it ends."""
        if len(self._tasks) >= self._concurrent:
            self._overloaded += 1
            done(failure_reply(query, _BUSY, kind=ExtendedError.NOT_READY))
            return
        self._lookups += 1
        task = asyncio.get_running_loop().create_task(self._wait(query, answer), name="dns lookup")
        self._tasks.add(task)

        def finish(task: asyncio.Task[bytes]) -> None:
            self._tasks.discard(task)
            reply = None
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    reply = task.result()  # a bug goes from here to the loop's exception handler
            finally:
                done(reply or failure_reply(query, _SLOW, kind=ExtendedError.NOT_READY))

        task.add_done_callback(finish)

    async def _wait(self, query: Query, answer: _Answer) -> bytes:
        try:
            async with asyncio.timeout(self._lookup_seconds):
                return await answer()
        except TimeoutError:
            return failure_reply(query, _SLOW, kind=ExtendedError.NO_REACHABLE_AUTHORITY)


def _next_alias(
    query: Query, subject: NameSubject, known: Sequence[tuple[OverlayName, NameFacts]]
) -> OverlayName | None:
    """The name to be looked up next, for the last one stands for it; bounded, and none twice."""
    alias = known[-1][1].alias
    if (
        subject.prefix
        or query.kind in (Kind.CNAME, Kind.ANY)
        or not isinstance(alias, OverlayName)
        or alias.owner != known[-1][0].owner
        or len(known) > ALIAS_HOPS
        or any(alias == name for name, _ in known)
    ):
        return None
    return alias
