"""Facts about endpoints, told by real ones on 127.0.0.1: connecting, failing, losing each other, shutting down."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import socket
from math import inf
from random import Random

import pytest

from tests.lab.beacons import LabBeacon
from tests.lab.endpoints import Echo, Lab, Peer, key_of, lab, until
from tunnels import limits
from tunnels.addresses import Address, BeaconUrl
from tunnels.demux import KINDS, DatagramKind
from tunnels.errors import (
    ConfigurationError,
    TunnelClosed,
    TunnelError,
    TunnelLost,
    Unreachable,
    WrongIdentity,
)
from tunnels.events import CloseCode, TunnelState
from tunnels.quic.engine import ENGINE_NAMES

PAIRS = list(itertools.product(ENGINE_NAMES, ENGINE_NAMES))[
    :3
]  # the fourth, twice the slow one, shows nothing new


@pytest.fixture
async def here():
    async with lab() as the_lab:
        yield the_lab


@pytest.fixture
def impatient(monkeypatch):
    """The waits that only real networks need are short."""
    monkeypatch.setattr(limits, "BACKOFF_FIRST", 0.05)
    monkeypatch.setattr(limits, "REDIAL_JITTER", 0.01)
    monkeypatch.setattr(limits, "SUSPECT_AFTER", 0.2)
    monkeypatch.setattr(limits, "DIAL_ATTEMPT_TIMEOUT", 1.0)
    monkeypatch.setattr(limits, "SUPERSEDED_LINGER", 0.1)
    monkeypatch.setattr(limits, "CLOSE_LINGER", 0.1)


def silent_socket() -> socket.socket:
    """A UDP port at which nothing ever answers."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


async def echoes(here: Lab, opener: str, acceptor: str, words: bytes) -> bool:
    """Whether a stream carries words there and back, in both directions to their end."""
    protocol = await here.open(opener, acceptor)
    protocol.transport.write(words)
    protocol.transport.write_eof()
    return await protocol.lost is None and protocol.received == words


def address_of(sock: socket.socket) -> Address:
    return Address.of(*sock.getsockname())


# --- connecting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engines", PAIRS, ids=["-".join(pair) for pair in PAIRS])
async def test_a_connection_is_made_once_and_serves_both_directions(here, engines):
    for name, engine in zip(("alice", "bob"), engines, strict=True):
        here.start(name, engine=engine)
        here.accepts[name] = Echo
    assert await echoes(here, "alice", "bob", b"over")
    assert await echoes(here, "bob", "alice", b"and back")
    for endpoint, other, is_client in (
        (here.endpoints["alice"], here.endpoints["bob"], True),
        (here.endpoints["bob"], here.endpoints["alice"], False),
    ):
        (status,) = endpoint.status()
        assert status.endpoint_id == other.endpoint_id
        assert status.state is TunnelState.OPEN
        assert (status.is_client, status.is_current) == (is_client, True)
        assert status.address == other.addresses[0]
        assert status.age >= 0
        assert status.bytes_received == status.bytes_sent == len("overand back")


async def test_many_who_ask_at_once_share_one_dial(here):
    here.start("alice")
    here.start("bob")
    bob = here.endpoints["bob"].endpoint_id
    drivers = await asyncio.gather(*(here.endpoints["alice"].connect(bob) for _ in range(50)))
    assert len(set(drivers)) == 1
    assert len(here.endpoints["bob"]._drivers) == 1


@pytest.mark.parametrize("engines", PAIRS, ids=["-".join(pair) for pair in PAIRS])
async def test_a_ping_takes_a_measured_time_over_a_known_path(here, engines):
    for name, engine in zip(("alice", "bob"), engines, strict=True):
        here.start(name, engine=engine)
    bob = here.endpoints["bob"]
    seconds, address = await here.endpoints["alice"].ping(bob.endpoint_id)
    assert 0 <= seconds < 5
    assert address == bob.addresses[0]
    answers = await asyncio.gather(*(here.endpoints["alice"].ping(bob.endpoint_id) for _ in range(20)))
    assert len(answers) == 20


