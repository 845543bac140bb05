"""Facts about peers that mean no good, and copiers on the way, with real endpoints: whom they can make us send to, and what."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from tests.lab.attackers import Attacker, Tap
from tests.lab.beacons import LabBeacon
from tests.lab.endpoints import Echo, Lab, key_of, lab, until
from tunnels import limits
from tunnels.addresses import Address, BeaconUrl, RelayAddress
from tunnels.bucket import Bucket
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.checks import CHECK, Ping
from tunnels.paths.mtu import ANSWER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tunnels.driver import TunnelDriver

ALICE, BOB = key_of("alice").endpoint_id, key_of("bob").endpoint_id
LARGEST_CHECK = 100
"""Bytes of a ping or a pong, which is what others may get of us, with room."""


@pytest.fixture
async def here() -> AsyncIterator[Lab]:
    """Alice and bob, who answers; mallory comes when the test begins."""
    async with lab() as made:
        made.accepts["bob"] = Echo
        for name in ("alice", "bob"):
            made.start(name)
        yield made


async def driver_of(here: Lab, name: str) -> TunnelDriver:
    """The tunnel of that name's endpoint to bob, with checks going both ways."""
    driver = await here.endpoints[name].connect(BOB)
    await until(lambda: driver.paths._attention.is_heard)
    return driver


async def talk(here: Lab, words: bytes = bytes(200_000)) -> None:
    stream = await here.open("alice", "bob")
    stream.transport.write(words)
    stream.transport.write_eof()
    await until(lambda: stream.ended.is_set() and len(stream.received) == len(words), 20.0)
    stream.transport.abort()


def offer(driver: TunnelDriver, candidates: list[Candidate]) -> None:
    """Tell bob these candidates, past all bounds of our own."""
    driver.paths._offers.own = tuple(candidates)
    driver.paths._offers.renew(0.0)
    driver.paths._plan(0.0)
    driver.schedule_flush()


def victims(sockets: list[Attacker]) -> list[Candidate]:
    found = [Address.of(*sock._socket.getsockname()) for sock in sockets]
    return [Candidate(address, CandidateKind.SERVER_REFLEXIVE) for address in found]


async def test_a_peer_that_names_others_makes_us_send_them_a_few_pings_and_no_more(here):
    here.start("mallory")
    here.has_contacts.add("bob")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(Attacker("127.0.0.77")) for _ in range(40)]
        named = victims(sockets)
        driver = await driver_of(here, "mallory")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number in range(150):  # each time others, so that those of before are new again
            offer(driver, named[number % 40 :] + named[: number % 40])
            await asyncio.sleep(0.01)
        await talk(here)
        got = [sock.received() for sock in sockets]
        seconds = loop.time() - begun
    assert 0 < sum(map(len, got)) <= limits.PINGS_PER_SECOND * (seconds + 1)
    assert max(len(datagram) for each in got for datagram in each) < LARGEST_CHECK
    (bobs,) = [one for one in here.endpoints["bob"]._drivers if one.tunnel.remote_id != ALICE]
    assert len(bobs.paths._table) <= limits.MAX_PATHS


async def test_strangers_together_make_us_send_others_no_more_than_a_few(here):
    here.endpoints["bob"]._whereabouts._strangers_pings = Bucket(20)
    with Attacker("127.0.0.77") as victim, Attacker("127.0.0.78") as other:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        drivers = []
        for number in range(8):
            here.start(f"mallory {number}")
            drivers.append(await driver_of(here, f"mallory {number}"))
        for number in range(100):
            for driver in drivers:
                offer(driver, victims([victim, other][number % 2 :][:1]))
            await asyncio.sleep(0.01)
        await talk(here)
        got = victim.received() + other.received()
        seconds = loop.time() - begun
    assert 0 < len(got) <= 20 * (seconds + 1)
    assert max(map(len, got)) < LARGEST_CHECK


@pytest.mark.parametrize("is_contact", [False, True], ids=["stranger", "contact"])
async def test_a_peer_cannot_make_us_connect_to_this_machine(here, is_contact):
    """Not even a contact: nobody's relay is at our own loopback, unless ours is."""
    here.start("mallory")
    if is_contact:
        here.has_contacts.add("bob")
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.setblocking(False)
        port = service.getsockname()[1]
        texts = [
            f"{scheme}://{host}:{port}" for scheme in ("https", "http") for host in ("127.0.0.1", "localhost")
        ]
        relays = [RelayAddress(BeaconUrl.parse(text), key_of("mallory").endpoint_id) for text in texts]
        driver = await driver_of(here, "mallory")
        offer(driver, [Candidate(relay, CandidateKind.RELAY) for relay in relays])
        await until(lambda: driver.paths._offers.due == float("inf"))  # it was heard, and answered
        await talk(here)
        assert here.endpoints["bob"].relays() == ()
        with pytest.raises(BlockingIOError):
            service.accept()


