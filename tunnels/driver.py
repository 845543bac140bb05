"""One tunnel on the event loop: feed it, let it tell, transmit, re-arm its timer. Its streams are transports."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import is_connected
from tunnels.errors import TunnelClosed, TunnelLost
from tunnels.events import CloseCode, TunnelState
from tunnels.paths.carrier import Carrier
from tunnels.paths.checks import Sealer
from tunnels.paths.reports import Crossed, Doubted, Healed, Offered, Switched, Woken
from tunnels.streams import TunnelTransport
from tunnels.tunnel import KEEPALIVE_UID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tunnels.addresses import PathAddress
    from tunnels.errors import TunnelError
    from tunnels.events import TunnelEvents
    from tunnels.paths.candidates import Candidate, PathPolicy
    from tunnels.paths.checks import Cross
    from tunnels.paths.path_set import PathSet
    from tunnels.remote import Connection
    from tunnels.tunnel import Tunnel


class TunnelOwner:
    """What the driver needs of the endpoint that owns it."""

    def server_proved(self, driver: TunnelDriver) -> None:
        """The tunnel that we dial ends at the endpoint that was meant, which does not know us yet."""
        raise NotImplementedError

    def tunnel_opened(self, driver: TunnelDriver) -> None:
        """The peer is authenticated."""
        raise NotImplementedError

    def tunnel_closed(self, driver: TunnelDriver, error: TunnelError) -> None:
        """The tunnel is over."""
        raise NotImplementedError

    def tunnel_suspect(self, driver: TunnelDriver) -> None:
        """The peer fell silent while streams or pings wait for it."""
        raise NotImplementedError

    def tunnel_recovered(self, driver: TunnelDriver) -> None:
        """A peer that had fallen silent is heard again."""
        raise NotImplementedError

    def path_changed(self, driver: TunnelDriver) -> None:
        """The tunnel goes by another path now, or data flows again by the one it has."""
        raise NotImplementedError

    def path_doubted(self, driver: TunnelDriver) -> None:
        """The tunnel's path may be dead."""
        raise NotImplementedError

    def peer_offered(self, driver: TunnelDriver) -> None:
        """The peer says that it may be reached at other places, or that its network is another one."""
        raise NotImplementedError

    def peer_crossed(self, driver: TunnelDriver, cross: Cross) -> None:
        """The peer says how an attempt to cross our NATs stands at its end."""
        raise NotImplementedError

    def stream_opened(self, transport: TunnelTransport) -> None:
        """The peer opened a stream; give it a protocol."""
        raise NotImplementedError

    def add_connection_id(self, connection_id: bytes, driver: TunnelDriver) -> None:
        """Datagrams to this id belong to the driver."""
        raise NotImplementedError

    def remove_connection_id(self, connection_id: bytes) -> None:
        """Datagrams to this id no longer do."""
        raise NotImplementedError

    def send(self, datagrams: list[bytes], address: PathAddress, *, urgent: bool = False) -> bool:
        """Put datagrams on the wire; False if one is larger than the interface carries, or if a relay cannot be had.

        `urgent`: they are checks of the path, which must not wait behind data.
        """
        raise NotImplementedError


