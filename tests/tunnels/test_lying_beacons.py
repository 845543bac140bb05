"""Facts about beacons that mean no good, with real endpoints and sockets: they deny at most, and not what goes past them."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING

import pytest

from tests.lab.attackers import Attacker, initials
from tests.lab.beacons import LabBeacon
from tests.lab.endpoints import Echo, Lab, key_of, lab, until
from tests.lab.lies import DEEDS, Liar
from tunnels import limits
from tunnels.addresses import Address, RelayAddress
from tunnels.errors import TunnelError
from tunnels.nat import limits as nat_limits
from tunnels.paths.candidates import PathPolicy
from tunnels.relay import frames
from tunnels.relay.frames import FrameKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.lab.lies import Deed
    from tunnels.endpoint import Endpoint

ALICE, BOB, EVE = (key_of(name).endpoint_id for name in ("alice", "bob", "eve"))
SECRET = b"what alice says to bob "
WORDS = SECRET * 3000


@contextlib.asynccontextmanager
async def at_home(
    beacon: LabBeacon, *, others: tuple[LabBeacon, ...] = (), policy: PathPolicy = PathPolicy.AUTO
) -> AsyncIterator[Lab]:
    """Alice, bob, who answers, and eve, all at home at the beacon; nobody is found anywhere yet."""
    async with lab() as here:
        here.accepts["bob"] = Echo
        here.policies = {"alice": policy, "bob": policy}
        here.has_contacts = {"alice", "bob"}
        for name in ("alice", "bob", "eve"):
            here.start(name, beacons=(beacon.url, *(other.url for other in others)))
        await until(lambda: len(beacon.sessions) == 3)
        await until(lambda: all(endpoint._transport.relays.home for endpoint in here.endpoints.values()))
        here.found.clear()
        yield here


async def talk(here: Lab, words: bytes = WORDS, *, seconds: float = 25.0) -> None:
    """Alice says something to bob and hears it back, all of it and as it was."""
    stream = await here.open("alice", "bob")
    stream.transport.write(words)
    stream.transport.write_eof()
    await until(lambda: len(stream.received) >= len(words) and stream.ended.is_set(), seconds)
    assert stream.received == words
    stream.transport.abort()


def nobody_else_learned(here: Lab, *beacons: LabBeacon) -> None:
    """Eve was never let in on anything, and beacons saw nothing they can read."""
    assert here.accepted["eve"] == []
    assert not any(SECRET in body for beacon in beacons for _, _, body in beacon.heard)
    for name, peer in (("alice", BOB), ("bob", ALICE)):
        assert {status.endpoint_id for status in here.endpoints[name].status()} <= {peer}
    for driver in here.endpoints["alice"]._drivers:
        if not (driver.is_usable and driver.tunnel.is_client):
            continue  # who dials knows whom, from the first datagram on
        relays = [address for address in driver.paths.addresses if isinstance(address, RelayAddress)]
        assert {relay.endpoint_id for relay in relays} <= {driver.tunnel.remote_id}


def small(endpoint: Endpoint) -> None:
    """Nothing in the endpoint grew beyond its bounds."""
    connections = endpoint._transport.relays._connections
    assert len(endpoint._drivers) <= limits.RETRY_ABOVE + limits.MAX_HANDSHAKES_RELAYED + 4
    assert len(endpoint._remotes) <= 3
    assert len(endpoint._transport.relays._written_as) <= 300
    assert len(connections._connections) <= 3
    for driver in endpoint._drivers:
        assert len(driver.paths._table) <= limits.MAX_PATHS
        assert len(driver.paths._strangers) <= limits.MAX_STRANGERS
        assert len(driver.paths.exchange._queue) <= 2 * limits.MAX_PATHS


# --- what is done to frames -----------------------------------------------------------------------------------


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_beacon_that_lies_now_and_then_slows_a_connection_down_and_that_is_all(deed: Deed):
    async with LabBeacon() as beacon, at_home(beacon, policy=PathPolicy.RELAY_ONLY) as here:
        here.found[BOB] = (RelayAddress(beacon.url, BOB),)
        liar = Liar(beacon, deed, EVE, share=0.15)
        await talk(here)
        assert liar.done
        nobody_else_learned(here, beacon)
        small(here.endpoints["alice"])
        small(here.endpoints["bob"])


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_beacon_that_always_lies_is_gone_round_by_a_direct_path(deed: Deed):
    async with LabBeacon() as beacon, at_home(beacon) as here:
        liar = Liar(beacon, deed, EVE)
        here.found[BOB] = (RelayAddress(beacon.url, BOB), *here.endpoints["bob"].addresses)
        await talk(here)
        assert liar.done
        (status,) = here.endpoints["alice"].status()
        assert deed in ("delays", "repeats", "replays", "reorders") or isinstance(status.address, Address)
        nobody_else_learned(here, beacon)
        small(here.endpoints["alice"])


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_beacon_that_begins_to_lie_is_left_for_a_direct_path(deed: Deed):
    async with LabBeacon() as beacon, at_home(beacon, policy=PathPolicy.RELAY_ONLY) as here:
        here.found[BOB] = (RelayAddress(beacon.url, BOB),)
        await talk(here, b"hello")
        Liar(beacon, deed, EVE, kinds=(FrameKind.DATA,))
        here.policies.clear()
        for endpoint, peer in ((here.endpoints["alice"], BOB), (here.endpoints["bob"], ALICE)):
            endpoint.set_policy(peer, PathPolicy.AUTO)
        for endpoint in here.endpoints.values():
            endpoint._whereabouts.network_changed("the test says so")
            endpoint._whereabouts.candidates_changed()
        await talk(here)
        assert isinstance(here.endpoints["alice"].status()[0].address, Address)
        nobody_else_learned(here, beacon)


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_beacon_that_always_lies_is_gone_round_by_an_honest_one(deed: Deed):
    async with (
        LabBeacon(201) as lying,
        LabBeacon(202) as honest,
        at_home(honest, policy=PathPolicy.RELAY_ONLY) as here,
    ):
        await here.endpoints["alice"].close()
        alice = here.start("alice", beacons=(lying.url,))
        await until(lambda: ALICE in lying.sessions)
        here.found = {BOB: (RelayAddress(lying.url, BOB), RelayAddress(honest.url, BOB))}
        Liar(lying, deed, EVE)
        await talk(here)
        if deed not in ("repeats", "replays", "reorders"):  # those do no harm, and bob comes to alice's home
            assert alice.status()[0].address == RelayAddress(honest.url, BOB)
        nobody_else_learned(here, lying, honest)


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_beacon_that_lies_about_data_and_answers_checks_is_left_for_an_honest_one(deed: Deed):
    async with (
        LabBeacon(201) as one,
        LabBeacon(202) as two,
        at_home(two, policy=PathPolicy.RELAY_ONLY) as here,
    ):
        await here.endpoints["alice"].close()
        alice = here.start("alice", beacons=(one.url,))
        await until(lambda: ALICE in one.sessions)
        here.found = {ALICE: (RelayAddress(one.url, ALICE),), BOB: (RelayAddress(two.url, BOB),)}
        await here.endpoints["bob"].connect(ALICE)
        await until(lambda: alice.paths(BOB) and len(alice.paths(BOB).paths) == 2)
        await until(lambda: all(path.rtt is not None for path in alice.paths(BOB).paths))
        lying = one if alice.status()[0].address == RelayAddress(one.url, BOB) else two
        liar = Liar(lying, deed, EVE, kinds=(FrameKind.DATA,))
        await talk(here)
        await talk(here, WORDS * 4)
        assert liar.done
        nobody_else_learned(here, one, two)


async def test_whoever_a_beacon_names_as_sender_gets_nothing_of_a_connection():
    async with LabBeacon() as beacon, at_home(beacon, policy=PathPolicy.RELAY_ONLY) as here:
        here.found[BOB] = (RelayAddress(beacon.url, BOB),)
        await talk(here, b"hello")
        before = len(beacon.heard)
        liar = Liar(beacon, "swaps senders", EVE, share=0.3)
        await talk(here)
        assert liar.done
        assert {to for _, to, _ in beacon.heard[before:]} == {ALICE, BOB}


async def test_whoever_is_connected_instead_of_the_one_dialled_gets_nothing():
    """The beacon hands everything for bob to eve, who is a real endpoint, and her answers back as bob's."""
    async with LabBeacon() as beacon, at_home(beacon) as here:
        here.endpoints["alice"]._dialer._connect_timeout = 1.5
        here.found[BOB] = (RelayAddress(beacon.url, BOB),)

        def swap(sender, receiver, frame):
            kind, _, body = frames.decode(frame)
            if receiver == BOB:
                return [(EVE, frame)]
            return [(receiver, frames.encode(kind, BOB if sender == EVE else sender, body))]

        beacon.tamper = swap
        with pytest.raises(TunnelError):
            await here.endpoints["alice"].connect(BOB)
        nobody_else_learned(here, beacon)
        assert not any(driver.is_usable for driver in here.endpoints["eve"]._drivers)
        beacon.tamper = None
        here.endpoints["alice"].addresses_changed(BOB)
        await talk(here)


