"""Messages of the DHT: the bytes that others expect, and what strangers may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.discovery import krpc
from resolver.discovery.bencode import MalformedMessage, decode, encode
from resolver.discovery.krpc import Answer, Item, Node, Refusal, parse
from resolver.errors import BadSignature, MalformedRecord
from resolver.limits import (
    DHT_NODES_PER_ANSWER,
    DHT_PEERS_PER_ANSWER,
    DHT_REASON_BYTES,
    DHT_TOKEN_BYTES,
)
from tests.lab.resolver_keys import key, packet
from tunnels.addresses import Address

OURS, THEIRS, TARGET = b"o" * 20, b"t" * 20, b"x" * 20
PACKET = packet()


def answer(**reply: object) -> bytes:
    named = {name.encode(): value for name, value in reply.items()}
    return encode({b"t": b"aaaa", b"y": b"r", b"r": {b"id": THEIRS} | named})  # type: ignore[dict-item]


def test_questions_are_the_bytes_of_bep_5_and_44_and_say_that_we_answer_nobody() -> None:
    assert krpc.get(b"aaaa", OURS, TARGET) == (
        b"d1:ad2:id20:%b6:target20:%b4:wantl2:n42:n6ee1:q3:get2:roi1e1:t4:aaaa1:y1:qe" % (OURS, TARGET)
    )
    assert b"3:seqi17e" in krpc.get(b"aaaa", OURS, TARGET, 17)
    assert krpc.announce_peer(b"aaaa", OURS, b"tk", TARGET, 4242) == (
        b"d1:ad2:id20:%b12:implied_porti0e9:info_hash20:%b4:porti4242e5:token2:tke"
        b"1:q13:announce_peer2:roi1e1:t4:aaaa1:y1:qe" % (OURS, TARGET)
    )
    assert b"9:info_hash20:" + TARGET in krpc.get_peers(b"aaaa", OURS, TARGET)


def test_a_put_carries_the_packet_as_it_was_signed() -> None:
    message = decode(krpc.put(b"aaaa", OURS, b"tk", PACKET))
    assert isinstance(message, dict)
    arguments = message[b"a"]
    assert arguments == {
        b"id": OURS,
        b"k": PACKET.endpoint_id.key,
        b"seq": PACKET.timestamp,
        b"sig": PACKET.signature,
        b"token": b"tk",
        b"v": PACKET.packet,
    }


def test_the_target_is_the_hash_of_the_key_as_in_bep_44() -> None:
    """Its second test vector is a mutable item without salt; this is its key."""
    bytes_of_vector = bytes.fromhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")
    assert krpc.target_of(type(key(1).endpoint_id)(bytes_of_vector)).hex() == (
        "4a533d47ec9c7d95b1ad75f576cffc641853b750"
    )


def test_an_answer_is_read_with_its_nodes_peers_token_and_item() -> None:
    four = b"n" * 20 + bytes((192, 0, 2, 1)) + (6881).to_bytes(2)
    six = b"m" * 20 + bytes.fromhex("20010db8") + bytes(11) + b"\1" + (6882).to_bytes(2)
    read = parse(
        answer(
            nodes=four + b"n" * 20 + bytes(6),
            nodes6=six + b"cut",
            token=b"tk",
            values=[four[20:], six[20:], b"odd", 7],
            k=PACKET.endpoint_id.key,
            seq=PACKET.timestamp,
            sig=PACKET.signature,
            v=PACKET.packet,
        )
    )
    assert isinstance(read, Answer)
    places = Address.parse("192.0.2.1:6881"), Address.parse("[2001:db8::1]:6882")
    assert read.nodes == (Node(places[0], b"n" * 20), Node(places[1], b"m" * 20))
    assert read.peers == places
    assert (read.transaction, read.node_id, read.token) == (b"aaaa", THEIRS, b"tk")
    assert read.item is not None
    assert krpc.signed_packet(read.item, PACKET.endpoint_id) == PACKET


def test_no_answer_names_more_than_is_read_of_it() -> None:
    nodes = b"".join(bytes((n,)) * 20 + bytes((192, 0, 2, n)) + b"\1\1" for n in range(1, 30))
    values = [bytes((192, 0, 2, n, 1, 1)) for n in range(1, 60)]
    read = parse(answer(nodes=nodes, values=values, token=b"t" * (DHT_TOKEN_BYTES + 1)))
    assert isinstance(read, Answer)
    assert len(read.nodes) == DHT_NODES_PER_ANSWER
    assert len(read.peers) == DHT_PEERS_PER_ANSWER
    assert read.token is None


def test_a_refusal_is_read_with_words_that_cannot_forge_a_line() -> None:
    read = parse(encode({b"t": b"aaaa", b"y": b"e", b"e": [302, b"old\nline " + b"x" * 300]}))
    assert isinstance(read, Refusal)
    assert read.code == 302
    assert "\n" not in read.reason
    assert len(read.reason) <= DHT_REASON_BYTES
    assert parse(encode({b"t": b"aaaa", b"y": b"e", b"e": []})) == Refusal(b"aaaa", 0, "")
    assert parse(encode({b"t": b"aaaa", b"y": b"e"})) == Refusal(b"aaaa", 0, "")


@pytest.mark.parametrize(
    "changes", [{"sig": b"short"}, {"seq": -1}, {"seq": 1 << 64}, {"seq": b"1"}, {"v": 5}, {"k": 5}]
)
def test_what_can_be_no_item_is_left_out_and_the_nodes_stay(changes: dict[str, object]) -> None:
    item = {"k": PACKET.endpoint_id.key, "seq": 1, "sig": bytes(64), "v": b"v"}
    read = parse(answer(nodes=b"n" * 20 + bytes((192, 0, 2, 1, 1, 1)), **item | changes))
    assert isinstance(read, Answer)
    assert read.item is None
    assert len(read.nodes) == 1


def test_an_item_is_the_packet_of_its_owner_or_none() -> None:
    good = Item(None, PACKET.timestamp, PACKET.signature, PACKET.packet)
    assert krpc.signed_packet(good, PACKET.endpoint_id) == PACKET
    for item, error in (
        (Item(key(2).endpoint_id.key, good.sequence, good.signature, good.value), BadSignature),
        (Item(None, good.sequence + 1, good.signature, good.value), BadSignature),
        (Item(None, good.sequence, good.signature, bytes(1001)), MalformedRecord),
    ):
        with pytest.raises(error):
            krpc.signed_packet(item, PACKET.endpoint_id)


@pytest.mark.parametrize(
    "data",
    [
        b"i1e",
        encode({b"y": b"r", b"r": {b"id": THEIRS}}),
        encode({b"t": b"aaaa", b"y": b"r", b"r": {b"id": b"short"}}),
        encode({b"t": b"aaaa", b"y": b"r"}),
        krpc.get(b"aaaa", OURS, TARGET),
    ],
)
def test_what_is_no_answer_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse(data)


fields = st.sampled_from([b"id", b"nodes", b"nodes6", b"token", b"values", b"k", b"seq", b"sig", b"v"])
anything = st.integers() | st.binary(max_size=80) | st.lists(st.binary(max_size=20), max_size=3)


@given(st.dictionaries(fields, anything), st.sampled_from([b"r", b"e", b"q"]), anything)
def test_any_message_is_read_or_malformed(reply, kind, error) -> None:
    message = {b"t": b"aaaa", b"y": kind, b"r": {b"id": THEIRS} | reply, b"e": error}
    try:
        data = encode(message)
        parse(data)
    except MalformedMessage:
        pass


@given(st.binary(max_size=300))
def test_any_bytes_are_malformed(data: bytes) -> None:
    """An answer has an id of 20 bytes at its place: none is made by chance."""
    with pytest.raises(MalformedMessage):
        parse(data)