async def test_an_endpoint_does_not_dial_itself(here):
    alice = here.start("alice")
    with pytest.raises(Unreachable, match="our own endpoint"):
        await alice.connect(alice.endpoint_id)


async def test_of_several_addresses_one_that_works_is_enough(here):
    bob = here.start("bob")
    here.accepts["bob"] = Echo
    here.start("alice", bind=("127.0.0.1", "::1"))
    with silent_socket() as one, silent_socket() as two:
        real = bob.addresses[0]
        for order in itertools.permutations([address_of(one), real, address_of(two), Address.of("::1", 9)]):
            here.found[bob.endpoint_id] = order
            assert await echoes(here, "alice", "bob", b"found")
            assert here.endpoints["alice"].status()[0].address == real
            here.endpoints["alice"].disconnect(bob.endpoint_id, "once more")


async def test_addresses_of_no_use_do_not_keep_the_dial_from_ending(here):
    here.start("alice", connect_timeout=0.3)
    nobody = key_of("nobody").endpoint_id
    here.found[nobody] = (Address.of("::1", 9), Address.of("fe80::1%nolink0", 9), Address.of("127.0.0.1", 9))
    with pytest.raises(Unreachable):
        await here.endpoints["alice"].connect(nobody)


# --- the wrong one answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("engines", PAIRS, ids=["-".join(pair) for pair in PAIRS])
async def test_another_endpoint_at_the_address_is_told_in_one_line(here, engines):
    alice, eve = here.start("alice", engine=engines[0]), here.start("eve", engine=engines[1])
    bob = key_of("bob").endpoint_id
    here.found[bob] = eve.addresses
    with pytest.raises(WrongIdentity) as caught:
        await alice.connect(bob)
    assert "\n" not in str(caught.value)
    assert bob.short in str(caught.value)
    assert eve.endpoint_id.short in str(caught.value)
    await until(lambda: not any(driver.is_usable for driver in eve._drivers))
    assert here.accepted["eve"] == []
    with pytest.raises(WrongIdentity, match="not tried again for 1 s"):
        await alice.connect(bob)


async def test_where_only_strangers_answer_the_silent_addresses_are_told(here):
    alice, eve = here.start("alice", connect_timeout=0.5), here.start("eve")
    bob = key_of("bob").endpoint_id
    with silent_socket() as nobody:
        here.found[bob] = (*eve.addresses, address_of(nobody))
        with pytest.raises(Unreachable, match=f"did not answer at {address_of(nobody)};"):
            await alice.connect(bob)


async def test_a_stranger_who_answers_first_does_not_stand_in_the_way(here):
    """Behind an address of somebody's home network may stand another endpoint in ours."""
    here.start("alice")
    eve, bob = here.start("eve"), here.start("bob")
    here.accepts["bob"] = Echo
    for order in ((*eve.addresses, *bob.addresses), (*bob.addresses, *eve.addresses)):
        here.found[bob.endpoint_id] = order
        for _ in range(5):
            assert await echoes(here, "alice", "bob", b"the right one")
            here.endpoints["alice"].disconnect(bob.endpoint_id, "once more")


async def test_junk_that_answers_first_does_not_stand_in_the_way(here, impatient):
    class Junk(asyncio.DatagramProtocol):
        def connection_made(self, transport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, source) -> None:
            if data[0] & 0x80:
                self.transport.sendto(
                    b"\xc0\0\0\0\1" + data[6 + data[5] : 7 + data[5] + data[6 + data[5]]] + bytes(40), source
                )

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Junk, local_addr=("127.0.0.1", 0)
    )
    bob = here.start("bob")
    here.accepts["bob"] = Echo
    here.start("alice")
    here.found[bob.endpoint_id] = (Address.of(*transport.get_extra_info("sockname")), *bob.addresses)
    assert await echoes(here, "alice", "bob", b"found")
    transport.close()


