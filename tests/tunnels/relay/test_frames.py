"""The frames on the WebSocket, byte by byte and word by word."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.resolver_keys import key
from tunnels.errors import ProtocolViolation
from tunnels.limits import RELAY_FRAME, RELAY_TEXT, RELAY_TOPIC_PEERS, RELAY_TOPICS, RELAY_WHO_IDS
from tunnels.relay import frames
from tunnels.relay.frames import FrameKind, batches, datagrams_of, decode, encode

ID = key(1).endpoint_id
ID_TEXT = str(ID)


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (FrameKind.DATA, b"abc", "01" + ID.key.hex() + "616263"),
        (FrameKind.PATH, b"", "02" + ID.key.hex()),
        (FrameKind.MESSAGE, b"\0", "03" + ID.key.hex() + "00"),
        (FrameKind.ABSENT, b"\1", "04" + ID.key.hex() + "01"),
        (FrameKind.MAIL, b"abc", "05" + ID.key.hex() + "616263"),
    ],
)
def test_a_frame_is_its_kind_an_id_and_a_body(kind: FrameKind, body: bytes, text: str) -> None:
    assert encode(kind, ID, body).hex() == text
    assert decode(bytes.fromhex(text)) == (kind, ID, body)


@pytest.mark.parametrize("size", range(33))
def test_a_frame_that_is_too_short_is_a_violation(size: int) -> None:
    with pytest.raises(ProtocolViolation):
        decode(encode(FrameKind.DATA, ID, b"")[:size])


@pytest.mark.parametrize("kind", [0, 6, 0x7B, 255])
def test_an_unknown_kind_is_a_violation(kind: int) -> None:
    with pytest.raises(ProtocolViolation):
        decode(bytes([kind]) + ID.key + b"x")


@given(st.lists(st.binary(min_size=1, max_size=9000), max_size=30))
def test_datagrams_come_out_of_their_batches_as_they_went_in(datagrams: list[bytes]) -> None:
    bodies = batches(datagrams)
    assert [datagram for body in bodies for datagram in datagrams_of(body)] == datagrams
    assert all(len(body) <= RELAY_FRAME for body in bodies)


def test_a_datagram_that_fits_no_frame_is_left_out_and_the_others_go() -> None:
    assert batches([b"a", bytes(RELAY_FRAME - 1), b"b"]) == [b"\0\1a\0\1b"]
    (body,) = batches([bytes(RELAY_FRAME - 2)])
    assert len(body) == RELAY_FRAME


def test_small_datagrams_share_a_frame() -> None:
    assert len(batches([bytes(1200)] * 27)) == 1
    assert len(batches([bytes(1200)] * 28)) == 2


@pytest.mark.parametrize("body", ["00", "0000", "000261", "0001616", "000161ff", "ffff61", "00016100"])
def test_a_length_that_leads_outside_is_a_violation(body: str) -> None:
    with pytest.raises(ProtocolViolation):
        datagrams_of(bytes.fromhex(body + "0" * (len(body) % 2)))


@given(st.binary(max_size=300))
def test_junk_is_read_or_a_violation(data: bytes) -> None:
    for read in (decode, datagrams_of):
        with contextlib.suppress(ProtocolViolation):
            read(data)


# --- text -----------------------------------------------------------------------------------------------------

FROM_GATEWAY = [
    frames.Hello(id=ID_TEXT, nonce=bytes(16), signature=bytes(64), authority="b.example", version="1"),
    frames.Who(ids=(ID_TEXT,)),
    frames.Redeem(voucher="overlay:v1x"),
    frames.TurnPlease(),
    frames.Topics(ids=(bytes(20), b"t" * 20)),
    frames.WhoIsIn(topic=b"t" * 20),
]
FROM_BEACON = [
    frames.Challenge(beacon=ID_TEXT, nonce=bytes(16)),
    frames.Welcome(signature=bytes(64), observed="192.0.2.1:1"),
    frames.Welcome(
        signature=bytes(64),
        observed="[2001:db8::1]:1",
        stun=("192.0.2.1:3478",),
        turn=frames.TurnServer(address="192.0.2.1:3478", username="u", password="p", seconds=1),
        limits=frames.RelayLimits(bytes_per_second=1, quota_bytes=2, period_seconds=3, left_bytes=4),
        policy="words",
        relays=False,
    ),
    frames.Online(ids=()),
    frames.TopicsKept(kept=2),
    frames.IsIn(topic=b"t" * 20, ids=(ID_TEXT,)),
    frames.Turn(),
    frames.Receipt(receipt="r", limits=frames.RelayLimits()),
    frames.Refused(code="rate", reason="slower"),
    frames.Leaving(seconds=2.5),
]


@pytest.mark.parametrize("said", FROM_GATEWAY, ids=lambda said: type(said).__name__)
def test_what_a_gateway_says_is_understood(said: frames.FromGateway) -> None:
    assert frames.read_from_gateway(frames.encode_text(said)) == said


@pytest.mark.parametrize("said", FROM_BEACON, ids=lambda said: type(said).__name__)
def test_what_a_beacon_says_is_understood(said: frames.FromBeacon) -> None:
    assert frames.read_from_beacon(frames.encode_text(said)) == said


def test_members_of_later_versions_are_overlooked() -> None:
    assert frames.read_from_gateway('{"type":"turn","colour":"blue"}') == frames.TurnPlease()


def test_the_largest_question_fits_a_text_frame() -> None:
    assert len(frames.encode_text(frames.Who(ids=(ID_TEXT,) * RELAY_WHO_IDS))) <= RELAY_TEXT
    assert len(frames.encode_text(frames.Topics(ids=(bytes(20),) * RELAY_TOPICS))) <= RELAY_TEXT
    told = frames.IsIn(topic=bytes(20), ids=(ID_TEXT,) * RELAY_TOPIC_PEERS)
    assert len(frames.encode_text(told)) <= RELAY_TEXT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"type":"nothing"}',
        '{"type":"challenge"}',
        '{"type":"hello","id":"x","nonce":"","signature":"","authority":""}',
        '{"type":"who","ids":["short"]}',
        '{"type":"who","ids":[' + ",".join([f'"{ID_TEXT}"'] * (RELAY_WHO_IDS + 1)) + "]}",
        '{"type":"redeem","voucher":"' + "v" * 3000 + '"}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_anything_else_is_a_violation_in_one_line(text: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        frames.read_from_gateway(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"type":"hello"}',
        '{"type":"leaving"}',
        '{"type":"leaving","seconds":1e999}',
        '{"type":"online","ids":[1]}',
        '{"type":"turn","turn":{"address":"a","username":"u","password":"p","seconds":' + "9" * 400 + "}}",
        '{"type":"turn","turn":{"address":"a","username":"u","password":"p","seconds":-1}}',
        '{"type":"receipt","receipt":"r","limits":{"credit_bytes":' + "9" * 400 + "}}",
    ],
)
def test_a_beacon_is_read_as_strictly(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        frames.read_from_beacon(text)
