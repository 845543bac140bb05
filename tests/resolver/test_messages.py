"""DNS messages on the wire."""

import struct

import pytest
from dnslib import RR, TXT, A, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from resolver.limits import EDNS_UDP_BYTES, QUERY_BYTES, TCP_BYTES
from resolver.messages import (
    ExtendedError,
    Kind,
    Query,
    Rcode,
    build_reply,
    failure_reply,
    is_reply_to,
    is_truncated,
    parse_query,
    rcode_of,
    reply_limit,
)
from tests.lab.resolver_dns import query, query_bytes, reply

GOOD = query_bytes("Web.Alice.Overlay", edns=1400)
OPT = bytes.fromhex("00 0029 0578 00000000 0000")


def header(
    *, message_id: int = 7, flags: int = 0x0100, counts: tuple[int, int, int, int] = (1, 0, 0, 0)
) -> bytes:
    return struct.pack(">6H", message_id, flags, *counts)


QUESTION = b"\x05alice\x07overlay\x00\x00\x01\x00\x01"


def test_a_query_is_read_with_its_case_kept() -> None:
    read = parse_query(GOOD)
    assert isinstance(read, Query)
    assert read.labels == (b"Web", b"Alice", b"Overlay")
    assert (read.message_id, read.kind, read.udp_size, read.dnssec_ok) == (7, Kind.A, 1400, False)


@pytest.mark.parametrize(
    ("udp_size", "limit"),
    [(None, 512), (0, 512), (400, 512), (900, 900), (1232, 1232), (65535, EDNS_UDP_BYTES)],
)
def test_a_reply_over_udp_is_as_large_as_the_client_says_within_bounds(
    udp_size: int | None, limit: int
) -> None:
    asked = query("alice.overlay", edns=udp_size)
    assert reply_limit(asked, over_tcp=False) == limit
    assert reply_limit(asked, over_tcp=True) == TCP_BYTES


@pytest.mark.parametrize("size", range(12))
def test_what_is_shorter_than_a_header_gets_no_reply(size: int) -> None:
    assert parse_query(GOOD[:size]) is None


@pytest.mark.parametrize("size", range(12, len(GOOD)))
def test_a_query_cut_short_is_a_format_error(size: int) -> None:
    assert rcode_of(parse_query(GOOD[:size])) == Rcode.FORMERR  # type: ignore[arg-type]


def test_replies_get_no_reply_so_that_none_goes_round_for_ever() -> None:
    assert parse_query(header(flags=0x8100) + QUESTION) is None


@pytest.mark.parametrize("opcode", range(1, 16))
def test_other_operations_are_not_implemented(opcode: int) -> None:
    answered = parse_query(header(flags=opcode << 11) + QUESTION)
    assert isinstance(answered, bytes)
    assert rcode_of(answered) == Rcode.NOTIMP
    assert (answered[2] >> 3) & 15 == opcode


@pytest.mark.parametrize(
    "data",
    [
        header(counts=(0, 0, 0, 0)),
        header(counts=(2, 0, 0, 0)) + QUESTION * 2,
        header(counts=(1, 0, 0, 0)) + QUESTION + b"x",
        header(counts=(1, 0, 0, 1)) + QUESTION,
        header(counts=(1, 0, 0, 65535)) + QUESTION + OPT,
        header(counts=(1, 0, 0, 2)) + QUESTION + OPT + OPT,
        header(counts=(1, 1, 0, 0)) + QUESTION + OPT,
        header(counts=(1, 0, 0, 1)) + QUESTION + b"\x01a" + OPT,
        header(counts=(1, 0, 0, 1)) + QUESTION + b"\x80" + OPT,
        header() + b"\xc0\x0c\x00\x01\x00\x01",
        header() + b"\x40" + b"a" * 64 + b"\x00\x00\x01\x00\x01",
        header() + b"\x3f" + (b"a" * 63 + b"\x3f") * 4 + b"\x00\x00\x01\x00\x01",
        header() + b"\x05alice\x00\x00\x29\x00\x01",
        header(counts=(1, 0, 0, 1))
        + QUESTION
        + b"\x00\x00\x01\x00\x01"
        + bytes(4)
        + b"\xff\xff"
        + bytes(QUERY_BYTES),
    ],
    ids=lambda data: data[:40].hex(),
)
def test_what_is_no_query_is_a_format_error_with_its_id(data: bytes) -> None:
    answered = parse_query(data)
    assert isinstance(answered, bytes)
    assert rcode_of(answered) == Rcode.FORMERR
    assert answered[:2] == data[:2]


def test_records_that_a_query_need_not_have_are_passed_over() -> None:
    data = header(counts=(1, 0, 1, 2)) + QUESTION
    data += b"\xc0\x0c\x00\x06\x00\x01" + bytes(4) + b"\x00\x03abc"
    data += b"\x01k\x00\x00\xfa\x00\xff" + bytes(4) + b"\x00\x02ab" + OPT
    read = parse_query(data)
    assert isinstance(read, Query)
    assert read.udp_size == 1400


