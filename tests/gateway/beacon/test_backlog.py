"""What waits for a slow receiver."""

from __future__ import annotations

import pytest

from gateway.beacon.backlog import Backlog
from gateway.beacon.limits import BEACON_URGENT_BYTES
from tests.lab.resolver_keys import key
from tunnels.relay.frames import FrameKind, encode

ANYBODY = key(1).endpoint_id


def frame(kind: FrameKind, number: int, size: int = 1000) -> bytes:
    return encode(kind, ANYBODY, number.to_bytes(4) + bytes(size - 37))


def everything(backlog: Backlog) -> list[bytes]:
    found = []
    while (taken := backlog.take()) is not None:
        found.append(taken)
    return found


def test_data_comes_out_in_its_order() -> None:
    backlog, frames = Backlog(), [frame(FrameKind.DATA, n) for n in range(5)]
    for one in frames:
        assert list(backlog.put(one, 10_000)) == []
    assert everything(backlog) == frames
    assert (backlog.size, len(backlog)) == (0, 0)


@pytest.mark.parametrize("kind", [FrameKind.PATH, FrameKind.MESSAGE, FrameKind.ABSENT])
def test_everything_else_goes_before_data(kind: FrameKind) -> None:
    backlog = Backlog()
    for one in (frame(FrameKind.DATA, 1), frame(kind, 2), frame(FrameKind.DATA, 3), frame(kind, 4)):
        list(backlog.put(one, 10_000))
    assert everything(backlog) == [
        frame(kind, 2),
        frame(kind, 4),
        frame(FrameKind.DATA, 1),
        frame(FrameKind.DATA, 3),
    ]


def test_the_oldest_data_is_dropped_and_path_messages_are_not() -> None:
    backlog, dropped = Backlog(), []
    list(backlog.put(frame(FrameKind.PATH, 0), 5000))
    for n in range(1, 101):
        dropped += backlog.put(frame(FrameKind.DATA, n), 5000)
    assert dropped == [frame(FrameKind.DATA, n) for n in range(1, 96)]
    assert everything(backlog) == [
        frame(FrameKind.PATH, 0),
        *(frame(FrameKind.DATA, n) for n in range(96, 101)),
    ]


def test_a_flood_of_messages_pushes_out_messages_and_not_data() -> None:
    backlog, dropped = Backlog(), []
    list(backlog.put(frame(FrameKind.DATA, 0), 5000))
    for n in range(1, 1001):
        dropped += backlog.put(frame(FrameKind.MESSAGE, n), 5000)
    assert backlog.size <= BEACON_URGENT_BYTES + 1000
    assert all(one[0] == FrameKind.MESSAGE for one in dropped)
    assert everything(backlog)[-1] == frame(FrameKind.DATA, 0)


def test_a_limit_that_fell_drops_until_it_is_kept() -> None:
    backlog = Backlog()
    for n in range(10):
        list(backlog.put(frame(FrameKind.DATA, n), 10_000))
    assert len(list(backlog.put(frame(FrameKind.DATA, 10), 2000))) == 9
    assert backlog.size == 2000
