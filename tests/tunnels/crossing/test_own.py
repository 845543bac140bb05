"""What peers are told of our network is what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tunnels.addresses import Address
from tunnels.crossing.description import Description, NetworkClass
from tunnels.crossing.own import describe, is_contradicted
from tunnels.crossing.typical import typical
from tunnels.nat.behavior import UNKNOWN, Behavior, Filtering, Mapping
from tunnels.nat.report import FamilyReport, NetworkReport

SERVER = Address.of("198.51.100.1", 3478)
ONE_PORT, STRICT = Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT


def described(
    behavior: Behavior = UNKNOWN,
    *,
    own: Mapping = Mapping.UNKNOWN,
    answered: bool = True,
    ipv6: FamilyReport | None = None,
    is_mapped: bool = False,
) -> Description:
    ipv4 = FamilyReport(
        has_address=True,
        asked=(SERVER,),
        answered=(SERVER,) if answered else (),
        behavior=behavior,
        own_mapping=own,
    )
    report = NetworkReport(ipv4, ipv6 or FamilyReport(has_address=False), measured_at=0.0, seconds=1.0)
    return describe(report, is_mapped=is_mapped, network=b"home")


@pytest.mark.parametrize("network_class", [each for each in NetworkClass if each is not NetworkClass.BLOCKED])
def test_a_network_is_told_as_it_was_measured(network_class: NetworkClass):
    behavior = typical(network_class).behavior
    assert described(behavior).behavior == behavior
    assert described(behavior).network_class is network_class


def test_a_public_address_behind_a_firewall_is_as_a_home():
    for mapping in (ONE_PORT, Mapping.UNKNOWN):
        for filtering in (STRICT, Filtering.UNKNOWN):
            behavior = Behavior(translated=False, mapping=mapping, filtering=filtering)
            assert described(behavior).network_class is NetworkClass.PORT_RESTRICTED
    free = Behavior(translated=False, mapping=ONE_PORT, filtering=Filtering.ENDPOINT_INDEPENDENT)
    assert described(free).network_class is NetworkClass.OPEN


def test_the_tunnels_own_socket_tells_what_the_measurement_did_not():
    assert described(own=ONE_PORT).network_class is NetworkClass.PORT_RESTRICTED
    assert described(own=Mapping.DEPENDENT).network_class is NetworkClass.RANDOM
    seen = Behavior(translated=True, mapping=Mapping.DEPENDENT)
    assert described(seen, own=ONE_PORT).behavior == seen


def test_what_was_not_measured_is_unknown():
    nothing = describe(None, is_mapped=False, network=b"home")
    assert nothing == Description(network=b"home")
    assert nothing.network_class is NetworkClass.UNKNOWN
    not_asked = NetworkReport(FamilyReport(has_address=True), FamilyReport(has_address=True), 0.0, 1.0)
    described_so = describe(not_asked, is_mapped=False, network=b"")
    assert described_so.udp_blocked is None
    assert described_so.has_ipv6


def test_udp_is_blocked_where_no_server_answers():
    assert described(answered=False).network_class is NetworkClass.BLOCKED


def test_a_mapped_port_is_as_good_as_a_public_address():
    assert described(typical(NetworkClass.RANDOM).behavior, is_mapped=True).network_class is NetworkClass.OPEN


def test_ipv6_counts_unless_nothing_comes_back_by_it():
    blocked = FamilyReport(has_address=True, asked=(SERVER,))
    assert described(ipv6=FamilyReport(has_address=True)).has_ipv6
    assert described(ipv6=replace(blocked, answered=(SERVER,))).has_ipv6
    assert not described(ipv6=blocked).has_ipv6
    assert not described().has_ipv6


def test_the_rest_is_told_as_it_is():
    told = describe(
        None,
        is_mapped=False,
        network=b"home",
        is_small=True,
        challenge=b"c" * 16,
        attester=SERVER,
        through_nat64=True,
    )
    assert told == Description(
        network=b"home", is_small=True, challenge=b"c" * 16, attester=SERVER, through_nat64=True
    )


@pytest.mark.parametrize(
    ("mapping", "own", "observed", "found"),
    [
        (ONE_PORT, ("203.0.113.9:4000",), ("203.0.113.9:4000",), False),
        (ONE_PORT, ("203.0.113.9:4000",), ("203.0.113.9:4000", "203.0.113.9:4001"), True),
        (ONE_PORT, ("203.0.113.9:4000",), ("192.168.1.10:4001",), False),
        (ONE_PORT, (), ("203.0.113.9:4001",), False),
        (Mapping.DEPENDENT, ("203.0.113.9:4000",), ("203.0.113.9:4001",), False),
    ],
)
def test_a_peer_that_sees_another_port_contradicts_a_report_that_there_is_one(mapping, own, observed, found):
    ipv4 = FamilyReport(
        has_address=True,
        behavior=Behavior(translated=True, mapping=mapping),
        own_addresses=tuple(map(Address.parse, own)),
    )
    report = NetworkReport(ipv4, FamilyReport(has_address=False), measured_at=0.0, seconds=1.0)
    assert is_contradicted(report, map(Address.parse, observed)) is found
