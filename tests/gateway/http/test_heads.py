"""Request and response heads, with h11 as the yardstick."""

from __future__ import annotations

from contextlib import suppress

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.heads import find_end, members, parse_request, parse_response
from gateway.http.problems import HttpError
from gateway.limits import HTTP_FIELDS

GOOD = b"GET http://a.overlay/x HTTP/1.1\r\nHost: a.overlay\r\nX-A:  two words \r\nEmpty:\r\n\r\n"


def test_a_request_head_is_read() -> None:
    head = parse_request(GOOD)
    assert (head.method, head.target, head.minor) == (b"GET", b"http://a.overlay/x", 1)
    assert head.fields == [
        (b"Host", b"host", b"a.overlay"),
        (b"X-A", b"x-a", b"two words"),
        (b"Empty", b"empty", b""),
    ]


def test_a_response_head_is_read() -> None:
    head = parse_response(b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n")
    assert (head.status, head.reason, head.minor, head.values(b"a")) == (404, b"Not Found", 0, [b"b"])
    assert parse_response(b"HTTP/1.1 200\r\n\r\n").reason == b""


def test_bare_line_feeds_end_lines() -> None:
    assert find_end(b"GET / HTTP/1.0\n\nrest") == 16
    assert parse_request(b"GET / HTTP/1.0\nA: b\n\n").values(b"a") == [b"b"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"G@T / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.2\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n A: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", 400),
        (b"GET /\x7f HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (HTTP_FIELDS + 1) + b"\r\n", 431),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        parse_request(head)
    assert caught.value.problem.status == status


@pytest.mark.parametrize(
    "head", [b"junk\r\n\r\n", b"HTTP/1.1 600 x\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"\r\n\r\n"]
)
def test_a_bad_response_is_the_services_fault(head: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        parse_response(head)
    assert caught.value.problem.status == 502


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (parse_request, parse_response):
        with suppress(HttpError):
            parse(data + b"\r\n\r\n")


piece = st.sampled_from(
    [b"GET", b"POST", b" ", b"/", b"x", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r", b"Host", b":", b"Host: a",
     b"Content-Length: 3", b"Transfer-Encoding: chunked", b"\t", b"\0", b",", b"A: b", b"\xff"]
)  # fmt: skip


@given(st.lists(piece, max_size=24))
def test_what_is_accepted_means_the_same_to_h11(pieces: list[bytes]) -> None:
    raw = b"GET /y HTTP/1.1\r\nHost: h\r\n" + b"".join(pieces) + b"\r\n\r\n"
    raw = raw[: find_end(raw)]
    try:
        head = parse_request(raw)
    except HttpError:
        return
    if len(head.values(b"host")) != 1 or head.values(b"content-length") or head.values(b"transfer-encoding"):
        return  # judged elsewhere: by the exchange, and by the bodies
    yardstick = h11.Connection(h11.SERVER)
    yardstick.receive_data(raw)
    event = yardstick.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (head.method, head.target)
    assert list(event.headers) == [(lower, value) for _, lower, value in head.fields]


def test_list_members_are_found_across_fields() -> None:
    assert members([b"a, B ,,", b"c"]) == [b"a", b"b", b"c"]
    assert members([]) == []
