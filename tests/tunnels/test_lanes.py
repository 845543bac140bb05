"""Connections beside the main one, with real endpoints on 127.0.0.1: whose they are, by which paths they go, when they end."""

from __future__ import annotations

import pytest

from tests.lab.beacons import LabBeacon
from tests.lab.endpoints import Echo, Lab, Peer, key_of, lab, until
from tunnels import limits
from tunnels.addresses import RelayAddress
from tunnels.dialing import Lane
from tunnels.errors import NoAllowedPath, TooManyLanes, TunnelError
from tunnels.lanes import Lanes
from tunnels.paths.candidates import PathPolicy, narrower

AUTO, DIRECT, RELAY, NO_LAN = (
    PathPolicy.AUTO,
    PathPolicy.DIRECT_ONLY,
    PathPolicy.RELAY_ONLY,
    PathPolicy.NO_LAN,
)


@pytest.fixture
async def here():
    async with lab() as the_lab:
        yield the_lab


async def stream(here: Lab, lane: Lane | None):
    alice = here.endpoints["alice"]
    transport, protocol = await alice.open_stream(here.endpoints["bob"].endpoint_id, Peer, lane=lane)
    transport.write(b"x")
    return transport, protocol


def statuses(here: Lab, name: str) -> list[tuple[bool, bool, Lane | None]]:
    return [(one.is_current, one.is_side, one.lane) for one in here.endpoints[name].status()]


def test_the_narrower_of_two_policies_allows_what_both_do():
    assert narrower(AUTO, RELAY) is narrower(RELAY, AUTO) is narrower(RELAY, NO_LAN) is RELAY
    assert narrower(DIRECT, DIRECT) is DIRECT
    assert narrower(DIRECT, RELAY) is None
    assert narrower(DIRECT, NO_LAN) is None


@pytest.mark.parametrize("engine", ["qh3", "aioquic"])
async def test_a_lane_is_a_connection_of_its_own_and_the_peer_goes_on_with_the_main_one(here, engine):
    for name in ("alice", "bob"):
        here.start(name, engine=engine)
        here.accepts[name] = Echo
    mine = Lane(AUTO, "mine")
    main, _ = await stream(here, None)
    side, _ = await stream(here, mine)
    again, _ = await stream(here, mine)
    assert side.get_extra_info("endpoint_id") == here.endpoints["bob"].endpoint_id
    assert statuses(here, "alice") == [(True, False, None), (False, True, mine)]
    await until(lambda: len(here.accepted["bob"]) == 3)
    assert statuses(here, "bob") == [(True, False, None), (False, True, None)]
    await here.open("bob", "alice")
    assert len(here.endpoints["bob"].status()) == 2, "it opens its streams on the main one"
    streams = {one.is_side: one.streams for one in here.endpoints["bob"].status()}
    assert streams == {False: 2, True: 2}
    for transport in (main, side, again):
        transport.abort()


async def test_a_lane_alone_is_no_main_connection(here):
    for name in ("alice", "bob"):
        here.start(name)
        here.accepts[name] = Echo
    await stream(here, Lane(AUTO, "mine"))
    assert statuses(here, "bob") == [(False, True, None)]
    await here.open("bob", "alice")
    assert len(here.endpoints["bob"].status()) == 2


async def test_who_wants_the_paths_that_are_used_anyway_shares_the_main_connection(here):
    for name in ("alice", "bob"):
        here.start(name)
    here.policies["alice"] = DIRECT
    await stream(here, Lane(DIRECT))
    assert statuses(here, "alice") == [(True, False, None)]