async def test_a_refusal_is_told_with_its_reason(here):
    alice, bob = here.start("alice", connect_timeout=0.5), here.start("bob")
    bob.tunnel_opened = lambda driver: driver.close(CloseCode.BUSY, TunnelClosed("too many guests"))
    with pytest.raises(Unreachable, match=r"did not accept the connection: .*too many guests"):
        await alice.connect(bob.endpoint_id)
    assert len(bob._drivers) <= 3  # and it is not asked again and again without pause


# --- nobody answers -------------------------------------------------------------------------------------------


async def test_an_offline_endpoint_is_unreachable_in_one_line_then_at_once_then_tried_again_on_news(here):
    alice = here.start("alice", connect_timeout=0.3)
    bob = key_of("bob").endpoint_id
    with silent_socket() as nobody:
        here.found[bob] = (address_of(nobody),)
        with pytest.raises(Unreachable) as caught:
            await alice.connect(bob)
    assert "\n" not in str(caught.value)
    assert f"did not answer at {here.found[bob][0]}" in str(caught.value)
    before = len(alice._drivers)
    with pytest.raises(Unreachable, match=r"did not answer .* \(not tried again for 1 s\)"):
        await alice.connect(bob)
    assert len(alice._drivers) == before
    here.start("bob")
    here.accepts["bob"] = Echo
    alice.addresses_changed(bob)
    assert await echoes(here, "alice", "bob", b"there you are")


async def test_waits_grow_with_failures_and_end_with_success(here, impatient):
    alice = here.start("alice", connect_timeout=0.15)
    bob = key_of("bob").endpoint_id
    with silent_socket() as nobody:
        here.found[bob] = (address_of(nobody),)
        for failures in range(1, 4):
            alice._remotes.get(bob) and alice._remotes[bob].backoff.__setattr__("next_attempt", 0.0)
            with pytest.raises(Unreachable):
                await alice.connect(bob)
            assert alice._remotes[bob].backoff.failures == failures
    here.start("bob")
    here.accepts["bob"] = Echo
    alice._remotes[bob].backoff.next_attempt = 0.0
    assert await echoes(here, "alice", "bob", b"at last")
    assert alice._remotes[bob].backoff.failures == 0
    assert alice._remotes[bob].last_error is None


async def test_without_an_address_the_remedy_is_told_at_once(here):
    alice = here.start("alice")
    with pytest.raises(Unreachable, match="overlay join TICKET"):
        await alice.connect(key_of("unheard of").endpoint_id)


async def test_a_search_for_addresses_that_hangs_or_crashes_keeps_nobody_waiting(here):
    async def hang(_):
        await asyncio.get_running_loop().create_future()

    async def crash(_):
        raise ZeroDivisionError

    alice = here.start("alice", connect_timeout=0.2)
    alice._whereabouts._find_addresses = hang
    with pytest.raises(Unreachable, match="took too long"):
        await alice.connect(key_of("bob").endpoint_id)
    alice._whereabouts._find_addresses = crash
    with pytest.raises(Unreachable, match="given up"):
        await alice.connect(key_of("carol").endpoint_id)
    gc.collect()
    await until(lambda: here.problems)
    assert all(isinstance(problem["exception"], ZeroDivisionError) for problem in here.problems)
    here.problems.clear()


async def test_who_stops_waiting_for_a_dial_disturbs_nobody_else(here):
    here.start("alice")
    bob = here.start("bob")
    gate = asyncio.Event()
    find = here.find

    async def slow(endpoint_id):
        await gate.wait()
        return await find(endpoint_id)

    here.endpoints["alice"]._find_addresses = slow
    first, second = (here.spawn(here.endpoints["alice"].connect(bob.endpoint_id), name) for name in "12")
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert (await second).is_usable
    assert first.cancelled()


