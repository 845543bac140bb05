"""Those who mean no good, on sockets of their own: floods, captures of others' datagrams, clients that stall."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from typing import TYPE_CHECKING

from tests.lab.endpoints import key_of
from tunnels.quic.certificates import make_certificate
from tunnels.quic.engines import make_factory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tunnels.addresses import Address
    from tunnels.endpoint import Endpoint
    from tunnels.quic.engine import EngineName

_CERTIFICATE = make_certificate(key_of("mallory"))


class Attacker:
    """A UDP socket at some loopback address."""

    def __init__(self, ip: str = "127.0.0.66") -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((ip, 0))
        self._socket.setblocking(False)

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, datagram: bytes, to: Address) -> None:
        with contextlib.suppress(BlockingIOError):
            self._socket.sendto(datagram, to.sockaddr)

    def received(self) -> list[bytes]:
        """What came so far."""
        datagrams = []
        with contextlib.suppress(BlockingIOError):
            while True:
                datagrams.append(self._socket.recv(65536))
        return datagrams

    async def flood(self, datagrams: Iterable[bytes], to: Address, burst: int = 50) -> None:
        """Send them all, and let the victim have its turn after each burst."""
        for number, datagram in enumerate(datagrams):
            self.send(datagram, to)
            if number % burst == burst - 1:
                await asyncio.sleep(0)


def first_flights(engine: EngineName = "qh3") -> Iterator[list[bytes]]:
    """The first datagrams of ever new clients."""
    factory = make_factory(engine)
    while True:
        client = factory.client(_CERTIFICATE, 60.0)
        client.connect(1000.0)
        yield client.datagrams_to_send(1000.0)


def initials(count: int, engine: EngineName = "qh3") -> Iterator[bytes]:
    """The first datagrams of so many clients, one after another."""
    for flight in itertools.islice(first_flights(engine), count):
        yield from flight


class Silence:
    """Takes an engine's events and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class StallingClient:
    """A client that echoes the token it is asked for, may complete TLS, and never proves who it is."""

    def __init__(self, ip: str, engine: EngineName = "qh3") -> None:
        self.attacker = Attacker(ip)
        self.engine = make_factory(engine).client(_CERTIFICATE, 60.0)
        self.engine.connect(1000.0)

    def talk(self, to: Address, now: float = 1000.0) -> None:
        """Take what came and send what is to be sent."""
        came = self.attacker.received()
        if came:
            self.engine.receive_datagrams(came, now)
            self.engine.drain_events(Silence())
        for datagram in self.engine.datagrams_to_send(now):
            self.attacker.send(datagram, to)

    def close(self) -> None:
        self.attacker.__exit__()


class Tap:
    """Keeps a copy of all that an endpoint sends."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.datagrams: list[bytes] = []
        self._send = endpoint._transport._udp.send
        endpoint._transport._udp.send = self._copy

    def _copy(self, datagrams: list[bytes], address: Address) -> bool:
        self.datagrams += datagrams
        return self._send(datagrams, address)
