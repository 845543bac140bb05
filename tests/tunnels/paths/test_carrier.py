"""Facts about carrying packets on a path."""

from __future__ import annotations

from random import Random

from tunnels import limits
from tunnels.addresses import Address
from tunnels.paths.carrier import Carrier
from tunnels.paths.fragments import FRAGMENT
from tunnels.paths.mtu import PROBE, encode_answer, nonce_of
from tunnels.paths.path_set import PathSet

HERE, THERE = Address.of("192.0.2.1", 7), Address.of("192.0.2.2", 7)
ID = b"8 bytes!"
SHORT = b"\x41" + ID
LARGE = SHORT + bytes(5000)
NOW = 1000.0


def carrier(paths: PathSet | None = None) -> Carrier:
    return Carrier(paths or PathSet((HERE,), confirmed=HERE), Random(1).randbytes)


def find_size(carrier: Carrier, size: int, now: float = NOW) -> None:
    """Answer every probe that the path carries."""
    for probe, asked in carrier.probes(now, 0.01, is_silent=False):
        if asked <= size:
            carrier.answer_received(encode_answer(ID, nonce_of(probe)))


def test_small_packets_travel_as_they_are():
    packets = [SHORT + bytes(100), SHORT + bytes(1191)]
    assert carrier().datagrams(packets, NOW) == packets


def test_a_large_packet_becomes_fragments_with_its_connection_id_and_a_tag_of_its_own():
    fragments = carrier().datagrams([LARGE, SHORT, LARGE], NOW)
    assert [fragment[0] for fragment in fragments] == [FRAGMENT] * 5 + [0x41] + [FRAGMENT] * 5
    assert {fragment[1:9] for fragment in fragments} == {ID}
    assert len({fragment[9:13] for fragment in fragments if fragment[0] == FRAGMENT}) == 2


def test_a_packet_of_the_handshake_is_never_cut():
    long_header = b"\xc1" + bytes(1300)
    assert carrier().datagrams([long_header], NOW) == [long_header]


def test_before_there_are_short_headers_nothing_is_probed_or_answered():
    fresh = carrier()
    fresh.datagrams([b"\xc1" + bytes(1199)], NOW)
    assert fresh.get_timer(is_silent=True) is None
    assert fresh.probes(NOW, 0.0, is_silent=True) == []
    assert fresh.probe_received(bytes([PROBE]) + ID + b"a nonce!", NOW) is None


def test_with_the_size_found_fragments_are_fewer_and_a_new_path_starts_anew():
    paths = PathSet((HERE, THERE), confirmed=HERE)
    carried = carrier(paths)
    carried.datagrams([SHORT], NOW)
    find_size(carried, 1472)
    assert len(carried.datagrams([LARGE], NOW)) == 4
    find_size(carried, 8400, NOW + limits.MTU_PROBE_WAIT)
    assert carried.datagrams([LARGE], NOW) == [LARGE]
    paths.heard(THERE, NOW)
    assert len(carried.datagrams([LARGE], NOW)) == 5


def test_an_interface_that_refuses_a_size_in_use_is_not_given_it_again():
    carried = carrier()
    carried.datagrams([SHORT], NOW)
    find_size(carried, 8400)
    carried.datagrams([LARGE], NOW)
    carried.refused(NOW)
    assert len(carried.datagrams([LARGE], NOW)) == 5
    carried.refused(NOW)  # of the smallest size there is nothing to learn
    assert carried.mtu.size == limits.MIN_PATH_MTU


def test_a_refused_probe_that_asks_about_no_size_teaches_nothing():
    carried = carrier()
    carried.datagrams([SHORT], NOW)
    ((_, size), *_) = carried.probes(NOW, 0.01, is_silent=True)
    carried.probe_refused(size, NOW)
    find_size(carried, 8400, NOW + limits.MTU_PROBE_WAIT)
    assert carried.mtu.size == limits.SHORT_PATH_PACKET
    carried.suspect(NOW)
    assert carried.mtu.size == limits.MIN_PATH_MTU


def test_a_size_in_use_is_confirmed():
    carried = carrier()
    carried.datagrams([SHORT], NOW)
    find_size(carried, 1472)
    carried.datagrams([LARGE], NOW)
    probes = carried.probes(NOW + limits.MTU_CONFIRM_EVERY + 1, 0.01, is_silent=False)
    assert 1472 in [size for _, size in probes]


def test_a_silent_path_is_asked_twice_a_second_and_its_answer_says_that_it_is_back():
    carried = carrier()
    carried.datagrams([SHORT], NOW)
    find_size(carried, 1472)
    asked = []
    for step in range(100):
        now = NOW + 1 + step / 10
        asked += [probe for probe, size in carried.probes(now, 0.01, is_silent=True) if not size]
    assert len(asked) == 20
    assert not carried.answer_received(encode_answer(ID, nonce_of(asked[0])))  # of an earlier one
    assert carried.answer_received(encode_answer(ID, nonce_of(asked[-1])))
    assert not carried.answer_received(encode_answer(ID, nonce_of(asked[-1])))
    assert not carried.answer_received(b"\x22cut short")


def test_the_peers_probes_are_answered_within_a_rate():
    carried = carrier()
    carried.datagrams([SHORT], NOW)
    probe = bytes([PROBE]) + ID + b"a nonce!" + bytes(1000)
    answers = [carried.probe_received(probe, NOW) for _ in range(1000)]
    assert answers[0] == encode_answer(ID, b"a nonce!")
    assert len([answer for answer in answers if answer]) == limits.PROBE_ANSWERS_PER_SECOND
    assert carried.probe_received(probe, NOW + 1) is not None
    assert carried.probe_received(probe[:12], NOW + 2) is None
