"""Facts about the paths to one peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.paths import at, relay_to
from tunnels import limits
from tunnels.paths.candidates import Candidate, CandidateKind, PathPolicy, Tier
from tunnels.paths.reports import Moved
from tunnels.paths.table import PathTable, source

if TYPE_CHECKING:
    from tunnels.paths.path import Path

NOW = 1000.0
HOST = CandidateKind.HOST
RELAY = source(relay_to("bob"))
DIRECT, OTHER, LAN = (Candidate(at(ip), HOST) for ip in ("203.0.113.2", "203.0.113.3", "192.168.1.2"))


def table(*candidates: Candidate, policy: PathPolicy = PathPolicy.AUTO) -> PathTable:
    return PathTable(candidates, policy, NOW)


def answer(path: Path | None, now: float = NOW, took: float = 0.02) -> Path:
    assert path is not None
    path.ping_sent(now - took)
    path.answered(now - took, None, now)
    return path


def test_where_a_datagram_came_from_is_a_candidate_of_its_kind():
    assert RELAY.kind is CandidateKind.RELAY
    assert source(at("203.0.113.2")).kind is CandidateKind.PEER_REFLEXIVE


def test_the_policy_and_the_bounds_hold_for_all_that_is_added():
    paths = table(DIRECT, RELAY, policy=PathPolicy.RELAY_ONLY)
    assert [path.candidate for path in paths] == [RELAY]
    assert paths.add(LAN) is None
    paths.set_policy(PathPolicy.AUTO)
    assert paths.add(LAN) is not None
    assert paths.add(LAN) is paths.get(LAN.address)


def test_where_only_servers_see_a_peer_whose_ports_vary_it_is_hardly_asked():
    seen = Candidate(at("203.0.113.4"), CandidateKind.SERVER_REFLEXIVE)
    paths = table(seen, DIRECT)
    reflexive, direct = paths
    assert paths.pings(reflexive) == limits.ROUND_PINGS
    paths.ports_vary = True
    assert paths.pings(reflexive) == paths.pings(reflexive, 3) == 0
    assert paths.pings(reflexive, 3, vain=limits.VAIN_PINGS) == limits.VAIN_PINGS
    assert paths.pings(direct) == limits.ROUND_PINGS
    reflexive.heard(100, NOW)
    assert paths.pings(reflexive) == limits.ROUND_PINGS


def test_paths_are_bounded_and_what_is_of_use_does_not_make_room():
    paths = table(RELAY, DIRECT, LAN)
    paths.select(answer(paths.get(DIRECT.address)), NOW)
    answer(paths.get(LAN.address))
    for port in range(1, 10_000):
        assert paths.add(Candidate(at(f"198.51.100.1:{port}"), HOST)) is not None
    assert len(paths) == limits.MAX_PATHS
    assert all(candidate.address in paths for candidate in (RELAY, DIRECT, LAN))


def test_what_the_peer_names_does_not_make_room_for_what_it_does_not():
    paths = table()
    named = frozenset(at(f"198.51.100.1:{port}") for port in range(1, limits.MAX_PATHS + 1))
    for address in named:
        paths.add(Candidate(address, HOST), named)
    assert paths.add(DIRECT, named) is None
    assert len(paths) == limits.MAX_PATHS


def test_what_the_peer_withdraws_goes_unless_it_works():
    paths = table(DIRECT, OTHER, LAN)
    answer(paths.get(DIRECT.address))
    paths.select(paths.get(OTHER.address), NOW)
    paths.withdraw([DIRECT.address, OTHER.address, LAN.address, at("9.9.9.9")])
    assert [path.candidate for path in paths] == [DIRECT, OTHER]


def test_where_the_peer_is_heard_no_more_and_is_not_said_to_be_is_forgotten():
    heard, named, used, host = (Candidate(at(f"203.0.113.{number}"), kind) for number, kind in (
        (4, CandidateKind.PEER_REFLEXIVE), (5, CandidateKind.PEER_REFLEXIVE),
        (6, CandidateKind.PEER_REFLEXIVE), (7, HOST),
    ))  # fmt: skip
    paths = table(heard, named, used, host)
    for path in paths:
        answer(path)
    paths.select(paths.get(used.address), NOW)
    paths.forget(frozenset({named.address}), NOW + limits.PATH_FORGOTTEN)
    assert len(paths) == 4
    paths.forget(frozenset({named.address}), NOW + limits.PATH_FORGOTTEN + 1)
    assert [path.candidate for path in paths] == [named, used, host]


def test_what_cannot_be_sent_to_any_more_goes_unless_data_goes_there():
    paths = table(DIRECT, OTHER)
    paths.select(paths.get(DIRECT.address), NOW)
    for candidate in (DIRECT, OTHER):
        paths.remove(candidate.address)
    assert [path.candidate for path in paths] == [DIRECT]


def test_a_policy_takes_away_what_it_forbids():
    paths = table(DIRECT, RELAY)
    paths.select(paths.get(DIRECT.address), NOW)
    paths.set_policy(PathPolicy.RELAY_ONLY)
    assert [path.candidate for path in paths] == [RELAY]
    assert paths.selected is None


def test_what_went_by_a_path_counts_when_it_is_forgotten():
    paths = table(DIRECT, LAN, RELAY)
    for number, path in enumerate(paths):
        path.sent(10 + number, NOW)
        path.heard(20 + number, NOW)
    expected = {Tier.DIRECT: Moved(10, 20), Tier.LAN: Moved(11, 21), Tier.RELAY: Moved(12, 22)}
    assert paths.moved() == expected
    paths.remove(DIRECT.address)
    paths.set_policy(PathPolicy.NO_LAN)
    assert len(paths) == 1
    assert paths.moved() == expected
    paths.add(DIRECT).sent(5, NOW)
    assert paths.moved()[Tier.DIRECT] == Moved(15, 20)


def test_at_first_data_goes_everywhere_except_where_a_transport_says_it_cannot():
    paths = table(DIRECT, RELAY)
    assert paths.unanswered(NOW) == (DIRECT.address, RELAY.address)
    paths.get(RELAY.address).held_until = NOW + 5
    assert paths.unanswered(NOW) == (DIRECT.address,)
    paths.get(DIRECT.address).held_until = NOW + 5
    assert paths.unanswered(NOW) == (DIRECT.address, RELAY.address)


def test_beside_a_path_in_doubt_data_goes_by_the_relay_and_the_best_path_that_is_trusted():
    paths = table(DIRECT, OTHER, LAN, RELAY)
    for candidate in (DIRECT, OTHER, LAN, RELAY):
        answer(paths.get(candidate.address))
    paths.select(paths.get(DIRECT.address), NOW)
    paths.selected.distrust(NOW)
    assert paths.doubtful(NOW) == (DIRECT.address, RELAY.address, LAN.address)


def test_when_none_is_trusted_data_goes_by_what_worked_latest_and_not_by_too_many():
    many = [Candidate(at(f"203.0.113.{host}"), HOST) for host in range(10, 17)]
    paths = table(*many)
    for age, candidate in enumerate(many):
        answer(paths.get(candidate.address), NOW - 20 - age)
    paths.select(paths.get(many[6].address), NOW)
    assert paths.doubtful(NOW) == tuple(many[which].address for which in (6, 0, 1, 2))
    assert len(paths.doubtful(NOW)) == limits.STANDBY_PATHS


def test_a_closed_path_gets_nothing_if_there_is_another():
    paths = table(DIRECT, RELAY)
    paths.select(answer(paths.get(RELAY.address)), NOW)
    paths.selected.close(NOW)
    paths.selected.distrust(NOW)
    assert paths.doubtful(NOW) == (RELAY.address,)
    answer(paths.get(DIRECT.address))
    assert paths.doubtful(NOW) == (DIRECT.address, RELAY.address)[:1]


def test_the_report_has_the_selected_path_first_and_unknown_is_none():
    paths = table(OTHER, RELAY, DIRECT)
    answer(paths.get(DIRECT.address), took=0.010)
    paths.select(answer(paths.get(RELAY.address), took=0.050), NOW)
    first, second, third = paths.report(NOW + 3)
    assert (first.address, first.tier, first.is_selected, first.selected_for) == (
        RELAY.address,
        Tier.RELAY,
        True,
        3,
    )
    assert (second.address, second.rtt, second.answered_ago) == (DIRECT.address, pytest.approx(0.010), 3)
    assert (third.address, third.rtt, third.min_rtt, third.answered_ago, third.heard_ago) == (
        OTHER.address, None, None, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(("policy", "is_kept"), [(PathPolicy.AUTO, True), (PathPolicy.DIRECT_ONLY, False)])
def test_what_seemed_direct_and_is_said_to_be_an_allocation_is_one(policy, is_kept):
    paths = table(DIRECT, policy=policy)
    paths.select(answer(paths.get(DIRECT.address)), NOW)
    allocation = Candidate(DIRECT.address, CandidateKind.RELAYED)
    path = paths.add(allocation)
    assert (path is not None) is is_kept
    assert (DIRECT.address in paths) is is_kept
    assert (paths.selected is not None) is is_kept
    if path is not None:
        assert path.candidate.tier is Tier.TURN
