"""Whether there is room for more is told by two questions."""

from __future__ import annotations

from tests.lab.crossings import SERVERS
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.canary import Canary, Looks
from tunnels.crossing.strategy import Ask

SERVER = SERVERS[0]


def seen_at(port: int) -> Address:
    return Address.parse(f"203.0.113.9:{port}")


def begun(looks: int = 2) -> Canary:
    """Sockets 11 and 12 were seen at 1011 and 1012."""
    canary = Canary(SERVER, 11, looks)
    assert canary.begin(0.0) == [Ask(11 + number, SERVER) for number in range(looks)]
    for number in range(looks):
        canary.seen(11 + number, SERVER, seen_at(1011 + number))
    assert not canary.is_blind
    return canary


def run(canary: Canary, until: float) -> int:
    """How many questions are asked again."""
    count = 0
    while canary.due <= until:
        count += len(canary.again(canary.due))
    return count


def test_there_is_room_if_both_are_answered_as_before():
    canary = begun()
    assert canary.look(1.0) == [Ask(11, SERVER), Ask(13, SERVER), Ask(14, SERVER)]
    canary.seen(13, SERVER, seen_at(1013))
    canary.seen(14, SERVER, seen_at(1014))
    assert canary.is_full is None
    canary.seen(11, SERVER, seen_at(1011))
    assert canary.is_full is False


def test_one_fresh_socket_may_have_no_luck():
    canary = begun()
    canary.look(1.0)
    canary.seen(14, SERVER, seen_at(1014))
    canary.seen(11, SERVER, seen_at(1011))
    run(canary, 9.0)
    assert canary.is_full is False


def test_a_server_that_answers_nobody_says_nothing():
    canary = begun()
    canary.look(1.0)
    run(canary, 9.0)
    assert canary.is_full is False


def test_a_router_that_refuses_what_is_new_is_full():
    canary = begun()
    canary.look(1.0)
    canary.seen(11, SERVER, seen_at(1011))
    assert run(canary, 9.0) == 2 * (limits.SAMPLING_SENDS - 1)
    assert canary.is_full
    assert not canary.forgets_old


def test_a_router_that_forgot_the_oldest_is_full():
    canary = begun()
    canary.look(1.0)
    canary.seen(13, SERVER, seen_at(1013))
    canary.seen(14, SERVER, seen_at(1014))
    canary.seen(11, SERVER, seen_at(4444))
    assert canary.is_full
    assert canary.forgets_old


def test_each_look_takes_sockets_that_were_silent_since():
    canary = begun()
    canary.look(1.0)
    run(canary, 2.0)
    assert canary.look(3.0) == [Ask(12, SERVER), Ask(15, SERVER), Ask(16, SERVER)]
    run(canary, 4.0)
    assert canary.is_blind


def test_it_is_blind_where_nobody_answers_at_the_beginning():
    canary = Canary(SERVER, 11, 2)
    canary.begin(0.0)
    assert run(canary, 2.0) == 2 * (limits.SAMPLING_SENDS - 1)
    assert canary.is_blind
    assert canary.is_full is None


def test_it_asks_no_more_than_it_says():
    canary = Canary(SERVER, 1, 3)
    asked = canary.begin(0.0)
    count = len(asked) + run(canary, 0.9)
    canary = begun(3)
    sockets = {11, 12, 13}
    for number in range(3):
        asked = canary.look(1.0 + number)
        sockets |= {ask.socket for ask in asked}
        count += len(asked) + run(canary, 1.9 + number)
    assert count == Canary.questions(3)
    assert len(sockets) == Canary.sockets(3)


def test_answers_of_others_do_not_count():
    canary = begun()
    canary.look(1.0)
    canary.seen(13, SERVERS[1], seen_at(1013))
    canary.seen(12, SERVER, seen_at(1012))
    assert canary.is_asking


def test_looks_come_after_so_many_mappings_and_hold_up_more_until_they_are_answered():
    first = limits.KNOCKS_LOOK
    looks = Looks(begun(), longest=10)
    assert looks.again(first - 1, 1.0) == []
    assert looks.again(first, 2.0) == [Ask(11, SERVER), Ask(13, SERVER), Ask(14, SERVER)]
    assert looks.may_make(2 * first - 1)
    assert not looks.may_make(2 * first)
    for socket in (11, 13, 14):
        looks.seen(socket, SERVER, seen_at(1000 + socket))
    assert looks.may_make(2 * first)
    assert looks.again(first + 9, 3.0) == []
    assert len(looks.again(first + 10, 3.0)) == 3


def test_there_is_no_look_after_one_that_found_no_room_nor_beyond_the_last_mapping():
    first = limits.KNOCKS_LOOK
    looks = Looks(begun())
    assert looks.again(first, 1.0, last=first - 1) == []
    looks.again(first, 1.0)
    for socket, port in ((11, 2000), (13, 1013), (14, 1014)):  # the old one is seen elsewhere
        looks.seen(socket, SERVER, seen_at(port))
    assert looks.are_made
    assert looks.again(first, 2.0) == []
    assert looks.is_full
    assert not looks.are_made
    assert looks.again(4 * first, 3.0) == []
    assert Looks(None).may_make(10**6)
