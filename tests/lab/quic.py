"""Pairs of QUIC engines and of tunnels over a simulated wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.lab.wire import Wire
from tunnels.identity import EndpointId, SecretKey
from tunnels.quic.certificates import make_certificate
from tunnels.quic.engines import make_factory
from tunnels.quic.packets import parse_initial
from tunnels.tunnel import Tunnel

if TYPE_CHECKING:
    from tunnels.quic.engine import Engine

ALICE = SecretKey(b"a" * 32)
BOB = SecretKey(b"b" * 32)
EVE = SecretKey(b"e" * 32)


class Recorder:
    """Takes every event of an engine or tunnel and keeps it as (name, arguments…)."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)

        def record(*arguments: Any) -> None:
            self.events.append((name, *arguments))

        return record

    def named(self, *names: str) -> list[tuple[Any, ...]]:
        return [event for event in self.events if event[0] in names]

    def data(self, stream_id: int) -> bytes:
        return b"".join(event[2] for event in self.named("stream_data") if event[1] == stream_id)


@dataclass
class EnginePair:
    """A client and a server engine, each with its recorder, over a wire."""

    client_name: str
    server_name: str
    wire: Wire = field(default_factory=Wire)
    idle_timeout: float = 60.0
    server_key: SecretKey = BOB
    stream_limit: int | None = None
    client: Engine = field(init=False)
    server: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.at_client, self.at_server = Recorder(), Recorder()
        self.client = make_factory(self.client_name).client(make_certificate(ALICE), self.idle_timeout)
        self.wire.join(self._Draining(self.client, self.at_client))
        self.wire.on_datagram = self._serve
        self.client.connect(self.wire.now)

    def _serve(self, datagram: bytes) -> None:
        initial = parse_initial(datagram)
        assert initial is not None
        self.server = make_factory(self.server_name).server(
            make_certificate(self.server_key),
            self.idle_timeout,
            original_destination_connection_id=initial.destination_connection_id,
            retry_source_connection_id=None,
        )
        self.wire.attach(self._Draining(self.server, self.at_server))

    class _Draining:
        """An engine that tells its events as soon as it has any."""

        def __init__(self, engine: Engine, recorder: Recorder) -> None:
            self.engine, self.recorder = engine, recorder

        def receive_datagrams(self, datagrams: list[bytes], now: float) -> None:
            self.engine.receive_datagrams(datagrams, now)
            self.engine.drain_events(self.recorder)

        def datagrams_to_send(self, now: float) -> list[bytes]:
            return self.engine.datagrams_to_send(now)

        def get_timer(self) -> float | None:
            return self.engine.get_timer()

        def handle_timer(self, now: float) -> None:
            self.engine.handle_timer(now)
            self.engine.drain_events(self.recorder)

    def handshake(self, seconds: float = 5.0) -> None:
        done = ("handshake_completed",)
        self.wire.run(seconds, lambda: self.at_client.named(*done) and self.at_server.named(*done))
        assert self.at_client.named(*done), self.at_client.events
        assert self.at_server.named(*done), self.at_server.events
        self.wire.run(0.2)


class TunnelPair:
    """Alice's tunnel to Bob and Bob's end of it, over a wire."""

    def __init__(
        self,
        client_name: str = "qh3",
        server_name: str = "qh3",
        *,
        wire: Wire | None = None,
        dialled: EndpointId = BOB.endpoint_id,
        client_key: SecretKey = ALICE,
        server_key: SecretKey = BOB,
        idle_timeout: float = 60.0,
        keepalive: float = 15.0,
    ) -> None:
        self.wire = wire or Wire()
        self.at_client, self.at_server = Recorder(), Recorder()
        self._server_name, self._server_key = server_name, server_key
        self._idle_timeout, self._keepalive = idle_timeout, keepalive
        self.client = Tunnel(
            make_factory(client_name).client(make_certificate(client_key), idle_timeout),
            client_key,
            self.at_client,
            incarnation=b"client 1",
            dialled=dialled,
            now=self.wire.now,
            keepalive=keepalive,
        )
        self.wire.join(self.client)
        self.wire.on_datagram = self._serve

    def _serve(self, datagram: bytes) -> None:
        initial = parse_initial(datagram)
        assert initial is not None
        engine = make_factory(self._server_name).server(
            make_certificate(self._server_key),
            self._idle_timeout,
            original_destination_connection_id=initial.destination_connection_id,
            retry_source_connection_id=None,
        )
        self.server = Tunnel(
            engine,
            self._server_key,
            self.at_server,
            incarnation=b"server 1",
            dialled=None,
            now=self.wire.now,
            keepalive=self._keepalive,
        )
        self.wire.attach(self.server)

    def open(self) -> None:
        opened = ("tunnel_opened",)
        self.wire.run(5, lambda: self.at_client.named(*opened) and self.at_server.named(*opened))
        assert self.at_client.named(*opened), self.at_client.events
        assert self.at_server.named(*opened), self.at_server.events

    def run(self, seconds: float = 1.0) -> None:
        self.wire.run(seconds)
