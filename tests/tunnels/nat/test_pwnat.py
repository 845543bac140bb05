"""Echoes and summonses, byte by byte; and who is not heard."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from tunnels import limits
from tunnels.addresses import Address
from tunnels.calling import OPENER
from tunnels.identity import SecretKey
from tunnels.nat import limits as nat_limits
from tunnels.nat import pwnat

ALICE, BOB = (SecretKey(bytes([seed]) * 32).endpoint_id for seed in (1, 2))
CLOCK = 1_800_000_000.0
NONCE = b"nonce123"
TARGET = {4: IPv4Address("192.0.2.1"), 6: IPv6Address("100::1")}
HOME = {4: IPv4Address("203.0.113.10"), 6: IPv6Address("2001:db8::10")}
DIALLER = {4: IPv4Address("198.51.100.7"), 6: IPv6Address("2001:db8:1::7")}


def a_summons(version: int = 4, *, to=ALICE, place: Address | int = 41641, nonce=NONCE, clock=CLOCK) -> bytes:
    return pwnat.summons(to, HOME[version], TARGET[version], place, nonce, clock)


def heard(
    message: bytes, source=None, *, version: int = 4, waiting=None, now=0.0, clock=CLOCK
) -> Address | None:
    waiting = waiting or pwnat.Waiting(ALICE)
    return waiting.received(message, source or DIALLER[version], TARGET[version], now, clock)


@pytest.mark.parametrize("version", [4, 6])
def test_who_is_summoned_learns_where_the_dialler_is(version):
    assert heard(a_summons(version), version=version) == Address(DIALLER[version], 41641)


def test_an_echo_is_one_of_rfc_792():
    echo = pwnat.echo(ALICE, 4, CLOCK)
    assert echo[:2] == b"\x08\x00"
    assert pwnat.checksum(echo) == 0, "with the right checksum it adds up to nothing"
    assert echo[6:8] == bytes(2)
    assert not any(echo[8:])


def test_a_summons_quotes_the_echo_as_a_router_on_its_way_would():
    echo, message = pwnat.echo(ALICE, 4, CLOCK), a_summons()
    assert message[:2] == b"\x0b\x00"
    assert pwnat.checksum(message) == 0
    header, quoted = message[8:28], message[28:]
    assert pwnat.checksum(header) == 0
    assert header[8:10] == b"\x01\x01", "one hop was left, and it was ICMP"
    assert header[12:] == HOME[4].packed + TARGET[4].packed
    assert int.from_bytes(header[2:4]) == 20 + len(echo)
    assert quoted[:8] == echo[:8]
    assert len(quoted) == len(echo)


def test_for_ipv6_the_quoted_checksum_covers_the_addresses():
    message = a_summons(6)
    assert message[:4] == b"\x03\x00\x00\x00", "the kernel puts the outer one in"
    header, quoted = message[8:48], message[48:]
    payload = int.from_bytes(header[4:6])
    echo = quoted[:8] + bytes(payload - 8)
    assert header[8:] == HOME[6].packed + TARGET[6].packed
    assert pwnat.checksum(header[8:] + payload.to_bytes(4) + bytes([0, 0, 0, 58]) + echo) == 0


def test_the_identifier_is_another_one_each_day_and_for_each_endpoint():
    def identifier(whose, clock):
        return pwnat.echo(whose, 4, clock)[4:6]

    assert identifier(ALICE, CLOCK) == identifier(ALICE, CLOCK + 60)
    assert identifier(ALICE, CLOCK) != identifier(ALICE, CLOCK + 86_400)
    assert identifier(ALICE, CLOCK) != identifier(BOB, CLOCK)


def test_no_byte_of_it_can_be_another_one():
    message = a_summons()
    important = {0, 1, *range(24, 29), *range(36, len(message))}
    for position in important:
        forged = bytearray(message)
        forged[position] ^= 1
        assert heard(bytes(forged)) is None, position


@pytest.mark.parametrize("message", [b"", b"\x0b", bytes(28), bytes(82), b"\x0b\x00" + bytes(500)])
def test_anything_else_is_ignored(message):
    waiting = pwnat.Waiting(ALICE)
    assert heard(message, waiting=waiting) is None
    assert waiting.ignored == 1


def test_who_summons_somebody_else_is_not_heard():
    assert heard(a_summons(to=BOB)) is None


@pytest.mark.parametrize("late", [-nat_limits.PWNAT_CLOCK_SKEW - 1, nat_limits.PWNAT_CLOCK_SKEW + 1])
def test_a_summons_is_of_now(late):
    assert heard(a_summons(), clock=CLOCK + late) is None
    assert heard(a_summons(), clock=CLOCK + late / 2) is not None


def test_a_summons_counts_once_wherever_it_comes_from():
    waiting = pwnat.Waiting(ALICE)
    assert heard(a_summons(), waiting=waiting) is not None
    again = heard(a_summons(), ip_address("198.51.100.99"), waiting=waiting, now=nat_limits.PWNAT_CLOCK_SKEW)
    assert again is None


def test_a_source_that_means_something_wins_over_what_the_summons_says():
    place = Address.of("203.0.113.99", 7777)
    assert heard(a_summons(place=place)) == Address(DIALLER[4], 7777)


def test_what_a_nat_let_out_untranslated_tells_where_it_is_from():
    place = Address.of("203.0.113.99", 7777)
    assert heard(a_summons(place=place), ip_address("192.168.7.10")) == place
    assert heard(a_summons(), ip_address("192.168.7.10")) is None, "nobody can be reached there"


@pytest.mark.parametrize("place", ["192.168.1.1", "127.0.0.1", "224.0.0.1", "0.0.0.1", "255.255.255.255"])
def test_no_opener_goes_where_no_stranger_may_send_us(place):
    assert heard(a_summons(place=Address.of(place, 7777)), ip_address("192.168.7.10")) is None


@pytest.mark.parametrize("port", [0, 53, 1900])
def test_no_opener_goes_to_a_service_that_answers_strangers(port):
    assert heard(a_summons(place=port)) is None


def test_while_openers_are_under_way_the_same_place_gets_no_more():
    waiting = pwnat.Waiting(ALICE)
    assert heard(a_summons(), waiting=waiting) is not None
    assert heard(a_summons(nonce=b"another!"), waiting=waiting, now=1.0) is None
    later = nat_limits.PWNAT_OPEN_FOR + 0.1
    assert heard(a_summons(nonce=b"athird!!"), waiting=waiting, now=later) is not None


def test_no_more_than_so_many_are_answered_in_a_minute_whoever_they_are():
    waiting = pwnat.Waiting(ALICE)

    def flood(now: float) -> int:
        places = [
            heard(
                a_summons(nonce=number.to_bytes(7) + bytes([int(now)])),
                ip_address(f"198.51.100.{number}"),
                waiting=waiting,
                now=now,
            )
            for number in range(200)
        ]
        return sum(place is not None for place in places)

    assert flood(0.0) == nat_limits.PWNAT_ANSWERED_PER_MINUTE
    assert flood(1.0) == 0
    assert flood(60.0) == pytest.approx(nat_limits.PWNAT_ANSWERED_PER_MINUTE, abs=1)
    assert waiting.heard + waiting.ignored == 600
    assert len(waiting._proofs) <= 2 * nat_limits.PWNAT_ANSWERED_PER_MINUTE


@pytest.mark.parametrize(("version", "ip_header"), [(4, 20), (6, 40)])
def test_a_summons_is_as_large_as_all_that_it_makes_us_send_and_quotes_less_than_rfc_4884_extends(
    version, ip_header
):
    message = a_summons(version)
    openers = len(limits.PWNAT_OPENERS) * (ip_header + 8 + len(OPENER))
    assert openers <= ip_header + len(message)
    assert len(message) - 8 < 128


def test_the_message_is_taken_out_of_what_a_raw_socket_gives():
    assert pwnat.message_in(b"\x46" + bytes(23) + b"message", 4) == b"message"
    assert pwnat.message_in(b"message", 6) == b"message"
    assert pwnat.message_in(b"", 4) == b""
