"""Which of this machine's addresses others are told."""

from ipaddress import ip_address

from tunnels.addresses import Address
from tunnels.transports.interfaces import InterfaceAddress, advertised, interface_addresses, reachable_ips


def addresses(*entries: str) -> list[InterfaceAddress]:
    return [InterfaceAddress(name, ip_address(ip)) for name, ip in (entry.split() for entry in entries)]


def test_the_default_interface_comes_first_and_virtual_ones_last():
    found = addresses("docker0 172.17.0.1", "eth1 10.9.0.1", "wlan0 192.168.1.5", "wlan0 2001:db8::5")
    ranked = reachable_ips(found, frozenset({"wlan0"}))
    assert [str(ip) for ip in ranked] == ["192.168.1.5", "2001:db8::5", "10.9.0.1", "172.17.0.1"]


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
