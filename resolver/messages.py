"""DNS messages: reading queries, and writing the replies that end a conversation early.

Queries are read by hand and not with dnslib, whose name decoder makes one call for each compression pointer: a
query has one name, and a name in a question has no pointer to follow. Replies are built with dnslib. What is in
them is decided next door, in `zone`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from dnslib import EDNS0, RR, DNSHeader, DNSQuestion, DNSRecord, EDNSOption
from dnslib.label import DNSLabel

from resolver.limits import (
    EDNS_UDP_BYTES,
    LABEL_CHARACTERS,
    NAME_BYTES,
    PLAIN_UDP_BYTES,
    QUERY_BYTES,
    TCP_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER: Final = struct.Struct(">HHHHHH")
HEADER_BYTES: Final = _HEADER.size
"""What is shorter is no message."""
_QUESTION: Final = struct.Struct(">HH")
_ENTRY: Final = struct.Struct(">HHBBHH")
"""Type, class, and the TTL as an OPT record has it (extended rcode, version, flags), then the data's length."""

_QR: Final = 0x8000
_OPCODE: Final = 0x7800
_AA: Final = 0x0400
_TC: Final = 0x0200
_RD: Final = 0x0100
_RA: Final = 0x0080
_CD: Final = 0x0010
_DO: Final = 0x8000  # in the flags of OPT

_CLASS_IN: Final = 1
_EXTENDED_ERROR_OPTION: Final = 15  # RFC 8914
_EXTENDED_ERROR_TEXT_BYTES: Final = 200  # a reason, not a story; keeps the error reply under 512 bytes


class Kind(IntEnum):
    """The types of records we know something about; a query may ask for any other number."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    HINFO = 13
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    HTTPS = 65
    IXFR = 251
    AXFR = 252
    ANY = 255


class Rcode(IntEnum):
    """Response codes (RFC 1035 §4.1.1, RFC 6891 §9)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16
    """More than four bits: only with EDNS."""


class ExtendedError(IntEnum):
    """Why, for people who look (RFC 8914 §4)."""

    OTHER = 0
    NOT_READY = 14
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21
    NO_REACHABLE_AUTHORITY = 22


@dataclass(frozen=True, slots=True)
class Query:
    """One well-formed question of class IN."""

    message_id: int
    flags: int
    """As in the header of the query."""
    labels: tuple[bytes, ...]
    """The name asked for as it was written, so that a reply may keep its letters' case."""
    kind: int
    """The type asked for; perhaps none of `Kind`."""
    udp_size: int | None
    """What the client takes over UDP by EDNS0; None if it does not speak it."""
    dnssec_ok: bool

    @property
    def udp_limit(self) -> int:
        """Bytes a reply over UDP may have."""
        if self.udp_size is None:
            return PLAIN_UDP_BYTES
        return min(max(self.udp_size, PLAIN_UDP_BYTES), EDNS_UDP_BYTES)


class _FormatError(Exception):
    """The bytes are no query."""


def parse_query(data: bytes) -> Query | bytes | None:
    """Read a query: the Query, or the reply that refuses it, or None for what must not be replied to."""
    if len(data) < _HEADER.size:
        return None
    message_id, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & _QR:  # a reply to a reply could go round for ever
        return None
    if flags & _OPCODE:
        return _bare_reply(message_id, flags, Rcode.NOTIMP)
    if questions != 1 or len(data) > QUERY_BYTES:
        return _bare_reply(message_id, flags, Rcode.FORMERR)
    try:
        labels, kind, kind_class, offset = _read_question(data)
        version, udp_size, dnssec_ok = _read_edns(data, offset, answers + authorities, additionals)
    except _FormatError:
        return _bare_reply(message_id, flags, Rcode.FORMERR)
    query = Query(message_id, flags, labels, kind, udp_size, dnssec_ok)
    if version != 0:
        return build_reply(query, Rcode.BADVERS, limit=query.udp_limit)
    if kind == Kind.OPT:
        return build_reply(query, Rcode.FORMERR, limit=query.udp_limit)
    if kind_class != _CLASS_IN or kind in (Kind.AXFR, Kind.IXFR):
        return build_reply(query, Rcode.REFUSED, limit=query.udp_limit, question_class=kind_class)
    return query


def build_reply(
    query: Query,
    rcode: Rcode,
    *,
    limit: int,
    answers: Sequence[RR] = (),
    authority: Sequence[RR] = (),
    additional: Sequence[RR] = (),
    authoritative: bool = False,
    extended_error: tuple[ExtendedError, str] | None = None,
    question_class: int = _CLASS_IN,
) -> bytes:
    """The reply's bytes, at most `limit`.

    What does not fit goes in this order: the additional records, then all records, with TC set so that the client
    asks again over TCP.
    """
    flags = _QR | query.flags & (_RD | _CD) | rcode & 15
    if authoritative:
        flags |= _AA | _RA  # within our zones we do find whatever is to be found
    opt = [] if query.udp_size is None else [_opt(query, rcode, extended_error)]

    def pack(flags: int, answers: Sequence[RR], authority: Sequence[RR], additional: Sequence[RR]) -> bytes:
        question = DNSQuestion(DNSLabel(query.labels), query.kind, question_class)
        header = DNSHeader(query.message_id, flags)
        reply = DNSRecord(header, [question], list(answers), auth=list(authority), ar=[*additional, *opt])
        return bytes(reply.pack())

    data = pack(flags, answers, authority, additional)
    if len(data) > limit and additional:
        data = pack(flags, answers, authority, ())
    if len(data) > limit:
        data = pack(flags | _TC, (), (), ())
    return data


