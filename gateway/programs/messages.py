"""What a program and the gateway say on the control socket before a connection of theirs carries bytes. No I/O.

A connection whose first bytes are no HTTP request but ``OVERLAY/1 `` is a program's. It says one line of JSON, and is
answered with one::

    program   OVERLAY/1 {"do": "connect", "host": "chat.alice.overlay"}
    gateway   {"stream": "5f…", "endpoint_id": "yb…", "petname": "alice"}      or {"error": "…", "code": "dial-offline"}

What follows depends on what was asked for:

    connect, accept    the bytes of the stream, both ways; the end of one direction is that of the socket's (`shutdown`)
    flow               datagrams, framed as in `gateway.flows.framing`; so it is after `accept`, if the caller sends datagrams
    offer              a line of JSON for each caller (`Call`); the service is there for as long as the connection is
    forward            a line of JSON for whatever cannot be opened (`Trouble`); the ports are there as long as the connection is
    ending, done, abort  nothing

A Unix socket cannot say that a stream was cut off. So whoever has read to the end asks, by `ending`, whether that was the end.
And a program that was `strict` is taken to have crashed when its side ends, unless it said `done` before, once all was sent.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from gateway.control.base import NameText, TicketText, TransportProtocol
from gateway.control.errors import ErrorReply
from gateway.errors import UsageError
from gateway.programs.limits import PROGRAM_FORWARDS, PROGRAM_LINE_BYTES

T = TypeVar("T")

MAGIC: Final = b"OVERLAY/1 "
"""What a program's connection begins with; nothing that HTTP could begin with."""

_Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
_Token: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
_Who: TypeAlias = Annotated[str, Meta(min_length=1, max_length=75)]


class _Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """The line that a program begins with."""


class Connect(_Asked, frozen=True, kw_only=True, tag="connect"):
    """Open a stream to a service."""

    host: NameText
    """Such as `chat.alice.overlay`."""
    port: _Port = 0
    """Only counts where the host names no service, or one with several ports."""
    ticket: TicketText | None = None
    """The endpoint's record, for one that is no contact and shall be none."""
    strict: bool = False


class OpenFlow(_Asked, frozen=True, kw_only=True, tag="flow"):
    """Send datagrams to a service, and get those that it answers with."""

    host: NameText
    port: _Port = 0


class Offer(_Asked, frozen=True, kw_only=True, tag="offer"):
    """Be a service for as long as the connection stands."""

    service: Annotated[str, Meta(min_length=1, max_length=63)]
    protocols: Annotated[tuple[TransportProtocol, ...], Meta(min_length=1, max_length=2)] = ("tcp",)
    allow: Annotated[tuple[_Who, ...], Meta(max_length=128)] = ()
    """As `overlay expose --allow` takes them."""
    public: bool = False
    unlisted: bool = False
    """It is told to nobody that it is there: who knows its name may use it, if it is public, too."""
    port: _Port = 0
    """The port that others may use beside the name; 0: that of the name, or one that is free."""


class Accept(_Asked, frozen=True, kw_only=True, tag="accept"):
    """Take a caller that was told of on the connection of an `Offer`."""

    stream: _Token
    strict: bool = False


class Ending(_Asked, frozen=True, kw_only=True, tag="ending"):
    """How did the other side of a stream end?"""

    stream: _Token


class Done(_Asked, frozen=True, kw_only=True, tag="done"):
    """All was sent on a strict stream: its end, when it comes, is meant."""

    stream: _Token


class Abort(_Asked, frozen=True, kw_only=True, tag="abort"):
    """Cut a stream off, so that the other side knows that this was not all."""

    stream: _Token


class ForwardRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One local port, and what is behind it."""

    listen: Annotated[str, Meta(min_length=1, max_length=64)]
    """The ip to listen on."""
    listen_port: _Port
    """0: any that is free."""
    host: NameText
    port: _Port = 0
    protocol: TransportProtocol = "tcp"


class Forward(_Asked, frozen=True, kw_only=True, tag="forward"):
    """Listen on local ports for as long as the connection stands, on all of them or on none."""

    rules: Annotated[tuple[ForwardRule, ...], Meta(min_length=1, max_length=PROGRAM_FORWARDS)]


Asked: TypeAlias = Connect | OpenFlow | Offer | Accept | Ending | Done | Abort | Forward


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """The stream is open: bytes, or framed datagrams, follow on this connection."""

    stream: str
    """What to ask for its end by."""
    endpoint_id: str
    """Who is at the other end, authenticated."""
    petname: str = ""
    """Empty if it is no contact."""


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """The service is there."""

    service: str
    host: str
    """The name others use, with this endpoint's id in it."""
    port: int
    warnings: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody wants to use the service: `Accept` the stream within seconds, on a connection of its own."""

    stream: str
    endpoint_id: str
    petname: str = ""
    protocol: TransportProtocol = "tcp"


class EndingReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the other side of a stream ended."""

    state: Literal["open", "ended", "cut"]
    """`ended`: it said all that it had to say. `cut`: there would have been more."""
    reason: str = ""


class Forwarding(msgspec.Struct, frozen=True, kw_only=True):
    """The ports are open."""

    places: tuple[str, ...]
    """Where each rule listens, as `ip:port`."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A connection to a forwarded port was closed, or its datagrams dropped, because it leads nowhere now."""

    host: str
    error: str


_decoder: Final[msgspec.json.Decoder[Asked]] = msgspec.json.Decoder(Asked)


def write_request(asked: Asked) -> bytes:
    """The line to begin a connection with."""
    return MAGIC + msgspec.json.encode(asked) + b"\n"


def write_line(said: object) -> bytes:
    """A line of the gateway's."""
    return msgspec.json.encode(said) + b"\n"


def read_request(line: bytes) -> Asked:
    """Read what a program begins with; UsageError for what makes no sense."""
    if not line.startswith(MAGIC):
        raise UsageError(f"programs: a connection begins with {MAGIC.decode()!r} and a line of JSON")
    try:
        return _decoder.decode(line[len(MAGIC) :])
    except (ValueError, RecursionError) as error:
        raise UsageError(f"programs: this gateway does not take such a line: {error}") from None


def read_line(line: bytes, kind: type[T]) -> T | ErrorReply:
    """Read what the gateway says; UsageError if it is neither a `kind` nor an error."""
    try:
        return msgspec.json.decode(line, type=ErrorReply)
    except (ValueError, RecursionError):
        pass  # it tells of no error
    try:
        return msgspec.json.decode(line, type=kind)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"programs: the gateway's answer makes no sense ({error}); restart it") from None


class LineReader:
    """Collects one line, however it is cut; what comes behind it is `rest`."""

    __slots__ = ("_buffer", "rest")

    def __init__(self) -> None:
        self._buffer = b""
        self.rest = b""

    @property
    def partial(self) -> bytes:
        """What has come of a line that is not whole."""
        return self._buffer

    def feed(self, data: bytes) -> bytes | None:
        """The line without its end, once it is whole; UsageError if it is longer than any may be."""
        self._buffer += data
        line, end, rest = self._buffer.partition(b"\n")
        if len(line) > PROGRAM_LINE_BYTES:
            raise UsageError(f"programs: a line is longer than {PROGRAM_LINE_BYTES} bytes")
        if not end:
            return None
        self._buffer, self.rest = b"", rest
        return line
