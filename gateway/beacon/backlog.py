"""What waits for one receiver that is slower than what comes for it: bounded, the oldest data is dropped first. No IO."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from gateway.beacon.limits import BEACON_URGENT_BYTES
from tunnels.relay.frames import FrameKind

if TYPE_CHECKING:
    from collections.abc import Iterator


class Backlog:
    """Frames for one receiver: path messages and sealed messages before data, each kind in its order."""

    __slots__ = ("_data", "_data_bytes", "_urgent", "_urgent_bytes")

    def __init__(self) -> None:
        self._data: deque[bytes] = deque()
        self._urgent: deque[bytes] = deque()
        self._data_bytes = self._urgent_bytes = 0

    def put(self, frame: bytes, limit: int) -> Iterator[bytes]:
        """Add a frame; yield those dropped for it: the oldest of its own sort beyond `limit` bytes of data.

        Data never pushes out what is urgent, nor the other way round.
        """
        if frame[0] == FrameKind.DATA:
            self._data.append(frame)
            self._data_bytes += len(frame)
            while self._data_bytes > limit:
                oldest = self._data.popleft()
                self._data_bytes -= len(oldest)
                yield oldest
        else:
            self._urgent.append(frame)
            self._urgent_bytes += len(frame)
            while self._urgent_bytes > BEACON_URGENT_BYTES:
                oldest = self._urgent.popleft()
                self._urgent_bytes -= len(oldest)
                yield oldest

    def take(self) -> bytes | None:
        """The frame that is to go next; None when nothing waits."""
        if self._urgent:
            frame = self._urgent.popleft()
            self._urgent_bytes -= len(frame)
            return frame
        if self._data:
            frame = self._data.popleft()
            self._data_bytes -= len(frame)
            return frame
        return None

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._data_bytes + self._urgent_bytes

    def __len__(self) -> int:
        """Frames that wait."""
        return len(self._data) + len(self._urgent)

    def __repr__(self) -> str:
        return f"Backlog({len(self)} frames, {self.size} bytes)"
