"""Endpoints that nobody here chose: who they are is asked, and they learn less of us than a peer does."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from tests.lab.endpoints import Peer, key_of, lab, until
from tests.lab.redis import free_port
from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import Unreachable
from tunnels.identity import SecretKey
from tunnels.paths.candidates import PathPolicy, Tier


@pytest.fixture
async def here():
    async with lab() as made:
        yield made


@pytest.mark.parametrize("engine", ["qh3", "aioquic"])
async def test_who_answers_at_an_address_proves_who_it_is_and_no_connection_stays(here, engine):
    alice, bob = here.start("alice", engine=engine), here.start("bob", engine=engine)
    assert await alice.identify(bob.addresses[0]) == bob.endpoint_id
    await until(lambda: not bob._drivers and not alice._drivers, 15)
    assert alice.status() == bob.status() == ()


async def test_an_address_where_no_gateway_answers_is_told_in_time(here):
    alice = here.start("alice")
    began = time.monotonic()
    with pytest.raises(Unreachable, match="no gateway answered at"):
        await alice.identify(Address.of("127.0.0.1", free_port()), timeout=0.5)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("text", ["192.0.2.255:53", "224.0.0.1:7777", "0.0.0.0:7777", "127.0.0.1:53"])
async def test_what_is_nobodys_address_is_asked_nothing(here, text):
    alice = here.start("alice")
    with pytest.raises(Unreachable, match="is not to be connected to"):
        await alice.identify(Address.parse(text))
    assert not alice._drivers


async def test_who_is_to_be_reached_by_relays_only_asks_no_address(here):
    alice, bob = here.start("alice"), here.start("bob")
    here.policies["alice"] = PathPolicy.RELAY_ONLY
    with pytest.raises(Unreachable, match="is not to be connected to"):
        await alice.identify(bob.addresses[0])
    assert not bob._drivers


async def test_a_stranger_that_is_dialled_is_not_told_of_our_local_networks(here, monkeypatch):
    alice, bob = here.start("alice"), here.start("bob")
    calls = []
    monkeypatch.setattr(alice._whereabouts, "call", lambda *words: calls.append(words))
    _, stream = await alice.open_stream(bob.endpoint_id, Peer, is_stranger=True)
    assert calls == []
    assert not alice._whereabouts.is_trusted(bob.endpoint_id)
    assert all(candidate.tier is not Tier.LAN for candidate in alice._whereabouts.told_to(bob.endpoint_id))
    stream.transport.abort()
    await here.open("alice", "bob")
    assert alice._whereabouts.is_trusted(bob.endpoint_id), "now somebody here wants to reach it"


async def test_a_stranger_stays_one_for_each_that_is_asked_of_it(here):
    alice, bob = here.start("alice"), here.start("bob")
    for _ in range(2):
        _, stream = await alice.open_stream(bob.endpoint_id, Peer, is_stranger=True)
        stream.transport.abort()
    assert not alice._whereabouts.is_trusted(bob.endpoint_id)
    with contextlib.suppress(Unreachable):
        await alice.connect(SecretKey(b"n" * 32).endpoint_id, is_stranger=True)
    assert not alice._whereabouts.is_trusted(key_of("nobody").endpoint_id)


async def test_many_addresses_at_once_are_asked_and_leave_nothing_behind(here):
    alice = here.start("alice")
    others = [here.start(name) for name in ("bob", "carol", "dave")]
    places = [each.addresses[0] for each in others]
    found = await asyncio.gather(*(alice.identify(place, limits.IDENTIFY) for place in places))
    assert found == [each.endpoint_id for each in others]
    await until(lambda: not alice._drivers, 15)
