"""A fake tunnel: streams between two endpoints over real loopback TCP, with real backpressure, half-close and reset.

A `LabStream` behaves as `tunnels.streams.TunnelTransport` does: an asyncio transport that knows the peer's
endpoint id and carries datagrams beside its bytes. `LabTunnel.open_transport` is what the overlay dialer is given;
the far end of each stream goes to the acceptor it was built with.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.splice import reset
from tunnels.identity import EndpointId, SecretKey

if TYPE_CHECKING:
    from collections.abc import Callable

_P = TypeVar("_P", bound=asyncio.Protocol)

ALICE = SecretKey(b"a" * 32).endpoint_id
BOB = SecretKey(b"b" * 32).endpoint_id
CAROL = SecretKey(b"c" * 32).endpoint_id


class LabStream(asyncio.Transport):
    """One end of a fake tunnel stream; reading starts paused."""

    def __init__(self, transport: asyncio.Transport, peer_id: EndpointId, datagram_limit: int) -> None:
        super().__init__()
        self._transport = transport
        self._peer_id = peer_id
        self._datagram_limit = datagram_limit
        self.peer: LabStream
        self.datagrams_sent = 0
        self.bytes_sent = self.bytes_received = 0
        self.meter: Any = None

    def send_datagram(self, data: bytes) -> bool:
        """As the real one: False when the datagram does not fit a frame."""
        if len(data) > self._datagram_limit or self.is_closing():
            return False
        self.datagrams_sent += 1
        asyncio.get_running_loop().call_soon(self.peer.deliver, data)
        return True

    def set_meter(self, meter: Any) -> None:
        """Remembered only: what a meter does is tested with real streams."""
        self.meter = meter

    def shut_gates(self) -> None:
        """As if they were never shut."""

    def remove_gates(self) -> None:
        """They are not."""

    def deliver(self, data: bytes) -> None:
        received = getattr(self.get_protocol(), "datagram_received", None)
        if received is not None and not self.is_closing():
            received(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._peer_id if name == "endpoint_id" else default

    def abort(self) -> None:
        reset(self._transport)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._transport.write(data)

    def write_eof(self) -> None:
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()


async def tcp_pair() -> tuple[asyncio.Transport, asyncio.Transport]:
    """Two connected TCP transports on loopback, both paused."""
    made = asyncio.get_running_loop().create_task(_tcp_pair())
    try:
        return await asyncio.shield(made)
    except asyncio.CancelledError:  # whoever opened a stream went away: what is made for it is closed
        made.add_done_callback(lambda done: [transport.abort() for transport in done.result()])
        raise


async def _tcp_pair() -> tuple[asyncio.Transport, asyncio.Transport]:
    loop = asyncio.get_running_loop()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        listener.setblocking(False)
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, listener.getsockname())
        server, _ = await loop.sock_accept(listener)
    pair = [(await loop.create_connection(asyncio.Protocol, sock=sock))[0] for sock in (client, server)]
    for transport in pair:
        transport.pause_reading()  # uvloop undoes a pause made in connection_made
    return pair[0], pair[1]


async def tunnel_pair(
    first_id: EndpointId = ALICE, second_id: EndpointId = BOB, *, datagram_limit: int = 1100
) -> tuple[LabStream, LabStream]:
    """Both ends of a stream between two endpoints, paused: the first is the end at `first_id`."""
    near, far = await tcp_pair()
    first, second = LabStream(near, second_id, datagram_limit), LabStream(far, first_id, datagram_limit)
    first.peer, second.peer = second, first
    return first, second


def start(stream: LabStream, protocol: asyncio.Protocol) -> None:
    """Give a stream its protocol as a tunnel does: made known to it, then bytes flow."""
    stream.set_protocol(protocol)
    protocol.connection_made(stream)
    stream.resume_reading()


class LabTunnel:
    """Opens streams from `caller` to whoever is in `acceptors`; raises what is put in `failure`."""

    def __init__(self, caller: EndpointId = BOB, *, datagram_limit: int = 1100) -> None:
        self.caller = caller
        self.acceptors: dict[EndpointId, Callable[[LabStream], asyncio.Protocol]] = {}
        self.failure: Exception | None = None
        self.opened: list[LabStream] = []
        self._datagram_limit = datagram_limit

    async def open_transport(
        self, endpoint_id: EndpointId, protocol_factory: Callable[[], _P]
    ) -> tuple[LabStream, _P]:
        """Open a stream to `endpoint_id`, whose acceptor gets the other end."""
        if self.failure is not None:
            raise self.failure
        near, far = await tunnel_pair(self.caller, endpoint_id, datagram_limit=self._datagram_limit)
        self.opened.append(near)
        start(far, self.acceptors[endpoint_id](far))
        protocol = protocol_factory()
        start(near, protocol)
        return near, protocol


class Recorder(asyncio.Protocol):
    """A protocol that keeps what it was told, and lets tests wait for it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.datagrams: list[bytes] = []
        self.ended = False
        self.lost = False
        self.error: Exception | None = None
        self.keep_open = True
        self._changed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._changed.set()

    def datagram_received(self, data: bytes) -> None:
        self.datagrams.append(data)
        self._changed.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._changed.set()
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.error = exc
        self._changed.set()

    async def until(self, condition: Callable[[Recorder], bool], timeout: float = 10.0) -> None:
        """Wait for a condition on what was received."""
        async with asyncio.timeout(timeout):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    async def ends(self) -> None:
        await self.until(lambda r: r.ended or r.lost)

    async def loses(self) -> None:
        await self.until(lambda r: r.lost)


def take(transport: asyncio.Transport) -> Recorder:
    """Record everything that arrives on a paused transport from now on."""
    recorder = Recorder()
    transport.set_protocol(recorder)
    transport.resume_reading()
    return recorder
