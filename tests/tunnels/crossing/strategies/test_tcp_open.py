"""Facts about TCP simultaneous open as a strategy: when it suits, what both ends do, and where it does not let a peer lead us."""

from __future__ import annotations

import itertools
from ipaddress import ip_address
from random import Random

import pytest

from tunnels import limits as tunnel_limits
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.description import Description, NetworkClass, Pair
from tunnels.crossing.strategies.tcp_open import PORT, TcpOpen
from tunnels.crossing.strategy import AskTcp, ConnectTcp, Ready, Setting
from tunnels.errors import ProtocolViolation
from tunnels.nat.behavior import Allocation, AllocationKind, Behavior, Filtering, Mapping

ALICE, BOB = Address.parse("203.0.113.7:40000"), Address.parse("198.51.100.9:50000")
CONE = Description(Behavior(True, Mapping.ENDPOINT_INDEPENDENT, Filtering.ADDRESS_AND_PORT_DEPENDENT))
RANDOM = Description(
    Behavior(
        True,
        Mapping.ADDRESS_AND_PORT_DEPENDENT,
        Filtering.ADDRESS_AND_PORT_DEPENDENT,
        Allocation(AllocationKind.RANDOM),
    )
)
BLOCKED = Description(udp_blocked=True)
UNKNOWN = Description()


def attempt(mine: Description = BLOCKED, theirs: Description = BLOCKED):
    return TcpOpen().attempt(
        Setting(
            pair=Pair(mine, theirs),
            targets=(),
            servers=(),
            round_trip=0.05,
            random=Random(1),
            is_client=True,
        )
    )


def prepared(seen: Address = ALICE, local_port: int = 0):
    one = attempt()
    one.begin(0.0)
    assert one.take() == [AskTcp(PORT)]
    assert one.ready is None
    one.tcp_seen(PORT, seen, local_port, 0.2)
    return one


def told(*places: Address) -> bytes:
    return Ready.at(places).encode()


def run(one, now: float) -> list[tuple[float, object]]:
    """Everything it does until it is over, each with when."""
    done = [(now, action) for action in one.take()]
    while not one.is_over:
        now = one.due
        one.handle_timer(now)
        done += [(now, action) for action in one.take()]
    return done


def test_where_its_port_is_seen_is_what_the_peer_has_to_know():
    one = prepared()
    assert Ready.decode(one.ready).addresses() == (ALICE,)
    assert one.due == float("inf"), "it waits for the peer"
    assert one.take() == []


def test_a_nat_that_may_keep_ports_is_tried_at_that_port_as_well():
    one = prepared(local_port=35000)
    assert Ready.decode(one.ready).addresses() == (ALICE, Address(ALICE.ip, 35000))
    assert Ready.decode(prepared(local_port=ALICE.port).ready).addresses() == (ALICE,)


def test_it_connects_again_and_again_for_ten_seconds_first_often_and_never_in_time_with_itself():
    one = prepared()
    one.peer_ready(told(BOB), 1.0)
    done = run(one, 1.0)
    assert {action for _, action in done} == {ConnectTcp(PORT, BOB)}
    times = [when for when, _ in done]
    assert times[0] == 1.0
    assert times[-1] < 1.0 + tunnel_limits.TCP_OPEN_SECONDS
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(set(gaps)) == len(gaps)
    eager = [gap for when, gap in zip(times, gaps, strict=False) if when < 1.0 + tunnel_limits.TCP_OPEN_EAGER]
    assert 8 <= len(eager) <= 14
    assert max(eager) <= tunnel_limits.TCP_OPEN_GAP * (1 + tunnel_limits.TCP_OPEN_JITTER)
    assert min(gaps[len(eager) :]) >= tunnel_limits.TCP_OPEN_LATER * (1 - tunnel_limits.TCP_OPEN_JITTER)
    assert one.due == float("inf")


def test_it_stays_for_what_is_under_way_when_it_may_try_no_more():
    one = prepared()
    one.peer_ready(told(BOB), 0.0)
    one._left = 0
    one.handle_timer(one.due)
    assert one.due == tunnel_limits.TCP_OPEN_SECONDS
    assert not one.is_over
    one.handle_timer(one.due)
    assert one.is_over


