"""Facts about finding a path's size, told with a clock that moves when told."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tunnels import limits
from tunnels.paths.mtu import ANSWER, PROBE, PathMtu, encode_answer, encode_probe, nonce_of

RTT = 0.04


class Path:
    """A path of some size with a `PathMtu` that is asked whenever it is due."""

    def __init__(self, size: int, interface: int = 65507) -> None:
        self.size, self.interface = size, interface
        self.mtu = PathMtu()
        self.now = 1000.0
        self.probed: list[int] = []
        self._nonces = map(str.encode, map(str, itertools.count(10**7)))

    def run(self, seconds: float, *, used: bool = False) -> None:
        end = self.now + seconds
        while True:
            if used and self.mtu.size > limits.MIN_PATH_MTU:
                self.mtu.used(self.now)
            for size in self.mtu.due(self.now, RTT):
                self.probed.append(size)
                nonce = next(self._nonces)
                if size > self.interface:
                    self.mtu.refused(size, self.now)
                    continue
                self.mtu.probe_sent(size, nonce)
                if size <= self.size:
                    self.mtu.answered(nonce)
            step = self.now + 0.1 if used else max(self.mtu.get_timer(), self.now + 0.01)
            if step > end:
                self.now = end
                return
            self.now = step


def test_the_layout_is_what_the_docstring_draws():
    probe = encode_probe(b"8 bytes!", b"a nonce!", 1280)
    assert probe == bytes([PROBE]) + b"8 bytes!" + b"a nonce!" + bytes(1280 - 17)
    assert encode_answer(b"8 bytes!", b"a nonce!") == bytes([ANSWER]) + b"8 bytes!" + b"a nonce!"
    assert nonce_of(probe) == nonce_of(encode_answer(b"8 bytes!", b"a nonce!")) == b"a nonce!"
    assert all(nonce_of(probe[:length]) is None for length in range(17))


@given(st.integers(limits.MIN_PATH_MTU, 70_000))
def test_every_path_gets_the_largest_size_of_the_ladder_that_it_carries(size):
    path = Path(size)
    path.run(5)
    assert path.mtu.size == max([limits.MIN_PATH_MTU, *(step for step in limits.MTU_LADDER if step <= size)])


def test_the_answer_to_the_first_flight_is_enough():
    path = Path(1472)
    path.run(0.0)
    assert path.mtu.size == 1472


def test_sizes_without_an_answer_are_tried_a_few_times_and_then_much_later():
    path = Path(1472)
    path.run(60)
    assert path.probed.count(8400) == limits.MTU_PROBES
    path.run(limits.MTU_RAISE_AFTER)
    assert path.probed.count(8400) == 2 * limits.MTU_PROBES


def test_what_the_interface_refuses_is_not_tried_again_at_once():
    path = Path(1472, interface=1472)
    path.run(60)
    assert path.probed.count(8400) == 1
    assert path.mtu.size == 1472


def test_a_path_that_shrinks_without_a_word_is_noticed_within_seconds():
    path = Path(1472)
    path.run(20, used=True)
    path.size = 1300
    path.run(limits.MTU_CONFIRM_EVERY + limits.MTU_PROBES * limits.MTU_PROBE_WAIT + 0.1, used=True)
    assert path.mtu.size == limits.MIN_PATH_MTU
    path.run(limits.MTU_RETRY_AFTER + 1, used=True)
    assert path.mtu.size == 1280


def test_while_a_size_is_used_it_is_confirmed_and_a_lost_probe_changes_nothing():
    path = Path(1472)
    path.run(1)
    probes = len(path.probed)
    path.run(0.5, used=True)
    path.size = 0  # everything is lost for a moment
    path.run(limits.MTU_CONFIRM_EVERY, used=True)
    path.size = 1472
    path.run(30, used=True)
    assert path.mtu.size == 1472
    assert len(path.probed) - probes >= 10


def test_an_idle_path_is_left_alone():
    path = Path(1472)
    path.run(5)
    probes = len(path.probed)
    path.run(limits.MTU_RAISE_AFTER - 10)
    assert len(path.probed) == probes


def test_an_interface_that_became_smaller_is_noticed_at_once():
    path = Path(1472)
    path.run(1)
    path.mtu.refused(1472, path.now)
    assert path.mtu.size == limits.MIN_PATH_MTU


def test_a_fallback_changes_nothing_on_a_path_that_was_never_larger():
    mtu = PathMtu()
    mtu.due(5.0, RTT)
    timer = mtu.get_timer()
    mtu.fall_back(5.0)
    assert (mtu.size, mtu.get_timer()) == (limits.MIN_PATH_MTU, timer)


def test_answers_to_nothing_and_late_ones_change_nothing():
    mtu = PathMtu()
    mtu.answered(b"a nonce!")
    mtu.probe_sent(1452, b"larger..")
    mtu.probe_sent(1280, b"smaller.")
    mtu.answered(b"larger..")
    mtu.answered(b"smaller.")
    mtu.answered(b"larger..")
    assert mtu.size == 1452


def test_what_is_awaited_is_bounded():
    mtu = PathMtu()
    for number in range(1000):
        mtu.probe_sent(1280, number.to_bytes(8))
    assert len(mtu._awaited) <= limits.MTU_PROBES * (len(limits.MTU_LADDER) + 1)
