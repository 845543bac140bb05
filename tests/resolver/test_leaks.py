"""What is asked under `.overlay` is nobody else's business: however it is spelled, it never goes to another server."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.forwarder import Forwarder
from resolver.messages import Query, Rcode, rcode_of
from resolver.responder import Responder
from resolver.server import DnsServer
from resolver.zone import Zone
from tests.lab.resolver_dns import ask, query_bytes
from tests.lab.resolver_facts import FakeNames
from tests.lab.resolver_keys import key
from tests.lab.resolver_upstream import Upstream
from tunnels.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Sequence

IN = 1


class Recorder(Forwarder):
    """Takes note of what it would send."""

    def __init__(self) -> None:
        super().__init__((Address.parse("192.0.2.53:53"),))
        self.sent: list[bytes] = []

    async def forward(self, query: Query, data: bytes, *, over_tcp: bool) -> bytes:
        self.sent.append(data)
        return data


def message(
    labels: Sequence[bytes], *, kind: int = 1, kind_class: int = IN, flags: int = 0x0100, rest: bytes = b"",
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
) -> bytes:  # fmt: skip
    """A query as anybody may send it."""
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack(">HHHHHH", 7, flags, *counts) + name + struct.pack(">HH", kind, kind_class) + rest


def passed_on(data: bytes, *, over_tcp: bool = False) -> list[bytes]:
    """What a server with a forwarder would send on."""

    async def ask() -> list[bytes]:
        recorder = Recorder()
        responder = Responder(Zone(), FakeNames(), forwarder=recorder)
        responder.respond(data, over_tcp=over_tcp, done=lambda _: None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await responder.close()
        return recorder.sent

    return asyncio.run(ask())


def test_others_are_passed_on() -> None:
    """Else the rest of this file would say nothing."""
    for name in ((b"example", b"org"), (b"overlay", b"example", b"org"), (b"myoverlay",), (b"overlays",), ()):
        assert passed_on(message(name)) == [message(name)]


LABEL = st.binary(min_size=1, max_size=63)
CASES = st.lists(st.booleans(), min_size=7, max_size=7).map(
    lambda upper: bytes(c - 32 if up else c for c, up in zip(b"overlay", upper, strict=True))
)


@given(
    labels=st.lists(LABEL, max_size=3),
    top=CASES,
    kind=st.integers(0, 65535),
    kind_class=st.sampled_from([IN, IN, IN, 3, 4, 254, 255, 0]),
    flags=st.integers(0, 0x7FFF),
    over_tcp=st.booleans(),
)
def test_a_name_under_overlay_is_never_passed_on(
    labels: list[bytes], top: bytes, kind: int, kind_class: int, flags: int, over_tcp: bool
) -> None:
    data = message((*labels, top), kind=kind, kind_class=kind_class, flags=flags)
    assert passed_on(data, over_tcp=over_tcp) == []


@given(
    before=st.lists(LABEL, max_size=2),
    spelled=st.sampled_from(
        [
            "alice.overlay",
            "overlay.",
            "Overlay..",
            " overlay",
            "overlay ",
            "overlay\t",
            "overlay\n",
            "overlay\0",
            "\N{ZERO WIDTH SPACE}overlay",
            "\N{FULLWIDTH LATIN SMALL LETTER O}verlay",
            "\uff2f\uff36\uff25\uff32\uff2c\uff21\uff39",
            "alice\u3002overlay",
            "alice\uff0eoverlay",
            "alice\uff61\uff4f\uff56\uff45\uff52\uff4c\uff41\uff59",
            "\uff4fverlay\uff0e",
            "over\N{SOFT HYPHEN}lay",
            "\N{MATHEMATICAL BOLD SMALL O}verlay",
        ]
    ),
)
def test_nor_is_one_that_only_reads_like_it(before: list[bytes], spelled: str) -> None:
    assert passed_on(message((*before, spelled.encode()))) == []


@pytest.mark.parametrize(
    "name",
    [
        "alice.overlay.lan",
        "web.alice.OVERLAY.home.arpa",
        "_http._tcp.alice.overlay.fritz.internal",
        f"{key(1).endpoint_id}.overlay.corp.example.org",
        f"web.{str(key(1).endpoint_id).upper()}.overlay.example.org",
    ],
)
def test_nor_is_one_with_a_search_domain_behind_it(name: str) -> None:
    """Resolvers try that when a name does not exist."""
    assert passed_on(message(tuple(name.encode().split(b".")))) == []


@pytest.mark.parametrize(
    "name", ["overlay.example.org", "www.overlay.example.org", "overlay.lan", "alice.lan"]
)
def test_names_that_are_others_are_passed_on(name: str) -> None:
    assert len(passed_on(message(tuple(name.encode().split(b"."))))) == 1


@pytest.mark.parametrize(
    "data",
    [
        message((b"alice", b"overlay"))[:-1],
        message((b"alice", b"overlay"), rest=b"x"),
        message((b"alice", b"overlay"), counts=(2, 0, 0, 0), rest=message((b"example", b"org"))[12:]),
        message((b"example", b"org"), counts=(2, 0, 0, 0), rest=message((b"alice", b"overlay"))[12:]),
        message((b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 63, b"overlay")),
        struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x40" + b"a" * 64 + b"\x07overlay\0" + b"\0\1\0\1",
        struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\x05alice\xc0\x0c" + b"\0\1\0\1",
    ],
    ids=["cut short", "too long", "two questions", "second question", "long name", "long label", "pointer"],
)
def test_what_is_no_good_query_is_never_passed_on(data: bytes) -> None:
    assert passed_on(data) == []


@given(data=st.binary(max_size=60), over_tcp=st.booleans())
def test_of_any_bytes_nothing_is_passed_on_that_speaks_of_overlay(data: bytes, over_tcp: bool) -> None:
    head = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    tail = b"\x07oVeRlAy\x00\x00\x01\x00\x01"
    for sent in passed_on(head + data + tail, over_tcp=over_tcp):
        assert last_label(sent).lower() != b"overlay"


def last_label(data: bytes) -> bytes:
    """Of the name in the question, read in the plainest way."""
    at, label = 12, b""
    while data[at]:
        label = data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
    return label


NAMES = (
    "alice.overlay",
    "ALICE.OverLay.",
    "nobody.overlay",
    "_http._tcp.alice.overlay",
    "a.b.c.overlay",
    "overlay",
)


@pytest.mark.parametrize("forwards", [True, False])
async def test_on_the_wire_a_server_asks_others_for_nothing_under_overlay(forwards: bool) -> None:
    upstream = Upstream()
    await upstream.start()
    forwarder = Forwarder((upstream.address,)) if forwards else None
    responder = Responder(Zone(), FakeNames(), forwarder=forwarder)
    server = DnsServer(responder, Address.parse("127.0.0.1:1").ip, 0)
    await server.start()
    try:
        for name in NAMES:
            for kind in ("A", "AAAA", "TXT", "SRV", "HTTPS", "NS", "SOA", "ANY", "PTR", "MX", "DS", "DNSKEY"):
                answered = await ask(server.address, query_bytes(name, kind))
                assert rcode_of(answered) in (Rcode.NOERROR, Rcode.NXDOMAIN), (name, kind)
        assert rcode_of(await ask(server.address, message((b"alice.overlay",)))) == Rcode.REFUSED
        assert upstream.asked == []
        outside = await ask(server.address, query_bytes("example.org"))
        assert rcode_of(outside) == (Rcode.NOERROR if forwards else Rcode.REFUSED)
        assert len(upstream.asked) == (1 if forwards else 0)
    finally:
        await server.close()
        await responder.close()
        await upstream.close()
