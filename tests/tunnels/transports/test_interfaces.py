"""Which of this machine's addresses others are told."""

from ipaddress import ip_address

import pytest

from tests.lab.lans import a_lan
from tunnels.addresses import Address
from tunnels.transports.interfaces import (
    InterfaceAddress,
    advertised,
    interface_addresses,
    local_networks,
    matters,
    reachable_ips,
)


def addresses(*entries: str) -> list[InterfaceAddress]:
    return [InterfaceAddress(name, ip_address(ip)) for name, ip in (entry.split() for entry in entries)]


def test_the_default_interface_comes_first_and_virtual_ones_last():
    found = addresses("docker0 172.17.0.1", "eth1 10.9.0.1", "wlan0 192.168.1.5", "wlan0 2001:db8::5")
    ranked = reachable_ips(found, frozenset({"wlan0"}))
    assert [str(ip) for ip in ranked] == ["192.168.1.5", "2001:db8::5", "10.9.0.1", "172.17.0.1"]


def test_containers_and_other_overlays_never_fill_the_list():
    bridges = [f"br-{number:04x} 172.{number}.0.1" for number in range(18, 48)]
    vpns = [f"wg{number} 10.{number}.0.1" for number in range(10)]
    found = addresses(*bridges, *vpns, "docker0 172.17.0.1", "virbr0 192.168.122.1", "eth0 192.0.2.5")
    ranked = [str(ip) for ip in reachable_ips(found, frozenset({"eth0"}))]
    assert ranked == ["192.0.2.5", "10.0.0.1", "10.1.0.1", "172.18.0.1"]


def test_many_addresses_of_one_kind_leave_room_for_the_other_family_and_for_other_interfaces():
    found = addresses(
        *(f"eth0 192.0.2.{number}" for number in range(1, 30)),
        *(f"eth0 2001:db8::{number:x}" for number in range(1, 30)),
        *(f"eth1 10.0.0.{number}" for number in range(1, 30)),
    )
    ranked = reachable_ips(found, frozenset({"eth0"}))
    assert len(ranked) <= 16
    assert ip_address("10.0.0.1") in ranked
    assert [ip.version for ip in ranked] == [4] * 4 + [6] * 4 + [4] * 3


def test_a_vpn_with_the_default_route_comes_after_the_wire_it_runs_on():
    found = addresses("tun0 10.8.0.2", "eth0 192.168.1.5")
    assert reachable_ips(found, frozenset({"tun0"})) == [ip_address("192.168.1.5"), ip_address("10.8.0.2")]


def test_inside_a_container_its_own_end_is_the_way_in():
    found = addresses("veth1 10.0.3.7", "docker0 172.17.0.1")
    assert reachable_ips(found, frozenset({"veth1"}))[0] == ip_address("10.0.3.7")


def test_what_matters_is_not_what_containers_do():
    defaults = frozenset({"eth0"})
    yes = addresses("eth0 192.0.2.5", "wg0 10.1.0.1", "eth1 10.0.0.1")
    no = addresses("docker0 172.17.0.1", "veth9 10.2.0.1", "lo 127.0.0.1")
    assert all(matters(entry, defaults) for entry in yes)
    assert not any(matters(entry, defaults) for entry in no)


def test_loopback_is_told_only_when_there_is_nothing_else():
    assert reachable_ips(addresses("lo 127.0.0.1", "eth0 10.0.0.1"), frozenset()) == [ip_address("10.0.0.1")]
    assert reachable_ips(addresses("lo 127.0.0.1"), frozenset()) == [ip_address("127.0.0.1")]


def test_link_local_addresses_are_never_told():
    assert reachable_ips(addresses("eth0 fe80::1", "eth0 169.254.3.4"), frozenset()) == []


def test_a_socket_bound_to_everything_is_told_by_the_ips_of_its_family():
    bound = [Address.parse("0.0.0.0:7"), Address.parse("[::]:8")]
    ips = [ip_address("10.0.0.1"), ip_address("2001:db8::1")]
    public = Address.parse("198.51.100.1:9")
    assert list(map(str, advertised(bound, ips, [public]))) == [
        "198.51.100.1:9",
        "10.0.0.1:7",
        "[2001:db8::1]:8",
    ]


def test_a_socket_bound_to_one_address_is_told_by_that():
    assert advertised([Address.parse("127.0.0.1:7")], [ip_address("10.0.0.1")], []) == (
        Address.parse("127.0.0.1:7"),
    )


def test_this_machine_has_addresses():
    found, _ = interface_addresses()
    assert any(entry.ip.is_loopback for entry in found)


@pytest.mark.needs("root", "ip")
def test_local_networks_are_those_of_wires_and_radios_with_what_is_reached_without_a_router():
    with a_lan() as lan:
        machine = lan.machine()
        machine.ip(
            "link add docker0 type bridge",
            "addr add 172.17.0.1/16 dev docker0",
            "link add tun7 type bridge",
            "addr add 10.8.0.2/24 dev tun7",
            "addr add 203.0.113.9/32 dev lo",
        )
        with machine.entered():
            found = {(each.interface, str(each.ip), str(each.network)) for each in local_networks()}
    link_local = {entry for entry in found if entry[1].startswith("fe80")}
    assert found - link_local == {
        ("eth0", machine.address, "10.77.0.0/24"),
        ("eth0", machine.address6, "fd77::/64"),
    }
    assert {(interface, network) for interface, _, network in link_local} == {("eth0", "fe80::/64")}