async def test_an_endpoint_that_dials_us_while_we_fail_to_reach_it_answers_our_call(here):
    alice = here.start("alice")
    bob = here.start("bob")
    with silent_socket() as nobody:
        here.found[bob.endpoint_id] = (address_of(nobody),)
        waiting = here.spawn(alice.connect(bob.endpoint_id), "waits")
        await asyncio.sleep(0)
        await bob.connect(alice.endpoint_id)
        driver = await waiting
        assert driver.is_usable
        assert not driver.tunnel.is_client


# --- both at once ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engines", PAIRS, ids=["-".join(pair) for pair in PAIRS])
async def test_simultaneous_connects_end_in_one_connection_and_lose_no_stream(here, engines, monkeypatch):
    monkeypatch.setattr(
        limits, "SUPERSEDED_LINGER", 600.0
    )  # streams arrive before, however busy the machine is
    rounds = []
    for number in range(8):
        names = f"alice{number}", f"bob{number}"
        for name, engine in zip(names, engines, strict=True):
            here.start(name, engine=engine)
            here.accepts[name] = Echo
        rounds.append(names)
    results = await asyncio.gather(
        *(
            echoes(here, *order, b"%d" % number * 1000)
            for names in rounds
            for order in (names, names[::-1])
            for number in range(3)
        )
    )
    assert results == [True] * len(rounds) * 6
    monkeypatch.setattr(limits, "SUPERSEDED_LINGER", 0.05)
    for driver in [each for endpoint in here.endpoints.values() for each in endpoint._drivers]:
        if driver._linger is not None and driver.is_usable:
            driver.supersede()  # again, to linger for a shorter while
    for names in rounds:
        one, other = (here.endpoints[name] for name in names)
        await until(lambda: len(one.status()) == len(other.status()) == 1)  # noqa: B023
        assert one.status()[0].is_current
        assert other.status()[0].is_current
        assert one.status()[0].is_client != other.status()[0].is_client
        assert one.status()[0].is_client == (one.endpoint_id < other.endpoint_id)


async def test_a_stream_on_the_connection_that_gives_way_lives_to_its_end(here, monkeypatch):
    monkeypatch.setattr(limits, "SUPERSEDED_LINGER", 0.02)
    low, high = sorted(("alice", "bob"), key=lambda name: key_of(name).endpoint_id)
    here.start(low)
    here.start(high)
    here.accepts[low] = Echo
    old = await here.open(high, low)
    remote = here.endpoints[low]._remotes[key_of(high).endpoint_id]
    remote.dial = here.spawn(here.endpoints[low]._dialer._dial(remote), "as if both had dialled")
    await until(lambda: len(here.endpoints[high].status()) == 2)
    assert [status.is_current for status in here.endpoints[high].status()] == [False, True]
    for _ in range(20):
        before = len(old.received)
        old.transport.write(b"still going")
        await until(lambda: len(old.received) > before)  # noqa: B023
        await asyncio.sleep(0.005)
    old.transport.write_eof()
    assert await old.lost is None
    await until(lambda: len(here.endpoints[high].status()) == len(here.endpoints[low].status()) == 1)


# --- falling silent and coming back ---------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINE_NAMES)
async def test_a_restarted_peer_is_noticed_by_who_waits_on_the_old_connection(here, impatient, engine):
    """Nobody asks for a new stream: the old one must get its error, and a fresh connection be there, all the same."""
    here.start("alice", engine=engine)
    here.start("bob", engine=engine)
    here.accepts["bob"] = Echo
    old = await here.open("alice", "bob")
    old.transport.write(b"x")
    await until(lambda: old.received)
    here.start("bob", engine=engine, port=here.crash("bob"))
    old.transport.write(b"anybody?")
    assert isinstance(await asyncio.wait_for(old.lost, 10), TunnelClosed)
    (status,) = here.endpoints["alice"].status()
    assert status.is_current
    assert await echoes(here, "alice", "bob", b"again")


