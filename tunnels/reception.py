"""Which tunnel a datagram is for: told from its first byte and the connection id behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import Address, RelayAddress
from tunnels.demux import KINDS, DatagramKind
from tunnels.events import TunnelState
from tunnels.paths.candidates import Candidate, CandidateKind
from tunnels.paths.fragments import whole
from tunnels.quic.packets import destination_connection_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import PathAddress
    from tunnels.driver import TunnelDriver


class Reception:
    """The connection ids in use, and whose they are; passes on what comes and counts what is nobody's."""

    def __init__(self, first_packet: Callable[[bytes, PathAddress, float], None]) -> None:
        """`first_packet` gets packets with long headers of connections that are not known."""
        self._first_packet = first_packet
        self.stun: Callable[[bytes, Address, float], bool] = lambda *_: False
        """Takes STUN messages, and says whether somebody had asked."""
        self.by_connection_id: dict[bytes, TunnelDriver] = {}
        self.unknown = 0
        """Datagrams that were for nobody."""

    def add(self, connection_id: bytes, driver: TunnelDriver) -> None:
        """Datagrams to this id belong to the driver."""
        self.by_connection_id[connection_id] = driver
        driver.connection_ids.add(connection_id)

    def remove(self, connection_id: bytes) -> None:
        """Datagrams to this id no longer do."""
        driver = self.by_connection_id.pop(connection_id, None)
        if driver is not None:
            driver.connection_ids.discard(connection_id)

    def burst(self, burst: bytes, segment: int, address: PathAddress, now: float) -> None:
        """Take datagrams of `segment` bytes that stand one behind the other, the last perhaps shorter."""
        start, end = 0, len(burst)
        packets: list[bytes] = []
        receiver: TunnelDriver | None = None
        receiver_id = b""
        while start < end:
            stop = start + segment
            kind = KINDS[burst[start]]
            if kind is DatagramKind.QUIC_LONG:
                self._long_header(burst[start:stop], address, now)
                start = stop
                continue
            if kind is DatagramKind.STUN:
                known = isinstance(address, Address) and self.stun(burst[start:stop], address, now)
                self.unknown += not known
                start = stop
                continue
            connection_id = burst[start + 1 : start + 1 + limits.CONNECTION_ID_BYTES]
            if connection_id != receiver_id:
                if packets and receiver is not None:
                    _deliver(receiver, packets, address, now)
                    packets = []
                receiver_id = connection_id
                receiver = self.by_connection_id.get(connection_id)
                if (
                    isinstance(address, RelayAddress)
                    and receiver is not None
                    and receiver.tunnel.remote_id not in (None, address.endpoint_id)
                ):
                    receiver = None  # the beacon names somebody else: answers must not go there
            if receiver is None:
                self.unknown += 1
            elif kind is DatagramKind.QUIC_SHORT:
                packets.append(burst[start:stop])
            elif kind is DatagramKind.FRAGMENT:
                packet: bytes | None
                if (found := whole(burst, start, end, segment)) is not None:
                    packet, stop = found
                else:
                    packet = receiver.carrier.reassembler.add(burst[start:stop])
                if packet is not None:
                    packets.append(packet)
            elif kind is DatagramKind.CHECK:
                receiver.check_received(burst[start:stop], address, now)
            elif kind is DatagramKind.PROBE:
                receiver.probe_received(burst[start:stop], address, now)
            elif kind is DatagramKind.PROBE_ANSWER:
                receiver.answer_received(burst[start:stop])
            else:
                self.unknown += 1
            start = stop
        if packets and receiver is not None:
            _deliver(receiver, packets, address, now)

    def _long_header(self, datagram: bytes, address: PathAddress, now: float) -> None:
        """A packet of a handshake, for a connection there is or the first of one there may be."""
        connection_id = destination_connection_id(datagram)
        driver = self.by_connection_id.get(connection_id) if connection_id else None
        if driver is None:
            self._first_packet(datagram, address, now)
        else:
            _deliver(driver, [datagram], address, now)


def _deliver(driver: TunnelDriver, packets: list[bytes], address: PathAddress, now: float) -> None:
    if driver.tunnel.state is TunnelState.HANDSHAKE and not driver.tunnel.is_client:
        # A client tries several paths at once.
        driver.paths.add_candidates((Candidate(address, CandidateKind.PEER_REFLEXIVE),), now)
    driver.receive(packets, address, now)