class TunnelDriver:
    """A tunnel, its paths, its streams and its timer. Whoever tells its paths something calls `schedule_flush` then."""

    def __init__(
        self, owner: TunnelOwner, paths: PathSet, make_tunnel: Callable[[TunnelEvents], Tunnel]
    ) -> None:
        """`make_tunnel` gets this driver as its events."""
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._streams: dict[int, TunnelTransport] = {}
        self._fresh: list[TunnelTransport] = []  # what came for these is delivered at the end of the turn
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._flush_due = False
        self._linger: asyncio.TimerHandle | None = None
        self._disposed = False
        self._moved = 0  # bytes of streams, both ways
        self._unanswered: list[bytes] = []  # the last flight of a handshake nobody has answered yet
        self._is_doubted = False  # whether the paths were told that QUIC's probes go unanswered
        self._pings: dict[int, asyncio.Future[float]] = {}
        self._next_ping = 1
        self.connection_ids: set[bytes] = set()
        self.paths = paths
        self.carrier = Carrier(paths, os.urandom)
        self.connection: Connection | None = None
        self.had_streams = False
        self.used_from_here = False
        """Whether streams were opened or pings sent from here: somebody here wants the peer to be reachable."""
        self.was_suspect = False
        """Whether somebody was told that the peer fell silent; they are told when it is heard again."""
        self.policy: PathPolicy | None = None
        """Which paths it may use whatever else may be used to the endpoint; None for all."""
        self.settled: asyncio.Future[TunnelError | None] = self._loop.create_future()
        self.tunnel = make_tunnel(self)

    def __repr__(self) -> str:
        return f"<TunnelDriver {self.tunnel!r} via {self.paths.confirmed}>"

    @property
    def is_usable(self) -> bool:
        """Whether new streams may be opened on it."""
        return self.tunnel.state is TunnelState.OPEN

    @property
    def is_side(self) -> bool:
        """Whether it is beside the main connection with its endpoint."""
        return self.tunnel.is_side

    def is_suspect(self, now: float) -> bool:
        """Whether the peer fell silent; if so, the owner is told when it is heard again."""
        suspect = self.tunnel.is_suspect(now)
        self.was_suspect |= suspect
        return suspect

    # --- feed, transmit, re-arm -------------------------------------------------------------------------

    def receive(self, packets: list[bytes], address: PathAddress, now: float) -> None:
        """Packets for this tunnel came; sending is scheduled, so that a burst wakes it once."""
        self.paths.heard(address, now, sum(map(len, packets)))
        self.tunnel.receive_datagrams(packets, now)
        if self._is_doubted and not self.tunnel.probe_timeouts:
            self._is_doubted = False
            self.paths.suspect(now, 0, is_awaited=False)
        if self.was_suspect and not self.tunnel.is_suspect(now):
            self.was_suspect = False
            self._owner.tunnel_recovered(self)
        self.schedule_flush()

    def check_received(self, check: bytes, address: PathAddress, now: float) -> None:
        """A sealed check came, from the peer perhaps."""
        self.paths.check_received(check, address, now)
        self.schedule_flush()

    def schedule_flush(self) -> None:
        """Transmit at the end of this turn of the loop."""
        if not self._flush_due and not self._disposed:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._fresh:
            fresh, self._fresh = self._fresh, []
            for transport in fresh:
                transport.deliver()
        if self._disposed:
            return
        now = time.monotonic()
        packets = self.tunnel.datagrams_to_send(now)
        if packets:
            self._send(packets, now)
        self._look_after_paths(now)
        self._arm()

    def try_also(self, candidates: Iterable[Candidate]) -> None:
        """The peer may be there, too: a handshake that is under way goes there at once, and not at QUIC's next timer."""
        known = self.paths.addresses
        self.paths.add_candidates(candidates, time.monotonic())
        if self._unanswered and self.paths.confirmed is None:
            for address in self.paths.addresses:
                if address not in known:
                    self._owner.send(self._unanswered, address)
        self.schedule_flush()

    def _send(self, packets: list[bytes], now: float) -> None:
        self._unanswered = packets if self.paths.confirmed is None else []
        moved = self.tunnel.bytes_sent + self.tunnel.bytes_received
        if moved != self._moved:
            self._moved = moved
            self.paths.used(now)
        for address in self.paths.destinations(now):
            datagrams = self.carrier.datagrams(packets, address, now)
            self.paths.sent(address, sum(map(len, datagrams)), now)
            if not self._owner.send(datagrams, address):
                if is_connected(address):
                    self.paths.failed(address, now)
                else:
                    self.carrier.refused(address, now)

    def _look_after_paths(self, now: float) -> None:
        """Probes and checks that are due, and what came of them."""
        selected = self.paths.confirmed
        if selected is not None:
            for probe, size in self.carrier.probes(now, self.tunnel.rtt or 0.0):
                if not self._owner.send([probe], selected):
                    self.carrier.probe_refused(selected, size, now)
        self.paths.handle_timer(now)
        for check, address in self.paths.checks_to_send():
            if not self._owner.send([check], address, urgent=True) and is_connected(address):
                self.paths.failed(address, now)
        for event in self.paths.take_events():
            match event:
                case Healed():
                    self.tunnel.poke()
                    self.schedule_flush()
                case Doubted():
                    self._owner.path_doubted(self)
                case Switched() | Woken():
                    self._owner.path_changed(self)
                case Offered():
                    self._owner.peer_offered(self)
                case Crossed():
                    self._owner.peer_crossed(self, event.cross)

    @property
    def _is_awaited(self) -> bool:
        """Whether streams or pings wait for the peer."""
        return bool(self.tunnel.stream_count or self._pings)

    def probe_received(self, probe: bytes, address: PathAddress, now: float) -> None:
        """The peer asks whether a datagram arrives."""
        answer = self.carrier.probe_received(probe, now)
        if answer is not None and self.paths.allows(address):
            self._owner.send([answer], address)

    def answer_received(self, answer: bytes) -> None:
        """The peer says that a datagram arrived."""
        self.carrier.answer_received(answer)

    def _arm(self) -> None:
        due = self.tunnel.get_timer()
        if due is not None:
            for other in (self.carrier.get_timer(), self.paths.get_timer()):
                if other is not None and other < due:
                    due = other
        if self._timer is not None:
            if due is not None and self._timer_due <= due:
                return  # it fires early at worst, and re-arms itself
            self._timer.cancel()
            self._timer = None
        if due is not None:
            # Event loops count in milliseconds: a shorter wait would only turn the loop until it is due.
            seconds = max(due - time.monotonic(), limits.TIMER_RESOLUTION)
            self._timer = self._loop.call_later(seconds, self._timer_fired)
            self._timer_due = due

    def _timer_fired(self) -> None:
        self._timer = None
        now = time.monotonic()
        due = self.tunnel.get_timer()
        if due is not None and due <= now:
            self.tunnel.handle_timer(now)
            timeouts = self.tunnel.probe_timeouts
            if timeouts:
                self._is_doubted = True
                self.paths.suspect(now, timeouts, is_awaited=self._is_awaited)
            if timeouts >= limits.MTU_SUSPECT_PROBES:
                self.carrier.suspect(now)
            if self._is_awaited and self.is_suspect(now):
                self._owner.tunnel_suspect(self)
        self._flush()

    # --- streams ----------------------------------------------------------------------------------------

    def open_transport(self) -> TunnelTransport:
        """A new stream; TunnelClosed or TooManyStreams."""
        transport = self._transport(self.tunnel.open_stream())
        self.used_from_here = True
        return transport

    def _transport(self, stream_id: int) -> TunnelTransport:
        assert self.tunnel.remote_id is not None  # noqa: S101 - streams exist only once the peer is known
        transport = TunnelTransport(
            self.tunnel, stream_id, self.tunnel.remote_id, flush=self.schedule_flush, forget=self._forget
        )
        self._streams[stream_id] = transport
        self.had_streams = True
        return transport

    def _forget(self, stream_id: int) -> None:
        self._streams.pop(stream_id, None)

    async def ping(self) -> float:
        """The seconds until the peer acknowledged a ping; TunnelClosed."""
        if not self.is_usable:
            raise TunnelClosed(str(self.tunnel.error or "the connection is not open"))
        uid = self._next_ping
        self._next_ping += 1
        self.used_from_here = True
        answered: asyncio.Future[float] = self._loop.create_future()
        self._pings[uid] = answered
        sent = time.perf_counter()  # the loop's clock may tick in milliseconds
        self.tunnel.ping(uid)
        self.schedule_flush()
        try:
            return await answered - sent
        finally:
            self._pings.pop(uid, None)

    def close(self, code: CloseCode, error: TunnelError) -> None:
        """End the tunnel and its streams; the peer is told."""
        self.tunnel.close(code, error)
        self._flush()

    def supersede(self) -> None:
        """Another connection took over: open no more streams on this one, and end it when nobody needs it."""
        if self.tunnel.is_suspect(time.monotonic()):
            self.tunnel.poke()  # the peer is there after all: this one recovers now, or its path is gone
            self.schedule_flush()
        self._call_later(limits.SUPERSEDED_LINGER, self._end_superseded)

    def _end_superseded(self) -> None:
        now = time.monotonic()
        if self.tunnel.is_suspect(now):
            self.close(CloseCode.SILENT, TunnelLost("it fell silent, and a new connection took over"))
        elif self.tunnel.is_client and self.tunnel.unused_for(now) >= limits.SUPERSEDED_LINGER:
            self.close(CloseCode.DONE, TunnelClosed("another connection with the same endpoint took over"))
        else:  # streams are on it, or it is for the peer, who dialled it, to close it
            self._call_later(limits.SUPERSEDED_LINGER, self._end_superseded)

    def reinstate(self) -> None:
        """The connection that had taken over is gone: this one goes on."""
        self._cancel_linger()
        if self.is_side:
            self.end_when_unused()

    def end_when_unused(self) -> None:
        """It is a lane of ours: end it once nobody has used it for a while."""
        if self.tunnel.is_client and self.is_usable:
            self._call_later(limits.LANE_LINGER, self._end_unused)

    def _end_unused(self) -> None:
        if self.tunnel.unused_for(time.monotonic()) >= limits.LANE_LINGER:
            self.close(CloseCode.DONE, TunnelClosed("nobody uses it any more"))
        else:
            self.end_when_unused()

    def dispose_later(self, dispose: Callable[[], None]) -> None:
        """It is closed: call `dispose` when late datagrams need not be told apart from new ones any more."""
        if not self._disposed:
            self._call_later(limits.CLOSE_LINGER, dispose)

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._cancel_linger()
        self._linger = self._loop.call_later(seconds, callback)

    def _cancel_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def dispose(self) -> None:
        """Nothing more will be sent or timed."""
        self._disposed = True
        self._cancel_linger()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- what the tunnel tells (TunnelEvents) -----------------------------------------------------------

    def server_proved(self) -> None:
        self._owner.server_proved(self)
        self._open_paths()

    def tunnel_opened(self) -> None:
        self._owner.tunnel_opened(self)  # who says first which paths may be used
        if self.is_usable and not self.paths.is_open:
            self._open_paths()
        if not self.settled.done():
            self.settled.set_result(None)

    def _open_paths(self) -> None:
        tunnel = self.tunnel
        if tunnel.remote_id is not None:
            binding, peer_id = tunnel.channel_binding, tunnel.remote_id
            sealer = Sealer(binding, is_client=tunnel.is_client, peer_id=peer_id, chance=os.urandom)
            self.paths.open(sealer, time.monotonic())

    def tunnel_closed(self, error: TunnelError) -> None:
        for transport in list(self._streams.values()):
            transport.stream_lost(error)
        self._streams.clear()
        for waiting in self._pings.values():
            if not waiting.done():
                waiting.set_exception(TunnelClosed(str(error)))
        if not self.settled.done():
            self.settled.set_result(error)
        self._owner.tunnel_closed(self, error)

    def stream_opened(self, stream_id: int) -> None:
        if len(self._streams) >= 2 * limits.MAX_STREAMS:  # QUIC let go of some that their readers still hold
            self.tunnel.reset(stream_id, CloseCode.BUSY)
            return
        self._owner.stream_opened(self._transport(stream_id))

    def stream_data(self, stream_id: int, data: bytes) -> None:
        transport = self._streams.get(stream_id)
        if transport is not None and transport.stream_data(data):
            self._fresh.append(transport)

    def stream_ended(self, stream_id: int) -> None:
        transport = self._streams.get(stream_id)
        if transport is not None:
            transport.stream_ended()

    def stream_reset(self, stream_id: int, code: int) -> None:
        transport = self._streams.pop(stream_id, None)
        if transport is not None:
            transport.stream_reset(code)

    def stream_stopped(self, stream_id: int) -> None:
        transport = self._streams.get(stream_id)
        if transport is not None:
            transport.stream_stopped()

    def stream_drained(self, stream_id: int) -> None:
        transport = self._streams.get(stream_id)
        if transport is not None:
            transport.stream_drained()

    def datagram(self, stream_id: int, data: bytes) -> None:
        transport = self._streams.get(stream_id)
        if transport is not None:
            transport.datagram_received(data)

    def ping_acknowledged(self, uid: int) -> None:
        if uid == KEEPALIVE_UID:
            self.paths.acknowledged(self.tunnel.kept_alive_at, time.monotonic())
            return
        waiting = self._pings.get(uid)
        if waiting is not None and not waiting.done():
            waiting.set_result(time.perf_counter())

    def connection_id_issued(self, connection_id: bytes) -> None:
        self._owner.add_connection_id(connection_id, self)

    def connection_id_retired(self, connection_id: bytes) -> None:
        self._owner.remove_connection_id(connection_id)
