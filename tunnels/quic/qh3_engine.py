"""The qh3 engine: the maintained fork of aioquic with a Rust core, several times faster; the default.

Where qh3 has no public way to do what the seam asks, this room and `qh3_cores` reach into it, and nowhere else;
setup.cfg bounds the versions and the conformance suite fails when one of these places moves:

* a connection's core is replaced by two (see there), and the limit of 100 concurrent streams, which is hard coded;
* after the handshake the native core is asked directly: qh3's own way makes objects of every packet and event;
* TLS's application secrets have no exporter, so the channel binding hashes them;
* the round-trip time and congestion window are known only to the native core.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qh3.quic import connection as qh3_connection
from qh3.quic import events as qh3_events
from qh3.quic import tls_bridge as qh3_tls_bridge
from qh3.quic.configuration import QuicConfiguration

from tunnels import limits
from tunnels.identity import KEY_BYTES
from tunnels.quic.binding import channel_binding
from tunnels.quic.certificates import SERVER_NAME
from tunnels.quic.engine import ALPN, PSEUDO_ADDRESS, engine_broke
from tunnels.quic.qh3_cores import TwoCores

if TYPE_CHECKING:
    from tunnels.quic.certificates import Certificate
    from tunnels.quic.engine import EngineEvents, EngineName

_ED25519 = 0x0807  # RFC 8446 §4.2.3; qh3's client does not offer it unless told to

_ED25519_KEY_PREFIX = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes in a SubjectPublicKeyInfo (RFC 8410 §4); other kinds of key could end in any bytes."""

_STREAM_MISSED = "reserved stream is missing"
"""What qh3 says when it is about to send something again on a stream whose acknowledgement came late, after loss or
reordering, and which is complete. It has then given the stream up, and goes on with the next."""

_LOOK_AGAIN_SECONDS = 0.005
_MORE_THAN_A_PACKET = 17
"""The core takes data of at most 16 streams for one packet, and of one stream one frame: after that many writes, or
anything that is not a plain write, such as a reset with a request to stop, there may be more for another packet."""


def _replace_core() -> None:
    """Have qh3 make our two cores in place of its one, and tell peers our limit of streams in place of its 100."""
    connection_module: Any = qh3_connection
    bridge_module: Any = qh3_tls_bridge
    native_core = connection_module.QuicConnectionCore
    parameters = bridge_module.QuicTransportParameters

    def core(*arguments: Any) -> TwoCores:  # noqa: ANN401 - likewise
        return TwoCores(native_core, arguments)

    def transport_parameters(**fields: Any) -> Any:  # noqa: ANN401 - qh3's own call, passed through
        if fields.get("initial_max_streams_bidi"):
            fields["initial_max_streams_bidi"] = limits.MAX_STREAMS
        return parameters(**fields)

    connection_module.QuicConnectionCore = core
    bridge_module.QuicTransportParameters = transport_parameters


_replace_core()


