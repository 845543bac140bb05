"""Facts about what strangers, eavesdroppers and bad peers can do to a connection's paths: deny, at most."""

from __future__ import annotations

from tests.lab.paths import Pair, at, by_relay, direct, relay_to, running
from tunnels import limits
from tunnels.addresses import BeaconUrl
from tunnels.destinations import Destinations
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.checks import Offer, Ping
from tunnels.paths.path_set import PathSet

HOST = CandidateKind.HOST


def state(pair: Pair) -> list:
    return [(end.paths.confirmed, end.paths.destinations(pair.now)) for end in pair.ends.values()]


def test_replayed_reflected_and_forged_checks_move_nothing_and_are_not_answered():
    pair, _ = running(by_relay(), direct())
    recorded = [check for _, check, _ in (*pair.alice.checks, *pair.bob.checks)]
    before = state(pair)
    known = {report.address for report in pair.bob.paths.report(pair.now)}
    for number, check in enumerate(recorded * 3):
        forged = bytes([*check[:40], check[40] ^ 1, *check[41:]])
        for datagram in (check, forged, check[: number % len(check)]):
            pair.bob.paths.check_received(datagram, at(f"192.0.2.66:{1 + number}"), pair.now)
    assert pair.bob.paths.checks_to_send() == []
    assert state(pair) == before
    assert {report.address for report in pair.bob.paths.report(pair.now)} == known


def test_a_handshake_from_forged_sources_makes_a_server_send_no_more_there_than_three_times_what_came():
    attacker, victims = at("192.0.2.66"), [at(f"192.0.2.1:{port}") for port in (1, 2, 3)]
    paths = PathSet((), now=0.0, chance=bytes, confirmed=attacker)
    paths.heard(attacker, 0.0, 1200)
    for victim in victims:
        paths.add_candidates([Candidate(victim, CandidateKind.PEER_REFLEXIVE)], 0.0)
        paths.heard(victim, 0.0, 40)
    sent = dict.fromkeys([attacker, *victims], 0)
    for second in range(5):
        paths.heard(victims[0], second + limits.PATH_SILENT_AFTER, 40)
        for address in paths.destinations(float(second)):
            paths.sent(address, 1200, float(second))
            sent[address] += 1200
    assert sent[attacker] == 5 * 1200
    assert all(sent[victim] <= 1200 for victim in victims)
    assert paths.confirmed == attacker


def test_ten_thousand_unknown_sources_cost_a_few_pings_and_move_nothing():
    pair, flow = running(by_relay(), direct())
    before, since = state(pair), pair.now
    for number in range(10_000):
        pair.bob.paths.heard(at(f"192.0.2.{number % 250 + 1}:{number // 250 + 1000}"), pair.now, 1200)
        if number % 100 == 0:
            pair.run(0.01)
    seconds = pair.now - since
    pinged = [to for when, _, to in pair.bob.checks if when >= since and str(to).startswith("192.0.2.")]
    assert 0 < len(pinged) <= limits.STRANGER_PINGS_PER_SECOND * (1 + seconds)
    assert state(pair) == before
    assert flow.gap(since) < 0.1
    assert len(pair.bob.paths.trace) < limits.TRACE_ENTRIES
    assert len(pair.bob.paths.report(pair.now)) == 2


def test_while_sources_are_forged_a_peer_whose_nat_changed_is_found_all_the_same():
    way = direct(delay=0.03, nat={"alice"})
    pair, flow = running(way)
    since = pair.now
    way.addresses["alice"] = at("198.51.100.1:5555")
    way.opened.discard("alice")
    for number in range(300):
        for port in (1000, 2000, 3000):
            pair.bob.paths.heard(at(f"192.0.2.{number % 250 + 1}:{port}"), pair.now, 1200)
        pair.run(0.01)
    assert flow.gap(since) < 1.0
    assert pair.bob.paths.confirmed == at("198.51.100.1:5555")


def test_fresh_checks_passed_on_from_elsewhere_bring_paths_but_no_data():
    """An attacker on the way who passes a peer's checks on, each once, with sources of his own choice."""
    pair, flow = running(by_relay(), direct())
    sealer, since = pair.alice.paths.exchange.sealer, pair.now
    for number in range(1, 1001):
        fresh = sealer.seal(Ping(bytes(12)), b"b" * 8)
        source = at(f"192.0.2.66:{number}")
        pair.bob.paths.check_received(fresh, source, pair.now)
        assert source not in pair.bob.paths.destinations(pair.now)
    sent = [to for _, to in pair.bob.paths.checks_to_send() if str(to).startswith("192.0.2.66")]
    assert len(sent) <= limits.PINGS_PER_SECOND + limits.PONGS_PER_SECOND
    assert len(pair.bob.paths.report(pair.now)) <= limits.MAX_PATHS
    pair.run(30)
    assert pair.bob.paths.confirmed == at("198.51.100.1")
    assert flow.gap(since) < 0.5


def test_a_peer_cannot_point_us_at_others():
    pair = Pair(by_relay()).handshake().run(1)
    victims = [
        at("192.0.2.53:53"),
        at("224.0.0.1"),
        at("169.254.169.254:80"),
        at("127.0.0.1"),
        at("192.0.2.1"),
    ]
    pair.bob.paths.set_own_candidates([Candidate(victim, CandidateKind.HOST) for victim in victims], pair.now)
    pair.flush(pair.bob)
    pair.run(10)
    assert {to for _, _, to in pair.alice.checks} == {relay_to("bob"), at("192.0.2.1")}


