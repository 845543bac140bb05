"""What waits for a beacon's connection: path messages and sealed messages first, and a bounded amount of data. Sans-IO."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.relay import frames
from tunnels.relay.frames import FrameKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tunnels.identity import EndpointId

_LARGEST = limits.RELAY_FRAME - 2  # behind its length


class Outbox:
    """Frames in the making: datagrams for one endpoint that wait together travel in one frame."""

    __slots__ = ("_data", "_data_bytes", "_texts", "_urgent", "dropped")

    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._urgent: deque[bytes] = deque()
        self._data: deque[tuple[EndpointId, bytes]] = deque()
        self._data_bytes = 0
        self.dropped = 0
        """Datagrams that were dropped because too many waited."""

    def add_text(self, text: str) -> None:
        """A text frame, before all else; the caller asks one question at a time."""
        self._texts.append(text)

    def add_message(self, endpoint_id: EndpointId, body: bytes, kind: FrameKind = FrameKind.MESSAGE) -> bool:
        """A sealed message, or mail; False if it is too large."""
        if len(body) > limits.RELAY_MESSAGE:
            return False
        self._add_urgent(frames.encode(kind, endpoint_id, body))
        return True

    def add_urgent(self, endpoint_id: EndpointId, datagrams: Iterable[bytes]) -> None:
        """Path messages."""
        for body in frames.batches(datagrams):
            self._add_urgent(frames.encode(FrameKind.PATH, endpoint_id, body))

    def _add_urgent(self, frame: bytes) -> None:
        if len(self._urgent) >= limits.RELAY_URGENT:
            self._urgent.popleft()
            self.dropped += 1
        self._urgent.append(frame)

    def add_data(self, endpoint_id: EndpointId, datagrams: Iterable[bytes]) -> None:
        """Datagrams; where `limits.RELAY_BUFFER` is full the oldest make room, and too large ones are left out."""
        for datagram in datagrams:
            size = len(datagram)
            if not 0 < size <= _LARGEST:
                self.dropped += 1
                continue
            self._data.append((endpoint_id, datagram))
            self._data_bytes += size
        while self._data_bytes > limits.RELAY_BUFFER:
            self._data_bytes -= len(self._data.popleft()[1])
            self.dropped += 1

    def take(self) -> str | bytes | None:
        """The next frame to send, text or binary; None if nothing waits."""
        if self._texts:
            return self._texts.popleft()
        if self._urgent:
            return self._urgent.popleft()
        if not self._data:
            return None
        endpoint_id, datagram = self._data.popleft()
        batch, room = [datagram], limits.RELAY_FRAME - 2 - len(datagram)
        while self._data and self._data[0][0] == endpoint_id:
            room -= 2 + len(self._data[0][1])
            if room < 0:
                break
            batch.append(self._data.popleft()[1])
        self._data_bytes -= sum(map(len, batch))
        return frames.encode(FrameKind.DATA, endpoint_id, frames.batches(batch)[0])

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._texts or self._urgent or self._data)
