"""The messages by which nodes of the Mainline DHT are asked and told (BEP 5, 32, 43, 44): signed items, and who is where.

::

    → d1:ad2:id20:…6:target20:…e1:q3:get2:roi1e1:t4:…1:y1:qe
    ← d1:rd2:id20:…1:k32:…5:nodes…3:seqi…e3:sig64:…5:token…1:v…:…e1:t4:…1:y1:re
    → d1:ad2:id20:…1:k32:…3:seqi…e3:sig64:…5:token…1:v…:…e1:q3:put2:roi1e1:t4:…1:y1:qe

`get_peers` and `announce_peer` do the same for topics, with `values` for the addresses. We answer nobody, and say so (`ro`, BEP 43). The target of an item without salt is the SHA-1 of its key. pkarr's
sequence number is the record's timestamp, and its value the DNS packet as a string.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from resolver.discovery.bencode import MalformedMessage, Value, decode, encode
from resolver.errors import BadSignature
from resolver.limits import DHT_NODES_PER_ANSWER, DHT_PEERS_PER_ANSWER, DHT_REASON_BYTES, DHT_TOKEN_BYTES
from resolver.signed_packets import SignedPacket
from tunnels.addresses import Address

if TYPE_CHECKING:
    from tunnels.identity import EndpointId

ID_BYTES: Final = 20
"""Of a node id, a target, and the info-hash of a topic (BEP 5)."""
OLD_SEQUENCE: Final = 302
"""The error of a node that has a newer item (BEP 44)."""

_TIMESTAMP: Final = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the DHT, as we were told of it."""

    address: Address
    id: bytes | None
    """None where only its address is known."""


@dataclass(frozen=True, slots=True)
class Item:
    """A signed item as a node sent it: nothing in it is verified."""

    key: bytes | None
    sequence: int
    signature: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A node did what it was asked."""

    transaction: bytes
    node_id: bytes
    nodes: tuple[Node, ...]
    """Nodes that may be closer to the target."""
    token: bytes | None
    """What it wants to see with a `put`."""
    item: Item | None
    peers: tuple[Address, ...] = ()
    """Who was announced for the topic that was asked for."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node did not do what it was asked."""

    transaction: bytes
    code: int
    reason: str
    """In its words, for people."""


def target_of(endpoint_id: EndpointId) -> bytes:
    """Where the endpoint's record is in the DHT."""
    return hashlib.sha1(endpoint_id.key, usedforsecurity=False).digest()


def distance(first: bytes, second: bytes) -> int:
    """How far two ids are from each other: smaller is closer."""
    return int.from_bytes(first) ^ int.from_bytes(second)


def get(transaction: bytes, own_id: bytes, target: bytes, newer_than: int | None = None) -> bytes:
    """Ask for the item at `target` and for nodes that are closer to it.

    An item that is not newer than `newer_than` need not be sent.
    """
    arguments: dict[bytes, Value] = {b"id": own_id, b"target": target, b"want": [b"n4", b"n6"]}
    if newer_than is not None:
        arguments[b"seq"] = newer_than
    return _query(transaction, b"get", arguments)


def put(transaction: bytes, own_id: bytes, token: bytes, packet: SignedPacket) -> bytes:
    """Ask a node to keep the packet; `token` is what it answered a `get` for the same target with."""
    return _query(
        transaction,
        b"put",
        {
            b"id": own_id,
            b"k": packet.endpoint_id.key,
            b"seq": packet.timestamp,
            b"sig": packet.signature,
            b"token": token,
            b"v": packet.packet,
        },
    )


def get_peers(transaction: bytes, own_id: bytes, topic: bytes) -> bytes:
    """Ask who was announced for `topic`, and for nodes that are closer to it."""
    return _query(transaction, b"get_peers", {b"id": own_id, b"info_hash": topic, b"want": [b"n4", b"n6"]})


