"""Facts about what a NAT refuses, forgets and counts; what `test_nats` says of mapping, filtering and ports holds too."""

from __future__ import annotations

import pytest

from tests.lab.translation import FORGETS, GUARD_SECONDS, Ports, Rules, Translation
from tunnels.addresses import Address
from tunnels.nat.behavior import Filtering, Mapping

SYMMETRIC = Mapping.ADDRESS_AND_PORT_DEPENDENT
INSIDE = Address.parse("192.168.1.10:40000")
SERVER, STRANGER = map(Address.parse, ("198.51.100.1:3478", "198.51.100.2:3478"))


def places(ip: str, count: int, first: int = 1) -> list[Address]:
    return [Address.of(ip, first + number) for number in range(count)]


def test_rules_survive_being_written():
    rules = Rules(SYMMETRIC, Filtering.ADDRESS_DEPENDENT, Ports.BLOCK, block=(2048, 2111), room=100, guard=20)
    assert Rules.of_text(rules.as_text()) == rules


# The flood guard


def flood(nat: Translation, count: int, *, seconds: float = 0.0) -> None:
    """So many unsolicited datagrams from the stranger's ip, over so many seconds from 0 on."""
    for number, source in enumerate(places("198.51.100.2", count)):
        assert nat.inbound(source, 1024 + number, seconds * number / count) is None


def test_a_source_that_sends_too_much_unasked_is_blocked_for_a_minute():
    nat = Translation(Rules(guard=20))
    flood(nat, 20)
    port = nat.outbound(INSIDE, STRANGER, 0.1)
    assert nat.inbound(STRANGER, port, 0.1) == INSIDE
    flood(nat, 21)
    other = Address.parse("198.51.100.2:9")
    nat.outbound(INSIDE, other, 0.2)
    assert nat.inbound(other, port, 0.3) is None, "asked for, but its source is blocked"
    assert nat.inbound(STRANGER, port, 0.3) == INSIDE, "it was answered before"
    assert (nat.counters.unsolicited, nat.counters.blocked, nat.counters.held_off) == (41, 1, 1)
    for at in range(10, 70, 10):
        nat.outbound(INSIDE, other, float(at))
    assert nat.inbound(other, port, GUARD_SECONDS - 1) is None
    assert nat.inbound(other, port, GUARD_SECONDS + 1) == INSIDE


def test_who_sends_slowly_or_from_another_ip_is_not_blocked():
    nat = Translation(Rules(guard=20))
    flood(nat, 40, seconds=2.1)
    assert nat.counters.blocked == 0
    flood(nat, 21)
    port = nat.outbound(INSIDE, SERVER, 3.0)
    assert nat.inbound(SERVER, port, 3.0) == INSIDE


def test_what_a_full_cone_lets_in_is_not_unsolicited():
    nat = Translation(Rules(filtering=Filtering.ENDPOINT_INDEPENDENT, guard=20))
    port = nat.outbound(INSIDE, SERVER, 0.0)
    assert all(nat.inbound(source, port, 0.1) == INSIDE for source in places("198.51.100.2", 100))
    assert nat.counters.unsolicited == 0


# Room


def test_a_full_table_refuses_what_is_new_until_something_is_forgotten():
    nat = Translation(Rules(SYMMETRIC, ports=Ports.SEQUENTIAL, room=100))
    remotes = places("198.51.100.1", 101)
    ports = [nat.outbound(INSIDE, to, 0.0) for to in remotes]
    assert ports[-1] is None
    assert len(set(ports[:-1])) == 100
    assert nat.outbound(INSIDE, remotes[0], 1.0) == ports[0], "what is known goes on"
    assert (nat.counters.refused, nat.counters.mappings, nat.counters.most_mappings) == (1, 100, 100)
    assert nat.outbound(INSIDE, remotes[-1], FORGETS + 0.5) is not None


