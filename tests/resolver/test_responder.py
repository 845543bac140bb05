"""One query in, one reply out."""

import asyncio
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.facts import NameFacts, NameStatus
from resolver.limits import ALIAS_HOPS, CACHED_REPLIES
from resolver.messages import Rcode
from resolver.names import OverlayName
from resolver.responder import Responder
from resolver.zone import Zone
from tests.lab.resolver_dns import query_bytes, reply, rows
from tests.lab.resolver_facts import ALICE_ADDRESS, FakeNames, exists


def at_once(responder: Responder, data: bytes, *, over_tcp: bool = False) -> bytes | None:
    """The reply of a query that needs no waiting."""
    replies: list[bytes | None] = []
    responder.respond(data, over_tcp=over_tcp, done=replies.append)
    (answered,) = replies
    return answered


class Waiting:
    """A query that waits: `reply` is what comes of it."""

    def __init__(self, responder: Responder, name: str, message_id: int = 7) -> None:
        self.reply: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        responder.respond(
            query_bytes(name, edns=1232, message_id=message_id), over_tcp=False, done=self.reply.set_result
        )


async def test_a_name_at_hand_is_answered_without_a_task() -> None:
    responder = Responder(Zone(), FakeNames())
    assert rows(reply(at_once(responder, query_bytes("alice.overlay"))).rr) == ["alice.overlay. A 127.80.3.1"]
    assert responder.status().lookups == 0


async def test_the_same_question_again_is_answered_from_a_ready_reply_with_its_own_id() -> None:
    responder = Responder(Zone(), FakeNames())
    first = at_once(responder, query_bytes("alice.overlay", message_id=1))
    second = at_once(responder, query_bytes("alice.overlay", message_id=2))
    assert (first, second) == (b"\x00\x01" + first[2:], b"\x00\x02" + first[2:])
    assert responder.status().from_ready_replies == 1


async def test_a_ready_reply_is_not_used_when_the_facts_have_changed() -> None:
    names = FakeNames()
    responder = Responder(Zone(), names)
    at_once(responder, query_bytes("alice.overlay"))
    names.facts["alice.overlay"] = exists(IPv4Address("127.80.9.9"))
    assert rows(reply(at_once(responder, query_bytes("alice.overlay"))).rr) == ["alice.overlay. A 127.80.9.9"]
    del names.facts["alice.overlay"]
    assert reply(at_once(responder, query_bytes("alice.overlay"))).header.rcode == Rcode.NXDOMAIN


async def test_a_reply_ready_for_udp_is_not_given_over_tcp() -> None:
    responder = Responder(Zone(), FakeNames())
    at_once(responder, query_bytes("alice.overlay"))
    at_once(responder, query_bytes("alice.overlay"), over_tcp=True)
    assert responder.status().from_ready_replies == 0


async def test_ready_replies_are_bounded() -> None:
    responder = Responder(Zone(), FakeNames())
    for number in range(CACHED_REPLIES + 10):
        at_once(responder, query_bytes(f"n{number}.overlay"))
    assert len(responder._ready) == CACHED_REPLIES
    at_once(responder, query_bytes(f"n{CACHED_REPLIES}.overlay"))
    assert responder.status().from_ready_replies == 1


async def test_a_name_that_must_be_looked_up_is_answered_when_that_is_done() -> None:
    names = FakeNames()
    names.slow["far.overlay"] = exists(ALICE_ADDRESS)
    responder = Responder(Zone(), names)
    waiting = Waiting(responder, "far.overlay")
    assert responder.status().waiting == 1
    names.release.set()
    assert rows(reply(await waiting.reply).rr) == ["far.overlay. A 127.80.3.1"]
    assert responder.status().waiting == 0


async def test_a_lookup_that_takes_too_long_is_servfail_with_the_reason() -> None:
    names = FakeNames()
    names.slow["far.overlay"] = exists(ALICE_ADDRESS)
    got = reply(await Waiting(Responder(Zone(), names, lookup_seconds=0.01), "far.overlay").reply)
    assert got.header.rcode == Rcode.SERVFAIL
    assert got.ar[0].rdata[0].data[2:] == b"the lookup took too long; ask again"


async def test_too_many_lookups_at_once_are_refused_at_once_and_others_go_on() -> None:
    names = FakeNames()
    names.slow = {f"far{number}.overlay": exists(ALICE_ADDRESS) for number in range(4)}
    responder = Responder(Zone(), names, concurrent=3)
    waiting = [Waiting(responder, name) for name in names.slow]
    refused = reply(waiting[3].reply.result())
    assert refused.header.rcode == Rcode.SERVFAIL
    assert b"too many names" in refused.ar[0].rdata[0].data
    assert responder.status().overloaded == 1
    assert rows(reply(at_once(responder, query_bytes("alice.overlay"))).rr)
    names.release.set()
    assert [reply(await one.reply).header.rcode for one in waiting[:3]] == [0, 0, 0]


async def test_closing_answers_all_that_wait() -> None:
    names = FakeNames()
    names.slow["far.overlay"] = exists(ALICE_ADDRESS)
    responder = Responder(Zone(), names)
    first = Waiting(responder, "far.overlay")
    await asyncio.sleep(0)
    second = Waiting(responder, "far.overlay")  # its task has not begun
    await responder.close()
    assert reply(await first.reply).header.rcode == reply(await second.reply).header.rcode == Rcode.SERVFAIL