class Qh3Engine:
    """One QUIC connection by qh3; see `tunnels.quic.engine.Engine` for the contract."""

    def __init__(self, connection: qh3_connection.QuicConnection, is_client: bool) -> None:
        self._connection = connection
        self._is_client = is_client
        self._closed = False
        self._application: Any = None  # the native core that has the streams, once the handshake is complete
        self._confirmed = False  # whether every packet is the application's
        self._packet_bytes = limits.MIN_PATH_MTU
        self._next_stream = 0 if is_client else 1
        self._touched = 0  # calls that gave the core something to send
        self._losses = 0
        self._look_at: float | None = None

    @property
    def connection_ids(self) -> tuple[bytes, ...]:
        if self._is_client:
            return (self._connection.host_cid,)
        return (self._connection.host_cid, self._connection.original_destination_connection_id)

    def connect(self, now: float) -> None:
        self._connection.connect(PSEUDO_ADDRESS, now)

    def _cores(self) -> TwoCores | None:
        cores: Any = self._connection._core  # noqa: SLF001 - ours, see _replace_core
        return cores  # type: ignore[no-any-return]

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
        if self._closed:
            return
        try:
            if self._confirmed:
                self._application.receive_many_datagrams(datagrams, PSEUDO_ADDRESS, now)
            else:
                self._connection.receive_many_datagrams(datagrams, PSEUDO_ADDRESS, now)
        except Exception as error:
            raise engine_broke(error) from error

    def datagrams_to_send(self, now: float) -> list[bytes]:
        core = self._application if self._confirmed else self._cores()
        if core is None:
            return []
        if self._confirmed and not self._touched and not self._is_due(now):
            self._look_again(now)
            return []
        datagrams: list[bytes] = []
        misses = 0
        poll = core.poll_transmit
        while True:
            try:
                while (transmit := poll(now)) is not None:
                    datagrams.append(transmit[0])
                    if self._confirmed and self._is_last(transmit[0]):
                        self._touched = 0
                        self._look_again(now)
                        return datagrams
            except Exception as error:  # such as a padded Initial that it cannot answer within its bounds
                misses += 1
                if _STREAM_MISSED not in str(error) or misses > limits.MAX_STREAMS:
                    raise engine_broke(error) from error
            else:
                if not self.is_congested():  # else more may wait for the window
                    self._touched = 0
                    self._look_at = None
                return datagrams

    # Asking the core for a packet costs it a packet's worth of pacing even when it has none, so that a few requests
    # and answers would have to wait. It is asked only when there may be one, and a little later to be sure.

    def _look_again(self, now: float) -> None:
        if self._look_at is None:
            self._look_at = now + _LOOK_AGAIN_SECONDS

    def _is_due(self, now: float) -> bool:
        """Whether the core may have something to send though nobody here gave it anything."""
        core = self._application
        timer = core.get_timer()
        if (timer is not None and timer[1] <= now) or core.get_send_buffer_size():
            return True
        if core.loss_total != self._losses:
            self._losses = core.loss_total
            self._touched += _MORE_THAN_A_PACKET
            return True
        return False

    def _is_last(self, packet: bytes) -> bool:
        """Whether this packet has room for all that waited: what is given to few streams goes into one packet."""
        return (
            self._touched < _MORE_THAN_A_PACKET
            and self._application.loss_total == self._losses
            and len(packet) < self._packet_bytes - limits.LONG_PATH_PACKET
            and not self._application.get_send_buffer_size()
        )

    def get_timer(self) -> float | None:
        core = self._application if self._confirmed else self._cores()
        timer = None if core is None else core.get_timer()
        if timer is None or self._look_at is None:
            return None if timer is None else float(timer[1])
        return min(float(timer[1]), self._look_at)

    def handle_timer(self, now: float) -> None:
        try:
            self._look_at = None
            self._touched += _MORE_THAN_A_PACKET
            if self._confirmed:
                self._application.handle_timer(now)
            else:
                self._connection.handle_timer(now)
        except Exception as error:
            raise engine_broke(error) from error

    def drain_events(self, events: EngineEvents) -> None:
        if not self._confirmed:
            self._drain_facade(events)
            self._adopt()
            if self._application is None:
                return
        next_event = self._application.next_event
        while (event := next_event()) is not None:
            kind = event[0]
            if kind == "stream_data":  # by far the most frequent comes first
                events.stream_data(event[1], event[2], event[3])
            elif kind == "datagram":
                events.datagram(event[1])
            elif kind == "stream_finished":
                self._touched += 1  # the peer may open another
            else:
                self._touched += (
                    _MORE_THAN_A_PACKET  # such as a request to stop, which the core answers itself
                )
                cores = self._cores()
                if cores is not None:
                    cores.put_back(event)
                    self._connection._drain_core()  # noqa: SLF001 - no public way
                    self._drain_facade(events)

    def _adopt(self) -> None:
        """Ask the application's core directly from now on, if it is there already."""
        cores = self._cores()
        if cores is not None and cores.application is not None:
            self._application = cores.application
            self._packet_bytes = cores.packet_bytes
            self._confirmed = cores.handshake is None

    def _drain_facade(self, events: EngineEvents) -> None:
        """What qh3's connection has made of the native core's events."""
        next_event = self._connection.next_event
        while (event := next_event()) is not None:
            if isinstance(event, qh3_events.StreamDataReceived):
                events.stream_data(event.stream_id, event.data, event.end_stream)
            elif isinstance(event, qh3_events.DatagramFrameReceived):
                events.datagram(event.data)
            elif isinstance(event, qh3_events.StreamReset):
                events.stream_reset(event.stream_id, event.error_code)
            elif isinstance(event, qh3_events.StopSendingReceived):
                events.stop_sending(event.stream_id, event.error_code)
            elif isinstance(event, qh3_events.PingAcknowledged):
                events.ping_acknowledged(event.uid)
            elif isinstance(event, qh3_events.HandshakeCompleted):
                self._adopt()
                events.handshake_completed()
            elif isinstance(event, qh3_events.ConnectionIdIssued):
                events.connection_id_issued(event.connection_id)
            elif isinstance(event, qh3_events.ConnectionIdRetired):
                events.connection_id_retired(event.connection_id)
            elif isinstance(event, qh3_events.ConnectionTerminated):
                self._tell_closed(events, event)
        # The peer's close is kept back until the draining period is over (RFC 9000 §10.2.2); nothing can be sent
        # from now on, so it is told now.
        closing = self._connection._close_event  # noqa: SLF001 - no public way
        if closing is not None:
            self._tell_closed(events, closing)

    def _tell_closed(self, events: EngineEvents, closing: qh3_events.ConnectionTerminated) -> None:
        if not self._closed:
            self._closed = True
            events.terminated(closing.error_code, closing.reason_phrase)

    def open_stream(self) -> int | None:
        if self._application is None or self._next_stream >> 2 >= self._application.stream_limits[0]:
            return None
        return self._next_stream

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        if not self._closed and self._application is not None:
            self._touched += 1
            if stream_id == self._next_stream:
                self._next_stream += 4
            try:
                self._application.send_stream(stream_id, data, end_stream)
            except (ValueError, RuntimeError):
                return  # the peer stopped this stream or closed; the event that says so is on its way

    def reset_stream(self, stream_id: int, code: int) -> None:
        if not self._closed and self._application is not None:
            self._touched += _MORE_THAN_A_PACKET
            try:
                self._application.reset_stream(stream_id, code)
            except (ValueError, RuntimeError):
                return  # already finished or reset

    def stop_stream(self, stream_id: int, code: int) -> None:
        if not self._closed and self._application is not None:
            self._touched += _MORE_THAN_A_PACKET
            try:
                self._application.stop_sending(stream_id, code)
            except (ValueError, RuntimeError):
                return  # already finished

    def unsent_bytes(self) -> int:
        return 0 if self._application is None else int(self._application.get_send_buffer_size())

    def window_room(self) -> int:
        core = self._application
        if core is None:
            return limits.SEND_BACKLOG
        # With several streams waiting and less than a packet of window left, it does not even acknowledge. With
        # nothing in flight there is nothing to wait for, however small loss has made the window.
        flying = core.bytes_in_flight
        spared = self._packet_bytes + limits.MIN_PATH_MTU if flying else 0
        return int(core.congestion_window - flying) - spared

    def bytes_in_flight(self) -> int:
        return 0 if self._application is None else int(self._application.bytes_in_flight)

    def is_congested(self) -> bool:
        core = self._application
        return core is not None and core.bytes_in_flight + self._packet_bytes > core.congestion_window

    def send_datagram_frame(self, data: bytes) -> None:
        if not self._closed and self._application is not None:
            self._touched += 1
            with suppress(ValueError, RuntimeError):  # closed; the event that says so is on its way
                self._application.send_datagram(data)

    def send_ping(self, uid: int) -> None:
        core = self._application or self._cores()
        if not self._closed and core is not None:
            self._touched += 1
            with suppress(ValueError, RuntimeError):  # closed; the event that says so is on its way
                core.send_ping(uid)

    def probe_timeouts(self) -> int:
        core = self._application if self._confirmed else self._cores()
        return 0 if core is None else int(core.pto_count)

    def update_keys(self) -> bool:
        if self._closed:
            return False
        try:
            self._connection.request_key_update()
        except (AssertionError, ValueError, qh3_connection.QuicConnectionError):
            return False  # the handshake is not confirmed, or the last update not acknowledged
        return True

    def poke(self) -> None:
        self.send_ping(0)

    def peer_key(self) -> bytes | None:
        certificate = self._connection.get_peercert()
        key = b"" if certificate is None else bytes(certificate.public_key())
        return key[-KEY_BYTES:] if key[:-KEY_BYTES] == _ED25519_KEY_PREFIX else None

    def channel_binding(self) -> bytes:
        return channel_binding(self._connection.tls, self._is_client)

    def rtt(self) -> float | None:
        core = self._application or self._cores()
        return None if core is None else core.smoothed_rtt

    def close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed = True
            self._touched += _MORE_THAN_A_PACKET
            self._connection.close(code, reason_phrase=reason)


