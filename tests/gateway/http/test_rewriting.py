"""What changes in a head, and what does not."""

from __future__ import annotations

import pytest

from gateway.http.bodies import request_body, response_body
from gateway.http.heads import parse_request, parse_response
from gateway.http.rewriting import (
    KEEP,
    HeaderRewrite,
    asked_upgrade,
    persists,
    request_bytes,
    response_bytes,
    tell_endpoint,
)


def sent(raw: bytes, rewrite: HeaderRewrite = KEEP, host: bytes | None = None) -> list[bytes]:
    head = parse_request(raw)
    wire = request_bytes(head, b"/p", request_body(head), rewrite, host=host, close=not persists(head))
    assert wire.endswith(b"\r\n\r\n")
    return wire[:-4].split(b"\r\n")


def answered(raw: bytes, minor: int = 1, close: bool = False) -> list[bytes]:
    head = parse_response(raw)
    return response_bytes(head, response_body(head, b"GET"), minor=minor, close=close)[:-4].split(b"\r\n")


def test_end_to_end_fields_pass_in_order_and_spelling() -> None:
    assert sent(b"GET http://h/p HTTP/1.1\r\nhOsT: h\r\nB: 1\r\na: 2\r\nB: 3\r\n\r\n") == [
        b"GET /p HTTP/1.1", b"hOsT: h", b"B: 1", b"a: 2", b"B: 3",
    ]  # fmt: skip


def test_hop_by_hop_fields_and_those_named_by_connection_go() -> None:
    raw = (
        b"GET http://h/p HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, X-Hop, Host, Cookie\r\nKeep-Alive: 1\r\nX-Hop: 1\r\n"
        b"Proxy-Connection: x\r\nProxy-Authorization: x\r\nTE: trailers\r\nUpgrade: h2c\r\nCookie: c\r\nX: y\r\n\r\n"
    )
    assert sent(raw) == [b"GET /p HTTP/1.1", b"Host: h", b"Cookie: c", b"X: y"]


def test_host_follows_the_target_and_the_rewrite_wins() -> None:
    raw = b"GET http://h/p HTTP/1.1\r\nHost: forged\r\n\r\n"
    assert sent(raw, host=b"h") == [b"GET /p HTTP/1.1", b"Host: h"]
    assert sent(raw, HeaderRewrite(host=b"localhost"), host=b"h") == [b"GET /p HTTP/1.1", b"Host: localhost"]


@pytest.mark.parametrize(
    "name", [b"X-Overlay-Endpoint", b"x-overlay-endpoint", b"X_Overlay_Endpoint", b"X-Overlay_endpoint"]
)
def test_the_callers_id_cannot_be_forged(name: bytes) -> None:
    raw = b"GET /p HTTP/1.1\r\nHost: h\r\n" + name + b": forged\r\nConnection: X-Overlay-Endpoint\r\n\r\n"
    assert sent(raw, tell_endpoint("true")) == [b"GET /p HTTP/1.1", b"Host: h", b"X-Overlay-Endpoint: true"]


def test_the_length_is_written_once_as_understood() -> None:
    raw = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\ncontent-length: 5\r\n\r\n"
    assert sent(raw) == [b"POST /p HTTP/1.1", b"Host: h", b"Content-Length: 5"]


def test_the_end_of_the_connection_is_announced() -> None:
    assert sent(b"GET /p HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")[-1] == b"Connection: close"
    assert sent(b"GET /p HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")[-1] == b"Connection: keep-alive"
    assert answered(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", close=True)[-1] == b"Connection: close"
    assert answered(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", minor=0)[-1] == b"Connection: keep-alive"


def test_a_response_keeps_its_reason_and_loses_its_hop_by_hop_fields() -> None:
    raw = b"HTTP/1.0 299 So So\r\nConnection: keep-alive\r\nKeep-Alive: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 1\r\n\r\n"
    assert answered(raw) == [b"HTTP/1.1 299 So So", b"Set-Cookie: a", b"Set-Cookie: b", b"Content-Length: 1"]


def test_an_upgrade_passes_both_ways() -> None:
    raw = b"GET /p HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert sent(raw)[-2:] == [b"Connection: Upgrade", b"Upgrade: websocket"]
    assert answered(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nA: b\r\n\r\n") == [
        b"HTTP/1.1 101 x", b"A: b", b"Connection: Upgrade", b"Upgrade: websocket",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        (b"Upgrade: websocket\r\n", b"1.1"),
        (b"Connection: upgrade\r\n", b"1.1"),
        (b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"1.1"),
        (b"Connection: upgrade\r\nUpgrade: websocket, h2c\r\n", b"1.1"),
        (b"Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", b"1.1"),
        (b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"1.0"),
    ],
)
def test_upgrades_that_could_hide_requests_do_not_pass(fields: bytes, version: bytes) -> None:
    assert asked_upgrade(parse_request(b"GET / HTTP/" + version + b"\r\n" + fields + b"\r\n")) is None


def test_persistence_follows_version_and_connection() -> None:
    for raw, expected in (
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nProxy-Connection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True),
    ):
        assert persists(parse_request(raw)) == expected
