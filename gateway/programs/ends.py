"""How streams of programs end, kept for a while after they did: a Unix socket tells its reader of an end, not of which kind. ⚡"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

from gateway.programs.limits import PROGRAM_ENDS
from gateway.programs.messages import EndingReport

if TYPE_CHECKING:
    import asyncio

    from gateway.splice import Splice

_CUT = "the connection to the other side was lost, or the other side gave up"


class Ends:
    """Streams by the token that their program has of them: open ones, and the last of those that are over."""

    def __init__(self, *, kept: int = PROGRAM_ENDS) -> None:
        self._open: dict[str, _Stream] = {}
        self._loose: dict[str, asyncio.Transport] = {}
        """Taken by a program, and not part of a splice that we know of: one of the proxy's, say."""
        self._over: OrderedDict[str, EndingReport] = OrderedDict()
        self._kept = kept

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def begin(self) -> str:
        """The token of a new stream."""
        for gone in [token for token, transport in self._loose.items() if transport.is_closing()]:
            self.over(gone)
        token = secrets.token_hex(16)
        self._open[token] = _Stream()
        return token

    def taken(self, token: str, transport: asyncio.Transport) -> None:
        """A program took it; whatever else becomes of it, it is over when `transport` closes."""
        if token in self._open:
            self._loose[token] = transport

    def joined(self, token: str, splice: Splice, other: asyncio.Transport) -> None:
        """The stream is part of a splice, whose end ends it; `other` is what the program does not see of it."""
        stream = self._open.get(token)
        if stream is not None:
            self._loose.pop(token, None)
            stream.splice, stream.other = splice, other
            if stream.is_done:
                splice.trust(splice.other(other))
            splice.closed.add_done_callback(lambda _: self.over(token))

    def over(self, token: str, state: Literal["ended", "cut"] | None = None, reason: str = "") -> None:
        """It ended, as its splice says if nobody else does; what was said first holds."""
        self._loose.pop(token, None)
        stream = self._open.pop(token, None)
        if stream is None:
            return
        self._over[token] = EndingReport(state=state, reason=reason) if state is not None else stream.ending()
        while len(self._over) > self._kept:
            self._over.popitem(last=False)

    def ending(self, token: str) -> EndingReport:
        """How the other side ended; of a stream that nobody remembers, that it was cut off."""
        stream = self._open.get(token)
        if stream is not None:
            return stream.ending()
        return self._over.get(
            token, EndingReport(state="cut", reason="the gateway does not remember the stream")
        )

    def done(self, token: str) -> None:
        """The program has sent all; see `Splice.trust`."""
        stream = self._open.get(token)
        if stream is not None:
            stream.is_done = True
            if stream.splice is not None and stream.other is not None:
                stream.splice.trust(stream.splice.other(stream.other))

    def abort(self, token: str) -> None:
        """Reset it, if it is open."""
        stream = self._open.get(token)
        if stream is not None and stream.splice is not None:
            stream.splice.abort()

    def close(self) -> None:
        """Reset all that are spliced."""
        for stream in list(self._open.values()):
            if stream.splice is not None:
                stream.splice.abort()


class _Stream:
    """One that is open."""

    __slots__ = ("is_done", "other", "splice")

    def __init__(self) -> None:
        self.is_done = False
        self.splice: Splice | None = None
        self.other: asyncio.Transport | None = None

    def ending(self) -> EndingReport:
        if self.splice is None or self.other is None:
            return EndingReport(state="open")
        told = self.splice.ending(self.other)
        if told is None:
            return EndingReport(state="open")
        has_ended, error = told
        return (
            EndingReport(state="ended") if has_ended else EndingReport(state="cut", reason=str(error or _CUT))
        )
