"""Facts about PCP and NAT-PMP on the wire: what we ask, and which answers count."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels.addresses import Address
from tunnels.nat.mapping_messages import NatPmp, Pcp, Reply

ME = IPv4Address("192.168.1.10")
NONCE = bytes(range(12))
LAST = Address.parse("11.22.33.1:50000")
PCP, NAT_PMP = Pcp(ME, 41641, NONCE), NatPmp(41641)

PCP_REQUEST = (
    "0201000000001c2000000000000000000000ffffc0a8010a"
    "000102030405060708090a0b11000000a2a9a2a900000000000000000000ffff00000000"
)  # fmt: skip
PCP_GRANTED = (
    "0281000000000e1000000539000000000000000000000000"
    "000102030405060708090a0b11000000a2a9c35000000000000000000000ffff0b162101"
)  # fmt: skip


def refused(code: int) -> bytes:
    answer = bytearray.fromhex(PCP_GRANTED)
    answer[3] = code
    return bytes(answer)


@pytest.mark.parametrize(
    ("requests", "texts"),
    [
        (PCP.requests(7200, 41641, None), [PCP_REQUEST]),
        (
            PCP.requests(0, 0, LAST),
            [PCP_REQUEST.replace("00001c20", "00000000").replace("a2a9a2a9", "a2a9c350")[:-8] + "0b162101"],
        ),
        (NAT_PMP.requests(7200, 41641, None), ["0000", "00010000a2a9a2a900001c20"]),
        (NAT_PMP.requests(7200, 41641, LAST), ["0000", "00010000a2a9c35000001c20"]),
        (NAT_PMP.requests(0, 41641, LAST), ["00010000a2a9000000000000"]),
    ],
    ids=["PCP map", "PCP delete", "NAT-PMP map", "NAT-PMP renew", "NAT-PMP delete"],
)
def test_requests_are_these_bytes(requests, texts):
    assert [request.hex() for request in requests] == texts


@pytest.mark.parametrize(
    ("codec", "text", "reply"),
    [
        (PCP, PCP_GRANTED, Reply(epoch=1337, lifetime=3600, port=50000, ip=IPv4Address("11.22.33.1"))),
        (PCP, "0081000100000001", Reply(refused="it does not speak PCP's version 2", unsupported=True)),
        (
            NAT_PMP,
            "008000000000053900000000"[:16] + "0b162101",
            Reply(epoch=1337, ip=IPv4Address("11.22.33.1")),
        ),
        (NAT_PMP, "0081000000000539a2a9c35000000e10", Reply(epoch=1337, lifetime=3600, port=50000)),
        (NAT_PMP, "02800001" + "00" * 20, Reply(refused="it does not speak NAT-PMP", unsupported=True)),
    ],
    ids=["PCP granted", "PCP by a NAT-PMP router", "address", "NAT-PMP granted", "NAT-PMP by a PCP router"],
)
def test_answers_are_read(codec, text, reply):
    assert codec.read(bytes.fromhex(text)) == reply


def test_refusals_are_told_in_words():
    assert PCP.read(refused(2)).refused.startswith("it allows no port mappings")
    assert PCP.read(refused(12)).refused == "another NAT stands between it and us"
    assert PCP.read(refused(99)).refused == "it refuses with code 99"
    assert (
        NAT_PMP.read(bytes.fromhex("0081000300000539a2a9000000000000")).refused == "it has no public address"
    )
    assert NAT_PMP.read(bytes.fromhex("0081004000000539")).refused == "it refuses with code 64"


def test_answers_to_others_do_not_count():
    granted = bytes.fromhex(PCP_GRANTED)
    assert Pcp(ME, 41641, bytes(12)).read(granted) is None, "another nonce"
    assert Pcp(ME, 41642, NONCE).read(granted) is None, "another port"
    assert NatPmp(41642).read(bytes.fromhex("0081000000000539a2a9c35000000e10")) is None
    assert PCP.read(b"\x02\x01" + granted[2:]) is None, "a request"
    assert PCP.read(granted[:36] + b"\x06" + granted[37:]) is None, "TCP"


def test_nothing_that_is_cut_short_or_far_too_long_counts():
    granted = bytes.fromhex(PCP_GRANTED)
    assert all(PCP.read(granted[:size]) is None for size in range(len(granted)))
    assert PCP.read(granted.ljust(1104, b"\0")) is None
    for text in ("0081000000000539a2a9c35000000e10", "00800000000005390b162101"):
        answer = bytes.fromhex(text)
        assert all(NAT_PMP.read(answer[:size]) is None for size in range(len(answer)))
        assert NAT_PMP.read(answer + b"\0") is None


@given(st.binary(max_size=80))
def test_no_bytes_break_the_readers(datagram):
    for codec in (PCP, NAT_PMP):
        reply = codec.read(datagram)
        assert reply is None or isinstance(reply, Reply)
