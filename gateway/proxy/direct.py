"""Hosts outside the overlay: plain TCP and UDP, or TCP through an outside proxy."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Final, cast

from gateway.dialing import DialError, Failure, Flow, OpenedStream
from gateway.limits import DIRECT_ADDRESSES, DIRECT_CONNECT_SECONDS
from gateway.proxy.routing import leads_back
from gateway.splice import Held, reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.proxy.upstream import UpstreamProxy

_ATTEMPT_SECONDS: Final = 0.25  # RFC 8305 §5: the recommended delay before the next address is tried as well
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})

SockAddress = tuple[int, str, int]
"""Address family, numeric host, port."""


class DirectDialer:
    """The Dialer for hosts that are not under .overlay."""

    def __init__(
        self, *, upstream: UpstreamProxy | None = None, timeout: float = DIRECT_CONNECT_SECONDS
    ) -> None:
        """`upstream` is an outside proxy for TCP; `timeout` in seconds covers resolving and connecting."""
        self._upstream = upstream
        self._timeout = timeout
        self.own_address: tuple[str, int] | None = None
        """Where our proxy listens: a connection that would come back to it is refused."""

    async def open_stream(self, host: str, port: int, *, user: str | None = None) -> OpenedStream:
        """Connect to `host:port`; raises DialError."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._upstream is not None:
                    opened = await self._upstream.open_stream(host, port)
                else:
                    opened = await _race(await _resolve(host, port, socket.SOCK_STREAM))
        except TimeoutError:
            raise _unreachable(host, port, "it did not answer in time") from None
        except OSError as error:
            raise _dial_error(host, port, error) from None
        self._refuse_loop(opened.transport, host, port)
        return opened

    async def open_flow(
        self,
        host: str,
        port: int,
        on_datagram: Callable[[bytes], None],
        on_closed: Callable[[], None],
        *,
        user: str | None = None,
    ) -> Flow:
        """Open a connected UDP socket; raises DialError. An outside proxy is not asked to carry UDP."""
        if self._upstream is not None:
            raise DialError(
                Failure.POLICY,
                f"UDP to {host}:{port} is refused: the outside proxy `upstream` carries only TCP",
            )
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                family, ip, _ = (await _resolve(host, port, socket.SOCK_DGRAM))[0]
                _, flow = await loop.create_datagram_endpoint(
                    lambda: _UdpFlow(on_datagram, on_closed), remote_addr=(ip, port), family=family
                )
        except TimeoutError:
            raise _unreachable(host, port, "its name could not be resolved in time") from None
        except OSError as error:
            raise _dial_error(host, port, error) from None
        return flow

    def _refuse_loop(self, transport: asyncio.Transport, host: str, port: int) -> None:
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if self.own_address and peer and local and leads_back(peer[:2], local[:2], self.own_address):
            reset(transport)
            raise DialError(
                Failure.POLICY, f"{host}:{port} is this proxy itself: a request to it would go round for ever"
            )


class _UdpFlow(asyncio.DatagramProtocol):
    """A connected UDP socket as a Flow."""

    def __init__(self, on_datagram: Callable[[bytes], None], on_closed: Callable[[], None]) -> None:
        self._on_datagram = on_datagram
        self._on_closed = on_closed
        self._transport: asyncio.DatagramTransport | None = None
        self._full = False
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._on_datagram(data)

    def error_received(self, exc: Exception) -> None:
        """An ICMP error; UDP services come and go, the flow stays."""

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed:
            self._closed = True
            self._on_closed()

    def send(self, data: bytes) -> None:
        """Send one datagram, or drop it."""
        if self._transport is not None and not self._closed and not self._full:
            self._transport.sendto(data)

    def close(self) -> None:
        """End the flow; idempotent."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()


async def _resolve(host: str, port: int, kind: socket.SocketKind) -> list[SockAddress]:
    """Numeric addresses of a host, families taking turns (RFC 8305 §4)."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=kind)
    except UnicodeError:  # a label that is empty or too long for DNS
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
    addresses: list[SockAddress] = [(family, str(address[0]), port) for family, _, _, _, address in found]
    first_family = addresses[0][0]
    preferred = [address for address in addresses if address[0] == first_family]
    others = [address for address in addresses if address[0] != first_family]
    turns = [pair for pairs in zip(preferred, others, strict=False) for pair in pairs]
    shorter = min(len(preferred), len(others))
    return [*turns, *preferred[shorter:], *others[shorter:]][:DIRECT_ADDRESSES]


async def _race(addresses: list[SockAddress]) -> OpenedStream:
    """Connect to the first address that answers; the next is tried after 250 ms or at once when one fails.

    Raises the OSError that says most: a refusal before anything else.
    """
    loop = asyncio.get_running_loop()
    if len(addresses) == 1:
        return await _connect(addresses[0])
    waiting = list(addresses)
    attempts: set[asyncio.Task[OpenedStream]] = set()
    errors: list[OSError] = []
    winner: OpenedStream | None = None
    try:
        while winner is None and (waiting or attempts):
            if waiting:
                address = waiting.pop(0)
                attempts.add(loop.create_task(_connect(address), name=f"connect {address[1]}"))
            patience = _ATTEMPT_SECONDS if waiting else None
            done, attempts = await asyncio.wait(
                attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                error = attempt.exception()
                if isinstance(error, OSError):
                    errors.append(error)
                elif winner is None:
                    winner = attempt.result()
                else:
                    reset(attempt.result().transport)
    finally:
        for attempt in attempts:
            attempt.cancel()
        for result in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(result, OpenedStream):
                reset(result.transport)
    if winner is not None:
        return winner
    raise next((error for error in errors if isinstance(error, ConnectionRefusedError)), errors[0])


async def _connect(address: SockAddress) -> OpenedStream:
    family, ip, port = address
    transport, held = await asyncio.get_running_loop().create_connection(Held, ip, port, family=family)
    transport.pause_reading()
    return OpenedStream(transport, held.early)


def _unreachable(host: str, port: int, why: str) -> DialError:
    return DialError(Failure.TARGET_UNREACHABLE, f"{host}:{port} cannot be reached: {why}")


def _dial_error(host: str, port: int, error: OSError) -> DialError:
    """The system's error in the words of `gateway.dialing`."""
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return _unreachable(host, port, "no name server answers")
    if isinstance(error, socket.gaierror):
        return DialError(
            Failure.UNKNOWN_NAME, f"the name {host!r} cannot be resolved: {error.strerror or error}"
        )
    if isinstance(error, ConnectionRefusedError):
        return DialError(Failure.TARGET_REFUSED, f"{host}:{port} refused the connection")
    if error.errno in _EXHAUSTED:
        return DialError(
            Failure.OVERLOADED, f"{host}:{port} was not tried: {error.strerror}; close some connections"
        )
    return _unreachable(host, port, (error.strerror or str(error)).lower())
