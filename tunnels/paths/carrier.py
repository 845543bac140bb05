"""Between a connection's packets and the datagrams on its paths. Sans-IO.

Outgoing packets that are larger than a path carries become fragments, incoming fragments become packets. Probes find
each path's size. A relay, and a TCP connection, carries packets whole; a TURN server carries datagrams, each four bytes
larger on the way there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import TurnAddress, is_connected
from tunnels.bucket import Bucket
from tunnels.nat.channels import HEAD_BYTES
from tunnels.paths.fragments import TAG_BYTES, Reassembler, split
from tunnels.paths.mtu import NONCE_BYTES, PathMtu, encode_answer, encode_probe, nonce_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import PathAddress
    from tunnels.paths.path_set import PathSet

_LONG_HEADER = 0x80


class Carrier:
    """One connection's; `chance` gives so many random bytes, `now` is the event loop's clock."""

    def __init__(self, paths: PathSet, chance: Callable[[int], bytes]) -> None:
        """For the paths of a connection, each with a size of its own."""
        self._paths = paths
        self._chance = chance
        self._mtus: dict[PathAddress, PathMtu] = {}
        self._address: PathAddress | None = None  # the path that was used last, and its size
        self._mtu = PathMtu()
        self._answers = Bucket(limits.PROBE_ANSWERS_PER_SECOND)
        self.reassembler = Reassembler()

    def __repr__(self) -> str:
        return f"<Carrier {self._paths.confirmed} of {self.mtu.size} bytes>"

    @property
    def mtu(self) -> PathMtu:
        """The size of the selected path."""
        selected = self._paths.confirmed
        return PathMtu() if selected is None else self._mtu_of(selected)

    def _mtu_of(self, address: PathAddress) -> PathMtu:
        if address is not self._address:
            mtu = self._mtus.get(address)
            if mtu is None:
                if len(self._mtus) >= limits.MAX_PATHS:
                    del self._mtus[next(iter(self._mtus))]
                mtu = self._mtus[address] = PathMtu(HEAD_BYTES if isinstance(address, TurnAddress) else 0)
            self._address, self._mtu = address, mtu
        return self._mtu

    def datagrams(self, packets: list[bytes], address: PathAddress, now: float) -> list[bytes]:
        """The packets as datagrams that the path carries."""
        last = packets[-1]
        if not last[0] & _LONG_HEADER:
            self._paths.exchange.peer_connection_id = last[1 : 1 + limits.CONNECTION_ID_BYTES]
        if is_connected(address):
            return packets
        mtu = self._mtu_of(address)
        size = mtu.size
        longest = len(max(packets, key=len))
        if longest > limits.MIN_PATH_MTU < size:
            mtu.used(now)
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

    def refused(self, address: PathAddress, now: float) -> None:
        """The interface does not carry the datagrams just given: the route has changed."""
        mtu = self._mtu_of(address)
        if mtu.size > limits.MIN_PATH_MTU:
            mtu.refused(mtu.size, now)

    def probe_refused(self, address: PathAddress, size: int, now: float) -> None:
        """The interface does not carry a probe of so many bytes."""
        self._mtu_of(address).refused(size, now)

    def suspect(self, now: float) -> None:
        """QUIC's probes go unanswered: the path is down, or carries less than it did."""
        self.mtu.fall_back(now)

    # --- probes -----------------------------------------------------------------------------------------

    def _probed(self) -> PathAddress | None:
        """The path whose size is worth knowing; None before there are packets to be carried."""
        selected = self._paths.confirmed
        if selected is None or not self._paths.exchange.peer_connection_id or is_connected(selected):
            return None
        return selected

    def get_timer(self) -> float | None:
        """When `probes` may have something to send."""
        address = self._probed()
        return None if address is None else self._mtu_of(address).get_timer()

    def probes(self, now: float, rtt: float) -> list[tuple[bytes, int]]:
        """Probes to send on the selected path now, each with the size it asks about."""
        address = self._probed()
        if address is None:
            return []
        mtu = self._mtu_of(address)
        probes = []
        for size in mtu.due(now, rtt) if now >= mtu.get_timer() else ():
            nonce = self._chance(NONCE_BYTES)
            mtu.probe_sent(size, nonce)
            probes.append((encode_probe(self._paths.exchange.peer_connection_id, nonce, size), size))
        return probes

    def probe_received(self, probe: bytes, now: float) -> bytes | None:
        """The answer to a probe of the peer's; None if it has none, or asks too often."""
        nonce = nonce_of(probe)
        peer_id = self._paths.exchange.peer_connection_id
        return encode_answer(peer_id, nonce) if nonce and peer_id and self._answers.take(now) else None

    def answer_received(self, answer: bytes) -> None:
        """An answer to a probe of ours, perhaps; only the path that it was sent on knows it."""
        nonce = nonce_of(answer)
        if nonce is not None:
            for mtu in self._mtus.values():
                mtu.answered(nonce)
