"""Each stream has its place below its service and its contact, as long as there is one."""

from __future__ import annotations

import pytest

from gateway.traffic.account import Account
from gateway.traffic.fair import Flow
from gateway.traffic.places import Place, Places
from gateway.traffic.terms import Terms

NOW = 1000.0
NONE = (None, 1)


def whole(rate: int) -> Account:
    account = Account()
    account.sent.set_rate(rate, NOW)
    return account


def flow_at(places: Places, place: Place) -> Flow:
    flow = Flow()
    flow.move(places.enter(place, NONE, NONE)["sent"])
    return flow


def test_there_are_no_more_places_than_streams():
    places = Places(Account())
    here = [Place(who, service, is_shared=True) for who in range(50) for service in range(4)]
    for place in [*here, *here]:
        places.enter(place, NONE, NONE)
    assert len(places) == 200
    for place in here:
        places.leave(place)
    assert len(places) == 200
    for place in here:
        places.leave(place)
    assert len(places) == 0
    assert repr(places) == "Places(0 contacts, 0 services)"


def test_what_is_outside_takes_nothing_of_what_is_shared():
    places = Places(whole(1_000_000))
    inside, outside = Place("bob", "web", is_shared=True), Place("carol", "web", is_shared=False)
    bob, carol = flow_at(places, inside), flow_at(places, outside)
    places.queue("sent", inside).ask(bob, 10**7, NOW)
    places.queue("sent", outside).ask(carol, 10**7, NOW)
    gone = dict.fromkeys((bob, carol), 0)
    for flow, octets in places.pump(NOW):
        gone[flow] += octets
    assert gone[carol] == 10**7
    assert gone[bob] == pytest.approx(100_000, abs=30_000)
    assert places.next_at(NOW) == pytest.approx(NOW, abs=0.1)


def test_two_streams_of_a_service_wait_in_one_place_and_directions_apart():
    places = Places(Account())
    place = Place("bob", "web", is_shared=True)
    first, second = (places.enter(place, NONE, NONE) for _ in range(2))
    assert first is second
    assert first["sent"] is not first["received"]
    limited = Account()
    limited.apply(Terms(rate=5), NOW)
    other = places.enter(Place("eve", "web", is_shared=True), (limited, 3), (None, 2))
    above = other["sent"].parent
    assert above is not None
    assert (above.weight, above.lane, other["sent"].weight) == (3, limited.sent, 2)
