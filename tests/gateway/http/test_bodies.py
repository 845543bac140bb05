"""Where bodies end, and what of them passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.bodies import (
    Body,
    BodyError,
    ChunkedBody,
    EndlessBody,
    LengthBody,
    NoBody,
    request_body,
    response_body,
)
from gateway.http.heads import parse_request, parse_response
from gateway.http.problems import HttpError
from gateway.limits import HTTP_CHUNK_LINE_BYTES, HTTP_TRAILER_BYTES


def feed(body: Body, data: bytes, sizes: list[int] | None = None) -> tuple[bytes, bytes]:
    """Feed in pieces; returns what passed and what was left over."""
    passed, position = b"", 0
    sizes = list(sizes or [len(data)])
    while position < len(data) and not body.done:
        size = sizes.pop(0) if sizes else 1
        forward, rest = body.feed(data[position : position + size])
        passed += forward
        position += min(size, len(data) - position) - len(rest)
    return passed, data[position:]


def request(fields: bytes, version: bytes = b"1.1") -> Body:
    return request_body(parse_request(b"POST / HTTP/" + version + b"\r\n" + fields + b"\r\n"))


def response(fields: bytes, status: bytes = b"200", method: bytes = b"GET", version: bytes = b"1.1") -> Body:
    return response_body(
        parse_response(b"HTTP/" + version + b" " + status + b" x\r\n" + fields + b"\r\n"), method
    )


@given(st.binary(max_size=50), st.integers(0, 60), st.lists(st.integers(1, 9), max_size=20))
def test_a_length_body_ends_after_its_length(data: bytes, length: int, sizes: list[int]) -> None:
    body = LengthBody(length)
    assert feed(body, data, sizes) == (data[:length], data[length:])
    assert body.done == (len(data) >= length)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(1, 30), max_size=20))
def test_a_chunked_body_passes_in_any_pieces(chunks: list[bytes], sizes: list[int]) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    body = ChunkedBody()
    assert feed(body, wire + b"next", sizes) == (wire, b"next")
    assert body.done


def test_chunk_extensions_are_dropped_and_sizes_rewritten() -> None:
    body = ChunkedBody()
    assert feed(body, b'00A;x="y"\r\n0123456789\r\n000\r\n\r\n') == (b"a\r\n0123456789\r\n0\r\n\r\n", b"")


def test_trailers_pass_unless_they_would_change_the_message_or_are_dropped() -> None:
    wire = b"0\r\nDigest: x\r\nContent-Length: 3\r\nX_Overlay-Endpoint: me\r\n\r\nrest"
    for sizes in ([], [len(wire)]):
        body = ChunkedBody(frozenset({b"x-overlay-endpoint"}))
        assert feed(body, wire, sizes) == (b"0\r\nDigest: x\r\n\r\n", b"rest")


@pytest.mark.parametrize(
    "wire",
    [
        b"x\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"\r\n", b" 1\r\n", b"1 \r\n", b"1\nA\r\n", b"1\r\nAB\r\n",
        b"1\r\nA\n0", b"0" * 16 + b"\r\n", b"1;\x01\r\n", b"0\r\nA\r\n\r\n", b"0\r\nA: b\nC: d\r\n\r\n",
        b"0\r\nA: \0\r\n\r\n", b"1;" + b"x" * HTTP_CHUNK_LINE_BYTES, b"0\r\nA: " + b"x" * HTTP_TRAILER_BYTES,
    ],
)  # fmt: skip
@pytest.mark.parametrize("trickle", [False, True])
def test_malformed_chunks_are_refused(wire: bytes, trickle: bool) -> None:
    with pytest.raises(BodyError):
        feed(ChunkedBody(), wire, [1] * len(wire) if trickle else None)


@given(st.binary(max_size=80), st.lists(st.integers(1, 9), max_size=30))
def test_any_bytes_in_any_pieces_give_the_same_chunked_body(data: bytes, sizes: list[int]) -> None:
    outcomes = []
    for split in (sizes, None):
        body = ChunkedBody()
        try:
            outcomes.append((*feed(body, data, split), body.done))
        except BodyError:
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]


def test_an_endless_body_is_never_done() -> None:
    body = EndlessBody()
    assert body.feed(b"abc") == (b"abc", b"")
    assert not body.done


def test_the_length_of_a_request_is_told_by_its_head() -> None:
    assert isinstance(request(b""), NoBody)
    assert isinstance(request(b"Content-Length: 5\r\n"), LengthBody)
    assert isinstance(request(b"Transfer-Encoding: Chunked\r\n"), ChunkedBody)
    assert request(b"Content-Length: 5\r\nContent-Length: 5\r\n").field == (b"Content-Length", b"5")


@pytest.mark.parametrize(
    ("fields", "version", "status"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"1.1", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"1.1", 400),
        (b"Content-Length: 5, 6\r\n", b"1.1", 400),
        (b"Content-Length: +5\r\n", b"1.1", 400),
        (b"Content-Length: 5 5\r\n", b"1.1", 400),
        (b"Content-Length: 0x5\r\n", b"1.1", 400),
        (b"Content-Length:\r\n", b"1.1", 400),
        (b"Content-Length: ,\r\n", b"1.1", 400),
        (b"Content-Length: " + b"9" * 19 + b"\r\n", b"1.1", 400),
        ("Content-Length: ٣\r\n".encode(), b"1.1", 400),
        (b"Transfer-Encoding: chunked\r\n", b"1.0", 400),
        (b"Transfer-Encoding: gzip, chunked\r\n", b"1.1", 501),
        (b"Transfer-Encoding: chunked, chunked\r\n", b"1.1", 501),
        (b"Transfer-Encoding: xchunked\r\n", b"1.1", 501),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"1.1", 501),
    ],
)
def test_requests_that_could_be_smuggled_are_refused(fields: bytes, version: bytes, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        request(fields, version)
    assert caught.value.problem.status == status


def test_the_length_of_a_response_depends_on_request_and_status() -> None:
    length = b"Content-Length: 5\r\n"
    assert isinstance(response(length), LengthBody)
    assert isinstance(response(b""), EndlessBody)
    assert isinstance(response(b"Transfer-Encoding: chunked\r\n"), ChunkedBody)
    assert response(length, method=b"HEAD").done
    assert response(length, method=b"HEAD").field == (b"Content-Length", b"5")
    assert response(length, status=b"304").field == (b"Content-Length", b"5")
    assert response(length, status=b"204").field is None
    assert response(b"", status=b"100").done


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"1.1"),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"1.1"),
        (b"Transfer-Encoding: chunked\r\n", b"1.0"),
        (b"Transfer-Encoding: gzip\r\n", b"1.1"),
    ],
)
def test_ambiguous_responses_are_the_services_fault(fields: bytes, version: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        response(fields, version=version)
    assert caught.value.problem.status == 502
