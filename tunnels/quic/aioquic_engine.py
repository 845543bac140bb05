"""The aioquic engine: the reference implementation in Python; slower, and wherever Python runs.

Where aioquic has no public way to do what the seam asks, this room reaches into it, and nowhere else; setup.cfg
bounds the versions and the conformance suite fails when one of these places moves.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from aioquic.quic import events as aioquic_events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from tunnels import limits
from tunnels.quic.binding import channel_binding
from tunnels.quic.certificates import SERVER_NAME
from tunnels.quic.engine import ALPN, PSEUDO_ADDRESS, engine_broke, initial_window, packet_size

if TYPE_CHECKING:
    from tunnels.quic.certificates import Certificate
    from tunnels.quic.engine import EngineEvents, EngineName

_FILLING_TOKEN = b"\0" * 640
"""Servers ignore it; it fills aioquic's Initial packet to 1200 bytes, where it would otherwise pad the datagram
with zero bytes outside the packet, which qh3 does not count as received (RFC 9000 §8.1) and then cannot answer."""


class AioquicEngine:
    """One QUIC connection by aioquic; see `tunnels.quic.engine.Engine` for the contract."""

    def __init__(self, connection: QuicConnection, is_client: bool) -> None:
        self._connection = connection
        self._is_client = is_client
        self._closed = False
        self._is_enlarged = False
        limit = connection._local_max_streams_bidi  # noqa: SLF001 - 128 is hard coded
        limit.value = limit.sent = limits.MAX_STREAMS

    @property
    def connection_ids(self) -> tuple[bytes, ...]:
        if self._is_client:
            return (self._connection.host_cid,)
        return (self._connection.host_cid, self._connection.original_destination_connection_id)

    def connect(self, now: float) -> None:
        self._connection.connect(PSEUDO_ADDRESS, now=now)

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
        try:
            for datagram in datagrams:
                self._connection.receive_datagram(datagram, PSEUDO_ADDRESS, now=now)
        except Exception as error:
            raise engine_broke(error) from error

    def datagrams_to_send(self, now: float) -> list[bytes]:
        if not self._connection._network_paths:  # noqa: SLF001 - it raises IndexError before the first packet
            return []
        try:
            return [datagram for datagram, _ in self._connection.datagrams_to_send(now=now)]
        except Exception as error:
            raise engine_broke(error) from error

    def get_timer(self) -> float | None:
        return self._connection.get_timer()

    def handle_timer(self, now: float) -> None:
        try:
            self._connection.handle_timer(now=now)
        except Exception as error:
            raise engine_broke(error) from error

    def drain_events(self, events: EngineEvents) -> None:
        next_event = self._connection.next_event
        while (event := next_event()) is not None:
            match event:
                case aioquic_events.StreamDataReceived():
                    events.stream_data(event.stream_id, event.data, event.end_stream)
                case aioquic_events.DatagramFrameReceived():
                    events.datagram(event.data)
                case aioquic_events.StreamReset():
                    events.stream_reset(event.stream_id, event.error_code)
                case aioquic_events.StopSendingReceived():
                    events.stop_sending(event.stream_id, event.error_code)
                case aioquic_events.PingAcknowledged():
                    events.ping_acknowledged(event.uid)
                case aioquic_events.HandshakeCompleted():
                    events.handshake_completed()
                case aioquic_events.ConnectionIdIssued():
                    events.connection_id_issued(event.connection_id)
                case aioquic_events.ConnectionIdRetired():
                    events.connection_id_retired(event.connection_id)
                case aioquic_events.ConnectionTerminated():
                    self._closed = True
                    events.terminated(event.error_code, event.reason_phrase)
                case _:  # what we do not ask for, such as ProtocolNegotiated
                    continue
        if not self._is_enlarged and self._connection._handshake_confirmed:  # noqa: SLF001 - no public way
            self._is_enlarged = True
            self._enlarge_packets()

    def _enlarge_packets(self) -> None:
        """Handshake packets fit every path; there are none any more, and others may be larger."""
        size = packet_size(self.rtt())
        loss = self._connection._loss  # noqa: SLF001 - no public way
        pacer, congestion = loss._pacer, loss._cc  # noqa: SLF001
        self._connection._max_datagram_size = pacer._max_datagram_size = size  # noqa: SLF001
        congestion.congestion_window = max(congestion.congestion_window, initial_window(size))
        congestion._max_datagram_size = congestion.additive_increase_factor = size  # type: ignore[attr-defined] # noqa: SLF001

    def open_stream(self) -> int | None:
        stream_id = self._connection.get_next_available_stream_id()
        limit = self._connection._remote_max_streams_bidi  # noqa: SLF001 - extra streams queue silently
        return stream_id if stream_id >> 2 < limit else None

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        if not self._closed:
            try:
                self._connection.send_stream_data(stream_id, data, end_stream)
            except (RuntimeError, AssertionError, ValueError):
                return  # the peer stopped this stream; the event that says so is on its way

    def reset_stream(self, stream_id: int, code: int) -> None:
        if not self._closed:
            try:
                self._connection.reset_stream(stream_id, code)
            except (RuntimeError, AssertionError, ValueError):
                return  # already finished or reset

    def stop_stream(self, stream_id: int, code: int) -> None:
        if not self._closed:
            try:
                self._connection.stop_stream(stream_id, code)
            except (RuntimeError, AssertionError, ValueError):
                return  # already finished

    def unsent_bytes(self) -> int:
        return 0  # it cannot tell sent from unsent; credit alone bounds what it holds

    def window_room(self) -> int:
        return limits.SEND_BACKLOG  # it acknowledges however much waits

    def bytes_in_flight(self) -> int:
        return self._connection._loss.bytes_in_flight  # noqa: SLF001 - no public way

    def is_congested(self) -> bool:
        # Its pacer holds datagrams back long before the window is full, so it is asked what waits.
        return bool(self._connection._datagrams_pending)  # noqa: SLF001 - no public way

    def send_datagram_frame(self, data: bytes) -> None:
        if not self._closed:
            self._connection.send_datagram_frame(data)

    def send_ping(self, uid: int) -> None:
        if not self._closed:
            self._connection.send_ping(uid)

    def probe_timeouts(self) -> int:
        return self._connection._loss._pto_count  # noqa: SLF001 - no public way

    def update_keys(self) -> bool:
        if self._closed or not self._connection._handshake_confirmed:  # noqa: SLF001 - no public way
            return False
        self._connection.request_key_update()
        return True

    def poke(self) -> None:
        self._connection._loss._pto_count = 0  # noqa: SLF001 - a ping alone stays blocked by the window
        self.send_ping(0)

    def peer_key(self) -> bytes | None:
        certificate = self._connection.tls._peer_certificate  # noqa: SLF001 - no public way
        key = None if certificate is None else certificate.public_key()
        return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None

    def channel_binding(self) -> bytes:
        return channel_binding(self._connection.tls, self._is_client)

    def rtt(self) -> float | None:
        loss = self._connection._loss  # noqa: SLF001 - no public way
        return loss._rtt_smoothed if loss._rtt_initialized else None  # noqa: SLF001

    def close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed = True
            self._connection.close(error_code=code, reason_phrase=reason)


class AioquicFactory:
    """Makes aioquic engines."""

    name: EngineName = "aioquic"

    def client(self, certificate: Certificate, idle_timeout: float) -> AioquicEngine:
        configuration = _configuration(certificate, idle_timeout, is_client=True)
        configuration.server_name = SERVER_NAME
        configuration.verify_mode = ssl.CERT_NONE  # the key is pinned instead, after the handshake
        configuration.token = _FILLING_TOKEN
        return AioquicEngine(QuicConnection(configuration=configuration), is_client=True)

    def server(
        self,
        certificate: Certificate,
        idle_timeout: float,
        *,
        original_destination_connection_id: bytes,
        retry_source_connection_id: bytes | None,
    ) -> AioquicEngine:
        connection = QuicConnection(
            configuration=_configuration(certificate, idle_timeout, is_client=False),
            original_destination_connection_id=original_destination_connection_id,
            retry_source_connection_id=retry_source_connection_id,
        )
        return AioquicEngine(connection, is_client=False)


def _configuration(certificate: Certificate, idle_timeout: float, *, is_client: bool) -> QuicConfiguration:
    configuration = QuicConfiguration(
        alpn_protocols=[ALPN],
        is_client=is_client,
        idle_timeout=idle_timeout,
        connection_id_length=limits.CONNECTION_ID_BYTES,
        congestion_control_algorithm="cubic",
        max_datagram_frame_size=65535,
        max_datagram_size=limits.MIN_PATH_MTU,
        max_data=limits.QUIC_CONNECTION_WINDOW,
        max_stream_data=limits.QUIC_STREAM_WINDOW,
    )
    configuration.certificate = load_pem_x509_certificate(certificate.certificate)
    configuration.private_key = load_pem_private_key(certificate.private_key, password=None)
    return configuration