async def test_after_a_restart_a_ping_and_a_stream_succeed_soon(here, impatient):
    here.start("alice")
    bob = here.start("bob")
    here.accepts["bob"] = Echo
    await here.endpoints["alice"].ping(bob.endpoint_id)
    here.start("bob", port=here.crash("bob"))
    seconds, _ = await asyncio.wait_for(here.endpoints["alice"].ping(bob.endpoint_id), 10)
    assert seconds < 5
    assert await echoes(here, "alice", "bob", b"again")


async def test_a_client_that_restarted_ends_its_old_streams_when_it_comes_back(here, impatient):
    here.start("alice")
    here.start("bob")
    here.accepts["bob"] = Peer
    old = await here.open("alice", "bob")
    old.transport.write(b"x")
    theirs = await here.peer_of("bob")
    here.crash("alice")
    here.start("alice")
    await here.open("alice", "bob")
    error = await asyncio.wait_for(theirs.lost, 10)
    assert isinstance(error, TunnelClosed)
    assert "restarted" in str(error)


async def test_an_endpoint_says_what_would_make_it_faster(here, monkeypatch):
    monkeypatch.setattr(limits, "SOCKET_BUFFER", 4096)
    alice = here.start("alice")
    assert alice.advice() == ()
    monkeypatch.setattr(limits, "SOCKET_BUFFER", 1 << 40)
    (advice,) = alice.advice()
    assert "sysctl" in advice


class Cable:
    """Between an endpoint and its socket: what it sends can be cut off."""

    def __init__(self, endpoint) -> None:
        self._transport = endpoint._transport._udp
        self._send = endpoint._transport._udp.send
        self.is_cut = False
        self.cut_ids: set[bytes] = set()
        self._transport.send = self._pass

    def _pass(self, datagrams, address) -> bool:
        passed = [datagram for datagram in datagrams if datagram[1:9] not in self.cut_ids]
        return not passed or self.is_cut or self._send(passed, address)


async def test_a_connection_that_only_stalled_loses_nothing_and_serves_who_waits(here, impatient):
    alice, bob = here.start("alice"), here.start("bob")
    here.accepts["bob"] = Echo
    stream = await here.open("alice", "bob")
    cable = Cable(alice)
    cable.is_cut = True
    stream.transport.write(b"sent into the dark")
    (driver,) = alice._drivers
    await until(lambda: driver.was_suspect)
    here.found[bob.endpoint_id] = ()  # it cannot be dialled anew
    waiting = here.spawn(alice.connect(bob.endpoint_id), "waits")
    await asyncio.sleep(0.05)
    assert not waiting.done()
    cable.is_cut = False
    assert await asyncio.wait_for(waiting, 10) is driver
    await until(lambda: stream.received == b"sent into the dark")
    assert await echoes(here, "alice", "bob", b"and new ones")


async def test_a_fresh_connection_to_the_same_run_takes_over_and_the_stalled_one_recovers_beside_it(
    here, impatient
):
    alice = here.start("alice")
    here.start("bob")
    here.accepts["bob"] = Echo
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    await until(lambda: stream.received)
    cable = Cable(alice)
    cable.is_cut = True
    stream.transport.write(b"y")
    (driver,) = alice._drivers
    await until(lambda: driver.was_suspect)
    cable.is_cut = False
    await until(lambda: stream.received == b"xy")
    assert await echoes(here, "alice", "bob", b"new")
    stream.transport.write_eof()
    assert await stream.lost is None
    await until(lambda: len(alice.status()) == 1)


async def test_a_stalled_connection_whose_path_is_gone_ends_soon_after_a_fresh_one_took_over(here, impatient):
    alice, bob = here.start("alice"), here.start("bob")
    here.accepts["bob"] = Echo
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    await until(lambda: stream.received)
    (theirs,) = bob._drivers
    Cable(alice).cut_ids = theirs.connection_ids  # as if a NAT on the way had forgotten this one
    stream.transport.write(b"y")
    error = await asyncio.wait_for(stream.lost, 10)
    assert isinstance(error, TunnelLost)
    assert "a new connection took over" in str(error)
    assert await echoes(here, "alice", "bob", b"on the new one")


