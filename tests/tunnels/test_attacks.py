"""Facts about a live endpoint under attack: bounds hold, whoever is real gets in, and nobody else is disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from random import Random

import pytest

from tests.lab.attackers import Attacker, StallingClient, Tap, initials
from tests.lab.endpoints import Echo, Lab, Peer, key_of, lab, until
from tunnels import limits
from tunnels.errors import StreamReset, TooManyStreams, TunnelClosed, TunnelError
from tunnels.handshakes import Admission
from tunnels.quic.engine import ENGINE_NAMES

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])  # what is attacked lies below the loop


@pytest.fixture(params=ENGINE_NAMES)
async def here(request):
    """Alice, and Bob who echoes and is attacked, on either engine."""
    async with lab() as the_lab:
        the_lab.start("alice")
        the_lab.start("bob", engine=request.param)
        the_lab.accepts["bob"] = Echo
        yield the_lab


@pytest.fixture
def small(monkeypatch):
    """Bounds that are quick to reach, and waits that are quickly over."""
    monkeypatch.setattr(limits, "RETRY_ABOVE", 4)
    monkeypatch.setattr(limits, "MAX_HANDSHAKES", 10)
    monkeypatch.setattr(limits, "MAX_HANDSHAKES_PER_ADDRESS", 3)
    monkeypatch.setattr(limits, "HANDSHAKE_TIMEOUT", 0.25)
    monkeypatch.setattr(limits, "CLOSE_LINGER", 0.1)
    monkeypatch.setattr(limits, "DIAL_ATTEMPT_TIMEOUT", 0.5)


@contextlib.asynccontextmanager
async def undisturbed(here: Lab, size: int):
    """Alice sends so many bytes to Bob and has them back, whatever happens meanwhile."""
    data = Random(1).randbytes(size)
    stream = await here.open("alice", "bob")
    stream.transport.set_write_buffer_limits(high=64 * 1024)
    rounds = 0

    async def send() -> None:
        nonlocal rounds
        for start in range(0, len(data), 32 * 1024):
            stream.transport.write(data[start : start + 32 * 1024])
            await until(lambda: not stream.paused)
            rounds += 1
        stream.transport.write_eof()

    sending = here.spawn(send(), "sends")
    yield stream
    await sending
    assert await asyncio.wait_for(stream.lost, 20) is None
    assert stream.received == data


async def everything_is_over(here: Lab, but: int) -> None:
    """All tables of Bob's are empty again, but for so many connections that are wanted."""
    bob = here.endpoints["bob"]
    await until(lambda: len(bob._drivers) == but)
    assert bob.incoming.handshakes.total == 0
    assert not bob.incoming.handshakes._per_source
    assert not bob.incoming
    assert set(bob.reception.by_connection_id.values()) == set(bob._drivers)
    assert len(bob.reception.by_connection_id) <= 16 * but


def most(alices: int = 0) -> int:
    """Connections Bob may have when nobody but Alice echoed a token; she may have needed several attempts."""
    return limits.RETRY_ABOVE + alices * (limits.MAX_HANDSHAKES_PER_ADDRESS + 1)


# --- junk -----------------------------------------------------------------------------------------------------


async def test_fifty_thousand_random_datagrams_do_not_disturb_a_transfer(here):
    random, to = Random(2), here.endpoints["bob"].addresses[0]
    with Attacker() as attacker:
        async with undisturbed(here, 1_000_000):
            sizes = (0, 1, 5, 9, 20, 40, 1200, 1472)
            await attacker.flood((random.randbytes(random.choice(sizes)) for _ in range(50_000)), to)
        assert attacker.received() == []
    await everything_is_over(here, but=1)
    assert here.endpoints["bob"].reception.unknown > 10_000


async def test_mutated_and_replayed_datagrams_of_real_connections_do_not_disturb_them(here, small):
    """Somebody on the way sees every datagram, and sends his own versions of them from elsewhere, and from nearby."""
    random, to = Random(3), here.endpoints["bob"].addresses[0]
    tap = Tap(here.endpoints["alice"])
    async with undisturbed(here, 300_000):
        pass
    assert len(tap.datagrams) > 100
    assert {datagram[0] >> 7 for datagram in tap.datagrams} == {0, 1}  # long headers and short ones

    def versions():
        for _ in range(6000):
            datagram = bytearray(random.choice(tap.datagrams[:20] + tap.datagrams[-100:]))
            match random.randrange(5):
                case 0:
                    del datagram[random.randrange(len(datagram)) :]
                case 1:
                    datagram += random.randbytes(random.randrange(100))
                case 2:
                    datagram[9:] = random.randbytes(len(datagram) - 9)  # junk to the right connection id
                case 3:
                    datagram[random.randrange(len(datagram))] ^= 1 << random.randrange(8)
                case _:
                    pass  # replayed as it was
            yield bytes(datagram)

    with Attacker() as elsewhere:
        async with undisturbed(here, 500_000):
            await elsewhere.flood(versions(), to)
        await until(lambda: here.endpoints["bob"].incoming.handshakes.total == 0)
    await everything_is_over(here, but=1)
    (status,) = here.endpoints["bob"].status()
    assert status.address == here.endpoints["alice"].addresses[0]


