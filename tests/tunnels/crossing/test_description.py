"""What a peer says of its network is read within bounds, and what makes no sense in it is unknown."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnels import limits as tunnel_limits
from tunnels.addresses import Address
from tunnels.crossing import description as descriptions
from tunnels.crossing import limits
from tunnels.crossing.description import Description, NetworkClass, Pair
from tunnels.nat import limits as nat_limits
from tunnels.nat.behavior import UNKNOWN, Allocation, AllocationKind, Behavior, Filtering, Mapping

IPS = tuple(IPv4Address(f"203.0.113.{number}") for number in range(1, nat_limits.EXTERNAL_IPS + 1))
FULL = Description(
    behavior=Behavior(
        translated=True,
        mapping=Mapping.ADDRESS_AND_PORT_DEPENDENT,
        filtering=Filtering.ADDRESS_AND_PORT_DEPENDENT,
        allocation=Allocation(AllocationKind.BLOCK, span=(20480, 21503), keeps_parity=True),
        noise=12.5,
        external_ips=IPS,
        hairpin=False,
        inbound_first_poisons=True,
    ),
    udp_blocked=False,
    is_mapped=True,
    network=bytes(limits.NETWORK_LABEL_BYTES),
    is_small=True,
    challenge=bytes(nat_limits.CHALLENGE_BYTES),
    attester=Address.parse("192.0.2.1:3478"),
)


def test_a_description_is_read_as_it_was_written():
    assert descriptions.decode(descriptions.encode(FULL)) == FULL
    assert descriptions.decode(descriptions.encode(Description())) == Description()


def test_the_longest_one_fits():
    assert len(descriptions.encode(FULL)) <= tunnel_limits.DESCRIPTION_BYTES


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\x90", b"\x91\x01", b"junk" * 50, msgspec.msgpack.encode([300] * 17)]
)
def test_what_cannot_be_read_is_none(data):
    assert descriptions.decode(data) is None


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_that(data):
    found = descriptions.decode(data)
    assert found is None or isinstance(found, Description)


def test_a_later_version_may_say_more():
    longer = msgspec.msgpack.decode(descriptions.encode(FULL))
    assert descriptions.decode(msgspec.msgpack.encode([*longer, "news", 7])) == FULL


@pytest.mark.parametrize(
    "allocation",
    [
        Allocation(AllocationKind.DELTA, delta=0),
        Allocation(AllocationKind.DELTA, delta=None),
        Allocation(AllocationKind.DELTA, delta=60000),
        Allocation(AllocationKind.BLOCK, span=None),
        Allocation(AllocationKind.BLOCK, span=(0, 0)),
        Allocation(AllocationKind.BLOCK, span=(3000, 2000)),
        Allocation(AllocationKind.BLOCK, span=(1024, 65535)),
    ],
)
def test_ports_in_an_order_that_makes_no_sense_count_as_random(allocation):
    told = replace(FULL, behavior=replace(FULL.behavior, allocation=allocation), is_mapped=False)
    read = descriptions.decode(descriptions.encode(told))
    assert read is not None
    assert read.network_class is NetworkClass.RANDOM


def behavior(mapping, filtering, kind=AllocationKind.UNKNOWN, **more):
    return Description(Behavior(mapping=mapping, filtering=filtering, allocation=Allocation(kind, **more)))


EIM, APDM = Mapping.ENDPOINT_INDEPENDENT, Mapping.ADDRESS_AND_PORT_DEPENDENT
ANY, IP, PORT = (
    Filtering.ENDPOINT_INDEPENDENT,
    Filtering.ADDRESS_DEPENDENT,
    Filtering.ADDRESS_AND_PORT_DEPENDENT,
)


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        (Description(), NetworkClass.UNKNOWN),
        (behavior(EIM, ANY), NetworkClass.OPEN),
        (behavior(APDM, ANY), NetworkClass.OPEN),
        (behavior(EIM, IP), NetworkClass.ADDRESS_RESTRICTED),
        (behavior(EIM, PORT), NetworkClass.PORT_RESTRICTED),
        (behavior(EIM, Filtering.UNKNOWN), NetworkClass.PORT_RESTRICTED),
        (behavior(APDM, PORT, AllocationKind.DELTA, delta=1), NetworkClass.SEQUENTIAL),
        (behavior(APDM, PORT, AllocationKind.PRESERVING), NetworkClass.SEQUENTIAL),
        (behavior(APDM, PORT, AllocationKind.BLOCK, span=(1024, 2047)), NetworkClass.BLOCK),
        (behavior(APDM, PORT, AllocationKind.RANDOM), NetworkClass.RANDOM),
        (behavior(APDM, PORT), NetworkClass.RANDOM),
        (behavior(Mapping.DEPENDENT, Filtering.UNKNOWN), NetworkClass.RANDOM),
        (Description(udp_blocked=True), NetworkClass.BLOCKED),
        (replace(behavior(APDM, PORT, AllocationKind.RANDOM), is_mapped=True), NetworkClass.OPEN),
    ],
)
def test_what_matters_of_a_network_where_two_are_to_be_joined(description, expected):
    assert description.network_class is expected


def test_two_networks_behind_one_address_are_known_as_that():
    mine, theirs = (Description(replace(UNKNOWN, external_ips=ips)) for ips in (IPS[:2], IPS[1:3]))
    assert Pair(mine, theirs).is_behind_one_address
    assert not Pair(mine, Description()).is_behind_one_address
    assert Pair(mine, theirs).swapped == Pair(theirs, mine)
