"""The first bytes of a tunnel stream: on the wire as drawn, readable however they are cut, bounded."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import HEADER_BODY_BYTES, HEADER_REASON_BYTES, SERVICE_LIST_BYTES, SERVICES
from gateway.stream_header import (
    Answer,
    AnswerParser,
    HeaderError,
    Kind,
    ListedService,
    Request,
    RequestParser,
    Status,
    decode_services,
    encode_services,
)
from resolver.limits import SERVICE_NAME_CHARACTERS
from resolver.names import ServiceProtocol

_VECTORS = [
    ("connect web", "4f56010100060050 03 776562", Request(Kind.TCP_CONNECT, "web", 80)),
    ("flow by port", "4f560102000300 35 00", Request(Kind.UDP_FLOW, "", 53)),
    ("list", "4f5601030003000000", Request(Kind.LIST_SERVICES)),
    ("ok", "4f560100000100", Answer(Status.OK)),
    ("forbidden", "4f560101000302 6e6f", Answer(Status.FORBIDDEN, "no")),
]
_names = st.from_regex(r"[a-wyz0-9]([a-z0-9-]{0,60}[a-z0-9])?", fullmatch=True)
_requests = st.builds(Request, st.sampled_from(Kind), _names | st.just(""), st.integers(0, 65535))


def _parser(value: Request | Answer) -> RequestParser | AnswerParser:
    return RequestParser() if isinstance(value, Request) else AnswerParser()


@pytest.mark.parametrize(("name", "hex_bytes", "value"), _VECTORS)
def test_headers_are_on_the_wire_as_drawn(name: str, hex_bytes: str, value: Request | Answer) -> None:
    wire = bytes.fromhex(hex_bytes)
    assert value.encode() == wire
    assert _parser(value).feed(wire) == value


@pytest.mark.parametrize(("name", "hex_bytes", "value"), _VECTORS)
def test_headers_survive_one_byte_at_a_time(name: str, hex_bytes: str, value: Request | Answer) -> None:
    wire, parser = bytes.fromhex(hex_bytes), _parser(value)
    assert [parser.feed(wire[i : i + 1]) for i in range(len(wire))] == [None] * (len(wire) - 1) + [value]
    assert parser.rest == b""


@given(_requests, st.binary(max_size=50), st.integers(0, 80))
def test_requests_are_read_back_however_cut_and_leave_the_rest(
    request_: Request, rest: bytes, cut: int
) -> None:
    wire, parser = request_.encode() + rest, RequestParser()
    cut = min(cut, len(request_.encode()) - 1)
    assert parser.feed(wire[:cut]) is None
    assert parser.feed(wire[cut:]) == request_
    assert parser.rest == rest


@given(st.sampled_from(Status), st.text(max_size=400))
def test_reasons_are_cut_between_characters(status: Status, reason: str) -> None:
    answer = AnswerParser().feed(Answer(status, reason).encode())
    assert answer is not None
    assert answer.status is status
    assert len(answer.reason.encode()) <= HEADER_REASON_BYTES * 3  # a control byte becomes U+FFFD
    assert answer.reason.isprintable()


def test_bytes_that_later_versions_add_to_the_body_are_skipped() -> None:
    wire = bytes.fromhex("4f5601010008 0050 03 776562 ffff") + b"rest"
    parser = RequestParser()
    assert parser.feed(wire) == Request(Kind.TCP_CONNECT, "web", 80)
    assert parser.rest == b"rest"


def test_another_version_is_told_at_its_third_byte() -> None:
    for parser in (RequestParser(), AnswerParser()):
        with pytest.raises(HeaderError, match="version 1 is spoken here, 2 there") as caught:
            parser.feed(b"OV\x02")
        assert caught.value.status is Status.WRONG_VERSION


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (b"G", "do not begin"),
        (b"OX", "do not begin"),
        (b"OV\x01\x09\x00\x03\x00\x50\x00", "kind 9"),
        (b"OV\x01\x01\x00\x02\x00\x50", "cut short"),
        (b"OV\x01\x01\x00\x05\x00\x50\x03we", "cut short"),
        (b"OV\x01\x01\x00\x06\x00\x50\x03w_b", "contains '_'"),
        (b"OV\x01\x01\x00\x06\x00\x50\x03Web", "lower case"),
        (b"OV\x01\x01" + (HEADER_BODY_BYTES + 1).to_bytes(2), "larger"),
    ],
)
def test_wrong_requests_are_refused_with_the_reason(wire: bytes, says: str) -> None:
    with pytest.raises(HeaderError, match=says) as caught:
        RequestParser().feed(wire)
    assert caught.value.status is Status.BAD_REQUEST


@pytest.mark.parametrize(
    "wire", [b"OV\x01\x63\x00\x01\x00", b"OV\x01\x00\x00\x00", b"OV\x01\x00\x00\x02\x05a"]
)
def test_wrong_answers_are_refused(wire: bytes) -> None:
    with pytest.raises(HeaderError):
        AnswerParser().feed(wire)


@given(st.lists(st.binary(max_size=64), max_size=40))
def test_random_bytes_raise_header_errors_only(chunks: list[bytes]) -> None:
    for parser in (RequestParser(), AnswerParser()):
        with contextlib.suppress(HeaderError):
            parser.feed(b"OV\x01")
            for chunk in chunks:
                if parser.feed(chunk) is not None:
                    break


def test_a_reason_cannot_reach_the_terminal_as_control_characters() -> None:
    answer = AnswerParser().feed(Answer(Status.FORBIDDEN, "no\x1b[2J\n").encode())
    assert answer == Answer(Status.FORBIDDEN, "no\ufffd[2J\ufffd")


_services = st.builds(
    lambda name, port, more, protocols, public: ListedService(
        name, port, min(port + more, 65535), tuple(protocols), public
    ),
    _names,
    st.integers(1, 65535),
    st.integers(0, 100),
    st.lists(st.sampled_from(ServiceProtocol), min_size=1, max_size=2, unique=True),
    st.booleans(),
)


@given(st.lists(_services, max_size=20))
def test_lists_of_services_are_read_back(services: list[ListedService]) -> None:
    assert decode_services(encode_services(services)) == services


def test_the_longest_list_fits() -> None:
    service = ListedService(
        "n" * SERVICE_NAME_CHARACTERS, 65535, 65535, (ServiceProtocol.TCP, ServiceProtocol.UDP), True
    )
    wire = encode_services([service] * (SERVICES + 10))
    assert len(wire) <= SERVICE_LIST_BYTES
    assert len(decode_services(wire)) == SERVICES


@given(st.binary(max_size=200))
def test_random_lists_raise_header_errors_only(data: bytes) -> None:
    with contextlib.suppress(HeaderError):
        decode_services(data)


@pytest.mark.parametrize(
    "value",
    [
        [["web", 80, 79, ["tcp"], True]],
        [["web", 0, 79, ["tcp"], True]],
        [["web", 80, 65536, ["tcp"], True]],
        [["Web", 80, 80, ["tcp"], True]],
        [["web\n", 80, 80, ["tcp"], True]],
        [["web", 80, 80, ["sctp"], True]],
        [["web", 80, 80, [], True]],
        [["web", 80, 80]],
        [["web", 80, 80, ["tcp"], True]] * (SERVICES + 1),
        {"web": 80},
    ],
)
def test_wrong_lists_are_refused(value: object) -> None:
    with pytest.raises(HeaderError):
        decode_services(msgspec.msgpack.encode(value))


def test_lists_that_are_too_large_are_not_even_read() -> None:
    with pytest.raises(HeaderError, match="larger"):
        decode_services(bytes(SERVICE_LIST_BYTES + 1))


def test_a_list_may_have_fields_that_later_versions_add() -> None:
    wire = msgspec.msgpack.encode([["web", 80, 80, ["tcp"], True, "later"]])
    assert decode_services(wire)[0].name == "web"
