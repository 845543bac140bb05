"""Queries passed on to upstream servers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import IPv4Address

import pytest
from dnslib import RR, A

from resolver import limits
from resolver.forwarder import Forwarder
from resolver.messages import Kind, Rcode, is_truncated
from resolver.responder import Responder
from resolver.server import DnsServer
from resolver.zone import Zone
from tests.lab.resolver_dns import dig, query, query_bytes, reply, rows
from tests.lab.resolver_facts import FakeNames
from tests.lab.resolver_upstream import Upstream
from tunnels.addresses import Address

NOBODY = Address.parse("127.0.0.1:1")
QUERY = query_bytes("example.org", message_id=77)


async def forward(forwarder: Forwarder, *, over_tcp: bool = False) -> bytes:
    return await forwarder.forward(query("example.org", edns=1232), QUERY, over_tcp=over_tcp)


@contextlib.asynccontextmanager
async def upstream(**manners: object) -> AsyncIterator[Upstream]:
    server = Upstream(**manners)  # type: ignore[arg-type]
    await server.start()
    try:
        yield server
    finally:
        await server.close()


async def test_a_query_is_answered_by_upstream_under_its_own_id() -> None:
    async with upstream() as server:
        answered = await forward(Forwarder((server.address,)))
    assert answered[:2] == (77).to_bytes(2)
    assert rows(reply(answered).rr) == ["example.org. A 192.0.2.80"]


async def test_each_query_has_an_id_and_a_port_of_its_own() -> None:
    ids = iter(range(100, 200))
    async with upstream() as server:
        forwarder = Forwarder((server.address,), new_id=lambda: next(ids))
        await asyncio.gather(*(forward(forwarder) for _ in range(10)))
        assert sorted(id for id, _ in server.asked) == list(range(100, 110))
        assert len({port for _, port in server.asked}) == 10


@pytest.mark.parametrize("lie", ["id", "question", "query", "short"])
async def test_a_reply_that_does_not_fit_is_not_believed(lie: str) -> None:
    async with upstream(lie=lie) as server:
        answered = await forward(Forwarder((server.address,)))
    assert rows(reply(answered).rr) == ["example.org. A 192.0.2.80"]  # the true one, which came second


async def test_a_truncated_reply_is_fetched_over_tcp_for_who_can_take_it() -> None:
    async with upstream(truncated=True) as server:
        forwarder = Forwarder((server.address,))
        assert rows(reply(await forward(forwarder, over_tcp=True)).rr) == ["example.org. A 192.0.2.80"]
        assert is_truncated(await forward(forwarder))


async def test_a_dead_server_is_passed_over() -> None:
    async with upstream() as server:
        answered = await forward(Forwarder((NOBODY, server.address)))
    assert rows(reply(answered).rr) == ["example.org. A 192.0.2.80"]


async def test_a_silent_server_is_given_up_and_all_silent_is_servfail_with_the_reason() -> None:
    async with upstream(silent=True) as server:
        got = reply(await forward(Forwarder((server.address,), seconds=0.05)))
    assert got.header.rcode == Rcode.SERVFAIL
    assert got.ar[0].rdata[0].data[2:].decode() == f"no answer from {server.address}"


async def test_a_refusal_is_handed_on_only_if_no_other_server_answers() -> None:
    async with upstream(rcode=Rcode.REFUSED) as refusing, upstream() as server:
        assert reply(await forward(Forwarder((refusing.address,)))).header.rcode == Rcode.REFUSED
        assert (
            reply(await forward(Forwarder((refusing.address, server.address)))).header.rcode == Rcode.NOERROR
        )


@pytest.mark.parametrize("break_off", [True, False])
async def test_a_tcp_reply_that_is_cut_or_false_is_not_believed(break_off: bool) -> None:
    async with upstream(truncated=True, tcp_lie=not break_off, break_off=break_off) as server:
        got = reply(await forward(Forwarder((server.address,)), over_tcp=True))
    assert got.header.rcode == Rcode.SERVFAIL


async def test_queries_in_flight_are_bounded() -> None:
    async with upstream(silent=True) as server:
        forwarder = Forwarder((server.address,), seconds=30)
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(forward(forwarder)) for _ in range(limits.FORWARD_CONCURRENT)]
            await asyncio.sleep(0)
            got = reply(await forward(forwarder))
            for task in waiting:
                task.cancel()
    assert got.header.rcode == Rcode.SERVFAIL
    assert b"too many queries" in got.ar[0].rdata[0].data
    assert "0 in flight" in repr(forwarder)


@pytest.mark.parametrize("count", [0, limits.FORWARD_SERVERS + 1])
def test_upstream_servers_are_some_and_bounded(count: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 8"):
        Forwarder((NOBODY,) * count)


@pytest.mark.needs("dig")
async def test_dig_through_our_server_gets_both_worlds() -> None:
    async with upstream(answers=[RR("example.org", Kind.A, rdata=A("192.0.2.81"))]) as server:
        responder = Responder(Zone(), FakeNames(), forwarder=Forwarder((server.address,)))
        ours = DnsServer(responder, IPv4Address("127.0.0.1"), 0)
        await ours.start()
        assert await dig(ours.address, "+short", "example.org") == "192.0.2.81\n"
        assert await dig(ours.address, "+short", "+tcp", "example.org") == "192.0.2.81\n"
        assert await dig(ours.address, "+short", "alice.overlay") == "127.80.3.1\n"
        assert "NXDOMAIN" in await dig(ours.address, "nobody.overlay")
        assert len(server.asked) == 2
        await ours.close()
        await responder.close()