def test_a_peer_that_says_later_where_else_it_is_gets_that_tried_and_no_more_time():
    one = prepared()
    one.peer_ready(told(BOB), 0.0)
    one.take()
    elsewhere = Address(BOB.ip, 50002)
    one.peer_ready(told(elsewhere), 0.05)
    assert one.take() == []
    done = run(one, one.due)
    assert {action.to for _, action in done} == {elsewhere}
    assert done[-1][0] < tunnel_limits.TCP_OPEN_SECONDS


def test_two_places_cost_no_more_than_what_was_announced():
    one = prepared()
    one.peer_ready(told(BOB, Address(BOB.ip, 50001)), 1.0)
    done = run(one, 1.0)
    assert 15 < len(done) <= limits.TCP_CONNECTS == TcpOpen().cost(one.setting.pair).datagrams


def test_a_peer_that_names_many_places_gets_two_of_them_tried():
    one = prepared()
    one.peer_ready(told(*(Address(BOB.ip, port) for port in range(50000, 50032))), 1.0)
    assert len(one.take()) == tunnel_limits.TCP_PLACES


@pytest.mark.parametrize(
    "place",
    [
        "192.168.1.1:8080",
        "10.0.0.1:6379",
        "127.0.0.1:7777",
        "169.254.169.254:8000",
        "198.51.100.9:22",
        "198.51.100.9:443",
        "198.51.100.9:11211",
        "224.0.0.1:5000",
        "255.255.255.255:5000",
        "[2001:db8::1]:5000",
        "[::ffff:192.168.1.1]:5000",
    ],
)
def test_a_peer_cannot_have_us_connect_to_services_or_within_our_own_network(place):
    one = prepared()
    one.peer_ready(told(Address.parse(place)), 1.0)
    assert one.is_over
    assert one.take() == []


@pytest.mark.parametrize("payload", [b"", b"junk", b"\x91\x91\x92\xc4\x04abcd\x00"])
def test_what_makes_no_sense_is_the_peers_fault(payload):
    with pytest.raises(ProtocolViolation):
        prepared().peer_ready(payload, 1.0)


def test_without_an_answer_of_the_beacon_it_is_in_vain():
    one = attempt()
    one.begin(0.0)
    one.take()
    one.tcp_seen(PORT, None, 0, 1.0)
    assert one.is_over
    silent = attempt()
    silent.begin(0.0)
    assert silent.due == tunnel_limits.TCP_OPEN_ASK
    silent.handle_timer(silent.due)
    assert silent.is_over


def test_who_is_late_himself_connects_already_and_is_seen_meanwhile():
    one = attempt()
    one.begin(0.0)
    one.take()
    one.peer_ready(told(BOB), 0.1)
    assert one.take() == [ConnectTcp(PORT, BOB)]
    one.tcp_seen(PORT, ALICE, 0, 0.2)
    assert Ready.decode(one.ready).addresses() == (ALICE,)
    assert one.due < 0.5, "it goes on"


def test_a_second_answer_changes_nothing():
    one = prepared()
    one.tcp_seen(PORT, BOB, 0, 1.0)
    one.tcp_seen(PORT, None, 0, 1.0)
    one.tcp_seen(2, BOB, 0, 1.0)
    assert Ready.decode(one.ready).addresses() == (ALICE,)
    assert not one.is_over


@pytest.mark.parametrize(
    ("mine", "theirs", "suits"),
    [
        (BLOCKED, BLOCKED, True),
        (BLOCKED, CONE, True),
        (CONE, CONE, True),
        (UNKNOWN, UNKNOWN, True),
        (CONE, RANDOM, True),
        (RANDOM, RANDOM, False),
    ],
)
def test_it_suits_all_but_two_that_show_everybody_another_port(mine, theirs, suits):
    pair = Pair(mine, theirs)
    row = TcpOpen()
    assert row.suits(pair) is row.suits(pair.swapped) is suits
    assert row.success(pair) == row.success(pair.swapped)
    assert 0 < row.success(pair) < 1


def test_behind_one_address_it_is_not_tried():
    here = Description(Behavior(external_ips=(ip_address("203.0.113.7"),)))
    assert not TcpOpen().suits(Pair(here, here))


def test_two_that_udp_reaches_nowhere_are_what_it_is_for():
    assert Pair(BLOCKED, BLOCKED).classes == (NetworkClass.BLOCKED, NetworkClass.BLOCKED)
    assert TcpOpen().success(Pair(BLOCKED, BLOCKED)) > TcpOpen().success(Pair(RANDOM, CONE))
