"""Facts about who is let in before proving who it is."""

from __future__ import annotations

from collections import deque
from ipaddress import ip_address
from random import Random

from tunnels import limits
from tunnels.handshakes import Admission, HandshakeTable
from tunnels.identity import EndpointId

ALICE, MALLORY = ip_address("192.0.2.1"), ip_address("192.0.2.66")


def fill(table: HandshakeTable, ips, *, address_proved: bool) -> int:
    """Begin handshakes until one is not accepted; how many there were."""
    for count, ip in enumerate(ips):
        if table.admit(ip, address_proved=address_proved) is not Admission.ACCEPT:
            return count
        table.begin(ip, address_proved=address_proved)
    raise AssertionError("no bound was met")


def many(count: int = 100_000):
    return (ip_address(0x0A000000 + number) for number in range(count))


def test_without_a_token_a_bounded_number_gets_in_and_the_next_is_asked_for_one():
    table = HandshakeTable()
    assert fill(table, many(), address_proved=False) == limits.RETRY_ABOVE
    assert table.admit(ALICE, address_proved=False) is Admission.RETRY
    assert table.admit(ALICE, address_proved=True) is Admission.ACCEPT


def test_packets_forged_in_somebodys_name_do_not_keep_it_out():
    table = HandshakeTable()
    fill(table, (ALICE for _ in range(10_000)), address_proved=False)
    assert table.admit(ALICE, address_proved=False) is Admission.RETRY
    assert table.admit(ALICE, address_proved=True) is Admission.ACCEPT


def test_one_proved_address_fills_its_share_and_no_others():
    table = HandshakeTable()
    assert (
        fill(table, (MALLORY for _ in range(10_000)), address_proved=True)
        == limits.MAX_HANDSHAKES_PER_ADDRESS
    )
    assert table.admit(MALLORY, address_proved=True) is Admission.DROP
    assert table.admit(ALICE, address_proved=True) is Admission.ACCEPT
    assert table.admit(ALICE, address_proved=False) is Admission.ACCEPT


def test_an_ipv6_network_is_one_address():
    table = HandshakeTable()
    network = (ip_address(f"2001:db8::{number:x}") for number in range(1, 10_000))
    assert fill(table, network, address_proved=True) == limits.MAX_HANDSHAKES_PER_ADDRESS
    assert table.admit(ip_address("2001:db8:0:1::1"), address_proved=True) is Admission.ACCEPT
    assert table.admit(ip_address("::1"), address_proved=True) is Admission.ACCEPT


def test_an_ipv4_address_and_an_ipv6_network_of_the_same_number_are_two():
    table = HandshakeTable()
    fill(table, (ALICE for _ in range(10_000)), address_proved=True)
    same_number = ip_address(int(ALICE) << 64)
    assert table.admit(same_number, address_proved=True) is Admission.ACCEPT


def test_all_proved_addresses_together_are_bounded():
    table = HandshakeTable()
    assert fill(table, many(), address_proved=True) == limits.MAX_HANDSHAKES
    assert table.admit(ALICE, address_proved=True) is Admission.DROP


def test_senders_that_a_beacon_invents_leave_room_for_those_on_direct_paths():
    table = HandshakeTable()
    senders = [EndpointId(number.to_bytes(32)) for number in range(1, 2000)]
    assert fill(table, senders, address_proved=True) == limits.MAX_HANDSHAKES_RELAYED
    assert table.admit(ALICE, address_proved=True) is Admission.ACCEPT
    table.end(senders[0], address_proved=True)
    assert table.admit(senders[-1], address_proved=True) is Admission.ACCEPT
    for sender in senders[1 : limits.MAX_HANDSHAKES_RELAYED]:
        table.end(sender, address_proved=True)
    assert table._relayed == table.total == 0


def test_the_table_is_empty_when_all_is_over():
    random, table, under_way = Random(4), HandshakeTable(), deque()
    for _ in range(5000):
        ip, proved = ip_address(random.randrange(1, 300)), random.random() < 0.5
        if table.admit(ip, address_proved=proved) is Admission.ACCEPT:
            table.begin(ip, address_proved=proved)
            under_way.append((ip, proved))
        elif under_way:
            ip, proved = under_way.popleft()
            table.end(ip, address_proved=proved)
        assert table.total == len(under_way) <= limits.MAX_HANDSHAKES + limits.RETRY_ABOVE
    for ip, proved in under_way:
        table.end(ip, address_proved=proved)
    assert (table.total, table.proved, table.unproved) == (0, 0, 0)
    assert not table._per_source


def test_asking_remembers_nothing():
    table = HandshakeTable()
    for ip in many(1000):
        table.admit(ip, address_proved=True)
    assert not table._per_source
