"""Facts about carrying packets on a path."""

from __future__ import annotations

from random import Random

from tests.lab.paths import relay_to
from tunnels import limits
from tunnels.addresses import Address, TcpAddress, TurnAddress
from tunnels.nat.channels import HEAD_BYTES
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.carrier import Carrier
from tunnels.paths.fragments import FRAGMENT
from tunnels.paths.mtu import PROBE, encode_answer, nonce_of
from tunnels.paths.path_set import PathSet

HERE, THERE = Address.of("192.0.2.1", 7), Address.of("192.0.2.2", 7)
RELAY = relay_to("bob")
ID = b"8 bytes!"
SHORT = b"\x41" + ID
LARGE = SHORT + bytes(5000)
NOW = 1000.0


def path_set() -> PathSet:
    candidates = [Candidate(address, CandidateKind.HOST) for address in (HERE, THERE, RELAY)]
    return PathSet(candidates, now=NOW, chance=bytes, confirmed=HERE)


class SelectedPath(Carrier):
    """Carries on the selected path of its own paths."""

    def __init__(self) -> None:
        self.paths = path_set()
        super().__init__(self.paths, Random(1).randbytes)

    def carry(self, packets: list[bytes]) -> list[bytes]:
        return self.datagrams(packets, self.paths.confirmed, NOW)


def carrier() -> SelectedPath:
    return SelectedPath()


def find_size(carrier: Carrier, size: int, now: float = NOW) -> None:
    """Answer every probe that the path carries."""
    for probe, asked in carrier.probes(now, 0.01):
        if asked <= size:
            carrier.answer_received(encode_answer(ID, nonce_of(probe)))


def test_small_packets_travel_as_they_are():
    packets = [SHORT + bytes(100), SHORT + bytes(1191)]
    assert carrier().carry(packets) == packets


def test_a_large_packet_becomes_fragments_with_its_connection_id_and_a_tag_of_its_own():
    fragments = carrier().carry([LARGE, SHORT, LARGE])
    assert [fragment[0] for fragment in fragments] == [FRAGMENT] * 5 + [0x41] + [FRAGMENT] * 5
    assert {fragment[1:9] for fragment in fragments} == {ID}
    assert len({fragment[9:13] for fragment in fragments if fragment[0] == FRAGMENT}) == 2


def test_a_packet_of_the_handshake_is_never_cut():
    long_header = b"\xc1" + bytes(1300)
    assert carrier().carry([long_header]) == [long_header]


def test_before_there_are_short_headers_nothing_is_probed_or_answered():
    fresh = carrier()
    fresh.carry([b"\xc1" + bytes(1199)])
    assert fresh.get_timer() is None
    assert fresh.probes(NOW, 0.0) == []
    assert fresh.probe_received(bytes([PROBE]) + ID + b"a nonce!", NOW) is None


def test_with_the_size_found_fragments_are_fewer_and_each_path_has_its_own():
    carried = carrier()
    carried.carry([SHORT])
    find_size(carried, 1472)
    assert len(carried.carry([LARGE])) == 4
    find_size(carried, 8400, NOW + limits.MTU_PROBE_WAIT)
    assert carried.carry([LARGE]) == [LARGE]
    assert len(carried.datagrams([LARGE], THERE, NOW)) == 5
    assert carried.carry([LARGE]) == [LARGE]


def test_a_tcp_connection_carries_packets_whole_and_is_not_asked_for_its_size():
    tcp = TcpAddress(THERE)
    carried = Carrier(PathSet((), now=NOW, chance=bytes, confirmed=tcp), Random(1).randbytes)
    assert carried.datagrams([LARGE, SHORT], tcp, NOW) == [LARGE, SHORT]
    assert carried.get_timer() is None
    assert carried.probes(NOW, 0.01) == []


def test_a_relay_carries_packets_whole_and_is_not_asked_for_its_size():
    paths = PathSet((), now=NOW, chance=bytes, confirmed=RELAY)
    carried = Carrier(paths, Random(1).randbytes)
    assert carried.datagrams([LARGE, SHORT], RELAY, NOW) == [LARGE, SHORT]
    assert carried.get_timer() is None
    assert carried.probes(NOW, 0.01) == []


def test_the_paths_whose_sizes_are_known_are_bounded():
    carried = carrier()
    for port in range(1, 200):
        carried.datagrams([LARGE], Address.of("192.0.2.3", port), NOW)
    assert len(carried._mtus) == limits.MAX_PATHS


def test_an_interface_that_refuses_a_size_in_use_is_not_given_it_again():
    carried = carrier()
    carried.carry([SHORT])
    find_size(carried, 8400)
    carried.carry([LARGE])
    carried.refused(HERE, NOW)
    assert len(carried.carry([LARGE])) == 5
    carried.refused(HERE, NOW)  # of the smallest size there is nothing to learn
    assert carried.mtu.size == limits.MIN_PATH_MTU


def test_when_quic_hears_nothing_the_size_falls_back():
    carried = carrier()
    carried.carry([SHORT])
    find_size(carried, 8400)
    assert carried.mtu.size == limits.SHORT_PATH_PACKET
    carried.suspect(NOW)
    assert carried.mtu.size == limits.MIN_PATH_MTU


def test_a_size_in_use_is_confirmed():
    carried = carrier()
    carried.carry([SHORT])
    find_size(carried, 1472)
    carried.carry([LARGE])
    probes = carried.probes(NOW + limits.MTU_CONFIRM_EVERY + 1, 0.01)
    assert 1472 in [size for _, size in probes]


def test_the_peers_probes_are_answered_within_a_rate():
    carried = carrier()
    carried.carry([SHORT])
    probe = bytes([PROBE]) + ID + b"a nonce!" + bytes(1000)
    answers = [carried.probe_received(probe, NOW) for _ in range(1000)]
    assert answers[0] == encode_answer(ID, b"a nonce!")
    assert len([answer for answer in answers if answer]) == limits.PROBE_ANSWERS_PER_SECOND
    assert carried.probe_received(probe, NOW + 1) is not None
    assert carried.probe_received(probe[:12], NOW + 2) is None


def test_by_turn_a_path_is_as_large_as_it_is_less_the_head_of_a_channel():
    by_turn = TurnAddress(HERE, THERE)
    carried = Carrier(PathSet((), now=NOW, chance=bytes, confirmed=by_turn), Random(1).randbytes)
    carried.datagrams([SHORT], by_turn, NOW)
    probes = carried.probes(NOW, 0.01)
    assert [len(probe) + HEAD_BYTES for probe, _ in probes] == list(limits.MTU_LADDER)
    for probe, size in probes:
        assert len(probe) == size
        if len(probe) + HEAD_BYTES <= 1472:
            carried.answer_received(encode_answer(ID, nonce_of(probe)))
    datagrams = carried.datagrams([LARGE, SHORT], by_turn, NOW)
    assert max(map(len, datagrams)) + HEAD_BYTES <= 1472
    assert len(datagrams) == 5
    carried.refused(by_turn, NOW)
    assert len(carried.datagrams([LARGE], by_turn, NOW)) == 5
    assert carried.mtu.size == limits.MIN_PATH_MTU