async def test_a_lost_connection_in_use_is_had_again_before_anybody_asks(here, impatient):
    alice = here.start("alice", idle_timeout=1.0, keepalive=0.2, connect_timeout=0.3)
    here.start("bob")
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    await here.peer_of("bob")
    port = here.crash("bob")
    assert isinstance(await asyncio.wait_for(stream.lost, 10), TunnelLost)
    await until(lambda: any(remote.backoff.failures >= 2 for remote in alice._remotes.values()))
    here.start("bob", port=port)
    await until(lambda: any(status.is_current for status in alice.status()))
    await until(lambda: not any(remote.redial for remote in alice._remotes.values()))


async def test_attempts_to_have_it_again_come_to_an_end(here, impatient, monkeypatch):
    monkeypatch.setattr(limits, "RECONNECT_ATTEMPTS", 2)
    alice = here.start("alice", idle_timeout=0.5, keepalive=0.1, connect_timeout=0.15)
    here.start("bob")
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    await here.peer_of("bob")
    here.crash("bob")
    assert isinstance(await asyncio.wait_for(stream.lost, 10), TunnelLost)
    remote = alice._remotes[key_of("bob").endpoint_id]
    await until(lambda: remote.redial is None and remote.dial is None and remote.backoff.failures)
    assert not alice.status()


async def test_an_orderly_close_by_the_peer_is_told_and_nobody_dials_again(here):
    alice, bob = here.start("alice"), here.start("bob")
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    await here.peer_of("bob")
    await bob.close()
    error = await stream.lost
    assert type(error) is TunnelClosed
    assert "shut down" in str(error)
    remote = alice._remotes[bob.endpoint_id]
    assert (remote.dial, remote.redial, remote.current) == (None, None, None)


@pytest.mark.parametrize("engines", PAIRS, ids=["-".join(pair) for pair in PAIRS])
async def test_a_close_that_was_lost_is_told_again(here, engines):
    for name, engine in zip(("alice", "bob"), engines, strict=True):
        here.start(name, engine=engine)
    alice, bob = here.endpoints["alice"], here.endpoints["bob"]
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    theirs = await here.peer_of("bob")
    cable = Cable(alice)
    cable.is_cut = True
    alice.disconnect(bob.endpoint_id, "goodbye")
    cable.is_cut = False
    theirs.transport.write(b"are you there?")
    error = await asyncio.wait_for(theirs.lost, 5)
    assert type(error) is TunnelClosed
    assert "goodbye" in str(error)


async def test_an_unused_connection_is_closed_and_had_again(here, monkeypatch):
    monkeypatch.setattr(limits, "UNUSED_TIMEOUT", 0.15)
    alice = here.start("alice", keepalive=0.05)
    bob = here.start("bob", keepalive=0.05)
    here.accepts["bob"] = Echo
    assert await echoes(here, "alice", "bob", b"once")
    held = await here.open("alice", "bob")
    held.transport.write(b"x")
    await until(lambda: held.received)
    (driver,) = alice._drivers
    await until(lambda: driver.tunnel.opened_at + 0.5 < asyncio.get_running_loop().time())
    assert driver.is_usable  # a stream, however quiet, is use
    held.transport.close()
    await held.lost
    await until(lambda: not alice.status() and not bob.status())
    assert type(driver.tunnel.error) is TunnelClosed
    assert await echoes(here, "alice", "bob", b"twice")


# --- shutting down --------------------------------------------------------------------------------------------


def timers_of(loop) -> list:
    return [timer for timer in getattr(loop, "_scheduled", []) if not timer.cancelled()]