class Qh3Factory:
    """Makes qh3 engines."""

    name: EngineName = "qh3"

    def client(self, certificate: Certificate, idle_timeout: float) -> Qh3Engine:
        configuration = _configuration(certificate, idle_timeout, is_client=True)
        configuration.server_name = SERVER_NAME
        configuration.verify_mode = ssl.CERT_NONE  # the key is pinned instead, after the handshake
        configuration.verify_hostname = False
        configuration.signature_algorithms = [_ED25519]
        return Qh3Engine(qh3_connection.QuicConnection(configuration=configuration), is_client=True)

    def server(
        self,
        certificate: Certificate,
        idle_timeout: float,
        *,
        original_destination_connection_id: bytes,
        retry_source_connection_id: bytes | None,
    ) -> Qh3Engine:
        connection = qh3_connection.QuicConnection(
            configuration=_configuration(certificate, idle_timeout, is_client=False),
            original_destination_connection_id=original_destination_connection_id,
            retry_source_connection_id=retry_source_connection_id,
        )
        return Qh3Engine(connection, is_client=False)


def _configuration(certificate: Certificate, idle_timeout: float, *, is_client: bool) -> QuicConfiguration:
    configuration = QuicConfiguration(
        alpn_protocols=[ALPN],
        is_client=is_client,
        idle_timeout=idle_timeout,
        connection_id_length=limits.CONNECTION_ID_BYTES,
        max_datagram_frame_size=65535,
        max_datagram_size=limits.MIN_PATH_MTU,
        probe_datagram_size=False,  # its discovery has no black-hole detection
        max_data=limits.QUIC_CONNECTION_WINDOW,
        max_stream_data=limits.QUIC_STREAM_WINDOW,
    )
    configuration.load_cert_chain(certificate.certificate, certificate.private_key)
    return configuration