async def test_a_bug_in_a_lookup_is_servfail_for_the_client_and_known_to_the_loop() -> None:
    class Broken(FakeNames):
        async def lookup(self, name):
            raise RuntimeError("bug")

    names = Broken()
    names.slow["far.overlay"] = exists(ALICE_ADDRESS)
    told: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    got = await Waiting(Responder(Zone(), names), "far.overlay").reply
    assert reply(got).header.rcode == Rcode.SERVFAIL
    assert str(told[0]["exception"]) == "bug"


async def test_addresses_are_answered_with_their_names() -> None:
    got = at_once(Responder(Zone(), FakeNames()), query_bytes("1.3.80.127.in-addr.arpa", "PTR"))
    assert rows(reply(got).rr) == ["1.3.80.127.in-addr.arpa. PTR alice.overlay."]


@pytest.mark.parametrize("over_tcp", [False, True])
@given(data=st.binary(max_size=100))
def test_any_bytes_get_one_reply_or_none(over_tcp: bool, data: bytes) -> None:
    at_once(Responder(Zone(), FakeNames.__new__(FakeNames)), b"\x00\x01\x81" + data, over_tcp=over_tcp)


def alias_to(name: str) -> NameFacts:
    return NameFacts(NameStatus.EXISTS, alias=OverlayName.parse(name) if name.endswith(".overlay") else name)


async def test_an_alias_is_followed_and_its_ready_reply_is_used_while_all_of_it_holds() -> None:
    names = FakeNames()
    names.facts["www.alice.overlay"] = alias_to("blog.alice.overlay")
    names.facts["blog.alice.overlay"] = alias_to("web.alice.overlay")
    responder = Responder(Zone(), names)
    rows_now = lambda: rows(reply(at_once(responder, query_bytes("www.alice.overlay"))).rr)  # noqa: E731
    first = rows_now()
    assert first == [
        "www.alice.overlay. CNAME blog.alice.overlay.",
        "blog.alice.overlay. CNAME web.alice.overlay.",
        "web.alice.overlay. A 127.80.3.2",
    ]
    assert rows_now() == first
    assert responder.status().from_ready_replies == 1
    names.facts["web.alice.overlay"] = exists(IPv4Address("127.80.9.9"))
    assert rows_now()[-1] == "web.alice.overlay. A 127.80.9.9", "the end of it has changed"
    names.facts["www.alice.overlay"] = alias_to("www.example.org")
    assert rows_now() == ["www.alice.overlay. CNAME www.example.org."]
    assert rows(reply(at_once(responder, query_bytes("www.alice.overlay", "CNAME"))).rr) == rows_now()


@pytest.mark.parametrize("length", [ALIAS_HOPS, ALIAS_HOPS + 1])
async def test_as_many_aliases_are_followed_as_the_bound_says(length: int) -> None:
    names = FakeNames()
    for number in range(length):
        names.facts[f"a{number}.alice.overlay"] = alias_to(f"a{number + 1}.alice.overlay")
    names.facts[f"a{length}.alice.overlay"] = exists(ALICE_ADDRESS)
    got = reply(at_once(Responder(Zone(), names), query_bytes("a0.alice.overlay", edns=1232)))
    assert (got.header.rcode, len(got.rr)) == (
        (Rcode.NOERROR, length + 1) if length <= ALIAS_HOPS else (Rcode.SERVFAIL, 0)
    )


async def test_aliases_in_a_circle_end() -> None:
    names = FakeNames()
    names.facts["a.alice.overlay"] = alias_to("b.alice.overlay")
    names.facts["b.alice.overlay"] = alias_to("a.alice.overlay")
    got = reply(at_once(Responder(Zone(), names), query_bytes("a.alice.overlay")))
    assert got.header.rcode == Rcode.SERVFAIL


async def test_an_alias_of_a_name_that_must_be_asked_for_is_waited_for() -> None:
    names = FakeNames()
    names.slow = {
        "slow.alice.overlay": exists(ALICE_ADDRESS),
        "www.alice.overlay": alias_to("slow.alice.overlay"),
    }
    responder = Responder(Zone(), names)
    waiting = Waiting(responder, "www.alice.overlay")
    names.release.set()
    assert rows(reply(await waiting.reply).rr) == [
        "www.alice.overlay. CNAME slow.alice.overlay.",
        f"slow.alice.overlay. A {ALICE_ADDRESS}",
    ]
    assert names.lookups == ["www.alice.overlay", "slow.alice.overlay"]


async def test_an_alias_of_somebody_elses_name_is_not_followed() -> None:
    names = FakeNames()
    names.facts["www.alice.overlay"] = alias_to("web.bob.overlay")
    names.facts["web.bob.overlay"] = exists(ALICE_ADDRESS)
    responder = Responder(Zone(), names)
    got = reply(at_once(responder, query_bytes("www.alice.overlay")))
    assert (rows(got.rr), got.header.rcode) == ([], Rcode.SERVFAIL)
    told = reply(at_once(responder, query_bytes("www.alice.overlay", "CNAME")))
    assert rows(told.rr) == ["www.alice.overlay. CNAME web.bob.overlay."]