async def test_a_lane_that_may_go_by_relay_only_does_while_the_main_one_is_direct():
    async with LabBeacon() as beacon, lab() as here:
        for name in ("alice", "bob"):
            here.start(name, beacons=(beacon.url,))
            here.accepts[name] = Echo
        alice, bob = here.endpoints["alice"], here.endpoints["bob"]
        await until(lambda: alice.relays()[0].is_home and bob.relays()[0].is_home)
        here.found[bob.endpoint_id] = (*bob.addresses, RelayAddress(beacon.url, bob.endpoint_id))
        await stream(here, None)
        lane = Lane(RELAY)
        _, protocol = await stream(here, lane)
        await until(lambda: protocol.received == b"x")
        for _ in range(3):
            await alice.ping(bob.endpoint_id)
        main, side = alice.status()
        assert not isinstance(main.address, RelayAddress)
        assert isinstance(side.address, RelayAddress)
        (other,) = [one for one in bob.status() if one.is_side]
        assert isinstance(other.address, RelayAddress), "nor does what comes back"
        # A policy of the contact that leaves it no path ends it.
        alice.set_policy(bob.endpoint_id, DIRECT)
        here.policies["alice"] = DIRECT
        await until(lambda: len(alice.status()) == 1)
        with pytest.raises(NoAllowedPath, match="no path is both"):
            await stream(here, lane)


async def test_where_no_path_is_allowed_nothing_is_sent_and_it_is_told_at_once(here):
    for name in ("alice", "bob"):
        here.start(name)
    with pytest.raises(NoAllowedPath, match=r"no path to .* is known that relay-only allows"):
        await stream(here, Lane(RELAY))
    assert here.endpoints["alice"].moved() == {}


async def test_a_lane_ends_when_nobody_uses_it(here, monkeypatch):
    monkeypatch.setattr(limits, "LANE_LINGER", 0.1)
    for name in ("alice", "bob"):
        here.start(name)
    main, _ = await stream(here, None)
    transport, _ = await stream(here, Lane(AUTO, "mine"))
    await until(lambda: len(here.endpoints["bob"].status()) == 2)
    transport.abort()
    await until(lambda: len(here.endpoints["alice"].status()) == len(here.endpoints["bob"].status()) == 1)
    assert not main.is_closing()


async def test_lanes_with_one_endpoint_are_bounded(here):
    for name in ("alice", "bob"):
        here.start(name)
    for number in range(limits.LANES_PER_ENDPOINT):
        await stream(here, Lane(AUTO, f"{number}"))
    with pytest.raises(TooManyLanes):
        await stream(here, Lane(AUTO, "one more"))
    await stream(here, Lane(AUTO, "0"))


def test_lanes_are_bounded_and_those_that_are_over_make_room():
    lanes = Lanes(lambda _: AUTO)
    for number in range(2 * limits.LANES):
        lanes.get(key_of(f"{number}").endpoint_id, Lane(AUTO, "x"))
    assert len(lanes) == limits.LANES
    busy = Lanes(lambda _: AUTO)
    for number in range(limits.LANES):
        busy.get(key_of(f"{number}").endpoint_id, Lane(AUTO, "x")).drivers.append(object())
    with pytest.raises(TooManyLanes):
        busy.get(key_of("another").endpoint_id, Lane(AUTO, "x"))


async def test_side_connections_of_a_peer_are_bounded(here, monkeypatch):
    monkeypatch.setattr(limits, "LANES_PER_ENDPOINT", 100)
    for name in ("alice", "bob"):
        here.start(name)
    for number in range(limits.MAX_SIDES_PER_ENDPOINT + 3):
        await stream(here, Lane(AUTO, f"{number}"))
    await until(lambda: len(here.endpoints["bob"].status()) == limits.MAX_SIDES_PER_ENDPOINT)


async def test_a_lane_to_a_peer_that_restarted_is_dialled_anew(here):
    for name in ("alice", "bob"):
        here.start(name)
    lane = Lane(AUTO, "mine")
    await stream(here, lane)
    port = here.crash("bob")
    here.start("bob", port=port)
    await stream(here, None)
    await until(lambda: statuses(here, "alice") == [(True, False, None)])
    _, protocol = await stream(here, lane)
    assert len(here.endpoints["alice"].status()) == 2
    assert isinstance(protocol, Peer)


async def test_a_dial_of_a_lane_that_comes_to_nothing_is_told(here, monkeypatch):
    monkeypatch.setattr(limits, "DIAL_ATTEMPT_TIMEOUT", 0.3)
    here.start("alice", connect_timeout=0.3)
    here.start("bob")
    here.crash("bob")
    here.endpoints["bob"] = here.start("nobody")
    here.found[here.endpoints["bob"].endpoint_id] = ()
    with pytest.raises(TunnelError):
        await stream(here, Lane(AUTO, "mine"))
    assert here.endpoints["alice"].status() == ()
