"""The header of relayed datagrams."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.udp_header import UdpRequest, decode, header


@pytest.mark.parametrize(
    ("name", "raw", "request_"),
    [
        ("ipv4", "0000 00 01 7f000001 0035 6869", UdpRequest("127.0.0.1", 53, b"hi")),
        ("name", "0000 00 03 01 61 0035 6869", UdpRequest("a", 53, b"hi")),
        ("ipv6", "0000 00 04 00000000000000000000000000000001 0035", UdpRequest("::1", 53, b"")),
    ],
)
def test_a_datagram_is_read_and_its_header_written(name: str, raw: str, request_: UdpRequest) -> None:
    data = bytes.fromhex(raw)
    assert decode(data) == request_
    assert header(request_.host, request_.port) + request_.data == data


@pytest.mark.parametrize(
    "raw",
    ["", "0000", "000000", "0000 01 01 7f000001 0035 6869", "0001 00 01 7f000001 0035", "0000 00 01 7f000001 0000 68",
     "0000 00 02 7f000001 0035", "0000 00 03 00 0035", "0000 00 01 7f0000"],
)  # fmt: skip
def test_fragments_and_malformed_datagrams_are_dropped(raw: str) -> None:
    assert decode(bytes.fromhex(raw)) is None


@given(st.binary(max_size=40), st.booleans())
def test_any_datagram_is_read_or_dropped(data: bytes, prefixed: bool) -> None:
    request = decode(b"\0\0\0" + data if prefixed else data)
    assert request is None or request.port