async def test_a_recorded_connection_played_again_opens_nothing():
    async with LabBeacon() as beacon, at_home(beacon, policy=PathPolicy.RELAY_ONLY) as here:
        here.found[BOB] = (RelayAddress(beacon.url, BOB),)
        await talk(here)
        recorded = [frames.encode(kind, ALICE, body) for kind, to, body in beacon.heard if to == BOB]
        bob = here.endpoints["bob"]
        here.endpoints["alice"].disconnect(BOB, "enough")
        await until(lambda: not bob.status())
        accepted = len(here.accepted["bob"])
        for frame in recorded * 2:
            await beacon.say(BOB, frame)
        await here.endpoints["alice"].connect(BOB)  # after all of it
        assert len(here.accepted["bob"]) == accepted
        assert [status.state.name for status in bob.status()] == ["OPEN"]
        await talk(here)
        small(bob)


# --- what it says by itself -----------------------------------------------------------------------------------


def flood() -> list[str | bytes]:
    """Frames that a beacon may say, in the wrong place or far too often."""
    others = [os.urandom(32) for _ in range(400)]
    said: list[str | bytes] = []
    for other, first in zip(others, itertools.cycle(initials(40))):
        ids = b"%c%b" % (FrameKind.DATA, other)
        said += [
            ids + b"".join(frames.batches([first])),
            ids + b"".join(frames.batches([os.urandom(60)] * 50)),
            ids + b"".join(frames.batches([bytes([kind]) + os.urandom(40) for kind in range(0, 256, 3)])),
            b"%c%b" % (FrameKind.PATH, other) + b"".join(frames.batches([b"\x23" + os.urandom(80)])),
            b"%c%b" % (FrameKind.MESSAGE, other) + os.urandom(limits.RELAY_MESSAGE),
            b"%c%b" % (FrameKind.ABSENT, other) + b"\1",
            frames.encode_text(frames.Refused(code="rate", reason="\x1b[2J" + "no\n" * 90)),
            frames.encode_text(frames.Online(ids=())),
            frames.encode_text(frames.Receipt(receipt="r" * 3000, limits=frames.RelayLimits())),
            frames.encode_text(
                frames.Turn(
                    turn=frames.TurnServer(address="192.0.2.1:9", username="", password="", seconds=0)
                )
            ),
        ]
    return said


