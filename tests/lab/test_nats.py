"""Facts about the NATs in memory: each behaves as it is named."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.lab.nats import OUTSIDE, VirtualNat
from tests.lab.translation import FORGETS, Ports
from tunnels.addresses import Address
from tunnels.nat.behavior import Filtering, Mapping

INSIDE = [Address.parse(f"192.168.1.10:{port}") for port in (40001, 40002, 40007, 40010)]
ONE, ONE_OTHER_PORT, TWO = map(Address.parse, ("198.51.100.1:1", "198.51.100.1:2", "198.51.100.2:1"))


@pytest.mark.parametrize(
    ("mapping", "places"),
    [
        (Mapping.ENDPOINT_INDEPENDENT, 1),
        (Mapping.ADDRESS_DEPENDENT, 2),
        (Mapping.ADDRESS_AND_PORT_DEPENDENT, 3),
    ],
)
def test_a_socket_has_as_many_mappings_as_the_kind_says(mapping, places):
    nat = VirtualNat(mapping, ports=Ports.RANDOM)
    seen = [nat.outbound(INSIDE[0], to, 0.0) for to in (ONE, ONE_OTHER_PORT, TWO, ONE)]
    assert len(set(seen)) == places
    assert seen[0] == seen[3]


@pytest.mark.parametrize(
    ("filtering", "let_in"),
    [
        (Filtering.ENDPOINT_INDEPENDENT, {ONE, ONE_OTHER_PORT, TWO}),
        (Filtering.ADDRESS_DEPENDENT, {ONE, ONE_OTHER_PORT}),
        (Filtering.ADDRESS_AND_PORT_DEPENDENT, {ONE}),
    ],
)
def test_those_get_in_whom_the_kind_lets_in(filtering, let_in):
    nat = VirtualNat(filtering=filtering)
    outside = nat.outbound(INSIDE[0], ONE, 0.0)
    came = {source for source in (ONE, ONE_OTHER_PORT, TWO) if nat.inbound(source, outside, 0.1) == INSIDE[0]}
    assert came == let_in
    assert nat.inbound(ONE, Address(OUTSIDE, 1), 0.1) is None


def ports_of(nat: VirtualNat, seconds: float = 0.0) -> list[int]:
    return [nat.outbound(inside, ONE, seconds * number).port for number, inside in enumerate(INSIDE)]


def test_ports_are_kept_unless_taken():
    nat = VirtualNat()
    assert ports_of(nat) == [inside.port for inside in INSIDE]
    other = Address.parse("192.168.1.11:40001")
    assert nat.outbound(other, ONE, 0.0).port != 40001


@pytest.mark.parametrize("delta", [1, 2, -3])
def test_ports_follow_each_other(delta):
    ports = ports_of(VirtualNat(ports=Ports.SEQUENTIAL, delta=delta))
    assert [later - former for former, later in pairwise(ports)] == [delta] * 3


def test_ports_in_order_begin_anew_at_the_end():
    assert ports_of(VirtualNat(ports=Ports.SEQUENTIAL, first=65534)) == [65534, 65535, 1024, 1025]


def test_others_take_ports_meanwhile():
    ports = ports_of(VirtualNat(ports=Ports.SEQUENTIAL, noise=10), seconds=1.0)
    assert [later - former for former, later in pairwise(ports)] == [11] * 3


def test_random_ports_are_in_the_block_and_of_the_parity_asked_for():
    ports = ports_of(VirtualNat(ports=Ports.BLOCK, block=(2048, 2111), keeps_parity=True))
    assert all(2048 <= port <= 2111 for port in ports)
    assert [port & 1 for port in ports] == [inside.port & 1 for inside in INSIDE]


def test_a_mapping_is_forgotten():
    nat = VirtualNat(ports=Ports.RANDOM)
    outside = nat.outbound(INSIDE[0], ONE, 0.0)
    assert nat.inbound(ONE, outside, FORGETS) == INSIDE[0]
    assert nat.inbound(ONE, outside, FORGETS + 1) is None
    assert nat.outbound(INSIDE[0], ONE, FORGETS + 1) != outside


def test_what_came_first_moves_the_mapping_for_its_sender_only():
    nat = VirtualNat(is_poisoned=True)
    outside = nat.outbound(INSIDE[0], ONE, 0.0)
    assert nat.inbound(TWO, outside, 0.1) is None
    assert nat.outbound(INSIDE[0], TWO, 0.2) != outside
    assert nat.outbound(INSIDE[0], ONE_OTHER_PORT, 0.2) == outside
