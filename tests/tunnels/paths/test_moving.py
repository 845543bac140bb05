"""Facts about what befalls a running transfer: it goes on, and how soon. Virtual clocks, simulated links."""

from __future__ import annotations

import pytest

from tests.lab.paths import OTHER, Link, Pair, at, by_relay, direct, relay_to, running
from tunnels import limits
from tunnels.addresses import BeaconUrl, RelayAddress
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.reports import Doubted

SENDERS = pytest.mark.parametrize("sender", ["alice", "bob"])
WITH_RELAY_OR_NOT = pytest.mark.parametrize("relays", [0, 1])


@SENDERS
@pytest.mark.parametrize("dead", ["alice", "bob"])
def test_a_dead_direction_of_the_direct_path_stops_a_flow_for_less_than_a_second(sender, dead):
    way = direct(delay=0.05)
    pair, flow = running(by_relay(), way, sender=sender)
    since = pair.now
    way.dead.add(dead)
    pair.run(30)
    assert flow.gap(since) < 1.0
    assert isinstance(
        pair.ends[dead].paths.confirmed, RelayAddress
    )  # who is not heard there sends by the relay
    assert (
        pair.ends[OTHER[dead]].paths.confirmed == way.addresses[dead]
    )  # the other direction stays where it was


@SENDERS
def test_a_direct_path_that_dies_and_heals_is_left_and_taken_again_after_a_while(sender):
    way = direct(delay=0.03)
    pair, flow = running(by_relay(), way, sender=sender)
    since = pair.now
    way.kill()
    pair.run(5)
    way.heal()
    assert isinstance(pair.alice.paths.confirmed, RelayAddress)
    pair.run(limits.PATH_HOLD_DOWN - 6)
    assert isinstance(pair.alice.paths.confirmed, RelayAddress)
    pair.run(60)
    assert flow.gap(since) < 1.0
    assert pair.alice.paths.confirmed == way.addresses["bob"]
    assert pair.bob.paths.confirmed == way.addresses["alice"]


@SENDERS
def test_a_path_in_doubt_is_told_of_at_both_ends_so_that_they_look_how_they_are_seen(sender):
    way = direct(delay=0.03)
    pair, _ = running(by_relay(), way, sender=sender)
    for end in pair.ends.values():
        end.events.clear()
    way.kill()
    pair.run(1)
    for end in pair.ends.values():
        assert Doubted(way.addresses[OTHER[end.name]]) in end.events


@SENDERS
@WITH_RELAY_OR_NOT
def test_a_nat_that_gives_another_port_is_followed(sender, relays):
    way = direct(delay=0.03, nat={"alice"})
    pair, flow = running(*[by_relay()] * relays, way, sender=sender)
    since = pair.now
    way.addresses["alice"] = at("198.51.100.1:5555")
    way.opened.discard("alice")
    pair.run(10)
    assert flow.gap(since) < 1.0
    assert pair.bob.paths.confirmed == at("198.51.100.1:5555")


def test_whoever_only_receives_notices_that_his_nat_forgot_him():
    way = direct(delay=0.03, nat={"alice"})
    pair = Pair(way).handshake().run(3)
    pair.send("bob", ("data", 1))
    pair.run(0.5)
    way.addresses["alice"] = at("198.51.100.1:5555")
    way.opened.discard("alice")
    pair.run(limits.PING_WHEN_QUIET * (1 + limits.PING_JITTER) + limits.PING_WHEN_QUIET)
    assert at("198.51.100.1:5555") in [report.address for report in pair.bob.paths.report(pair.now)]


@SENDERS
@WITH_RELAY_OR_NOT
def test_a_host_that_changes_its_address_goes_on(sender, relays):
    way = direct(delay=0.03)
    pair, flow = running(*[by_relay()] * relays, way, sender=sender)
    since = pair.now
    way.addresses["alice"] = at("198.51.100.77")
    pair.later(0.2, lambda: (pair.alice.paths.network_changed(pair.now), pair.flush(pair.alice)))
    pair.run(10)
    assert flow.gap(since) < 1.0
    assert pair.bob.paths.confirmed == at("198.51.100.77")


def test_a_relay_that_restarts_is_used_again_as_soon_as_it_is_there():
    relay = by_relay()
    pair, flow = running(relay)
    relay.kill()
    pair.run(30)
    relay.heal()
    since = pair.now
    pair.run(5)
    assert flow.gap(since) < 1.0


def test_when_the_transport_says_that_a_relay_is_gone_data_goes_elsewhere_at_once():
    pair, flow = running(by_relay(), by_relay_of("eu2", delay=0.03))
    used = pair.alice.paths.confirmed
    since = pair.now
    for link in pair.links:
        if link.addresses["bob"] == used:
            link.kill()
    pair.alice.paths.failed(used, pair.now)
    assert used not in pair.alice.paths.destinations(pair.now)
    pair.run(5)
    assert flow.gap(since) < 1.0


def test_a_relay_that_failed_is_asked_again_when_it_is_named_again():
    pair, _ = running(by_relay(), direct())
    pair.alice.paths.failed(relay_to("bob"), pair.now)
    pair.run(0.01)
    since = pair.now
    pair.alice.paths.add_candidates([Candidate(relay_to("bob"), CandidateKind.RELAY)], pair.now)
    pair.flush(pair.alice)
    assert [to for when, _, to in pair.alice.checks if when >= since] == [relay_to("bob")]


def test_both_asleep_for_a_minute_go_on_where_they_were():
    pair, flow = running(by_relay(), direct(delay=0.03, nat={"alice"}))
    pair.links[1].opened.clear()
    pair.now += 60
    since = pair.now
    pair.run(5)
    assert flow.gap(since) < 1.0


def by_relay_of(beacon: str, **settings) -> Link:
    url = BeaconUrl.parse(f"https://{beacon}.example")
    return Link({name: relay_to(name, url) for name in OTHER}, **settings)


def test_a_new_home_of_the_peer_is_used_when_the_old_one_is_gone():
    old, new = by_relay(), by_relay_of("eu2", delay=0.02)
    pair, flow = running(old)
    pair.links.append(new)
    own = [Candidate(link.addresses["bob"], CandidateKind.RELAY) for link in (new, old)]
    pair.bob.paths.set_own_candidates(own, pair.now)
    pair.flush(pair.bob)
    pair.run(2)
    since = pair.now
    old.kill()
    pair.run(10)
    assert flow.gap(since) < 1.0
    assert pair.alice.paths.confirmed == new.addresses["bob"]


def test_a_path_that_loses_a_little_is_kept():
    pair, _ = running(by_relay(), direct(delay=0.03, loss=0.005), warm=100, largest_gap=0.5)
    assert pair.alice.paths.confirmed == at("203.0.113.2")
    assert len(pair.alice.switches) == 2


def test_two_direct_paths_do_not_alternate():
    other = Link({"alice": at("198.51.100.2"), "bob": at("203.0.113.3")}, delay=0.051)
    pair, _ = running(direct(delay=0.05), other, warm=300)
    assert len(pair.alice.switches) <= 2
