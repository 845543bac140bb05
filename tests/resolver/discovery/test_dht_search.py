"""Searches through networks in memory, on a clock of their own: honest ones, dead ones, and full of liars."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from random import Random

import pytest

from resolver.discovery.dht_search import Search, Storing, is_public
from resolver.discovery.krpc import Answer, Node, distance
from resolver.limits import (
    DHT_CANDIDATES,
    DHT_COPIES,
    DHT_PARALLEL,
    DHT_PUTS,
    DHT_QUERIES,
    DHT_SLOW_SECONDS,
    DHT_TELLERS,
    DHT_WIDEST,
    DHT_WIDTH,
)
from tunnels.addresses import Address

TARGET = hashlib.sha1(b"target").digest()


def node(number: int, id: bytes | None = None) -> Node:
    """A node of the Internet, each in a neighbourhood of its own."""
    ip = IPv4Address((20 << 24) + (number << 8) + 1)
    return Node(Address(ip, 6881), id or hashlib.sha1(b"%d" % number).digest())


def answer(of: Node, *named: Node, token: bytes | None = b"token") -> Answer:
    return Answer(b"aaaa", of.id or bytes(20), named, token, None)


@dataclass
class Network:
    """Nodes that know each other as in Kademlia, some of them dead, and a liar for each number in `liars`."""

    size: int
    chance: Random
    dead: frozenset[int] = frozenset()
    liars: frozenset[int] = frozenset()
    asked: list[int] = field(default_factory=list)
    made_up: int = 0

    def __post_init__(self) -> None:
        self.nodes = [node(number) for number in range(1, self.size + 1)]
        self.number = {each.address: number for number, each in enumerate(self.nodes)}

    def closest(self, count: int) -> list[int]:
        near = heapq.nsmallest(count, self.nodes, key=lambda each: distance(each.id or b"", TARGET))
        return [self.number[each.address] for each in near]

    def answer(self, asked: Node) -> Answer | None:
        number = self.number.get(asked.address)
        if number is None or number in self.dead:
            return None
        self.asked.append(number)
        if number in self.liars:
            fakes = []
            for _ in range(4):
                self.made_up += 1
                fakes.append(node(100_000 + self.made_up, TARGET[:-4] + self.chance.randbytes(4)))
            friends = self.chance.sample(sorted(self.liars), min(4, len(self.liars)))
            return answer(self.nodes[number], *fakes, *(self.nodes[friend] for friend in friends))
        known = self.chance.sample(self.nodes, min(len(self.nodes), 60))
        bits = (distance(self.nodes[number].id or b"", TARGET)).bit_length()
        known += [each for each in self.nodes if distance(each.id or b"", TARGET).bit_length() <= bits][:200]
        near = heapq.nsmallest(8, known, key=lambda each: distance(each.id or b"", TARGET))
        return answer(self.nodes[number], *near)


def run(search: Search, network: Network, *, now: float = 0.0) -> float:
    """Until it is over; each answer takes 50 to 150 ms. Returns how long it took."""
    arriving: list[tuple[float, int, Node, Answer]] = []
    count = 0
    in_flight = 0
    while True:
        asked = search.next_queries(now)
        in_flight += len(asked)
        assert len(asked) <= DHT_PARALLEL
        for each in asked:
            if (reply := network.answer(each)) is not None:
                count += 1
                heapq.heappush(arriving, (now + 0.05 + network.chance.random() / 10, count, each, reply))
        due = search.due(now)
        if due is None:
            return now
        if arriving and arriving[0][0] <= due:
            now, _, who, reply = heapq.heappop(arriving)
            search.answer(who, reply, now)
        else:
            now = due


def seeds(network: Network, count: int = 16) -> list[Node]:
    return network.chance.sample(network.nodes, count)


@pytest.mark.parametrize("number", range(5))
def test_the_closest_nodes_of_a_thousand_are_found(number: int) -> None:
    network = Network(1000, Random(number))
    search = Search(TARGET, seeds(network), version=4)
    search.found = True
    took = run(search, network)
    found = [network.number[each.address] for each, _ in search.closest()]
    assert found[:DHT_COPIES] == network.closest(DHT_COPIES)
    assert len(network.asked) <= DHT_QUERIES
    assert took < 3


@pytest.mark.parametrize("number", range(5))
def test_with_a_third_of_all_nodes_dead_the_closest_that_live_are_found(number: int) -> None:
    chance = Random(number)
    dead = frozenset(chance.sample(range(1000), 333))
    network = Network(1000, chance, dead=dead)
    search = Search(TARGET, seeds(network, 32), version=4)
    search.found = True
    took = run(search, network)
    found = {network.number[each.address] for each, _ in search.closest()}
    living = [number for number in network.closest(50) if number not in dead]
    assert len(found & set(living[:DHT_COPIES])) >= DHT_COPIES - 2
    assert took < 6


@pytest.mark.parametrize("number", range(10))
def test_liars_do_not_keep_us_from_the_honest_nodes_that_we_know(number: int) -> None:
    """Two in three lie, and name nodes that are closer than any and do not exist."""
    chance = Random(number)
    liars = frozenset(chance.sample(range(30), 20))
    network = Network(30, chance, liars=liars)
    known = seeds(network, 15)
    search = Search(TARGET, known, version=4)
    took = run(search, network)
    honest = {network.number[each.address] for each in known} - liars
    assert honest
    assert honest <= set(network.asked)
    assert took < 6


def test_a_node_under_another_id_is_nothing() -> None:
    told, other = node(1), node(2)
    search = Search(TARGET, [told], version=4)
    assert search.next_queries(0.0) == [told]
    assert not search.answer(told, answer(Node(told.address, other.id), node(3)), 0.1)
    assert search.next_queries(0.1) == []
    assert search.closest() == []


def test_a_node_whose_id_is_not_known_may_have_any() -> None:
    seed = Node(Address.parse("192.0.2.1:6881"), None)
    search = Search(TARGET, [seed], version=4)
    assert search.next_queries(0.0) == [seed]
    assert search.answer(seed, answer(Node(seed.address, b"i" * 20)), 0.1)
    assert [each.id for each, _ in search.closest()] == [b"i" * 20]


def test_only_who_was_asked_is_heard_and_once() -> None:
    search = Search(TARGET, [node(1)], version=4)
    assert not search.answer(node(1), answer(node(1)), 0.0)
    search.next_queries(0.0)
    assert search.answer(node(1), answer(node(1)), 0.0)
    assert not search.answer(node(1), answer(node(1)), 0.0)
    assert not search.answer(node(2), answer(node(2)), 0.0)


def test_a_slow_node_gives_its_place_up_and_still_counts() -> None:
    search = Search(TARGET, [node(1)], version=4)
    search.next_queries(0.0)
    assert search.next_queries(DHT_SLOW_SECONDS) == []
    assert search.answer(node(1), answer(node(1)), 1.5)
    assert search.answered == 1


def test_who_hurries_does_not_wait_for_slow_nodes_once_others_were_quick() -> None:
    for hurries in (True, False):
        search = Search(TARGET, [node(1), node(2)], version=4, hurries=hurries)
        search.next_queries(0.0)
        search.answer(node(1), answer(node(1)), 0.01)
        soon = search.due(0.01)
        assert soon is not None
        assert soon < DHT_SLOW_SECONDS
        search.next_queries(soon)
        assert search.due(soon) == (None if hurries else DHT_SLOW_SECONDS)


def test_nobody_makes_us_ask_machines_of_a_home_network_or_many_of_one_neighbourhood() -> None:
    search = Search(TARGET, [node(1)], version=4)
    search.next_queries(0.0)
    bad = [
        Node(Address.parse(f"{ip}:80"), bytes((9,)) * 20)
        for ip in (
            "127.0.0.1",
            "192.168.1.1",
            "10.0.0.1",
            "169.254.1.1",
            "224.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
        )
    ]
    near = [Node(Address.parse(f"20.9.9.{last}:6881"), bytes((last,)) * 20) for last in range(1, 9)]
    search.answer(node(1), answer(node(1), *bad, near[0], near[1]), 0.0)
    for _ in range(3):
        for asked in search.next_queries(0.0):
            assert asked == near[0]
            search.answer(asked, answer(asked, *near), 0.0)
    assert search.answered == 2
    assert not is_public(Address.parse("192.168.1.1:1"))

    own = Search(TARGET, [node(1)], version=4, private=True)
    own.next_queries(0.0)
    own.answer(node(1), answer(node(1), bad[0]), 0.0)
    assert own.next_queries(0.0) == [bad[0]]


def test_of_the_nodes_that_a_stranger_names_one_is_asked_and_after_silence_none_while_there_are_others() -> (
    None
):
    liar, honest = node(1), node(2)
    search = Search(TARGET, [liar, honest], version=4)
    search.next_queries(0.0)
    fakes = [node(10 + n, TARGET[:-1] + bytes((n,))) for n in range(8)]
    search.answer(liar, answer(liar, *fakes), 0.0)
    first = search.next_queries(0.0)
    assert len(first) == 1
    assert first[0] in fakes
    good = [node(30 + n) for n in range(8)]
    search.answer(honest, answer(honest, *good), 0.0)
    now = DHT_SLOW_SECONDS
    while search.answered < 10:
        for asked in search.next_queries(now):
            assert asked in good
            search.answer(asked, answer(asked), now)
    # nobody else is left: the others are asked all the same, for the liar may have been unlucky
    assert set(search.next_queries(now)) <= set(fakes)


def test_of_those_who_name_a_node_a_few_are_kept_in_mind() -> None:
    search = Search(TARGET, [node(n) for n in range(1, 9)], version=4)
    for each in search.next_queries(0.0):
        search.answer(each, answer(each, node(99)), 0.0)
    assert len(search._candidates[node(99).address].tellers) == DHT_TELLERS


def test_the_other_family_is_another_search() -> None:
    search = Search(TARGET, [node(1)], version=6)
    assert search.next_queries(0.0) == []
    assert search.due(0.0) is None


def test_what_others_name_is_bounded_and_so_is_whom_we_ask() -> None:
    chance = Random(1)
    search = Search(TARGET, [node(n) for n in range(1, 17)], version=4)
    asked, number, now = 0, 1000, 0.0
    while True:
        queries = search.next_queries(now)
        asked += len(queries)
        for each in queries:
            far = [node(number + n, chance.randbytes(20)) for n in range(40)]
            number += 40
            search.answer(each, answer(each, *far), now)
        if not queries:
            break
    assert DHT_WIDEST <= asked <= DHT_QUERIES
    assert len(search._candidates) <= DHT_CANDIDATES


def test_once_something_was_found_the_search_is_not_as_wide() -> None:
    for found, width in ((True, DHT_WIDTH), (False, DHT_WIDEST)):
        search = Search(TARGET, [node(n) for n in range(1, 60)], version=4)
        search.found = found
        asked = 0
        while queries := search.next_queries(0.0):
            asked += len(queries)
            for each in queries:
                search.answer(each, answer(each), 0.0)
        assert asked == width


def test_storing_goes_on_behind_those_that_refuse_until_enough_keep_it() -> None:
    nodes = [(node(n), b"token") for n in range(1, 40)]
    storing = Storing(nodes)
    now = 0.0
    first = storing.next_puts(now)
    assert first == nodes[:DHT_COPIES]
    for each, _ in first[:4]:
        storing.answer(each)
    for each, _ in first[4:6]:
        storing.refuse(each, 203)
    assert len(storing.next_puts(now)) == 2  # for those that refused; two are silent
    assert storing.due(now) == DHT_SLOW_SECONDS
    assert len(storing.next_puts(DHT_SLOW_SECONDS)) == 4
    storing.answer(first[6][0])  # late
    assert storing.stored == 5
    assert storing.refusals == {203: 2}


def test_storing_gives_up() -> None:
    storing = Storing([(node(n), b"token") for n in range(1, 100)])
    asked, now = 0, 0.0
    while puts := storing.next_puts(now):
        for each, _ in puts:
            storing.refuse(each, 205)
        asked += len(puts)
    assert asked == DHT_PUTS
    assert storing.stored == 0
    assert storing.due(now) is None


def test_storing_ends_when_enough_keep_it() -> None:
    storing = Storing([(node(n), b"token") for n in range(1, 100)])
    for each, _ in storing.next_puts(0.0):
        storing.answer(each)
        storing.answer(each)
    assert storing.stored == DHT_COPIES
    assert storing.next_puts(0.0) == []
    assert storing.due(0.0) is None