@pytest.mark.parametrize("engine", ENGINE_NAMES)
async def test_shutdown_leaves_no_task_timer_or_socket(engine):
    loop = asyncio.get_running_loop()
    tasks_before, timers_before = asyncio.all_tasks(), len(timers_of(loop))
    async with lab() as here:
        alice, bob = here.start("alice", engine=engine), here.start("bob", engine=engine)
        here.start("carol", engine=engine)
        stalled = await here.open("alice", "bob")
        stalled.transport.write(bytes(5_000_000))
        (await here.peer_of("bob")).transport.pause_reading()
        closing = await here.open("alice", "bob")
        closing.transport.write(b"x")
        closing.transport.close()
        (await here.peer_of("bob", 2)).transport.close()
        await here.open("carol", "alice")
        with silent_socket() as nobody:
            silent = key_of("nobody").endpoint_id
            here.found[silent] = (address_of(nobody),)
            waiting = here.spawn(alice.connect(silent), "waits for nobody")
            pinging = here.spawn(bob.ping(alice.endpoint_id), "pings")
            await asyncio.sleep(0.01)
            for endpoint in here.endpoints.values():
                await endpoint.close()
            with pytest.raises(TunnelError):
                await waiting
            await asyncio.wait([pinging])
            assert pinging.exception() is None or isinstance(pinging.exception(), TunnelError)
        await stalled.lost
        assert asyncio.all_tasks() == tasks_before
        for endpoint in here.endpoints.values():
            assert endpoint.addresses == ()
            assert not endpoint._drivers
            assert not endpoint.reception.by_connection_id
            assert not endpoint.incoming
            assert endpoint.incoming.handshakes.total == 0
        await asyncio.sleep(0)
        assert len(timers_of(loop)) == timers_before
        with pytest.raises(TunnelClosed, match="shut down"):
            await alice.connect(bob.endpoint_id)
        await alice.close()


async def test_a_taken_port_is_told_at_start(here):
    alice = here.start("alice")
    with pytest.raises(ConfigurationError, match="is taken"):
        here.start("bob", port=alice.addresses[0].port)


async def test_its_repr_says_who_and_where(here):
    alice = here.start("alice")
    assert alice.endpoint_id.short in repr(alice)
    assert str(alice.addresses[0]) in repr(alice)
    here.start("bob")
    driver = await alice.connect(here.endpoints["bob"].endpoint_id)
    assert "open client" in repr(driver)


# --- the path below -----------------------------------------------------------------------------------------------


class NarrowCable(Cable):
    """A path that silently loses whatever is larger than it carries."""

    def __init__(self, endpoint, size: int = 65507) -> None:
        super().__init__(endpoint)
        self.size = size
        self.largest = 0

    def _pass(self, datagrams, address) -> bool:
        self.largest = max([self.largest, *map(len, datagrams)])
        return super()._pass([datagram for datagram in datagrams if len(datagram) <= self.size], address)


def mtu_of(endpoint) -> int:
    (driver,) = endpoint._drivers
    return driver.carrier.mtu.size


async def test_the_size_of_the_path_is_found_in_each_direction(here):
    alice, bob = here.start("alice"), here.start("bob")
    here.accepts["bob"] = Echo
    NarrowCable(bob, 1460)
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    await until(lambda: mtu_of(alice) == limits.SHORT_PATH_PACKET and mtu_of(bob) == 1452)
    data = bytes(1_000_000)
    stream.received.clear()
    stream.transport.write(data)
    await until(lambda: stream.received == data)


async def test_a_path_that_shrinks_without_a_word_holds_a_transfer_up_for_seconds_only(here, monkeypatch):
    monkeypatch.setattr(limits, "SHORT_PATH_RTT", inf)  # packets are large, however busy the machine is
    alice = here.start("alice")
    here.start("bob")
    path = NarrowCable(alice)
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    theirs = await here.peer_of("bob")
    await until(lambda: mtu_of(alice) == limits.SHORT_PATH_PACKET)
    path.size = 1300
    path.largest = 0
    data = bytes(3_000_000)
    stream.transport.write(data)
    async with asyncio.timeout(8):
        await until(lambda: len(theirs.received) == 1 + len(data), 8)
    assert path.largest > 8000  # it was tried
    assert mtu_of(alice) == limits.MIN_PATH_MTU