async def test_junk_to_the_right_connection_id_is_no_sign_of_life(here, monkeypatch):
    """Else whoever has seen one datagram could keep a dead connection from being noticed."""
    monkeypatch.setattr(limits, "SUSPECT_AFTER", 0.2)
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    await until(lambda: stream.received)
    here.crash("bob")
    alice = here.endpoints["alice"]
    (driver,) = alice._drivers
    stream.transport.write(b"y")
    connection_id = next(iter(driver.connection_ids))
    with Attacker() as attacker:

        def still_trusted() -> bool:
            attacker.send(b"\x40" + connection_id + bytes(30), alice.addresses[0])
            return driver.was_suspect

        await until(still_trusted)
    assert driver.paths.confirmed != attacker


async def test_an_initial_padded_outside_its_packet_breaks_no_engine_but_its_own(here, small):
    """qh3 counts only the packet towards what it may answer, and raises when that is not enough."""
    from tests.lab.attackers import _CERTIFICATE
    from tunnels.quic import aioquic_engine

    bob, to = here.endpoints["bob"], here.endpoints["bob"].addresses[0]
    factory = aioquic_engine.AioquicFactory()
    with Attacker() as attacker:
        for _ in range(20):
            client = factory.client(_CERTIFICATE, 60.0)
            client._connection._configuration.token = b""
            client._connection._peer_token = b""
            client.connect(1000.0)
            (datagram,) = client.datagrams_to_send(1000.0)
            attacker.send(datagram, to)
            await asyncio.sleep(0)
        async with undisturbed(here, 100_000):
            assert bob.incoming.handshakes.unproved <= limits.RETRY_ABOVE
            assert len(bob._drivers) <= most(alices=1)
    await everything_is_over(here, but=1)


# --- floods of first packets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINE_NAMES)
async def test_a_flood_of_first_packets_from_one_address_is_bounded_and_real_clients_get_in(
    here, small, engine
):
    bob, to = here.endpoints["bob"], here.endpoints["bob"].addresses[0]
    with Attacker() as attacker:
        await attacker.flood(initials(60, engine), to, burst=5)
        await until(lambda: bob.incoming.by_admission.get(Admission.RETRY, 0) >= 50)
        assert bob.incoming.handshakes.unproved <= limits.RETRY_ABOVE
        assert len(bob._drivers) <= most()
        async with undisturbed(here, 200_000):  # Alice is asked for a token, too, and gives it
            await attacker.flood(initials(60, engine), to, burst=5)
            assert len(bob._drivers) <= most(alices=1)
        retries = [datagram for datagram in attacker.received() if datagram[0] & 0xF0 == 0xF0]
        assert len(retries) >= 50
        assert all(len(retry) < 200 for retry in retries)
    await everything_is_over(here, but=1)
    assert bob.incoming.by_admission.get(Admission.DROP, 0) == 0


async def test_a_flood_from_many_addresses_is_bounded_and_real_clients_get_in(here, small):
    bob, to = here.endpoints["bob"], here.endpoints["bob"].addresses[0]
    flights = list(initials(100))
    with contextlib.ExitStack() as stack:
        many = [
            stack.enter_context(Attacker(f"127.7.{number // 250}.{number % 250 + 1}"))
            for number in range(300)
        ]
        for attacker, flight in zip(many, itertools.cycle(flights)):
            attacker.send(flight, to)
        await until(lambda: bob.incoming.by_admission.get(Admission.RETRY, 0) > 50)
        assert len(bob._drivers) <= most()
        async with undisturbed(here, 200_000):
            for attacker, flight in zip(many, itertools.cycle(flights)):
                attacker.send(flight, to)
                await asyncio.sleep(0)
            assert len(bob._drivers) <= most(alices=1)
    await everything_is_over(here, but=1)


async def test_first_packets_in_alices_name_do_not_keep_her_out(here, small):
    """Whoever forges sources sends from Alice's ip as well; here that is simply the same ip."""
    to = here.endpoints["bob"].addresses[0]
    with Attacker("127.0.0.1") as forger:
        await forger.flood(initials(100), to, burst=5)
        async with undisturbed(here, 100_000):
            await forger.flood(initials(50), to, burst=5)
    await everything_is_over(here, but=1)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
