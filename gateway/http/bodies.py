"""How long the body of a message is (RFC 9112 §6), and cutting it out of a byte stream.

Each body takes bytes with `feed` and gives back what to forward and what is left over for the next message. A
chunked body is written anew rather than passed through: sizes in one form, no extensions, trailers checked.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, Protocol

from gateway.http.heads import RequestHead, ResponseHead, members, parse_fields
from gateway.http.problems import bad_gateway, bad_request
from gateway.limits import HTTP_CHUNK_LINE_BYTES, HTTP_TRAILER_BYTES

_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_BAD_TRAILER: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")

_NEVER_TRAILERS: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"host", b"connection"}
)  # RFC 9110 §6.5.1


class BodyError(ValueError):
    """The bytes are no body of the announced kind; str() says why."""


class Body(Protocol):
    """One message body."""

    done: bool
    """Whether the body has ended."""
    field: tuple[bytes, bytes] | None
    """The header field that announces this body to the next reader."""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes; returns (what to forward, what follows the body). Raises BodyError."""


class NoBody:
    """A message without a body; it is done before it begins."""

    done = True

    def __init__(self, field: tuple[bytes, bytes] | None = None) -> None:
        self.field = field

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Nothing of `data` is ours."""
        return b"", data


class LengthBody:
    """A body of Content-Length bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0
        self.field: tuple[bytes, bytes] | None = (b"Content-Length", b"%d" % length)

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Up to the announced length is ours."""
        size = len(data)
        if size < self._left:
            self._left -= size
            return data, b""
        cut, self._left, self.done = self._left, 0, True
        return (data, b"") if cut == size else (data[:cut], data[cut:])


class EndlessBody:
    """A response body that ends with its connection; it is never done by itself."""

    done = False
    field: tuple[bytes, bytes] | None = None

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Everything is ours."""
        return data, b""


class _Part(Enum):
    """Where in a chunked body the reader is."""

    SIZE = "size"
    DATA = "data"
    END = "end"
    """The CRLF after a chunk's data."""
    TRAILERS = "trailers"


class ChunkedBody:
    """A body in chunks (RFC 9112 §7.1)."""

    field: tuple[bytes, bytes] | None = (b"Transfer-Encoding", b"chunked")

    def __init__(self, drop: frozenset[bytes] = frozenset()) -> None:
        """`drop` names trailer fields that must not pass, in lower case with hyphens."""
        self.done = False
        self._drop = drop
        self._held = b""  # an unfinished size line, chunk end or trailer section
        self._left = 0  # bytes of the current chunk that have not come yet
        self._part = _Part.SIZE

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Check and rewrite; raises BodyError for a malformed or overlong line."""
        if self._left > len(data):  # the common case: in the middle of a large chunk
            self._left -= len(data)
            return data, b""
        data = self._held + data if self._held else data
        self._held = b""
        position, output = 0, []
        while not self.done and position < len(data):
            if self._part is _Part.DATA:
                end = min(position + self._left, len(data))
                output.append(data[position:end])
                self._left -= end - position
                position = end
                if not self._left:
                    self._part = _Part.END
                continue
            taken = self._take_line(data, position)
            if taken is None:
                self._held = data[position:]
                position = len(data)
            else:
                line, position = taken
                output.append(line)
        return b"".join(output), data[position:]

    def _take_line(self, data: bytes, start: int) -> tuple[bytes, int] | None:
        """What to forward for the line or trailer section at `start`, and where it ends; None: more is needed."""
        match self._part:
            case _Part.SIZE:
                return self._take_size(data, start)
            case _Part.TRAILERS:
                return self._take_trailers(data, start)
            case _:
                if len(data) - start < 2 and data[start:] == b"\r":
                    return None
                if data[start : start + 2] != b"\r\n":
                    raise BodyError("a chunk is longer than its size says")
                self._part = _Part.SIZE
                return b"\r\n", start + 2

    def _take_size(self, data: bytes, start: int) -> tuple[bytes, int] | None:
        end = data.find(b"\r\n", start, start + HTTP_CHUNK_LINE_BYTES)
        if end < 0:
            if len(data) - start >= HTTP_CHUNK_LINE_BYTES:
                raise BodyError("a chunk-size line is too long")
            return None
        match = _CHUNK_LINE.fullmatch(data, start, end)
        if match is None:
            raise BodyError("a chunk size is not a hexadecimal number")
        self._left = int(match[1], 16)
        self._part = _Part.DATA if self._left else _Part.TRAILERS
        return b"%x\r\n" % self._left, end + 2

    def _take_trailers(self, data: bytes, start: int) -> tuple[bytes, int] | None:
        if data.startswith(b"\r\n", start):
            self.done = True
            return b"\r\n", start + 2
        end = data.find(b"\r\n\r\n", start, start + HTTP_TRAILER_BYTES)
        if end < 0:
            if len(data) - start >= HTTP_TRAILER_BYTES:
                raise BodyError("the trailer section is too long")
            return None
        section = data[start:end]
        fields = None if _BAD_TRAILER.search(section) else parse_fields(section.split(b"\r\n"))
        if fields is None:
            raise BodyError("a trailer line is not of the form `Name: value`")
        self.done = True
        kept = (b"%b: %b\r\n" % (name, value) for name, lower, value in fields if not self._dropped(lower))
        return b"".join(kept) + b"\r\n", end + 4

    def _dropped(self, lower: bytes) -> bool:
        return lower in _NEVER_TRAILERS or lower.replace(b"_", b"-") in self._drop


def request_body(head: RequestHead, drop: frozenset[bytes] = frozenset()) -> Body:
    """The body that follows a request head; HttpError with 400 or 501 when two readers could disagree about it."""
    coding = members(head.values(b"transfer-encoding"))
    length = _content_length(head.values(b"content-length"))
    if isinstance(length, str):
        raise bad_request(length)
    if not coding:
        return LengthBody(length) if length is not None else NoBody()
    if length is not None:  # RFC 9112 §6.3: an attempt at request smuggling, most likely
        raise bad_request("The request has both Content-Length and Transfer-Encoding.")
    if head.minor == 0:
        raise bad_request("An HTTP/1.0 request cannot have Transfer-Encoding.")
    if coding != [b"chunked"]:
        raise bad_request("The only Transfer-Encoding that is understood is `chunked`.", status=501)
    return ChunkedBody(drop)


def response_body(head: ResponseHead, method: bytes) -> Body:
    """The body that follows a response head to a request of `method`; HttpError with 502 when it is ambiguous."""
    length = _content_length(head.values(b"content-length"))
    if head.status < 200 or head.status == 204:
        return NoBody()
    if isinstance(length, str):
        raise bad_gateway(length)
    if method == b"HEAD" or head.status == 304:  # it tells the length that a GET would have had
        return NoBody((b"Content-Length", b"%d" % length) if length is not None else None)
    coding = members(head.values(b"transfer-encoding"))
    if not coding:
        return LengthBody(length) if length is not None else EndlessBody()
    if length is not None or head.minor == 0 or coding != [b"chunked"]:
        raise bad_gateway("The service announced the length of its answer in a way that is not understood.")
    return ChunkedBody()


def _content_length(values: list[bytes]) -> int | str | None:
    """The one length announced, None for none, or what is wrong with it."""
    if not values:
        return None
    lengths = set(members(values)) if len(values) > 1 or b"," in values[0] else set(values)
    (first, *others) = lengths or {b""}
    if others:
        return "Content-Length is given twice, with different values."
    if not first.isdigit() or len(first) > 18:
        return "Content-Length is not a number."
    return int(first)
