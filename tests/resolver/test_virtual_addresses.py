"""Loopback addresses and ports that stand for endpoints and services."""

import json
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import InvalidState, LimitReached
from resolver.limits import MAPPED_PORT_FIRST, MAPPED_PORT_LAST
from resolver.names import ServiceProtocol
from resolver.virtual_addresses import DEFAULT_NETWORK, MappedPorts, PortKey, VirtualAddresses, VirtualKey
from tests.lab.resolver_keys import key

ALICE = VirtualKey(key(1).endpoint_id)
WEB = VirtualKey(key(1).endpoint_id, "web")
BOB = VirtualKey(key(2).endpoint_id)
SMALL = IPv4Network("127.99.7.0/24")


def port_key(number: int, port: int = 80) -> PortKey:
    return PortKey(VirtualKey(key(number).endpoint_id), port, ServiceProtocol.TCP)


def test_an_endpoint_and_each_of_its_services_have_addresses_of_their_own_that_stay() -> None:
    addresses = VirtualAddresses()
    places = [addresses.address_of(one) for one in (ALICE, WEB, BOB)]
    assert len(set(places)) == 3
    assert places == [addresses.address_of(one) for one in (ALICE, WEB, BOB)]
    assert [addresses.key_at(place) for place in places] == [ALICE, WEB, BOB]


def test_the_address_depends_on_the_key_alone_and_not_on_the_version() -> None:
    one, other = VirtualAddresses(), VirtualAddresses()
    other.address_of(BOB)
    assert one.address_of(ALICE) == other.address_of(ALICE) == IPv4Address("127.71.52.83")


def test_asking_for_a_known_address_chooses_none() -> None:
    addresses = VirtualAddresses()
    assert addresses.known_address(ALICE) is None
    assert addresses.key_at(IPv4Address("127.80.0.1")) is addresses.key_at(IPv4Address("8.8.8.8")) is None
    assert len(addresses) == 0
    assert addresses.address_of(ALICE) == addresses.known_address(ALICE)


def test_a_full_network_has_used_each_good_address_once() -> None:
    addresses = VirtualAddresses(SMALL)
    places = {addresses.address_of(VirtualKey(key(number).endpoint_id)) for number in range(1, 255)}
    assert places == {SMALL[last] for last in range(1, 255)}
    with pytest.raises(LimitReached, match="all 254"):
        addresses.address_of(VirtualKey(key(300).endpoint_id))


def test_the_table_is_bounded_and_forgetting_an_endpoint_frees_its_addresses() -> None:
    addresses = VirtualAddresses(limit=2)
    addresses.address_of(ALICE)
    web = addresses.address_of(WEB)
    with pytest.raises(LimitReached, match="remove contacts"):
        addresses.address_of(BOB)
    assert addresses.address_of(WEB) == web
    addresses.forget(key(1).endpoint_id)
    assert len(addresses) == 0
    assert addresses.key_at(web) is None
    addresses.address_of(BOB)


@given(
    st.binary(min_size=1, max_size=8), st.sampled_from([DEFAULT_NETWORK, IPv4Network("127.0.0.0/8"), SMALL])
)
def test_no_address_looks_like_a_network_or_belongs_to_the_system(
    service: bytes, network: IPv4Network
) -> None:
    address = VirtualAddresses(network).address_of(VirtualKey(key(1).endpoint_id, service.hex()))
    assert address in network
    assert address not in IPv4Network("127.0.0.0/16")
    assert int(address) & 255 not in (0, 255)


@pytest.mark.parametrize(
    "network", ["10.0.0.0/8", "127.0.0.0/16", "127.0.9.0/24", "127.80.0.0/25", "0.0.0.0/0"]
)
def test_a_network_that_will_not_do_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match=r"choose a network in 127.0.0.0/8"):
        VirtualAddresses(IPv4Network(network))