async def test_clients_that_echo_the_token_and_stall_are_bounded_by_address_and_in_all(
    here, small, engine, monkeypatch
):
    monkeypatch.setattr(limits, "RETRY_ABOVE", 0)
    monkeypatch.setattr(limits, "HANDSHAKE_TIMEOUT", 600.0)  # however busy the machine is, all stall at once
    bob, to = here.endpoints["bob"], here.endpoints["bob"].addresses[0]
    clients = [StallingClient("127.0.0.66", engine) for _ in range(6)]
    try:

        def talk() -> None:
            for client in clients:
                client.talk(to)

        def dropped() -> int:
            talk()
            return bob.incoming.by_admission.get(Admission.DROP, 0)

        await until(dropped)
        assert bob.incoming.handshakes.total == limits.MAX_HANDSHAKES_PER_ADDRESS
        async with undisturbed(here, 100_000):  # from another address there is still room
            talk()
        clients += [StallingClient(f"127.0.1.{number}", engine) for number in range(1, 12)]
        await until(lambda: (talk(), bob.incoming.handshakes.total == limits.MAX_HANDSHAKES)[1])
        async with undisturbed(here, 100_000):
            talk()
        assert len(bob._drivers) <= limits.MAX_HANDSHAKES + limits.MAX_HANDSHAKES_PER_ADDRESS + 1
    finally:
        for client in clients:
            client.close()
    for driver in bob._drivers:
        if not driver.is_usable:  # its time is over
            driver.tunnel._deadline = 0.0
            driver._arm()
    await everything_is_over(here, but=1)


async def test_when_all_room_is_taken_by_stallers_it_is_free_again_after_their_time(here, small, monkeypatch):
    monkeypatch.setattr(limits, "RETRY_ABOVE", 0)
    bob, to = here.endpoints["bob"], here.endpoints["bob"].addresses[0]
    clients = [StallingClient(f"127.0.2.{number}") for number in range(1, 13)]
    try:

        def full() -> bool:
            for client in clients:
                client.talk(to)
            return bob.incoming.handshakes.total == limits.MAX_HANDSHAKES

        await until(full)
    finally:
        for client in clients:
            client.close()
    async with undisturbed(here, 10_000):  # dropped at first, and let in when the stallers' time is up
        pass
    assert bob.incoming.by_admission[Admission.DROP]
    await everything_is_over(here, but=1)


# --- strangers with a key -------------------------------------------------------------------------------------


async def test_a_stranger_with_all_streams_stalled_holds_its_bound_and_disturbs_nobody(here):
    here.start("eve")
    held: list[Peer] = []

    class Stalled(Peer):
        def connection_made(self, transport) -> None:
            super().connection_made(transport)
            if transport.remote_id == key_of("eve").endpoint_id:
                transport.pause_reading()
                held.append(self)
            else:
                transport.set_protocol(echo := Echo())
                echo.connection_made(transport)

    here.accepts["bob"] = Stalled
    streams = [
        await here.open("eve", "bob") for _ in range(limits.MAX_STREAMS - 1)
    ]  # one is the control stream
    with pytest.raises(TooManyStreams):
        await here.open("eve", "bob")
    for stream in streams[:100]:
        stream.transport.write(bytes(10 * limits.MIN_STREAM_WINDOW))
    for stream in streams[100:]:
        stream.transport.write(b"x")
    async with undisturbed(here, 500_000):
        await until(lambda: len(held) == len(streams))
    held.sort(key=lambda stalled: stalled.transport.stream_id)
    await until(
        lambda: all(
            sum(map(len, stalled.transport._buffer)) == limits.MIN_STREAM_WINDOW for stalled in held[:100]
        )
    )
    assert all(
        stream.transport.get_write_buffer_size() == 9 * limits.MIN_STREAM_WINDOW for stream in streams[:100]
    )
    for stalled in held:
        stalled.transport.abort()
    assert {type(error) for error in await asyncio.gather(*(stream.lost for stream in streams))} == {
        StreamReset
    }
    async with undisturbed(here, 10_000):
        pass
    assert (await here.open("eve", "bob")).transport is not None


async def test_a_stranger_that_opens_and_gives_up_streams_without_end_leaves_nothing_behind(here):
    here.start("eve")
    here.accepts["bob"] = Peer

    async def opened() -> Peer:
        while True:
            try:
                return await here.open("eve", "bob")
            except TooManyStreams:  # those given up count until Bob has let go of them, too
                await asyncio.sleep(0.002)

    for number in range(3 * limits.MAX_STREAMS):
        stream = await opened()
        if number % 3:
            stream.transport.write(b"x")
        stream.transport.abort()
    (driver,) = here.endpoints["bob"]._drivers
    await until(lambda: driver.tunnel._highest_remote == 4 * 3 * limits.MAX_STREAMS)
    await until(lambda: driver.tunnel.stream_count == 0 and not driver._streams)
    assert len(driver.tunnel._unseen) == 0