async def test_a_stranger_cannot_make_us_connect_to_a_beacon_and_a_contact_can(here):
    """Bob is at home at a beacon on this machine, so that others here are not out of the question."""
    async with LabBeacon(201) as home, LabBeacon(202) as named:
        here.start("carol", beacons=(home.url,))
        here.accepts["carol"] = Echo
        carol = here.endpoints["carol"]
        await until(lambda: carol._transport.relays.home)
        for name in ("mallory", "dave"):
            here.start(name)
            driver = await here.endpoints[name].connect(carol.endpoint_id)
            await until(lambda driver=driver: driver.paths._attention.is_heard)
            relay = RelayAddress(named.url, key_of(name).endpoint_id)
            offer(driver, [Candidate(relay, CandidateKind.RELAY)])
            await until(lambda driver=driver: driver.paths._offers.due == float("inf"))
            if name == "mallory":
                assert named.requests == 0
                assert [status.url for status in carol.relays()] == [home.url]
                here.has_contacts.add("carol")
        await until(lambda: named.requests)


async def test_complaints_and_checks_without_end_are_answered_within_bounds_and_disturb_nobody(here):
    here.start("mallory")
    driver = await driver_of(here, "mallory")
    mallory, bob = here.endpoints["mallory"], here.endpoints["bob"]
    sealer, to = driver.paths.exchange.sealer, driver.paths.exchange.peer_connection_id
    tap, loop = Tap(bob), asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(60):
        pings = [sealer.seal(Ping(bytes(12), is_suspect=True), to) for _ in range(100)]
        mallory._transport.send(pings, bob.addresses[0])
        await asyncio.sleep(0.005)
    sent = sum(datagram[0] == CHECK for datagram in tap.datagrams)
    await talk(here)
    seconds = loop.time() - begun
    assert sent <= (seconds + 1) * (limits.PINGS_PER_SECOND + limits.STANDBY_PATHS * limits.PONGS_PER_SECOND)
    (bobs,) = [one for one in bob._drivers if one.tunnel.remote_id == mallory.endpoint_id]
    assert bobs.is_usable
    assert len(bobs.paths.trace) <= limits.TRACE_ENTRIES


async def test_checks_and_data_replayed_from_elsewhere_get_a_few_pings_and_no_data(here):
    alice, bob = here.endpoints["alice"], here.endpoints["bob"]
    tap = Tap(alice)
    driver = await driver_of(here, "alice")
    await talk(here)
    assert any(datagram[0] == CHECK for datagram in tap.datagrams)
    recorded = list(tap.datagrams)
    loop = asyncio.get_running_loop()
    with Attacker() as attacker:
        begun = loop.time()
        await attacker.flood(recorded * 5, bob.addresses[0])
        await talk(here)
        got, seconds = attacker.received(), loop.time() - begun
    pings = [datagram for datagram in got if datagram[0] == CHECK]
    assert len(pings) <= limits.STRANGER_PINGS_PER_SECOND * (seconds + 1)
    assert len(got) - len(pings) <= limits.PROBE_ANSWERS_PER_SECOND * (seconds + 1)
    assert {datagram[0] for datagram in got} <= {CHECK, ANSWER}
    assert max(map(len, got), default=0) < LARGEST_CHECK
    assert bob.status()[0].address == alice.addresses[0]
    assert len(driver.paths._table) == 1


async def test_a_copier_on_the_way_who_is_always_first_gets_no_data(here):
    """Every datagram of alice's comes from the copier's address before it comes from hers."""
    alice, bob = here.endpoints["alice"], here.endpoints["bob"]
    await driver_of(here, "alice")
    send = alice._transport.send
    loop = asyncio.get_running_loop()
    with Attacker() as copier:

        def copied(datagrams: list[bytes], address: Address, **options: bool) -> bool:
            for datagram in datagrams:
                copier.send(datagram, address)
            return send(datagrams, address, **options)

        alice._transport.send = copied
        begun = loop.time()
        await talk(here, bytes(2_000_000))
        got, seconds = copier.received(), loop.time() - begun
        assert bob.status()[0].address == alice.addresses[0]
        assert {datagram[0] for datagram in got} <= {CHECK, ANSWER}
        assert max(map(len, got)) < LARGEST_CHECK
        most = limits.PINGS_PER_SECOND + limits.PONGS_PER_SECOND + limits.PROBE_ANSWERS_PER_SECOND
        assert len(got) <= most * (seconds + 1)
        alice._transport.send = send
        await talk(here)
        assert bob.status()[0].address == alice.addresses[0]