async def test_a_flood_of_a_beacons_leaves_no_trace_and_a_direct_tunnel_undisturbed():
    async with LabBeacon() as beacon, at_home(beacon) as here:
        alice, bob = here.endpoints["alice"], here.endpoints["bob"]
        here.found[BOB] = bob.addresses
        await talk(here, b"hello")
        for frame in flood():
            await beacon.say(BOB, frame)
        for known in (ALICE, EVE):
            await beacon.say(BOB, frames.encode(FrameKind.ABSENT, known, b"\1"))
        await talk(here)
        assert alice.status()[0].address == bob.addresses[0]
        assert bob._transport.relays.home == beacon.url
        small(bob)
        assert bob._transport.gatherer.turn is None
        await until(lambda: bob.incoming.handshakes.total <= limits.RETRY_ABOVE)
        nobody_else_learned(here, beacon)


async def test_senders_that_a_beacon_invents_keep_nobody_out_who_comes_directly(monkeypatch):
    """It sees the tokens, and echoes them, as many senders as it likes."""
    monkeypatch.setattr(limits, "MAX_HANDSHAKES", 12)
    monkeypatch.setattr(limits, "MAX_HANDSHAKES_RELAYED", 6)
    monkeypatch.setattr(limits, "RETRY_ABOVE", 0)
    async with LabBeacon() as beacon, at_home(beacon) as here:
        bob = here.endpoints["bob"]
        table = bob.incoming.handshakes
        for number in range(6):
            table.begin(key_of(f"sender {number}").endpoint_id, address_proved=True)
        here.found[BOB] = (RelayAddress(beacon.url, BOB),)
        here.endpoints["alice"]._dialer._connect_timeout = 0.5
        with pytest.raises(TunnelError):
            await here.endpoints["alice"].connect(BOB)
        here.found[BOB] = bob.addresses
        here.endpoints["alice"].addresses_changed(BOB)
        here.endpoints["alice"]._dialer._connect_timeout = 20.0
        await talk(here)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\1",
        b"\5" + bytes(32),
        b"\1" + bytes(32) + b"\0\0",
        b"\1" + bytes(32) + b"\0\5abc",
        b"\3" + bytes(32) + bytes(limits.RELAY_MESSAGE + 1),
        bytes(limits.RELAY_FRAME + 100),
        "{",
        "[" * 4000,
        "x" * (limits.RELAY_TEXT + 1),
        '{"type":"welcome","signature":"","observed":""}',
        '{"type":"turn","turn":{"address":"192.0.2.1:9","username":"","password":"","seconds":1'
        + "0" * 400
        + "}}",
        '{"type":"leaving","seconds":-1e300}',
    ],
)
async def test_frames_of_no_sense_end_at_most_the_connection_to_their_beacon(frame: str | bytes):
    async with LabBeacon() as beacon, at_home(beacon) as here:
        here.found[BOB] = here.endpoints["bob"].addresses
        await talk(here, b"hello")
        await beacon.say(BOB, frame)
        await talk(here, b"still here")
        await until(lambda: BOB in beacon.sessions)  # and it is tried again