def test_another_class_is_refused_with_its_question() -> None:
    data = header() + QUESTION[:-1] + b"\x03"
    answered = parse_query(data)
    assert isinstance(answered, bytes)
    assert rcode_of(answered) == Rcode.REFUSED
    assert answered[12:] == data[12:]


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_zone_transfers_are_refused(kind: str) -> None:
    assert reply(parse_query(query_bytes("overlay", kind))).header.rcode == Rcode.REFUSED  # type: ignore[arg-type]


def test_another_edns_version_is_answered_with_badvers() -> None:
    data = header(counts=(1, 0, 0, 1)) + QUESTION + bytes.fromhex("00 0029 0578 00 01 0000 0000")
    answered = reply(parse_query(data))  # type: ignore[arg-type]
    assert answered.header.rcode == 0
    assert (answered.ar[0].edns_rcode, answered.ar[0].edns_ver) == (1, 0)


def test_edns_is_answered_with_our_size_and_do_and_only_to_those_who_speak_it() -> None:
    data = header(counts=(1, 0, 0, 1)) + QUESTION + bytes.fromhex("00 0029 0578 00 00 8000 0000")
    asked = parse_query(data)
    assert isinstance(asked, Query)
    (opt,) = reply(build_reply(asked, Rcode.NOERROR, limit=512)).ar
    assert (opt.edns_len, opt.edns_do, opt.edns_ver) == (1232, 1, 0)
    assert reply(build_reply(query("alice.overlay"), Rcode.NOERROR, limit=512)).ar == []


def test_the_question_comes_back_letter_by_letter() -> None:
    data = query_bytes("wEb.AliCe.oVerLay")
    asked = parse_query(data)
    assert isinstance(asked, Query)
    answered = build_reply(asked, Rcode.NXDOMAIN, limit=512)
    assert answered[12:] == data[12:]
    assert is_reply_to(data, answered)


def records(count: int) -> list[RR]:
    return [RR([b"x"], Kind.TXT, rdata=TXT(f"{number:>050}")) for number in range(count)]


def test_additional_records_are_left_out_first_then_the_reply_is_truncated_with_its_question() -> None:
    asked = query("alice.overlay", edns=1232)
    one = RR([b"x"], Kind.A, rdata=A("127.0.0.1"))
    whole = build_reply(asked, Rcode.NOERROR, limit=1232, answers=[one], additional=records(5))
    assert len(reply(whole).ar) == 6
    less = build_reply(asked, Rcode.NOERROR, limit=1232, answers=[one], additional=records(50))
    assert (len(reply(less).rr), len(reply(less).ar), is_truncated(less)) == (1, 1, False)
    cut = build_reply(asked, Rcode.NOERROR, limit=1232, answers=records(50))
    assert (len(reply(cut).rr), len(reply(cut).ar), is_truncated(cut)) == (0, 1, True)
    assert is_reply_to(query_bytes("alice.overlay", edns=1232), cut)
    assert len(reply(build_reply(asked, Rcode.NOERROR, limit=TCP_BYTES, answers=records(50))).rr) == 50


def test_a_failure_carries_its_reason_and_fits_any_transport() -> None:
    asked = query(".".join(["a" * 49] * 5), edns=512)
    answered = failure_reply(asked, "offline ä" * 100, kind=ExtendedError.NOT_READY)
    assert len(answered) <= 512
    (option,) = reply(answered).ar[0].rdata
    assert option.code == 15
    assert option.data[:2] == b"\x00\x0e"
    assert option.data[2:].decode().startswith("offline ä")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:11],
        lambda data: b"\x00\x08" + data[2:],
        lambda data: data[:2] + b"\x01" + data[3:],
        lambda data: data[:2] + b"\xa0" + data[3:],
        lambda data: data[:5] + b"\x02" + data[6:],
        lambda data: data[:13] + b"A" + data[14:],
        lambda data: data[:20],
    ],
)
def test_only_a_reply_with_id_and_question_fits_a_query(change) -> None:
    data = query_bytes("alice.overlay")
    answered = build_reply(query("alice.overlay"), Rcode.NOERROR, limit=512)
    assert is_reply_to(data, answered)
    assert not is_reply_to(data, change(answered))


def check(data: bytes) -> None:
    """Any bytes are a query, a short reply that dnslib can read and that has the query's id, or nothing."""
    match parse_query(data):
        case None:
            assert len(data) < 12 or data[2] & 0x80
        case bytes() as answered:
            assert answered[:2] == data[:2]
            assert answered[2] & 0x80
            assert len(answered) <= 512
            DNSRecord.parse(answered) if answered[4:6] == b"\0\0" else None
        case asked:
            assert len(build_reply(asked, Rcode.SERVFAIL, limit=512)) <= 512


@given(st.binary(max_size=600))
def test_random_bytes_never_raise(data: bytes) -> None:
    check(data)


@given(st.data())
def test_mutated_queries_never_raise(data: st.DataObject) -> None:
    good = bytearray(data.draw(st.sampled_from([GOOD, query_bytes("_web._tcp.alice.overlay", "SRV")])))
    for _ in range(data.draw(st.integers(1, 5))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(good) + data.draw(st.binary(max_size=20)))
