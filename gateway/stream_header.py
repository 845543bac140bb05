"""The first bytes of a tunnel stream: which service is wanted, and the answer. Bytes in, values out; no I/O.

Both directions begin with one frame::

     0        1        2         3        4                6
    +--------+--------+---------+--------+--------+--------+--------------+
    |  'O'   |  'V'   | version |  code  |  body length     |  body ...    |
    +--------+--------+---------+--------+--------+--------+--------------+

    request    code = Kind      body = port (2), name length (1), name, extensions
    answer     code = Status    body = reason length (1), reason in UTF-8, extensions

Numbers are big-endian. Extensions are what a later minor change may add; they are skipped. Magic and version keep
their place for ever, so a version we do not know is answered with Status.WRONG_VERSION, which names ours.
What follows an `ok` answer depends on the kind: the bytes of the connection, or the datagrams of the flow
(`gateway.flows.framing`), the list of services as msgpack until the end of the stream, a hello about topics
(`gateway.topics.hello`), what is said about an invite (`gateway.invites.messages`), or a circle until the end of the
stream (`resolver.circles`), for which the asker's question stands between its request and its end.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

import msgspec

from gateway.errors import GatewayError
from gateway.limits import HEADER_BODY_BYTES, HEADER_REASON_BYTES, SERVICE_LIST_BYTES, SERVICES
from resolver.errors import InvalidName
from resolver.names import ServiceProtocol, check_service_name

VERSION: Final = 1
_MAGIC: Final = b"OV"
_HEAD: Final = struct.Struct("!2sBBH")


class Kind(IntEnum):
    """What a stream is for."""

    TCP_CONNECT = 1
    UDP_FLOW = 2
    LIST_SERVICES = 3
    REDEEM = 4
    CIRCLE = 5
    TOPICS = 6


class Status(IntEnum):
    """What the far side says to a request; numbers are on the wire and never reused."""

    OK = 0
    FORBIDDEN = 1
    NO_SERVICE = 2
    TARGET_REFUSED = 3
    TARGET_UNREACHABLE = 4
    OVERLOADED = 5
    BAD_REQUEST = 6
    WRONG_VERSION = 7
    LIMITED = 8


class HeaderError(GatewayError):
    """The first bytes are not a header we can use; `status` is what to answer."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What the opener of a stream wants."""

    kind: Kind
    name: str = ""
    """The service; empty: the one whose port it is."""
    port: int = 0
    """The port that was asked for; 0 when the kind needs none."""

    def encode(self) -> bytes:
        """The bytes to open the stream with."""
        name = self.name.encode()
        return _frame(self.kind, struct.pack("!HB", self.port, len(name)) + name)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the far side says to a request."""

    status: Status
    reason: str = ""
    """A line for the person who asked; empty when all is well."""

    def encode(self) -> bytes:
        """The bytes to answer with; a reason that is too long is cut between two characters."""
        reason = self.reason.encode()[:HEADER_REASON_BYTES].decode(errors="ignore").encode()
        return _frame(self.status, bytes([len(reason)]) + reason)


def _check_name(name: str) -> None:
    try:
        canonical = check_service_name(name)
    except InvalidName as error:
        raise HeaderError(Status.BAD_REQUEST, f"the name of the service is none: {error}") from None
    if canonical != name:
        raise HeaderError(Status.BAD_REQUEST, "the name of the service is not in lower case")


def _frame(code: int, body: bytes) -> bytes:
    return _HEAD.pack(_MAGIC, VERSION, code, len(body)) + body


class _FrameParser:
    """Collects one frame; what comes after it is `rest`."""

    __slots__ = ("_buffer", "rest")

    def __init__(self) -> None:
        self._buffer = b""
        self.rest = b""

    def _feed(self, data: bytes) -> tuple[int, bytes] | None:
        """Code and body once they are complete; raises HeaderError as soon as it is clear they never will be."""
        self._buffer += data
        buffer = self._buffer
        if not _MAGIC.startswith(buffer[:2]):
            raise HeaderError(Status.BAD_REQUEST, "these bytes do not begin a stream of this protocol")
        if len(buffer) > 2 and buffer[2] != VERSION:
            raise HeaderError(
                Status.WRONG_VERSION,
                f"stream version {VERSION} is spoken here, {buffer[2]} there: update overlay on the older side",
            )
        if len(buffer) < _HEAD.size:
            return None
        _, _, code, length = _HEAD.unpack_from(buffer)
        if length > HEADER_BODY_BYTES:
            raise HeaderError(
                Status.BAD_REQUEST,
                f"a header of {length} bytes is larger than the {HEADER_BODY_BYTES} allowed",
            )
        end = _HEAD.size + length
        if len(buffer) < end:
            return None
        self._buffer, self.rest = b"", buffer[end:]
        return code, buffer[_HEAD.size : end]


class RequestParser(_FrameParser):
    """Reads a request, however it is cut; use it once."""

    def feed(self, data: bytes) -> Request | None:
        """The request once complete, with the bytes after it in `rest`; raises HeaderError."""
        frame = self._feed(data)
        if frame is None:
            return None
        code, body = frame
        try:
            kind = Kind(code)
        except ValueError:
            raise HeaderError(Status.BAD_REQUEST, f"streams of kind {code} are not known here") from None
        if len(body) < 3 or len(body) < 3 + body[2]:
            raise HeaderError(Status.BAD_REQUEST, "the request is cut short")
        port = int.from_bytes(body[:2])
        name = body[3 : 3 + body[2]].decode("latin-1")
        if name:
            _check_name(name)
        return Request(kind, name, port)


class AnswerParser(_FrameParser):
    """Reads an answer, however it is cut; use it once."""

    def feed(self, data: bytes) -> Answer | None:
        """The answer once complete, with the bytes after it in `rest`; raises HeaderError."""
        frame = self._feed(data)
        if frame is None:
            return None
        code, body = frame
        try:
            status = Status(code)
        except ValueError:
            raise HeaderError(
                Status.BAD_REQUEST, f"the answer has a status we do not know ({code})"
            ) from None
        if not body or len(body) < 1 + body[0]:
            raise HeaderError(Status.BAD_REQUEST, "the answer is cut short")
        return Answer(status, _printable(body[1 : 1 + body[0]].decode(errors="replace")))


def _printable(text: str) -> str:
    """Their words go to a terminal and into logs: nothing but printable characters."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class ListedService(msgspec.Struct, frozen=True, array_like=True):
    """A service of another endpoint that we may use."""

    name: str
    first_port: _Port
    last_port: _Port
    protocols: Annotated[tuple[ServiceProtocol, ...], msgspec.Meta(min_length=1, max_length=2)]
    public: bool


_encode_list = msgspec.msgpack.Encoder().encode
_decode_list = msgspec.msgpack.Decoder(
    Annotated[list[ListedService], msgspec.Meta(max_length=SERVICES)]
).decode


def encode_services(services: list[ListedService]) -> bytes:
    """The list as it goes on the stream after an `ok` answer; at most SERVICES are told."""
    return _encode_list(services[:SERVICES])


def decode_services(data: bytes) -> list[ListedService]:
    """Read a list that another endpoint sent; raises HeaderError, never anything else."""
    if len(data) > SERVICE_LIST_BYTES:
        raise HeaderError(
            Status.BAD_REQUEST, f"the list of services is larger than {SERVICE_LIST_BYTES} bytes"
        )
    try:
        services: list[ListedService] = _decode_list(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise HeaderError(Status.BAD_REQUEST, f"the list of services cannot be read: {error}") from None
    for service in services:
        _check_name(service.name)
        if service.first_port > service.last_port:
            raise HeaderError(
                Status.BAD_REQUEST, f"the ports of service {service.name} end before they begin"
            )
    return services