class CheckCable(Cable):
    """Passes checks of the path only, while it is cut."""

    def _pass(self, datagrams, address) -> bool:
        if self.is_cut:
            datagrams = [datagram for datagram in datagrams if KINDS[datagram[0]] is DatagramKind.CHECK]
        return not datagrams or self._send(datagrams, address)


async def test_a_path_that_heals_is_noticed_at_once_however_long_quic_waits(here):
    alice, bob = here.start("alice"), here.start("bob")
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    theirs = await here.peer_of("bob")
    await until(lambda: theirs.received)
    cables = Cable(alice), CheckCable(bob)
    for cable in cables:
        cable.is_cut = True
    (driver,) = alice._drivers
    pokes = []
    poke, driver.tunnel.poke = driver.tunnel.poke, lambda: pokes.append(poke())
    stream.transport.write(b"y")
    await until(lambda: driver.tunnel.probe_timeouts >= limits.SUSPECT_PROBES)
    assert not pokes
    cables[0]._pass = CheckCable._pass.__get__(cables[0])
    alice._transport._udp.send = cables[0]._pass
    await until(lambda: pokes)  # a check of ours got through, and QUIC is told to try now
    for cable in cables:
        cable.is_cut = False
    await until(lambda: theirs.received == b"xy")


async def test_junk_in_the_shape_of_fragments_and_probes_disturbs_nothing(here):
    here.start("alice")
    bob = here.start("bob")
    here.accepts["bob"] = Echo
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    await until(lambda: stream.received)
    (theirs,) = bob._drivers
    random = Random(9)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
        attacker.setblocking(False)
        for connection_id in (*theirs.connection_ids, bytes(8)):
            for _ in range(2000):
                first = random.choice((0x20, 0x21, 0x22, 0x23))
                junk = bytes([first]) + connection_id + random.randbytes(random.randrange(60))
                with contextlib.suppress(BlockingIOError):
                    attacker.sendto(junk, bob.addresses[0].sockaddr)
            await asyncio.sleep(0.01)
    assert len(theirs.carrier.reassembler) <= limits.MAX_PARTIAL_PACKETS
    data = bytes(500_000)
    stream.received.clear()
    stream.transport.write(data)
    await until(lambda: stream.received == data)


async def test_who_dials_tells_where_it_is_and_a_stranger_is_told_no_local_address(here):
    alice, bob = here.start("alice"), here.start("bob")
    here.accepts["bob"] = Echo
    assert await echoes(here, "alice", "bob", b"hello")
    (dialled,), (strangers,) = alice._drivers, bob._drivers
    assert [candidate.address for candidate in dialled.paths.own_candidates] == list(alice.addresses)
    assert strangers.paths.own_candidates == ()
    bob._whereabouts._is_known = lambda endpoint_id: endpoint_id == alice.endpoint_id
    bob._whereabouts.candidates_changed()
    assert [candidate.address for candidate in strangers.paths.own_candidates] == list(bob.addresses)


# --- at home --------------------------------------------------------------------------------------------------


async def test_being_at_home_is_told_though_it_is_where_one_was_to_be():
    async with LabBeacon() as beacon, lab() as here:
        here.start("alice", beacons=(beacon.url,))
        await until(lambda: here.home_changes["alice"] == 1)
        beacon.cut()
        await until(lambda: here.home_changes["alice"] == 2)


async def test_where_our_beacon_cannot_be_had_that_is_why_nobody_is_found(here, caplog):
    with caplog.at_level("INFO"):
        alice = here.start("alice", beacons=(BeaconUrl.parse("http://127.0.0.1:1"),))
        await until(lambda: alice.relays()[0].error)
        with pytest.raises(Unreachable, match=r"our beacon 127.0.0.1:1 is not connected: Connection refused"):
            await alice.connect(key_of("somebody").endpoint_id)
    assert next(record.message for record in caplog.records if "127.0.0.1:1" in record.message).startswith(
        "beacon 127.0.0.1:1: "
    )