async def test_with_all_room_taken_the_unused_make_way_and_those_in_use_stay(here, small, monkeypatch):
    monkeypatch.setattr(limits, "MAX_TUNNELS", 5)
    bob = here.endpoints["bob"]
    async with undisturbed(here, 300_000):
        here.start("friend")
        friend = await here.open("friend", "bob")
        friend.transport.write(b"x")
        await until(lambda: friend.received)
        friend.transport.close()
        await friend.lost
        for number in range(12):
            here.start(f"stranger{number}", connect_timeout=5.0)
            driver = await here.endpoints[f"stranger{number}"].connect(bob.endpoint_id)
            assert driver.is_usable
            assert len(bob._drivers) <= 5
        known = {status.endpoint_id for status in bob.status()}
        assert key_of("alice").endpoint_id in known
        assert (
            key_of("friend").endpoint_id in known
        )  # had a stream once: strangers that never had one go first
    await until(lambda: sum(bool(here.endpoints[f"stranger{n}"].status()) for n in range(12)) == 3)


async def test_with_all_room_in_use_newcomers_wait_and_nobody_is_closed(here, small, monkeypatch):
    monkeypatch.setattr(limits, "MAX_TUNNELS", 3)
    here.accepts["bob"] = Peer
    bob = here.endpoints["bob"]
    streams = []
    for name in ("alice", "carol", "dave"):
        if name != "alice":
            here.start(name)
        streams.append(await here.open(name, "bob"))
        streams[-1].transport.write(b"x")
        await here.peer_of("bob", len(streams))
    late = here.start("late", connect_timeout=0.5)
    with pytest.raises(TunnelError, match="did not answer"):
        await late.connect(bob.endpoint_id)
    assert len(bob._drivers) == 3
    assert not any(stream.lost.done() for stream in streams)
    streams[0].transport.abort()
    await until(lambda: any(not driver.tunnel.stream_count for driver in bob._drivers))
    late.addresses_changed(bob.endpoint_id)
    assert (await late.connect(bob.endpoint_id)).is_usable


async def test_one_endpoint_has_a_bounded_number_of_connections(here, monkeypatch):
    monkeypatch.setattr(limits, "MAX_TUNNELS_PER_ENDPOINT", 3)
    bob = here.endpoints["bob"]
    twins = [here.start("twin") for _ in range(8)]
    for twin in twins:
        twin._incarnation = b"the same"
        await twin.connect(bob.endpoint_id)
        assert len(bob.status()) <= 3
    await until(lambda: sum(bool(twin.status()) for twin in twins) == 3)
    for twin in twins:
        await twin.close()


async def test_the_history_of_remotes_is_bounded_and_those_in_use_are_kept(here, monkeypatch):
    monkeypatch.setattr(limits, "MAX_REMOTES", 5)
    alice = here.endpoints["alice"]
    async with undisturbed(here, 10_000):
        for number in range(30):
            with pytest.raises(TunnelError, match="no address"):
                await alice.connect(key_of(f"nobody {number}").endpoint_id)
            assert len(alice._remotes) <= 5
        assert key_of("bob").endpoint_id in alice._remotes


async def test_streams_whose_readers_hold_their_ends_are_bounded(here, monkeypatch):
    """QUIC lets go of a stream when both ends have ended it, though the reader here may not have looked yet."""
    monkeypatch.setattr(limits, "MAX_STREAMS", 10)
    here.start("eve")

    class Holds(Peer):
        def connection_made(self, transport) -> None:
            super().connection_made(transport)
            transport.pause_reading()
            transport.write_eof()

    here.accepts["bob"] = Holds
    outcomes = []
    for _ in range(40):
        stream = await here.open("eve", "bob")
        stream.transport.write(b"hold this")
        stream.transport.write_eof()
        outcomes.append(await asyncio.wait_for(stream.lost, 5))
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 20 + [StreamReset] * 20
    assert len(here.accepted["bob"]) == 20
    for held in here.accepted["bob"]:
        held.transport.resume_reading()
    await asyncio.gather(*(held.lost for held in here.accepted["bob"]))
    stream = await here.open("eve", "bob")
    stream.transport.write(b"!")
    await until(lambda: len(here.accepted["bob"]) == 21)


async def test_what_a_closed_endpoint_is_sent_is_ignored(here):
    stream = await here.open("alice", "bob")
    stream.transport.write(b"x")
    tap = Tap(here.endpoints["alice"])
    await until(lambda: stream.received)
    bob = here.endpoints["bob"]
    await bob.close()
    assert isinstance(await stream.lost, TunnelClosed)
    source = here.endpoints["alice"].addresses[0].sockaddr
    for datagram in [*tap.datagrams, *initials(2)]:
        bob._transport._udp_burst(datagram, len(datagram), source)
    assert not bob._drivers
