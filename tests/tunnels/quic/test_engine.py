"""Facts about what is decided for every engine alike."""

from __future__ import annotations

import pytest

from tunnels import limits
from tunnels.quic.engine import ENGINE_NAMES, initial_window, packet_size
from tunnels.quic.engines import warm_up


@pytest.mark.parametrize(
    ("rtt", "size"),
    [
        (None, limits.LONG_PATH_PACKET),
        (0.0, limits.SHORT_PATH_PACKET),
        (limits.SHORT_PATH_RTT, limits.SHORT_PATH_PACKET),
        (0.006, limits.LONG_PATH_PACKET),
        (0.3, limits.LONG_PATH_PACKET),
    ],
)
def test_packets_are_large_on_a_short_path_only(rtt, size):
    assert packet_size(rtt) == size


def test_the_first_window_holds_several_of_the_largest_packets():
    for size in (limits.SHORT_PATH_PACKET, limits.LONG_PATH_PACKET):
        assert initial_window(size) >= 10 * size
    assert limits.MAX_DATAGRAM_FRAME < limits.LONG_PATH_PACKET


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_warming_up_shakes_hands_once_in_a_process(name):
    warm_up(name)
    before = warm_up.cache_info().misses
    warm_up(name)
    assert warm_up.cache_info().misses == before
