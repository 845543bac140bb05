"""Facts about which addresses a connection's datagrams go to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tunnels import limits
from tunnels.addresses import Address
from tunnels.paths.path_set import PathSet

LAN, PUBLIC, ELSEWHERE = (Address.of(f"192.0.2.{host}", 7777) for host in (1, 2, 66))


def test_until_one_answers_every_candidate_is_sent_to():
    assert PathSet([LAN, PUBLIC, LAN]).destinations() == (LAN, PUBLIC)


def test_the_first_that_answers_is_the_one():
    paths = PathSet([LAN, PUBLIC])
    paths.heard(PUBLIC, 10.0)
    paths.heard(LAN, 10.1)
    assert paths.destinations() == (PUBLIC,)


def test_a_silent_path_gives_way_to_one_that_is_heard():
    paths = PathSet([LAN, PUBLIC])
    paths.heard(LAN, 10.0)
    paths.heard(PUBLIC, 10.0 + limits.PATH_SILENT_AFTER)
    assert paths.confirmed == LAN
    paths.heard(PUBLIC, 10.1 + limits.PATH_SILENT_AFTER)
    assert paths.confirmed == PUBLIC
    paths.heard(LAN, 10.2 + limits.PATH_SILENT_AFTER)
    assert paths.confirmed == PUBLIC


def test_a_datagram_from_elsewhere_moves_nothing():
    paths = PathSet([LAN])
    paths.heard(ELSEWHERE, 10.0)
    assert paths.destinations() == (LAN,)
    paths.heard(LAN, 10.0)
    paths.heard(ELSEWHERE, 1000.0)
    assert paths.destinations() == (LAN,)


def test_a_server_answers_where_its_client_was_heard():
    paths = PathSet([PUBLIC], confirmed=PUBLIC)
    assert paths.destinations() == (PUBLIC,)


def test_candidates_are_bounded_at_first_and_later():
    addresses = [Address.of("192.0.2.1", port) for port in range(1, 100)]
    paths = PathSet(addresses)
    assert paths.destinations() == tuple(addresses[: limits.MAX_CANDIDATES])
    assert not paths.add_candidate(ELSEWHERE)
    assert paths.add_candidate(addresses[0])
    assert len(paths.destinations()) == limits.MAX_CANDIDATES


def test_an_added_candidate_may_take_over():
    paths = PathSet([LAN], confirmed=LAN)
    assert paths.add_candidate(PUBLIC)
    paths.heard(LAN, 10.0)
    paths.heard(PUBLIC, 20.0)
    assert paths.destinations() == (PUBLIC,)


@given(st.lists(st.tuples(st.sampled_from([LAN, PUBLIC, ELSEWHERE]), st.floats(0, 100))))
def test_only_candidates_are_ever_sent_to(heard):
    paths = PathSet([LAN, PUBLIC])
    for address, now in heard:
        paths.heard(address, now)
        assert set(paths.destinations()) <= {LAN, PUBLIC}
