"""Two of qh3's native cores as one connection: one for the handshake, one for everything after it.

A core has one size of packet for its whole life, and no way to raise it. Handshake packets must fit every path; packets
with data had better be large (see `tunnels.paths.fragments`). QUIC numbers, acknowledges and encrypts the packets of
the handshake and those of the application apart (RFC 9000 §12.3), so two cores with the keys of one handshake are one
connection to the peer. The application's core is made when the handshake is complete, with the keys and parameters that
were given until then; the handshake's core goes once the handshake is confirmed (RFC 9001 §4.1.2).

qh3's connection takes this for the core it would have made itself. `tunnels.quic.qh3_engine` puts it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tunnels import limits
from tunnels.quic.engine import initial_window, packet_size

if TYPE_CHECKING:
    from collections.abc import Callable

_INITIAL: Final = 0  # epochs as qh3 numbers them
_HANDSHAKE: Final = 2
_ONE_RTT: Final = 3
_LONG_HEADER: Final = 0x80
_DROPPED: Final = (1, 0, 0, 0, 1, 0)
"""The report of a datagram nobody could read: datagrams, bytes, processed, duplicates, dropped, events."""
_PROBE: Final = "loss_detection"
"""The name of the timer at whose end a core sends a probe; before there was an acknowledgement, it has no other use."""

# Positions among the constructor's 28 arguments.
_DESTINATION_ID: Final = 5
_ADDRESS_VALIDATED: Final = 6
_MAX_DATAGRAM_SIZE: Final = 8
_MAX_STREAMS_BIDI: Final = 21
_INITIAL_RTT: Final = 25
_INITIAL_TIME: Final = 27
_ARGUMENTS: Final = 28
# And among those of apply_peer_transport_parameters.
_MAX_UDP_PAYLOAD: Final = 13


class TwoCores:
    """Stands for one `QuicConnectionCore`; what is not told here goes to the core that has the streams."""

    def __init__(self, make_core: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """With qh3's own arguments for a core."""
        if len(arguments) != _ARGUMENTS:
            raise TypeError(f"qh3's core takes {len(arguments)} arguments, not the {_ARGUMENTS} known here")
        values = list(arguments)
        values[_MAX_STREAMS_BIDI] = limits.MAX_STREAMS
        values[_MAX_DATAGRAM_SIZE] = limits.MIN_PATH_MTU
        self._make_core = make_core
        self._arguments = values
        self.packet_bytes = limits.MIN_PATH_MTU
        self._peer_id = b""
        self._now = values[_INITIAL_TIME]
        self._prepared: list[tuple[str, tuple[Any, ...]]] = []
        self._put_back: list[Any] = []
        self.handshake: Any = make_core(*values)
        self.application: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.application or self.handshake, name)

    # --- keys and parameters ----------------------------------------------------------------------------

    def install_packet_key(self, direction: str, epoch: int, *rest: Any) -> None:
        """Each key to the core whose packets it protects."""
        if epoch != _ONE_RTT:
            self.handshake.install_packet_key(direction, epoch, *rest)
        else:
            self._prepare("install_packet_key", direction, epoch, *rest)

    def apply_peer_transport_parameters(self, *parameters: Any) -> None:
        """What the peer allows, but for the size of packets: that is agreed by speaking this protocol."""
        self._prepare("apply_peer_transport_parameters", *parameters)

    def _prepare(self, name: str, *arguments: Any) -> None:
        if self.application is None:
            self._prepared.append((name, arguments))
        else:
            getattr(self.application, name)(*arguments)

    def handshake_complete(self) -> None:
        """The peer's Finished was verified: from now on there are packets of the application."""
        values = self._arguments.copy()
        rtt = self.handshake.smoothed_rtt
        values[_DESTINATION_ID] = self._peer_id or values[_DESTINATION_ID]
        values[_ADDRESS_VALIDATED] = True  # it completed a handshake
        self.packet_bytes = packet_size(rtt)
        # The first window is two packets of the size it is made with; after that the size can still be lowered.
        values[_MAX_DATAGRAM_SIZE] = initial_window(self.packet_bytes) // 2
        values[_INITIAL_RTT] = rtt or values[_INITIAL_RTT]
        values[_INITIAL_TIME] = self._now
        application = self._make_core(*values)
        for epoch in (_INITIAL, _HANDSHAKE):  # anybody can make Initial packets
            application.discard_keys(epoch)
        for name, arguments in self._prepared:
            if name == "apply_peer_transport_parameters":
                arguments = (*arguments[:_MAX_UDP_PAYLOAD], self.packet_bytes)
            getattr(application, name)(*arguments)
        self._prepared.clear()
        application.handshake_complete()
        self.application = application
        if not self._arguments[0]:  # a server's handshake is confirmed when it is complete
            self.handshake = None

    def handshake_confirmed(self) -> None:
        """The server has our Finished."""
        self.application.handshake_confirmed()
        self.handshake = None

    def discard_keys(self, epoch: int) -> None:
        """Forget keys of a handshake that may be over already."""
        if self.handshake is not None:
            self.handshake.discard_keys(epoch)

    def send_crypto(self, epoch: int, offset: int, data: bytes) -> None:
        """TLS messages, which after the handshake go with the application's packets."""
        (self.application if epoch == _ONE_RTT else self.handshake).send_crypto(epoch, offset, data)

    # --- packets ----------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, address: Any, now: float, size: int | None = None) -> Any:
        """One packet, or a datagram of several, for the core that has its keys."""
        self._now = now
        if not data[0] & _LONG_HEADER:
            if self.application is None:
                return _DROPPED
            return self.application.receive_datagram(data, address, now, size)
        if self.handshake is None:
            return _DROPPED
        report = self.handshake.receive_datagram(data, address, now, size)
        if report[2] and not self._peer_id:
            self._peer_id = _source_id(data)
        return report

    def receive_many_datagrams(self, datagrams: list[bytes], address: Any, now: float) -> Any:
        """Datagrams after the handshake; until it is confirmed, some may still be its."""
        self._now = now
        if self.handshake is not None:
            for data in datagrams:
                if data[0] & _LONG_HEADER:
                    self.handshake.receive_datagram(data, address, now)
        # A packet whose keys a core does not have is skipped, so a datagram of both kinds is read by both.
        return self.application.receive_many_datagrams(datagrams, address, now)

    def poll_transmit(self, now: float) -> Any:
        """The next datagram to send, the handshake's first."""
        self._now = now
        if self.handshake is not None:
            transmit = self.handshake.poll_transmit(now)
            if transmit is not None or self.application is None:
                return transmit
        return self.application.poll_transmit(now)

    # --- events and timers ------------------------------------------------------------------------------

    def put_back(self, event: Any) -> None:
        """An event that was taken from the application's core is given to qh3's connection after all."""
        self._put_back.append(event)

    def next_event(self) -> Any:
        """The next event of either core."""
        if self._put_back:
            return self._put_back.pop(0)
        if self.handshake is not None:
            event = self.handshake.next_event()
            if event is not None or self.application is None:
                return event
        return self.application.next_event()

    def get_timer(self) -> tuple[str, float] | None:
        """The earlier of both."""
        timers = [timer for core in self._timed() if (timer := core.get_timer()) is not None]
        return min(timers, key=lambda timer: timer[1], default=None)

    def handle_timer(self, now: float) -> None:
        """What is due happens in both."""
        self._now = now
        for core in self._timed():
            core.handle_timer(now)

    def _timed(self) -> list[Any]:
        """Those whose timers count: the application's core is not to probe before anything came from the server.

        What the server lacks then is our Finished, and a client must not probe with packets of the application before
        the handshake is confirmed (RFC 9002 §6.2.1). A core that does so before it heard anything makes packets of
        1200 bytes ever after.
        """
        application = self.application
        is_waiting = self.handshake is not None and application is not None and self._arguments[0]
        if is_waiting and not application.received_authenticated_packet:
            timer = application.get_timer()
            if timer is not None and timer[0] == _PROBE:
                return [self.handshake]
        return self._cores()

    @property
    def pto_count(self) -> int:
        """Probe timeouts in a row, of the core that has more of them."""
        return max(int(core.pto_count) for core in self._cores())

    def close(self, *arguments: Any) -> None:
        """Tell the peer with whatever keys it may have."""
        for core in self._cores():
            core.close(*arguments)

    def _cores(self) -> list[Any]:
        return [core for core in (self.handshake, self.application) if core is not None]


def _source_id(packet: bytes) -> bytes:
    """The source connection id of a packet with a long header (RFC 8999 §5.1)."""
    start = 7 + packet[5]
    return packet[start : start + packet[start - 1]]