def announce_peer(transaction: bytes, own_id: bytes, token: bytes, topic: bytes, port: int) -> bytes:
    """Tell a node that somebody is there for `topic`: at our ip, as it sees it, and UDP `port`."""
    return _query(
        transaction,
        b"announce_peer",
        {b"id": own_id, b"implied_port": 0, b"info_hash": topic, b"port": port, b"token": token},
    )


def parse(data: bytes) -> Answer | Refusal:
    """Read what a node answered; MalformedMessage if it is no answer.

    An item that cannot be one is left out, and the nodes beside it are not.
    """
    message = decode(data)
    if not isinstance(message, dict):
        raise MalformedMessage("a message is a dictionary")
    transaction = message.get(b"t")
    if not isinstance(transaction, bytes):
        raise MalformedMessage("a message has a transaction")
    reply, error = message.get(b"r"), message.get(b"e")
    if message.get(b"y") == b"r" and isinstance(reply, dict):
        node_id = reply.get(b"id")
        if not isinstance(node_id, bytes) or len(node_id) != ID_BYTES:
            raise MalformedMessage("a node has an id of 20 bytes")
        token = reply.get(b"token")
        if not isinstance(token, bytes) or not 0 < len(token) <= DHT_TOKEN_BYTES:
            token = None
        return Answer(transaction, node_id, _nodes(reply), token, _item(reply), _peers(reply))
    if message.get(b"y") == b"e":
        code, words = (*error, 0, b"")[:2] if isinstance(error, list) else (0, b"")
        text = words[:DHT_REASON_BYTES].decode("utf-8", "replace") if isinstance(words, bytes) else ""
        reason = "".join(character for character in text if character.isprintable())
        return Refusal(transaction, code if isinstance(code, int) else 0, reason)
    raise MalformedMessage("it is no answer")


def signed_packet(item: Item, endpoint_id: EndpointId) -> SignedPacket:
    """The item as the endpoint's packet, verified; RecordError says why it is not."""
    if item.key not in (None, endpoint_id.key):
        raise BadSignature(f"the record is not of {endpoint_id.short}…, whose place it has in the DHT")
    payload = item.signature + _TIMESTAMP.pack(item.sequence) + item.value
    return SignedPacket.parse_payload(endpoint_id, payload)


def _query(transaction: bytes, name: bytes, arguments: dict[bytes, Value]) -> bytes:
    return encode({b"a": arguments, b"q": name, b"ro": 1, b"t": transaction, b"y": b"q"})


def _item(reply: dict[bytes, Value]) -> Item | None:
    key, sequence, signature, value = (reply.get(name) for name in (b"k", b"seq", b"sig", b"v"))
    if (
        isinstance(value, bytes)
        and isinstance(signature, bytes)
        and len(signature) == 64
        and isinstance(sequence, int)
        and 0 <= sequence < 1 << 64
        and (key is None or isinstance(key, bytes))
    ):
        return Item(key, sequence, signature, value)
    return None


def _peers(reply: dict[bytes, Value]) -> tuple[Address, ...]:
    """The first addresses that it names."""
    values = reply.get(b"values")
    return tuple(
        _address(compact)
        for compact in (values[:DHT_PEERS_PER_ANSWER] if isinstance(values, list) else ())
        if isinstance(compact, bytes) and len(compact) in (6, 18) and any(compact[-2:])
    )


def _address(compact: bytes) -> Address:
    """An ip of either family, and a port."""
    ip = IPv4Address(compact[:-2]) if len(compact) == 6 else IPv6Address(compact[:-2])
    return Address.of(str(ip), int.from_bytes(compact[-2:]))


def _nodes(reply: dict[bytes, Value]) -> tuple[Node, ...]:
    """The nodes that it names, the first few of each family."""
    found = []
    for name, size in ((b"nodes", 26), (b"nodes6", 38)):
        compact = reply.get(name)
        if isinstance(compact, bytes):
            whole = len(compact) - len(compact) % size
            each = (compact[at : at + size] for at in range(0, min(whole, size * DHT_NODES_PER_ANSWER), size))
            found += [Node(_address(one[ID_BYTES:]), one[:ID_BYTES]) for one in each if any(one[-2:])]
    return tuple(found)
