"""Facts about what is told of NATs from observations."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

import pytest

from tests.lab.nats import OUTSIDE
from tunnels.addresses import Address
from tunnels.nat import limits
from tunnels.nat.behavior import (
    Allocation,
    AllocationKind,
    Behavior,
    Evidence,
    Filtering,
    Mapping,
    Observation,
    Sample,
    allocation_of,
    behavior_of,
    mapping_of,
)

A1, A2, B1, C1 = map(Address.parse, ("198.51.100.1:1", "198.51.100.1:2", "198.51.100.2:1", "198.51.100.3:1"))


def seen(port: int | None, server: Address, socket: int = 0, *, ip: IPv4Address = OUTSIDE, at: float = 0.0):
    address = None if port is None else Address(ip, port)
    return Observation(socket, 40000 + 7 * socket, server, address, at)


@pytest.mark.parametrize(
    ("observations", "mapping"),
    [
        ([], Mapping.UNKNOWN),
        ([seen(5, A1)], Mapping.UNKNOWN),
        ([seen(5, A1), seen(None, B1)], Mapping.UNKNOWN),
        ([seen(5, A1), seen(5, A2)], Mapping.UNKNOWN),
        ([seen(5, A1), seen(6, A2)], Mapping.ADDRESS_AND_PORT_DEPENDENT),
        ([seen(5, A1), seen(5, B1)], Mapping.ENDPOINT_INDEPENDENT),
        ([seen(5, A1), seen(6, B1)], Mapping.DEPENDENT),
        ([seen(5, A1), seen(5, A2), seen(6, B1)], Mapping.ADDRESS_DEPENDENT),
        ([seen(5, A1), seen(5, B1), seen(9, C1)], Mapping.ENDPOINT_INDEPENDENT),
        ([seen(5, A1), seen(6, B1), seen(7, C1)], Mapping.DEPENDENT),
        ([seen(5, A1), seen(6, B1, socket=1)], Mapping.UNKNOWN),
        ([seen(5, A1), seen(6, B1), seen(7, A1, 1), seen(7, B1, 1)], Mapping.UNKNOWN),
        (
            [seen(5, A1), seen(6, B1), seen(7, A1, 1), seen(7, B1, 1), seen(8, A1, 2), seen(8, B1, 2)],
            Mapping.ENDPOINT_INDEPENDENT,
        ),
    ],
)
def test_mapping(observations, mapping):
    assert mapping_of(observations) is mapping


def test_whether_mapping_varies():
    assert Mapping.UNKNOWN.varies is None
    assert Mapping.ENDPOINT_INDEPENDENT.varies is False
    assert Mapping.DEPENDENT.varies is True


@pytest.mark.parametrize(
    ("other_ip", "other_port", "filtering"),
    [
        (True, None, Filtering.ENDPOINT_INDEPENDENT),
        (False, True, Filtering.ADDRESS_DEPENDENT),
        (False, False, Filtering.ADDRESS_AND_PORT_DEPENDENT),
        (False, None, Filtering.UNKNOWN),
        (None, False, Filtering.UNKNOWN),
        (None, None, Filtering.UNKNOWN),
    ],
)
def test_filtering(other_ip, other_port, filtering):
    behavior = behavior_of(Evidence(from_other_ip=other_ip, from_other_port=other_port))
    assert behavior.filtering is filtering


def samples(ports: list[int], numbers: list[int] | None = None) -> list[Sample]:
    return [
        Sample(number, 0.01 * number, 40000 + 7 * number, port)
        for number, port in zip(numbers or range(len(ports)), ports, strict=True)
    ]


@pytest.mark.parametrize(
    ("ports", "kind", "delta"),
    [
        ([], AllocationKind.UNKNOWN, None),
        ([40000], AllocationKind.UNKNOWN, None),
        ([40000, 40007], AllocationKind.PRESERVING, None),
        ([40000, 40007, 40014, 9], AllocationKind.PRESERVING, None),
        ([500, 501, 502], AllocationKind.UNKNOWN, None),
        ([500, 501, 502, 503], AllocationKind.DELTA, 1),
        ([500, 502, 504, 508, 510], AllocationKind.DELTA, 2),
        ([500, 498, 496, 494], AllocationKind.DELTA, -2),
        ([500, 506, 516, 518, 522, 532], AllocationKind.DELTA, 2),
        ([65533, 65535, 1025, 1027, 1029], AllocationKind.DELTA, 2),
        ([500, 501, 502, 490, 503, 504, 505, 506], AllocationKind.DELTA, 1),
        ([500, 40000, 3, 20000], AllocationKind.RANDOM, None),
        ([1030, 1900, 1024, 1500], AllocationKind.UNKNOWN, None),
        ([1030, 1900, 1024, 1500, 2047, 1200], AllocationKind.BLOCK, None),
        ([7, 7, 7, 7], AllocationKind.UNKNOWN, None),
    ],
)
def test_allocation(ports, kind, delta):
    found = allocation_of(samples(ports))
    assert (found.kind, found.delta) == (kind, delta)


def test_a_lost_mapping_in_between_is_counted():
    assert allocation_of(samples([500, 502, 508, 510], [0, 1, 4, 5])).delta == 2


def test_a_block_is_aligned_where_that_fits():
    assert allocation_of(samples([1030, 1900, 1024, 1500, 2040, 1200])).span == (1024, 2047)
    assert allocation_of(samples([32700, 32800, 32710, 32790, 32768, 32720])).span == (32700, 32800)


def test_random_ports_are_hardly_ever_taken_for_anything_else():
    random = Random(7)
    kinds = [
        allocation_of(samples([random.randint(1024, 65535) for _ in range(12)])).kind for _ in range(3000)
    ]
    assert set(kinds) == {AllocationKind.RANDOM}


def test_parity_is_told_only_of_enough_ports_of_both_kinds():
    random = Random(3)
    locals_ = [40000 + 7 * number for number in range(limits.PARITY_SAMPLES)]
    kept = [2 * random.randint(1000, 30000) + (port & 1) for port in locals_]
    assert allocation_of(samples(kept)).keeps_parity is True
    assert allocation_of(samples(kept[:-1])).keeps_parity is None
    assert allocation_of(samples([*kept[:-1], kept[-1] ^ 1])).keeps_parity is False
    even = [Sample(number, 0.0, 40000, port & ~1) for number, port in enumerate(kept)]
    assert allocation_of(even).keeps_parity is None


def test_others_are_counted_where_ports_are_in_order():
    observations = [seen(500 + number, A1, number, at=0.01 * number) for number in range(4)]
    observations += [seen(500 + number, B1, number, at=0.01 * number) for number in range(4)]
    later = [
        seen(524, A1, 4, at=0.5),
        seen(524, B1, 4, at=0.5),
        seen(525, A1, 5, at=0.5),
        seen(525, B1, 5, at=0.5),
    ]
    behavior = behavior_of(Evidence(observations=(*observations, *later)))
    assert behavior.mapping is Mapping.ENDPOINT_INDEPENDENT
    assert behavior.allocation == Allocation(AllocationKind.DELTA, delta=1)
    assert behavior.noise == pytest.approx(20 / 0.47)
    assert behavior_of(Evidence(observations=tuple(observations))).noise is None  # too short a time


def test_mappings_that_the_trace_makes_at_the_beginning_are_not_those_of_others():
    ports = iter((500, *range(505, 510)))  # four questions that die on the way came between
    observations = [seen(next(ports), A1, 0)]
    observations += [seen(next(ports), A1, number, at=0.05) for number in range(1, 4)]
    observations += [seen(next(ports), A1, number, at=0.35) for number in (4, 5)]
    observations += [replace(each, server=B1) for each in observations]
    assert behavior_of(Evidence(observations=tuple(observations))).noise == 0.0


def test_the_samples_are_those_of_one_ip_of_a_pool():
    other = IPv4Address("203.0.113.10")
    observations = []
    for number in range(6):
        observations += [
            seen(500 + number, A1, number),
            seen(500 + number, B1, number, ip=OUTSIDE if number % 3 else other),
        ]
    behavior = behavior_of(Evidence(observations=tuple(observations)))
    assert behavior.external_ips == (OUTSIDE,)  # the other one was told by one server only
    assert behavior.allocation.kind is AllocationKind.DELTA


def test_no_more_outside_ips_are_told_than_allowed():
    observations = [
        seen(5, server, number, ip=IPv4Address(f"203.0.113.{number}"))
        for number in range(10)
        for server in (A1, B1)
    ]
    assert len(behavior_of(Evidence(observations=tuple(observations))).external_ips) == limits.EXTERNAL_IPS


def test_being_seen_at_an_ip_of_this_machine_is_no_translation():
    observations = (seen(40000, A1), seen(40000, B1))
    assert behavior_of(Evidence(observations, frozenset({OUTSIDE}))).translated is False
    assert behavior_of(Evidence(observations)).translated is True
    assert behavior_of(Evidence()) == Behavior()


def test_only_a_mapping_that_does_not_vary_can_be_poisoned():
    same, varies = (seen(5, A1), seen(5, B1)), (seen(5, A1), seen(6, B1))
    assert behavior_of(Evidence(same, moved_by_inbound=True)).inbound_first_poisons is True
    assert behavior_of(Evidence(varies, moved_by_inbound=True)).inbound_first_poisons is None
