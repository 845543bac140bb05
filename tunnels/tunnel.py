"""One authenticated QUIC connection with one endpoint: identity, streams with credit, datagrams. Sans-IO.

A QUIC engine below does TLS, loss and congestion. Here is what QUIC leaves open: the server's key is compared with
the id that was asked for, the client's id is proved in-band, each stream spends credit that its reader granted,
and a quiet connection is kept alive. Above, `endpoint` carries bytes between this machine and sockets.

The first bidirectional stream of the client is the control stream (see `control_stream`). It is written before
anything else, so a server that sees other streams first holds them, within a bound, until the proof arrives.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.control_stream import (
    ControlReader,
    Credit,
    Proof,
    Side,
    Welcome,
    encode_credit,
    encode_proof,
    encode_side,
    encode_welcome,
)
from tunnels.credit import Incoming, Outgoing, WindowBudget
from tunnels.errors import (
    ProtocolViolation,
    TooManyStreams,
    TunnelClosed,
    TunnelError,
    TunnelLost,
    Unreachable,
    WrongIdentity,
)
from tunnels.events import CloseCode, TunnelState
from tunnels.identity import EndpointId
from tunnels.recent_minimum import RecentMinimum

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.events import TunnelEvents
    from tunnels.identity import SecretKey
    from tunnels.quic.engine import Engine

CONTROL_STREAM: Final = 0
KEEPALIVE_UID: Final = 0
"""Of the pings that keep a quiet connection alive; those of callers have others."""

_DATAGRAM_ID_BYTES: Final = 4
MAX_DATAGRAM: Final = limits.MAX_DATAGRAM_FRAME - _DATAGRAM_ID_BYTES


class _Stream:
    """Both halves of one stream."""

    __slots__ = ("bulk_at", "incoming", "outgoing")

    def __init__(self, now: float) -> None:
        self.incoming = Incoming(now)
        self.outgoing = Outgoing()
        self.bulk_at = -inf
        """When it last had to wait."""

    def is_bulk(self, now: float) -> bool:
        """Whether it had to wait of late."""
        return now - self.bulk_at < limits.BULK_SECONDS


class Tunnel:
    """One connection; `events` is told what happens, `now` is the event loop's monotonic clock."""

    def __init__(
        self,
        engine: Engine,
        secret_key: SecretKey,
        events: TunnelEvents,
        *,
        incarnation: bytes,
        dialled: EndpointId | None,
        now: float,
        keepalive: float = limits.KEEPALIVE,
        handshake_timeout: float = limits.HANDSHAKE_TIMEOUT,
        budget: WindowBudget | None = None,
        is_side: bool = False,
    ) -> None:
        """As client to the endpoint `dialled`, or, if that is None, as server to whoever proves who it is.

        `is_side`: as client, beside a main connection.
        """
        self._engine = engine
        self._secret_key = secret_key
        self._events = events
        self._incarnation = incarnation
        self._keepalive = keepalive
        self._deadline = now + handshake_timeout
        self.is_client = dialled is not None
        self.is_side = is_side
        """Whether its client has it beside its main connection: the server opens no streams on it."""
        self.remote_id = dialled
        self.answered_by: EndpointId | None = None
        """Client: who proved to be the server, be it the one that was dialled or not."""
        self.incarnation = b""
        self.state = TunnelState.HANDSHAKE
        self.error: TunnelError | None = None
        self.last_received = now
        self.opened_at: float | None = None
        self.bytes_received = 0
        self.bytes_sent = 0
        self._last_kept_alive = now
        self._unused_since = now
        self._control = ControlReader()
        self._streams: dict[int, _Stream] = {}
        self._waiting: dict[int, _Stream] = {}  # streams with something to send and no room, in turn order
        self._room = limits.SEND_BACKLOG
        self._budget = budget or WindowBudget()
        self._min_rtt = RecentMinimum(limits.MIN_RTT_PERIOD)
        self._is_interactive = False  # something interactive was written since the last flight
        self._interactive_until = 0.0
        self._datagram_bytes = 0
        self._highest_remote = -3 if self.is_client else 0  # the control stream is not counted as opened
        self._unseen: set[int] = set()  # ids the peer implied by opening a higher one
        self._early: list[Callable[[], None]] = []  # what happened on streams before the peer was known
        self._early_bytes = 0
        self._early_datagram_bytes = 0
        self._credit: list[bytes] = []
        self._farewell: list[bytes] = []  # the datagrams that told the peer of our close
        self._farewells = 0
        self._is_farewell_due = False
        self._is_broken = False
        self._packets = 0  # since the last change of keys
        self._now = now
        if self.is_client:
            engine.connect(now)

    def __repr__(self) -> str:
        who = "?" if self.remote_id is None else self.remote_id.short
        side = "client" if self.is_client else "server"
        return f"<Tunnel {self.state.value} {side} of {who}, {len(self._streams)} streams>"

    # --- datagrams and time -----------------------------------------------------------------------------

    def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
        """Take QUIC packets from the wire."""
        self._now = now
        if self.state is TunnelState.CLOSED:
            self._is_farewell_due = self._farewells > 0  # it seems to have missed our close
        if self._is_broken:
            return
        self._packets += len(datagrams)
        if self.remote_id is None:
            self._early_datagram_bytes += sum(map(len, datagrams))
            if self._early_datagram_bytes > limits.EARLY_DATAGRAM_BYTES:
                self.close(CloseCode.VIOLATION, ProtocolViolation("too much before the proof of identity"))
                return
        try:
            self._engine.receive_datagrams(datagrams, now)
        except TunnelLost as broken:
            self._broke(broken)
            return
        self._drain()
        # Anybody can send junk to our ids; what leaves probes unanswered is no sign of life.
        if self.state is not TunnelState.CLOSED and not self._engine.probe_timeouts():
            self.last_received = now

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """QUIC packets to put on the wire; called after anything else was."""
        self._now = now
        if self.state is TunnelState.CLOSED:
            return self._last_datagrams(now)
        engine = self._engine
        if self._credit and self.state is TunnelState.OPEN:
            engine.send_stream_data(CONTROL_STREAM, b"".join(self._credit))
            self._credit.clear()
        try:
            datagrams = engine.datagrams_to_send(now)
            if self._is_interactive:
                self._is_interactive = False
                self._interactive_until = now + limits.INTERACTIVE_SECONDS
            self._room = self._backlog_room(now)
            while self._waiting and self._room > 0 and self._send_waiting():
                datagrams += engine.datagrams_to_send(now)
                self._room = self._backlog_room(now)
        except TunnelLost as broken:
            self._broke(broken)
            return []
        if self._datagram_bytes and not engine.is_congested():
            self._datagram_bytes = 0
        self._packets += len(datagrams)
        if self._packets >= limits.KEY_UPDATE_PACKETS and self.is_client and engine.update_keys():
            self._packets = 0
        return datagrams

    def _backlog_room(self, now: float) -> int:
        """Bytes that streams may hand to the engine now."""
        engine = self._engine
        room = min(limits.SEND_BACKLOG, engine.window_room())
        if now < self._interactive_until and (rtt := engine.rtt()) is not None:
            milliseconds = max(1.0, 1000 * self._min_rtt.add(rtt, now))
            room = min(room, int(limits.SHARED_FLIGHT * milliseconds) - engine.bytes_in_flight())
        return room - engine.unsent_bytes()

    def _last_datagrams(self, now: float) -> list[bytes]:
        """What a closed connection still sends: the close, and the close again to a peer that seems to have missed it."""
        if self._is_broken:
            return []
        try:
            datagrams = self._engine.datagrams_to_send(now)
        except TunnelLost:
            self._is_broken = True
            return []
        if datagrams and self._farewells:
            self._farewell = datagrams
        elif self._is_farewell_due and self._farewell:
            self._farewells -= 1
            datagrams = self._farewell
        self._is_farewell_due = False
        return datagrams

    def get_timer(self) -> float | None:
        """When `handle_timer` is due; None when nothing is."""
        if self.state is TunnelState.CLOSED:
            return None
        timer = self._engine.get_timer()
        ours = (
            self._deadline if self.state is TunnelState.HANDSHAKE else self._last_kept_alive + self._keepalive
        )
        return ours if timer is None else min(timer, ours)

    def handle_timer(self, now: float) -> None:
        """Let what is due at `now` happen."""
        self._now = now
        if self.state is TunnelState.CLOSED:
            return
        timer = self._engine.get_timer()
        if timer is not None and timer <= now:
            try:
                self._engine.handle_timer(now)
            except TunnelLost as broken:
                self._broke(broken)
                return
            self._drain()
        if self.state is TunnelState.HANDSHAKE and now >= self._deadline:
            self.close(CloseCode.TIMEOUT, Unreachable("the handshake took too long"))
        elif self.state is TunnelState.OPEN and now >= self._last_kept_alive + self._keepalive:
            self._last_kept_alive = now
            if self.unused_for(now) >= limits.UNUSED_TIMEOUT:
                self.close(CloseCode.DONE, TunnelClosed("the connection was not used any more"))
            else:
                self._engine.send_ping(KEEPALIVE_UID)

    def is_suspect(self, now: float) -> bool:
        """Whether the peer left so many probes unanswered that a fresh connection is worth trying."""
        silence = now - self.last_received
        return silence > limits.SUSPECT_AFTER and self._engine.probe_timeouts() >= limits.SUSPECT_PROBES

    def unused_for(self, now: float) -> float:
        """The seconds since the last stream ended, or since it opened; 0 while there are streams."""
        return 0.0 if self._streams else now - self._unused_since

    def ping(self, uid: int) -> None:
        """Ask the peer for an acknowledgement now."""
        self._engine.send_ping(uid)

    def poke(self) -> None:
        """The peer seems to be there again: probe now rather than when the backed-off timer says."""
        self._engine.poke()

    @property
    def kept_alive_at(self) -> float:
        """When the last keepalive was sent; its acknowledgement is told as that of a ping of `KEEPALIVE_UID`."""
        return self._last_kept_alive

    @property
    def channel_binding(self) -> bytes:
        """What both ends of the connection share and nobody else knows, once it is open."""
        return self._engine.channel_binding()

    @property
    def probe_timeouts(self) -> int:
        """How many of QUIC's probes in a row went unanswered."""
        return self._engine.probe_timeouts()

    @property
    def rtt(self) -> float | None:
        """The smoothed round-trip time in seconds, once measured."""
        return self._engine.rtt()

    @property
    def stream_count(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    # --- streams ----------------------------------------------------------------------------------------

    def open_stream(self) -> int:
        """The id of a new stream; TunnelClosed or TooManyStreams."""
        if self.state is not TunnelState.OPEN:
            raise self.error or TunnelClosed("the connection is not open")
        stream_id = self._engine.open_stream()
        if stream_id is None or len(self._streams) >= 2 * limits.MAX_STREAMS:
            raise TooManyStreams(f"the connection already carries {len(self._streams)} streams")
        self._engine.send_stream_data(stream_id, b"")  # the id is taken: the next call gives another
        self._streams[stream_id] = _Stream(self._now)
        return stream_id

    def write(self, stream_id: int, data: bytes) -> None:
        """Send bytes on a stream, at once or when credit and congestion allow; ignored on a stream that is gone."""
        stream = self._streams.get(stream_id)
        if stream is None or not data or stream.outgoing.end_requested:
            return
        outgoing = stream.outgoing
        size = len(data)
        if not outgoing.pending_bytes and size <= self._room and outgoing.sent + size <= outgoing.limit:
            outgoing.sent += size  # the common case: nothing waits, and it may go
            self._room -= size
            self.bytes_sent += size
            self._engine.send_stream_data(stream_id, data)
        else:
            outgoing.add(data)
            size = outgoing.pending_bytes
            self._wait(stream_id, stream)
        if size > limits.INTERACTIVE_BYTES:
            if outgoing.pending_bytes:
                stream.bulk_at = self._now
        elif not stream.is_bulk(self._now):
            self._is_interactive = True

    def write_eof(self, stream_id: int) -> None:
        """Say that no more will be written; what waits is sent first."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.outgoing.end_requested:
            return
        stream.outgoing.end_requested = True
        if stream.outgoing.pending_bytes:
            self._wait(stream_id, stream)
        else:
            self._end(stream_id, stream)

    def pending_bytes(self, stream_id: int) -> int:
        """Bytes that wait for credit on a stream; 0 for one that is gone."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.outgoing.pending_bytes

    def shut_gate(self, stream_id: int) -> None:
        """From now on the stream sends only what is `let` through, whatever credit it has."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.outgoing.shut_gate()

    def let(self, stream_id: int, size: int) -> None:
        """So many more bytes of the stream may pass its gate."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.outgoing.let(size)
            self._wait(stream_id, stream)

    def remove_gate(self, stream_id: int) -> None:
        """The stream sends as its reader's credit allows."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.outgoing.remove_gate()
            self._wait(stream_id, stream)

    def consumed(self, stream_id: int, size: int) -> None:
        """Bytes of `stream_data` were passed on: the peer may send that many more."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if stream.incoming.consume(size):
            rtt = self._engine.rtt()
            shortest = 0.0 if rtt is None else self._min_rtt.add(rtt, self._now)
            limit = stream.incoming.grant(self._now, shortest, len(self._streams), self._budget, rtt or 0.0)
            self._credit.append(encode_credit(stream_id, limit))

    def reset(self, stream_id: int, code: int = CloseCode.STREAM_ABORTED) -> None:
        """Give a stream up, both directions; the peer is told, nothing more is heard of it here."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        self._forget(stream_id)
        if not stream.outgoing.ended:
            self._engine.reset_stream(stream_id, code)
        if not stream.incoming.ended:
            self._engine.stop_stream(stream_id, code)

    def send_datagram(self, stream_id: int, data: bytes) -> bool:
        """Send a datagram that belongs to a stream; False if it is too large for a frame.

        It is dropped, as UDP would, when the connection is congested and enough of them already wait.
        """
        if len(data) > MAX_DATAGRAM or stream_id >> 32:
            return False
        if self._engine.is_congested():
            if self._datagram_bytes > limits.DATAGRAM_BACKLOG:
                return True
            self._datagram_bytes += len(data) + _DATAGRAM_ID_BYTES
        self._engine.send_datagram_frame(stream_id.to_bytes(_DATAGRAM_ID_BYTES) + data)
        return True

    # --- the end ----------------------------------------------------------------------------------------

    def close(self, code: CloseCode, error: TunnelError) -> None:
        """End the connection; the peer is told `code` and the error's text."""
        if self.state is TunnelState.CLOSED:
            return
        self._engine.close(code, str(error)[:200])
        self._farewells = limits.FAREWELLS
        self._closed(error)

    def _broke(self, error: TunnelLost) -> None:
        self._is_broken = True
        if self.state is not TunnelState.CLOSED:
            self._closed(error)

    def _closed(self, error: TunnelError) -> None:
        self.state = TunnelState.CLOSED
        self.error = error
        for stream in self._streams.values():
            stream.incoming.release(self._budget)
        self._streams.clear()
        self._waiting.clear()
        self._early.clear()
        self._credit.clear()
        self._events.tunnel_closed(error)

    # --- what the engine tells (EngineEvents) -----------------------------------------------------------

    def _drain(self) -> None:
        try:
            self._engine.drain_events(self)
        except ProtocolViolation as violation:
            self.close(CloseCode.VIOLATION, violation)

    def handshake_completed(self) -> None:
        """The engine: TLS is done. A client checks the server's key and proves its own."""
        if not self.is_client:
            return
        assert self.remote_id is not None  # noqa: S101 - a client always dialled somebody
        key = self._engine.peer_key()
        self.answered_by = None if key is None else EndpointId(key)
        if self.answered_by != self.remote_id:
            answered = "an unknown key" if self.answered_by is None else self.answered_by.short
            wrong = f"asked for {self.remote_id.short}, but {answered} answered at its address"
            self.close(CloseCode.WRONG_IDENTITY, WrongIdentity(wrong))
            return
        binding = self._engine.channel_binding()
        proof = encode_proof(self._secret_key, binding, self.remote_id, self._incarnation)
        self._engine.send_stream_data(CONTROL_STREAM, encode_side() + proof if self.is_side else proof)
        self._events.server_proved()

    def stream_data(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        """The engine: bytes of a stream in order."""
        if self.state is TunnelState.CLOSED:
            return
        if stream_id == CONTROL_STREAM:
            if end_stream:
                raise ProtocolViolation("the peer ended the control stream")
            self._control_messages(data)
            return
        if self.state is TunnelState.HANDSHAKE:
            self._hold(len(data), lambda: self.stream_data(stream_id, data, end_stream))
            return
        stream = self._streams.get(stream_id) or self._opened_by_peer(stream_id)
        if stream is None:
            return
        if data:
            stream.incoming.receive(len(data))
            self.bytes_received += len(data)
            self._events.stream_data(stream_id, data)
        if end_stream:
            stream.incoming.ended = True
            self._finish(stream_id, stream)
            self._events.stream_ended(stream_id)

    def stream_reset(self, stream_id: int, code: int) -> None:
        """The engine: the peer reset its side of a stream."""
        if stream_id == CONTROL_STREAM:
            raise ProtocolViolation("the peer reset the control stream")
        if self.state is TunnelState.HANDSHAKE:
            self._hold(0, lambda: self.stream_reset(stream_id, code))
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            self._is_new(stream_id)  # opened and given up before anything of it arrived
            return
        if stream.incoming.ended:
            return  # everything has come already (RFC 9000 §3.2)
        stream.incoming.ended = True
        if not stream.outgoing.ended:
            self._engine.reset_stream(stream_id, code)
        self._forget(stream_id)
        self._events.stream_reset(stream_id, code)

    def stop_sending(self, stream_id: int, code: int) -> None:
        """The engine: the peer reads no more of a stream."""
        if stream_id == CONTROL_STREAM:
            raise ProtocolViolation("the peer stopped the control stream")
        if self.state is TunnelState.HANDSHAKE:
            self._hold(0, lambda: self.stop_sending(stream_id, code))
            return
        stream = self._streams.get(stream_id)
        if stream is None or stream.outgoing.ended:
            return
        # Its own last bytes, or its reset, may still be under way: only our direction is over.
        stream.outgoing.stop()
        self._waiting.pop(stream_id, None)
        self._finish(stream_id, stream)
        self._events.stream_stopped(stream_id)

    def datagram(self, data: bytes) -> None:
        """The engine: a DATAGRAM frame."""
        if self.state is TunnelState.OPEN and len(data) >= _DATAGRAM_ID_BYTES:
            stream_id = int.from_bytes(data[:_DATAGRAM_ID_BYTES])
            if stream_id in self._streams:
                self._events.datagram(stream_id, data[_DATAGRAM_ID_BYTES:])

    def ping_acknowledged(self, uid: int) -> None:
        """The engine: a ping arrived."""
        self._events.ping_acknowledged(uid)

    def connection_id_issued(self, connection_id: bytes) -> None:
        """The engine: one more id for us."""
        self._events.connection_id_issued(connection_id)

    def connection_id_retired(self, connection_id: bytes) -> None:
        """The engine: one id fewer."""
        self._events.connection_id_retired(connection_id)

    def terminated(self, code: int, reason: str) -> None:
        """The engine: the connection is over."""
        if self.state is TunnelState.CLOSED:
            return
        kind = TunnelClosed if code >= CloseCode.DONE and code != CloseCode.SILENT else TunnelLost
        self._closed(kind(f"the connection ended: {reason or f'code {code}'}"))

    # --- control messages -------------------------------------------------------------------------------

    def _control_messages(self, data: bytes) -> None:
        for message in self._control.receive_data(data):
            match message:
                case Credit(stream_id, limit):
                    stream = self._streams.get(stream_id)
                    if stream is not None:
                        stream.outgoing.granted(limit)
                        self._wait(stream_id, stream)
                case Side():
                    if self.is_client or self.state is not TunnelState.HANDSHAKE:
                        raise ProtocolViolation("a side connection that is told too late")
                    self.is_side = True
                case Proof():
                    self._proved(message)
                case Welcome(incarnation):
                    if not self.is_client or self.state is not TunnelState.HANDSHAKE:
                        raise ProtocolViolation("a welcome out of place")
                    self._open(incarnation)

    def _proved(self, proof: Proof) -> None:
        if self.is_client or self.state is not TunnelState.HANDSHAKE:
            raise ProtocolViolation("a proof of identity out of place")
        if not proof.is_valid(self._engine.channel_binding(), self._secret_key.endpoint_id):
            raise ProtocolViolation("the proof of identity is wrong")
        if proof.endpoint_id == self._secret_key.endpoint_id:
            raise ProtocolViolation("an endpoint does not connect to itself")
        self.remote_id = proof.endpoint_id
        self._engine.send_stream_data(CONTROL_STREAM, encode_welcome(self._incarnation))
        self._open(proof.incarnation)

    def _open(self, incarnation: bytes) -> None:
        self.incarnation = incarnation
        self.state = TunnelState.OPEN
        self.opened_at = self._unused_since = self._last_kept_alive = self._now
        self._events.tunnel_opened()
        early, self._early = self._early, []
        for happen in early:
            happen()

    # --- bookkeeping ------------------------------------------------------------------------------------

    def _hold(self, size: int, happen: Callable[[], None]) -> None:
        """Keep what happened on a stream until the peer is known."""
        self._early_bytes += size + 512  # the memory an event of no bytes takes
        if self._early_bytes > limits.EARLY_STREAM_BYTES:
            raise ProtocolViolation("too much data before the proof of identity")
        self._early.append(happen)

    def _is_new(self, stream_id: int) -> bool:
        """Whether the peer just opened this stream; False for one that is gone, or an id that is not its own."""
        if stream_id & 2:
            raise ProtocolViolation("unidirectional streams are not used")
        if stream_id & 1 == (0 if self.is_client else 1):
            return False  # one of ours that we gave up
        if stream_id > self._highest_remote:
            self._unseen.update(range(self._highest_remote + 4, stream_id, 4))
            self._highest_remote = stream_id
            return True
        if stream_id in self._unseen:
            self._unseen.discard(stream_id)
            return True
        return False

    def _opened_by_peer(self, stream_id: int) -> _Stream | None:
        """The stream the peer just opened; None for late data of one that is gone, or an id that is not its own."""
        if not self._is_new(stream_id):
            return None
        stream = self._streams[stream_id] = _Stream(self._now)
        self._events.stream_opened(stream_id)
        return stream

    def _wait(self, stream_id: int, stream: _Stream) -> None:
        if stream.outgoing.wants_to_send:
            self._waiting[stream_id] = stream

    def _send_waiting(self) -> bool:
        """Give each waiting stream one turn, as far as there is room; whether anything was sent.

        A weighted round: streams that had no backlog of late get more of it.
        """
        sent = False
        quantum = max(limits.SEND_QUANTUM, self._room // len(self._waiting))
        for stream_id in list(self._waiting):
            if self._room <= 0:
                break
            stream = self._waiting.pop(stream_id, None)
            if stream is None:
                continue
            weight = 1 if stream.is_bulk(self._now) else limits.INTERACTIVE_WEIGHT
            data = stream.outgoing.take(min(self._room, quantum * weight))
            if data:
                self._room -= len(data)
                self.bytes_sent += len(data)
                self._engine.send_stream_data(stream_id, data)
                sent = True
            if stream.outgoing.pending_bytes:
                stream.bulk_at = self._now
                self._wait(stream_id, stream)
            elif stream.outgoing.end_requested:
                self._end(stream_id, stream)
                sent = True
            if (
                not stream.outgoing.end_requested
                and stream.outgoing.pending_bytes <= limits.WRITE_BUFFER_HIGH // 2
            ):
                self._events.stream_drained(stream_id)
        return sent

    def _end(self, stream_id: int, stream: _Stream) -> None:
        if not stream.outgoing.ended:
            stream.outgoing.ended = True
            self._engine.send_stream_data(stream_id, b"", end_stream=True)
            self._finish(stream_id, stream)
            self._events.stream_drained(stream_id)

    def _finish(self, stream_id: int, stream: _Stream) -> None:
        if stream.incoming.ended and stream.outgoing.ended:
            self._forget(stream_id)

    def _forget(self, stream_id: int) -> None:
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            stream.incoming.release(self._budget)
        self._waiting.pop(stream_id, None)
        if not self._streams:
            self._unused_since = self._now