def test_a_peer_cannot_send_us_to_relays_on_our_own_machine():
    pair = Pair(by_relay()).handshake().run(1)
    texts = ("https://127.0.0.1:631", "https://[::1]:8443", "https://localhost", "https://eu2.example")
    relays = [relay_to("bob", BeaconUrl.parse(text)) for text in texts]
    pair.bob.paths.set_own_candidates([Candidate(relay, CandidateKind.RELAY) for relay in relays], pair.now)
    pair.flush(pair.bob)
    pair.run(10)
    assert {to for _, _, to in pair.alice.checks} == {relay_to("bob"), relays[-1]}


def test_offers_without_end_get_no_more_answers_than_pings_do():
    pair, _ = running(by_relay(), direct())
    bob, alice = pair.bob.paths, pair.alice.paths
    bob.checks_to_send()
    for number in range(1000):
        offer = Offer(1000 + number, is_answer=False, candidates=())
        alice.exchange.send(offer, [at("203.0.113.2")])
        for check, _ in alice.checks_to_send():
            bob.check_received(check, at("198.51.100.1"), pair.now)
    assert 0 < len(bob.checks_to_send()) <= limits.PONGS_PER_SECOND + 2


def test_a_peer_that_offers_victims_without_end_costs_each_a_few_pings():
    pair = Pair(by_relay()).handshake().run(1)
    since = pair.now
    for number in range(100):
        own = [
            Candidate(at(f"192.0.2.{number + 1}:{port}"), CandidateKind.HOST) for port in range(1000, 1050)
        ]
        pair.bob.paths.set_own_candidates(own, pair.now)
        pair.flush(pair.bob)
        pair.run(0.1)
    sent = [to for when, _, to in pair.alice.checks if when >= since and str(to).startswith("192.0.2.")]
    assert len(sent) <= limits.PINGS_PER_SECOND * 11
    assert max(sent.count(to) for to in set(sent)) <= 2 * limits.ROUND_PINGS
    assert len(pair.alice.paths.report(pair.now)) <= limits.MAX_PATHS


def test_a_peer_that_always_complains_costs_no_more_than_the_bounds():
    pair, flow = running(by_relay(), direct())
    sealer, since = pair.alice.paths.exchange.sealer, pair.now
    for _ in range(500):
        complaint = sealer.seal(Ping(bytes(12), is_suspect=True), b"b" * 8)
        pair.bob.paths.check_received(complaint, at("198.51.100.1"), pair.now)
        pair.flush(pair.bob)
        pair.run(0.01)
    sent = [None for when, *_ in pair.bob.checks if when >= since]
    seconds = pair.now - since
    assert len(sent) <= (1 + seconds) * (
        limits.PINGS_PER_SECOND + limits.STANDBY_PATHS * limits.PONGS_PER_SECOND
    )
    assert flow.gap(since) < 1.0


def test_news_without_end_is_taken_now_and_then_and_at_last():
    """Ten thousand candidates in ever new offers: a few hundred are asked, and the newest ones in the end."""
    pair, flow = running(by_relay(), direct())
    since = pair.now
    for number in range(1000):
        own = [
            Candidate(at(f"192.0.2.{number % 250 + 1}:{1000 + number + each}"), HOST) for each in range(10)
        ]
        pair.bob.paths.set_own_candidates(own, pair.now)
        pair.flush(pair.bob)
        pair.run(0.02)
    asked = {to for when, _, to in pair.alice.checks if when >= since and str(to).startswith("192.0.2.")}
    seconds = pair.now - since
    assert 0 < len(asked) <= 10 * (limits.OFFERS_NEWS + seconds / limits.OFFERS_NEWS_EVERY + 1)
    assert flow.gap(since) < 0.1
    pair.run(3 * limits.OFFER_RETRY_MAX)
    assert pair.alice.paths.peer_candidates == pair.bob.paths.own_candidates


def test_one_ip_gets_no_more_blind_pings_however_many_peers_name_it():
    shared = Destinations(limits.BLIND_PER_DESTINATION, limits.BLIND_PER_DESTINATION_BURST, 16)
    pairs = [Pair(by_relay()).handshake().run(1) for _ in range(8)]
    for pair in pairs:
        pair.alice.paths.exchange.destinations = shared
    seconds = 20
    for second in range(seconds):
        ports = range(1000 + 100 * second, 1008 + 100 * second)
        own = [Candidate(at(f"192.0.2.66:{port}"), CandidateKind.SERVER_REFLEXIVE) for port in ports]
        for pair in pairs:
            pair.bob.paths.set_own_candidates(own, pair.now)
            pair.flush(pair.bob)
            pair.run(1)
    sent = [to for pair in pairs for _, _, to in pair.alice.checks if str(to).startswith("192.0.2.66")]
    most = limits.BLIND_PER_DESTINATION_BURST + (seconds + 1) * limits.BLIND_PER_DESTINATION
    assert limits.BLIND_PER_DESTINATION_BURST < len(sent) <= most