# --- what it says in its welcome ------------------------------------------------------------------------------


async def test_servers_that_a_beacon_names_get_a_few_small_questions_and_no_more():
    with Attacker("127.0.0.77") as victim:
        port = victim._socket.getsockname()[1]
        stun = (f"127.0.0.77:{port}",) * 20 + tuple(f"127.0.0.77:{other}" for other in (53, 123, 1900, 11211))
        turn = frames.TurnServer(address=f"127.0.0.77:{port}", username="u", password="p", seconds=0)
        async with LabBeacon(stun=stun, turn=turn) as beacon, at_home(beacon) as here:
            for endpoint in here.endpoints.values():
                assert set(endpoint._transport.gatherer._reflexive._servers) <= {Address.parse(stun[0])}
            here.found[BOB] = here.endpoints["bob"].addresses
            await talk(here)
            got = victim.received()
        assert 0 < len(got) <= 3 * nat_limits.STUN_SENDS * (1 + nat_limits.STUN_RETRIES)
        assert max(map(len, got)) < 200


@pytest.mark.parametrize(
    "text", ["", "x", "127.0.0.1", "[::1", "0.0.0.0:1", "224.0.0.1:5", "255.255.255.255:9", "a" * 1000]
)
async def test_servers_that_are_none_are_not_asked(text: str):
    turn = frames.TurnServer(address=text, username="\x1b" * 100, password="\0", seconds=2**53)
    async with LabBeacon(stun=(text,), turn=turn) as beacon, at_home(beacon) as here:
        alice = here.endpoints["alice"]
        alice._transport.gatherer.want_turn(())
        assert alice._transport.gatherer.turn is None
        assert alice._transport.gatherer._allocation.server is None
        assert not alice._transport.gatherer._reflexive._servers
        here.found[BOB] = here.endpoints["bob"].addresses
        await talk(here)


async def test_a_peers_address_as_turn_server_does_not_shut_the_direct_path():
    """What comes from a TURN server's address is for the TURN client, which must not mean what comes from the peer."""
    async with LabBeacon() as beacon, at_home(beacon, policy=PathPolicy.DIRECT_ONLY) as here:
        alice, bob = here.endpoints["alice"], here.endpoints["bob"]
        gatherer = alice._transport.gatherer
        server = frames.TurnServer(address=str(bob.addresses[0]), username="u", password="p", seconds=600)
        gatherer.set_servers((), server, with_loopback=True)
        gatherer.want_turn(())
        assert gatherer.asks_turn(bob.addresses[0])
        here.found[BOB] = bob.addresses
        await talk(here)
        assert alice.status()[0].address == bob.addresses[0]
