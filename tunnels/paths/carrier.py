"""Between a connection's packets and the datagrams on its confirmed path. Sans-IO.

Outgoing packets that are larger than the path carries become fragments, incoming fragments become packets. Probes find
the path's size, and, while QUIC hears nothing, the moment the path works again: QUIC's own probes back off to minutes,
and a healed path would stay silent until the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.paths.fragments import TAG_BYTES, Reassembler, split
from tunnels.paths.mtu import (
    NONCE_BYTES,
    PROBE_HEADER_BYTES,
    PathMtu,
    encode_answer,
    encode_probe,
    nonce_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import PathAddress
    from tunnels.paths.path_set import PathSet

_LONG_HEADER = 0x80


class Carrier:
    """One connection's; `chance` gives so many random bytes, `now` is the event loop's clock."""

    def __init__(self, paths: PathSet, chance: Callable[[int], bytes]) -> None:
        """For the paths of a connection; the sizes found are those of the confirmed one."""
        self._paths = paths
        self._chance = chance
        self._path: PathAddress | None = None
        self._peer_id = b""  # the connection id our packets carry, once they have short headers
        self._heal_at = 0.0
        self._heal_nonce: bytes | None = None
        self._answers = 0.0
        self._answers_at = 0.0
        self.mtu = PathMtu()
        self.reassembler = Reassembler()

    def __repr__(self) -> str:
        return f"<Carrier {self._path} of {self.mtu.size} bytes>"

    def datagrams(self, packets: list[bytes], now: float) -> list[bytes]:
        """The packets as datagrams that the confirmed path carries."""
        if self._path != self._paths.confirmed:
            self._path = self._paths.confirmed
            self.mtu = PathMtu()
        last = packets[-1]
        if not last[0] & _LONG_HEADER:
            self._peer_id = last[1 : 1 + limits.CONNECTION_ID_BYTES]
        size = self.mtu.size
        longest = len(max(packets, key=len))
        if longest > limits.MIN_PATH_MTU < size:
            self.mtu.used(now)
        if longest <= size:
            return packets
        datagrams = []
        tag = int.from_bytes(self._chance(TAG_BYTES))
        for packet in packets:
            if len(packet) <= size or packet[0] & _LONG_HEADER:
                datagrams.append(packet)
            else:
                datagrams += split(packet, size, tag.to_bytes(TAG_BYTES))
                tag = (tag + 1) & 0xFFFFFFFF
        return datagrams

    def refused(self, now: float) -> None:
        """The interface does not carry the datagrams just given: the route has changed."""
        if self.mtu.size > limits.MIN_PATH_MTU:
            self.mtu.refused(self.mtu.size, now)

    def probe_refused(self, size: int, now: float) -> None:
        """The interface does not carry a probe of `probes`; one that asks about no size teaches nothing."""
        if size:
            self.mtu.refused(size, now)

    def suspect(self, now: float) -> None:
        """QUIC's probes go unanswered: the path is down, or carries less than it did."""
        self.mtu.fall_back(now)

    # --- probes -----------------------------------------------------------------------------------------

    def get_timer(self, is_silent: bool) -> float | None:
        """When `probes` may have something to send; None before there are packets to be carried."""
        if not self._peer_id:
            return None
        timer = self.mtu.get_timer()
        return min(timer, self._heal_at) if is_silent else timer

    def probes(self, now: float, rtt: float, is_silent: bool) -> list[tuple[bytes, int]]:
        """Probes to send on the confirmed path now, each with the size it asks about, or 0.

        `is_silent`: QUIC's probes go unanswered and somebody waits for the peer.
        """
        if not self._peer_id:
            return []
        probes = []
        if is_silent and now >= self._heal_at:
            self._heal_at = now + limits.HEAL_PROBE_EVERY
            self._heal_nonce = nonce = self._chance(NONCE_BYTES)
            probes.append((encode_probe(self._peer_id, nonce, PROBE_HEADER_BYTES), 0))
        if now >= self.mtu.get_timer():
            for size in self.mtu.due(now, rtt):
                nonce = self._chance(NONCE_BYTES)
                self.mtu.probe_sent(size, nonce)
                probes.append((encode_probe(self._peer_id, nonce, size), size))
        return probes

    def probe_received(self, probe: bytes, now: float) -> bytes | None:
        """The answer to a probe of the peer's; None if it has none, or asks too often."""
        nonce = nonce_of(probe)
        self._answers = max(0.0, self._answers - (now - self._answers_at) * limits.PROBE_ANSWERS_PER_SECOND)
        self._answers_at = now
        if nonce is None or not self._peer_id or self._answers >= limits.PROBE_ANSWERS_PER_SECOND:
            return None
        self._answers += 1
        return encode_answer(self._peer_id, nonce)

    def answer_received(self, answer: bytes) -> bool:
        """An answer to a probe of ours, perhaps; whether it says that a silent path works again."""
        nonce = nonce_of(answer)
        if nonce is None:
            return False
        if nonce == self._heal_nonce:
            self._heal_nonce = None
            return True
        self.mtu.answered(nonce)
        return False