def test_one_mapping_to_many_places_fills_a_table_too():
    nat = Translation(Rules(room=100))
    assert [nat.outbound(INSIDE, to, 0.0) for to in places("198.51.100.1", 101)] == [40000] * 100 + [None]
    assert (nat.counters.mappings, nat.counters.most_flows) == (1, 100)


def test_a_table_that_evicts_drops_what_was_used_longest_ago():
    nat = Translation(Rules(SYMMETRIC, ports=Ports.SEQUENTIAL, room=2, evicts=True))
    first, second, third = places("198.51.100.1", 3)
    ports = [nat.outbound(INSIDE, to, 0.0) for to in (first, second)]
    nat.outbound(INSIDE, first, 1.0)
    new = nat.outbound(INSIDE, third, 2.0)
    assert nat.inbound(first, ports[0], 2.0) == INSIDE
    assert nat.inbound(second, ports[1], 2.0) is None
    assert nat.inbound(third, new, 2.0) == INSIDE
    assert nat.counters.evicted == 1


def test_a_block_can_be_used_up():
    nat = Translation(
        Rules(SYMMETRIC, Filtering.ENDPOINT_INDEPENDENT, Ports.BLOCK, block=(2048, 2111), keeps_parity=True)
    )
    ports = [nat.outbound(INSIDE, to, 0.0) for to in places("198.51.100.1", 33)]
    assert sorted(ports[:-1]) == list(range(2048, 2112, 2))
    assert ports[-1] is None


def test_flows_to_different_places_share_a_port_where_each_is_seen_alone():
    nat = Translation(Rules(SYMMETRIC, ports=Ports.BLOCK, block=(2048, 2051)))
    remotes = places("198.51.100.1", 20)
    ports = [nat.outbound(INSIDE, to, 0.0) for to in remotes]
    assert set(ports) <= set(range(2048, 2052))
    assert all(nat.inbound(to, port, 0.1) == INSIDE for to, port in zip(remotes, ports, strict=True))
    sockets = places("192.168.1.10", 5, first=50000)
    outside = [nat.outbound(socket, SERVER, 0.2) for socket in sockets]
    assert sorted(outside[:4]) == [2048, 2049, 2050, 2051]
    assert outside[4] is None
    assert [nat.inbound(SERVER, port, 0.2) for port in outside[:4]] == sockets[:4]


# What is forgotten


def test_each_place_that_was_sent_to_is_forgotten_on_its_own():
    nat = Translation(Rules())
    port = nat.outbound(INSIDE, STRANGER, 0.0)
    nat.outbound(INSIDE, SERVER, 20.0)
    assert nat.inbound(STRANGER, port, FORGETS + 1) is None
    assert nat.inbound(SERVER, port, FORGETS + 1) == INSIDE


@pytest.mark.parametrize("answered", [False, True])
def test_everything_is_forgotten_when_told(answered):
    nat = Translation(Rules(guard=20, is_poisoned=True))
    port = nat.outbound(INSIDE, SERVER, 0.0)
    if answered:
        nat.inbound(SERVER, port, 0.0)
    flood(nat, 30)
    nat.forget()
    assert nat.counters == type(nat.counters)()
    assert nat.inbound(SERVER, port, 0.1) is None
    assert nat.outbound(INSIDE, STRANGER, 0.1) == 40000
    assert nat.inbound(STRANGER, 40000, 0.1) == INSIDE


# What comes first


def test_what_comes_before_there_is_a_mapping_takes_the_port_too():
    nat = Translation(Rules(is_poisoned=True))
    assert nat.inbound(STRANGER, INSIDE.port, 0.0) is None
    assert nat.outbound(INSIDE, STRANGER, 0.1) != INSIDE.port
    assert nat.outbound(INSIDE, SERVER, 0.1) == INSIDE.port


def test_the_port_is_free_again_when_nothing_came_for_a_while():
    nat = Translation(Rules(is_poisoned=True))
    nat.inbound(STRANGER, INSIDE.port, 0.0)
    assert nat.outbound(INSIDE, STRANGER, FORGETS + 1) == INSIDE.port
