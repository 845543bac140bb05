"""Which beacon is home: the race, the sticking, and the way back, on a virtual clock."""

from __future__ import annotations

import pytest

from tunnels import limits
from tunnels.addresses import BeaconUrl
from tunnels.relay.home import HomeSearch, beacon_backoff

A, B, C = (BeaconUrl.parse(f"https://{name}.example") for name in "abc")


def search(*urls: BeaconUrl) -> HomeSearch:
    made = HomeSearch(lambda: 1.0)
    made.set_beacons(urls)
    return made


def started(made: HomeSearch, now: float) -> list[BeaconUrl]:
    found = []
    while (url := made.to_connect(now)) is not None:
        found.append(url)
    return found


def test_they_are_tried_in_order_each_a_second_after_the_other():
    made = search(A, B, C)
    assert started(made, 0.0) == [A]
    assert made.get_timer() == limits.BEACON_NEXT
    assert started(made, 0.9) == []
    assert started(made, 1.0) == [B]
    assert started(made, 2.0) == [C]
    assert made.get_timer() is None
    assert made.trying == {A, B, C}


def test_a_failure_lets_the_next_one_try_at_once():
    made = search(A, B)
    started(made, 0.0)
    made.failed(A, 0.1)
    assert started(made, 0.1) == [B]


def test_the_first_that_lets_us_in_is_home_and_stays_it():
    made = search(A, B)
    started(made, 0.0)
    started(made, 1.0)
    assert made.connected(B, 1.2)
    assert made.home == B
    assert not made.trying
    assert not made.connected(A, 1.3)
    assert made.home == B
    assert started(made, 100.0) == []
    assert made.get_timer() is None


def test_a_lost_home_is_tried_first_and_others_a_second_later():
    made = search(A, B)
    started(made, 0.0)
    made.failed(A, 0.0)
    started(made, 0.0)
    made.connected(B, 0.1)
    made.lost(B, 100.0, lasted=99.9)
    assert made.home is None
    assert started(made, 100.0) == [B]
    assert started(made, 101.0) == [A]


def test_after_a_home_that_fell_silent_the_others_come_first():
    made = search(A, B)
    started(made, 0.0)
    made.connected(A, 0.1)
    made.lost(A, 100.0, lasted=99.9, is_silent=True)
    assert started(made, 100.0) == [B]
    assert started(made, 101.0) == [A]
    alone = search(A)
    started(alone, 0.0)
    alone.connected(A, 0.1)
    alone.lost(A, 100.0, lasted=99.9, is_silent=True)
    assert started(alone, 100.0) == [A]


def test_one_that_does_not_last_is_left_alone_for_a_while():
    made = search(A, B)
    started(made, 0.0)
    made.connected(A, 0.1)
    made.lost(A, 1.0, lasted=0.9)
    assert started(made, 1.0) == [B]
    made.failed(B, 1.1)
    assert started(made, 1.1) == []
    assert made.get_timer() == 1.0 + limits.BEACON_BACKOFF_FIRST
    assert started(made, 2.0) == [A]


def test_waits_double_up_to_a_minute_and_are_jittered_by_half():
    backoff = beacon_backoff()
    waits = []
    for _ in range(9):
        backoff.failed(0.0, 1.0)
        waits.append(backoff.next_attempt)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    backoff.failed(0.0, 0.0)
    assert backoff.next_attempt == limits.BEACON_BACKOFF_MAX / 2


def test_one_beacon_alone_is_asked_less_and_less_often():
    made = search(A)
    now, attempts = 0.0, 0
    while now < 3600:
        assert started(made, now) == [A]
        made.failed(A, now)
        attempts += 1
        now = made.get_timer()
    assert attempts < 80


def test_a_network_change_forgets_what_failed():
    made = search(A)
    for now in (0.0, 1.0, 3.0, 7.0):
        started(made, now)
        made.failed(A, now)
    assert started(made, 8.0) == []
    made.network_changed(8.0)
    assert started(made, 8.0) == [A]