def failure_reply(query: Query, reason: str, *, kind: ExtendedError = ExtendedError.OTHER) -> bytes:
    """SERVFAIL, with the reason for people; fits any transport."""
    return build_reply(query, Rcode.SERVFAIL, limit=PLAIN_UDP_BYTES, extended_error=(kind, reason))


def reply_limit(query: Query, *, over_tcp: bool) -> int:
    """Bytes that a reply to this query may have."""
    return TCP_BYTES if over_tcp else query.udp_limit


def is_reply_to(query: bytes, reply: bytes) -> bool:
    """Whether `reply` has the id and, letter by letter, the question of `query`, which `parse_query` has taken."""
    if len(reply) < _HEADER.size:
        return False
    message_id, flags, questions, *_ = _HEADER.unpack_from(reply)
    end = _read_question(query)[-1]
    return (
        message_id == int.from_bytes(query[:2])
        and bool(flags & _QR)
        and not flags & _OPCODE
        and questions == 1
        and reply[_HEADER.size : end] == query[_HEADER.size : end]
    )


def is_truncated(reply: bytes) -> bool:
    """Whether the reply says that the rest is to be had over TCP."""
    return bool(int.from_bytes(reply[2:4]) & _TC)


def rcode_of(reply: bytes) -> int:
    """The four bits of the response code in the header."""
    return reply[3] & 15


def _bare_reply(message_id: int, flags: int, rcode: Rcode) -> bytes:
    """A reply without question, to what has none we could read."""
    return _HEADER.pack(message_id, _QR | flags & (_OPCODE | _RD) | rcode, 0, 0, 0, 0)


def _read_question(data: bytes) -> tuple[tuple[bytes, ...], int, int, int]:
    """Labels, type and class of the one question, and the offset behind it."""
    labels, offset = _read_name(data, _HEADER.size)
    if len(data) < offset + _QUESTION.size:
        raise _FormatError
    kind, kind_class = _QUESTION.unpack_from(data, offset)
    return labels, kind, kind_class, offset + _QUESTION.size


def _read_name(data: bytes, offset: int) -> tuple[tuple[bytes, ...], int]:
    """The labels at `offset` and the offset behind them; a pointer or a name too long is a _FormatError."""
    labels: list[bytes] = []
    start = offset
    end = len(data)
    while offset < end:
        length = data[offset]
        offset += 1
        if length == 0:
            if offset - start > NAME_BYTES:
                break
            return tuple(labels), offset
        if length > LABEL_CHARACTERS:
            break
        labels.append(data[offset : offset + length])
        offset += length
    raise _FormatError


def _read_edns(data: bytes, offset: int, before: int, additionals: int) -> tuple[int, int | None, bool]:
    """EDNS version, UDP size and DO from the OPT record, if there is one; other records are passed over."""
    version, udp_size, dnssec_ok = 0, None, False
    for number in range(before + additionals):
        name_at = offset
        offset = _skip_name(data, offset)
        if len(data) < offset + _ENTRY.size:
            raise _FormatError
        kind, size, _, entry_version, flags, length = _ENTRY.unpack_from(data, offset)
        if kind == Kind.OPT:
            if udp_size is not None or number < before or data[name_at] != 0:
                raise _FormatError
            version, udp_size, dnssec_ok = entry_version, size, bool(flags & _DO)
        offset += _ENTRY.size + length
    if offset != len(data):
        raise _FormatError
    return version, udp_size, dnssec_ok


def _skip_name(data: bytes, offset: int) -> int:
    while offset < len(data):
        length = data[offset]
        if length == 0:
            return offset + 1
        if length >= 0xC0:  # a pointer ends a name
            return offset + 2
        if length > LABEL_CHARACTERS:
            break
        offset += 1 + length
    raise _FormatError


def _opt(query: Query, rcode: Rcode, extended_error: tuple[ExtendedError, str] | None) -> EDNS0:
    options = []
    if extended_error is not None:
        code, text = extended_error
        shown = text.encode()[:_EXTENDED_ERROR_TEXT_BYTES].decode(errors="ignore").encode()
        options.append(EDNSOption(_EXTENDED_ERROR_OPTION, struct.pack(">H", code) + shown))
    return EDNS0(
        flags="do" if query.dnssec_ok else "", ext_rcode=rcode >> 4, udp_len=EDNS_UDP_BYTES, opts=options
    )