def test_addresses_come_back_and_collisions_with_them() -> None:
    addresses = VirtualAddresses(SMALL)
    keys = [VirtualKey(key(number).endpoint_id, "web") for number in range(1, 60)]
    chosen = {each: addresses.address_of(each) for each in keys}
    again = VirtualAddresses(SMALL)
    for each in reversed(keys):
        again.restore(each, chosen[each])
    assert {each: again.known_address(each) for each in keys} == chosen


def test_addresses_that_no_longer_fit_are_chosen_anew() -> None:
    addresses = VirtualAddresses(SMALL, limit=2)
    for each, address in ((ALICE, "127.64.0.1"), (WEB, "127.99.7.0"), (BOB, "127.99.7.9")):
        addresses.restore(each, IPv4Address(address))
    assert [addresses.known_address(each) for each in (ALICE, WEB)] == [None, None]
    addresses.restore(ALICE, IPv4Address("127.99.7.9"))
    addresses.restore(BOB, IPv4Address("127.99.7.8"))
    assert addresses.known_address(BOB) == IPv4Address("127.99.7.9")
    addresses.restore(ALICE, IPv4Address("127.99.7.10"))
    addresses.restore(WEB, IPv4Address("127.99.7.11"))
    assert addresses.known_address(WEB) is None


def test_what_is_forgotten_is_told() -> None:
    addresses = VirtualAddresses(SMALL)
    for each in (ALICE, WEB, BOB):
        addresses.address_of(each)
    assert set(addresses.forget(ALICE.endpoint_id)) == {ALICE, WEB}
    assert len(addresses) == 1
    assert addresses.forget(ALICE.endpoint_id) == ()


@pytest.mark.parametrize("one", [ALICE, WEB, BOB])
def test_keys_read_back_from_their_text(one: VirtualKey) -> None:
    assert VirtualKey.parse(str(one)) == one
    port = PortKey(one, 5000, ServiceProtocol.UDP)
    assert PortKey.parse(str(port)) == port


@given(st.text(max_size=80))
def test_any_text_is_a_key_or_a_value_error(text: str) -> None:
    for kind in (VirtualKey, PortKey):
        try:
            kind.parse(text)
        except ValueError:
            continue
        raise AssertionError(text)


def test_a_service_port_has_a_stable_mapped_port() -> None:
    ports = MappedPorts()
    port = ports.port_of(port_key(1))
    assert MAPPED_PORT_FIRST <= port <= MAPPED_PORT_LAST
    assert ports.port_of(port_key(1)) == port == MappedPorts().port_of(port_key(1))
    assert ports.key_at(port) == port_key(1)
    assert len({ports.port_of(port_key(1, other)) for other in range(1, 50)} | {port}) == 49 + (
        port_key(1).port > 49
    )


def test_a_port_that_another_program_has_is_moved_and_not_used_again() -> None:
    ports = MappedPorts(2000, 2002)
    first = ports.port_of(port_key(1))
    second = ports.move(port_key(1))
    assert second == ports.port_of(port_key(1)) != first
    assert ports.key_at(first) is None
    third = ports.move(port_key(1))
    assert sorted([first, second, third]) == [2000, 2001, 2002]
    with pytest.raises(LimitReached):
        ports.move(port_key(1))


def test_mapped_ports_are_bounded_and_forgotten_with_their_endpoint() -> None:
    ports = MappedPorts(2000, 2001)
    assert {ports.port_of(port_key(1)), ports.port_of(port_key(1, 81))} == {2000, 2001}
    with pytest.raises(LimitReached):
        ports.port_of(port_key(2))
    ports.forget(key(1).endpoint_id)
    assert len(ports) == 0


def test_mapped_ports_read_back() -> None:
    ports = MappedPorts()
    ports.port_of(port_key(1))
    ports.move(port_key(1))
    read = MappedPorts()
    read.load_json(json.loads(json.dumps(ports.to_json())))
    assert read.to_json() == ports.to_json() != {}
    with pytest.raises(InvalidState, match="remove the file"):
        read.load_json({"x:80/tcp": 20000})


@pytest.mark.parametrize(("first", "last"), [(80, 100), (3000, 2000), (60000, 70000)])
def test_a_range_that_will_not_do_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="1024-65535"):
        MappedPorts(first, last)
