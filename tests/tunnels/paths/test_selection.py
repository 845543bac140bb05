"""Facts about the choice between paths: each rule, and that no two paths are ever each better than the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.paths import at, relay_to
from tunnels import limits
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.path import Path
from tunnels.paths.selection import Selector, choose, effective_rtt, rank

NOW = 1000.0
HOST = CandidateKind.HOST
PLACES = {
    "lan": Candidate(at("192.168.1.2"), HOST),
    "lan6": Candidate(at("[fd00::2]:7"), HOST),
    "direct": Candidate(at("203.0.113.2"), HOST),
    "other": Candidate(at("203.0.113.3"), HOST),
    "direct6": Candidate(at("[2001:db8::2]:7"), HOST),
    "turn": Candidate(at("203.0.113.9"), CandidateKind.RELAYED),
    "relay": Candidate(relay_to("bob"), CandidateKind.RELAY),
}


def path(place: str, milliseconds: float, *, now: float = NOW, lossy: bool = False) -> Path:
    made = Path(PLACES[place])
    for _ in range(limits.PATH_LOSS_PINGS if lossy else 1):
        made.answered(now - milliseconds / 1000, None, now)
    for _ in range(2 if lossy else 0):
        made.lost()
    return made


def failing(made: Path) -> Path:
    for _ in range(limits.PATH_FAILS_PINGS):
        made.ping_sent(NOW - 5)
    made.distrust(NOW)
    return made


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (path("lan", 9), path("direct", 1)),
        (path("direct", 200), path("turn", 1)),
        (path("turn", 200), path("relay", 1)),
        (path("direct", 20), path("other", 26)),
        (path("direct", 100), path("other", 111)),
        (path("direct6", 20), path("direct", 23)),
        (path("direct6", 20), path("direct", 26)),
    ],
)
def test_of_two_paths_one_is_better_and_never_both(better, worse):
    assert rank(better) < rank(worse)
    assert choose([better, worse], better, NOW) is None
    choice = choose([better, worse], worse, NOW)
    assert choice is None or choice.path is better


def test_a_better_tier_takes_over_at_once():
    lan, direct, relay = path("lan", 5), path("direct", 1), path("relay", 1)
    assert choose([relay, direct], relay, NOW).path is direct
    assert choose([direct, lan], direct, NOW).path is lan
    assert choose([direct, lan], direct, NOW).is_urgent


def test_a_little_shorter_is_not_worth_a_change():
    for current, other in ((20, 16), (100, 91), (3, 1)):
        assert choose([path("direct", current), path("other", other)], None, NOW) is not None
        used = path("direct", current)
        assert choose([used, path("other", other)], used, NOW) is None


def test_ipv6_may_be_a_little_slower_and_a_private_address_by_a_fifth():
    assert effective_rtt(path("direct6", 22)) == pytest.approx(0.019)
    assert effective_rtt(path("lan", 10)) == pytest.approx(0.008)
    assert effective_rtt(path("lan6", 10)) == pytest.approx(0.005)
    assert effective_rtt(path("relay", 10)) == pytest.approx(0.010)


def test_a_lossy_path_falls_by_one_tier():
    lan, direct = path("lan", 50, lossy=True), path("direct", 20)
    assert choose([lan, direct], None, NOW).path is direct
    lossy, relay = path("direct", 50, lossy=True), path("relay", 1)
    assert choose([lossy, relay], None, NOW).path is lossy


def test_only_what_is_trusted_is_chosen():
    old = path("lan", 1, now=NOW - limits.PATH_TRUST)
    relay = path("relay", 90)
    assert choose([old, relay], None, NOW).path is relay
    assert choose([old], None, NOW) is None
    assert choose([Path(PLACES["lan"])], None, NOW) is None


def test_an_untrusted_path_is_left_at_once_for_one_no_worse():
    used, other = path("direct", 20), path("other", 90)
    used.distrust(NOW)
    choice = choose([used, other], used, NOW)
    assert choice.path is other
    assert choice.is_urgent


def test_an_untrusted_path_is_left_for_a_worse_one_only_when_it_fails():
    used, relay = path("direct", 20), path("relay", 30)
    used.distrust(NOW)
    assert choose([used, relay], used, NOW) is None
    assert choose([failing(used), relay], used, NOW).path is relay


def test_a_closed_path_is_left_at_once():
    used, direct = path("relay", 20), path("turn", 30)
    used.close(NOW)
    assert choose([used, direct], used, NOW).is_urgent


def test_a_path_that_died_is_not_chosen_again_for_a_while_if_there_is_another():
    died, relay = path("direct", 20), path("relay", 30)
    died.died(NOW)
    assert choose([died, relay], relay, NOW) is None
    assert choose([died], None, NOW).path is died
    later = NOW + limits.PATH_HOLD_DOWN
    for each in (died, relay):
        each.answered(later - 0.02, None, later)
    assert choose([died, relay], relay, later).path is died


def test_a_shorter_path_must_be_so_several_times_in_a_row():
    used, other = path("direct", 50), path("other", 20)
    selector = Selector()
    answers = [selector.answered([used, other], used, NOW) for _ in range(limits.PATH_BETTER_TIMES)]
    assert answers[:-1] == [None] * (limits.PATH_BETTER_TIMES - 1)
    assert answers[-1].path is other
    assert selector.looked([used, other], used, NOW) is None


def test_one_answer_between_that_is_no_better_begins_the_count_anew():
    used, other = path("direct", 50), path("other", 20)
    selector = Selector()
    for _ in range(10):
        for _ in range(limits.PATH_BETTER_TIMES - 1):
            assert selector.answered([used, other], used, NOW) is None
        assert selector.answered([used], used, NOW) is None


def test_after_a_change_a_slightly_better_path_waits():
    used, other = path("direct", 50), path("other", 20)
    selector = Selector()
    selector.changed(NOW - limits.PATH_HOLD_DOWN + 1)
    assert not any(selector.answered([used, other], used, NOW) for _ in range(100))
    assert selector.answered([used, other], used, NOW + 1).path is other


def test_a_better_tier_and_a_dead_path_do_not_wait():
    selector = Selector()
    selector.changed(NOW)
    relay, direct = path("relay", 5), path("direct", 50)
    assert selector.answered([relay, direct], relay, NOW).path is direct
    assert selector.looked([failing(direct), relay], direct, NOW).path is relay


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(PLACES)), st.floats(0.1, 500), st.booleans()), min_size=1, max_size=6
    )
)
def test_a_choice_once_made_is_kept_while_nothing_changes(places):
    paths = [path(place, milliseconds, lossy=lossy) for place, milliseconds, lossy in places]
    current = choose(paths, None, NOW).path
    for _ in range(len(paths)):
        assert choose(paths, current, NOW) is None