def test_one_that_leaves_is_no_home_and_others_come_first():
    made = search(A, B)
    started(made, 0.0)
    made.connected(A, 0.1)
    made.leaving(A, 50.0)
    assert made.home is None
    assert started(made, 50.0) == [B]
    made.connected(B, 50.1)
    made.lost(A, 52.0, lasted=52)
    assert made.home == B


@pytest.mark.parametrize("home_stays", [True, False])
def test_a_new_list_keeps_a_home_that_is_in_it(home_stays):
    made = search(A, B)
    started(made, 0.0)
    made.connected(A, 0.1)
    made.set_beacons([C, A] if home_stays else [C])
    assert made.home == (A if home_stays else None)
    assert started(made, 0.2) == ([] if home_stays else [C])


def test_no_beacons_no_search():
    made = search()
    assert started(made, 0.0) == []
    assert made.get_timer() is None
    made.failed(A, 0.0)
    made.given_up(A)
    assert not made.connected(A, 0.0)


def test_one_that_we_gave_up_may_be_tried_again_at_once():
    made = search(A)
    started(made, 0.0)
    made.given_up(A)
    assert started(made, 1.0) == [A]


def with_fallbacks(*fallbacks: BeaconUrl) -> HomeSearch:
    made = HomeSearch(lambda: 1.0)
    made.set_beacons([A], fallbacks)
    return made


def test_fallbacks_are_tried_last_and_serve_while_nothing_else_does():
    made = with_fallbacks(B, C)
    assert started(made, 0.0) == [A]
    made.failed(A, 0.5)
    assert started(made, 0.5) == [B]
    assert made.connected(B, 0.6)
    assert made.home == B


def test_a_fallback_gives_way_when_a_beacon_of_the_list_works_again():
    made = with_fallbacks(B)
    started(made, 0.0)
    made.failed(A, 0.0)
    started(made, 0.0)
    made.connected(B, 0.1)
    again = made.get_timer()
    assert again == limits.BEACON_BACKOFF_FIRST
    assert started(made, again) == [A]
    assert made.home == B, "it serves meanwhile"
    assert made.connected(A, again + 0.1)
    assert made.home == A
    assert made.get_timer() is None
    assert started(made, again + 100) == []


def test_a_beacon_that_was_being_tried_is_not_given_up_for_a_fallback():
    made = with_fallbacks(B, C)
    started(made, 0.0)
    started(made, limits.BEACON_NEXT)
    started(made, 2 * limits.BEACON_NEXT)
    made.connected(B, 2.5)
    assert made.trying == {A}
    assert not made.connected(C, 2.6), "one fallback is as good as another"
    assert made.connected(A, 2.7)


def test_a_fallback_that_was_home_comes_after_the_list_when_it_is_lost():
    made = with_fallbacks(B)
    started(made, 0.0)
    made.failed(A, 0.0)
    started(made, 0.0)
    made.connected(B, 0.1)
    made.lost(B, 200.0, 199.0)
    assert started(made, 200.0) == [A]
    assert started(made, 200.0 + limits.BEACON_NEXT) == [B]


def test_without_beacons_a_fallback_is_home_until_it_is_none_any_more():
    made = HomeSearch(lambda: 1.0)
    made.set_beacons([], [B, B, C])
    assert started(made, 0.0) == [B]
    made.connected(B, 0.1)
    assert made.get_timer() is None
    made.set_beacons([], [C])
    assert made.home is None
    assert started(made, 1.0) == [C]


def test_a_beacon_that_is_in_the_list_too_is_no_fallback():
    made = HomeSearch(lambda: 1.0)
    made.set_beacons([A, B], [A])
    assert started(made, 0.0) == [A]
    made.connected(A, 0.1)
    assert started(made, 100.0) == []
