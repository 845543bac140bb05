"""A beacon's STUN server on its UDP sockets: what comes in goes to `tunnels.nat.reflector`, what that answers goes out."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ConfigurationError
from tunnels.nat.reflector import Outcome, Reflector, Site, Sites
from tunnels.transports.batches import BatchSocket
from tunnels.transports.udp import source_address

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.nat.attested import Attester

_BATCHES_PER_TURN: Final = 8
"""Reads of one socket in a turn of the event loop: 256 requests, some ten milliseconds at worst."""


class StunServer:
    """Answers STUN requests, on each ip with each port."""

    def __init__(
        self,
        bind: Sequence[str],
        ports: Sequence[int],
        *,
        secret: bytes,
        public: Sequence[str] = (),
        attester: Attester | None = None,
    ) -> None:
        """`bind`: ips, of each family at most two, the two of RFC 5780; or `0.0.0.0`, `::`.

        `public`: the ips that clients see instead, as many of each family and in the same order. `secret`:
        `tunnels.nat.reflector.SECRET_BYTES` that nobody can guess. `attester` signs where clients are, with the beacon's
        key. ConfigurationError if these do not fit together.
        """
        self._ports = tuple(ports)
        self._secret = secret
        self._attester = attester
        self._families: list[_Family] = []
        bound = [ip_address(ip) for ip in bind]
        seen = [ip_address(ip) for ip in public]
        for version in (4, 6):
            ips = [ip for ip in bound if ip.version == version]
            told = [ip for ip in seen if ip.version == version]
            if not ips and not told:
                continue
            if told and len(told) != len(ips):
                raise ConfigurationError(
                    f"[stun] addresses has {len(told)} of IPv{version} where bind has {len(ips)}; give as many of each"
                )
            self._families.append(_Family(ips, told or ips))

    def __repr__(self) -> str:
        return f"<StunServer at {', '.join(self.addresses) or 'addresses that are not known'}>"

    def start(self) -> None:
        """Bind the sockets, on the running loop; ConfigurationError, and none is bound, if this machine cannot."""
        try:
            for family in self._families:
                family.start(self._ports, self._secret, self._attester)
        except ConfigurationError:
            self.close()
            raise

    @property
    def addresses(self) -> tuple[str, ...]:
        """`ip:port` for clients; the first two of a family differ in both where they can. None for `0.0.0.0` and `::`."""
        reflectors = [family.reflector for family in self._families if family.reflector is not None]
        return tuple(str(address) for reflector in reflectors for address in reflector.sites.addresses)

    @property
    def counts(self) -> Counter[Outcome]:
        """What became of the datagrams so far."""
        total: Counter[Outcome] = Counter()
        for family in self._families:
            if family.reflector is not None:
                total += family.reflector.counts
        return total

    def close(self) -> None:
        """Release the ports; idempotent."""
        for family in self._families:
            family.close()


class _Family:
    """The sockets of one family."""

    def __init__(
        self, ips: Sequence[IPv4Address | IPv6Address], told: Sequence[IPv4Address | IPv6Address]
    ) -> None:
        self._ips = ips
        self._told = told
        self._sockets: dict[Site, tuple[socket.socket, BatchSocket]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.reflector: Reflector | None = None

    def start(self, ports: tuple[int, ...], secret: bytes, attester: Attester | None) -> None:
        loop = asyncio.get_running_loop()
        real = list(ports)
        for port_index, port in enumerate(ports):
            for ip_index, ip in enumerate(self._ips):
                sock = _bind(ip, real[port_index] if ip_index else port)
                real[port_index] = sock.getsockname()[1]
                self._sockets[Site(ip_index, port_index)] = (sock, BatchSocket(sock))
        try:
            self.reflector = Reflector(Sites(tuple(self._told), tuple(real)), secret, attester)
        except ValueError as error:
            raise ConfigurationError(f"[stun] bind and ports: {error}, each different") from None
        for site, (sock, _) in self._sockets.items():
            loop.add_reader(sock, self._readable, site, self.reflector, loop)

    def _readable(self, site: Site, reflector: Reflector, loop: asyncio.AbstractEventLoop) -> None:
        _, batches = self._sockets[site]
        for _ in range(_BATCHES_PER_TURN):
            try:
                batch = batches.receive()
            except OSError:  # an ICMP error about an earlier answer
                continue
            if not batch:
                break
            now = loop.time()
            for datagram, sockaddr in batch:
                self._answer(datagram, sockaddr, site, reflector, now)
        self._wait(reflector, loop)

    def _wait(self, reflector: Reflector, loop: asyncio.AbstractEventLoop) -> None:
        """Until something is to be sent that was asked for earlier."""
        at = reflector.get_timer()
        if at is None or (self._timer is not None and self._timer.when() <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(at, self._send_echoes, reflector, loop)

    def _send_echoes(self, reflector: Reflector, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for echo in reflector.echoes_to_send(loop.time()):
            self._sockets[echo.site][1].send([echo.datagram], echo.to.sockaddr)
        self._wait(reflector, loop)

    def _answer(self, datagram: bytes, sockaddr: Any, site: Site, reflector: Reflector, now: float) -> None:  # noqa: ANN401 - as the socket module writes it
        source = source_address(tuple(sockaddr))
        if source is None:
            return
        answer = reflector.receive(datagram, source, site, now)
        if answer is not None:
            self._sockets[answer.site][1].send([answer.datagram], sockaddr)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sock, batches in self._sockets.values():
            if sock.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(sock)
            batches.close()
        self._sockets.clear()


def _bind(ip: IPv4Address | IPv6Address, port: int) -> socket.socket:
    """A bound socket; ConfigurationError in one line."""
    try:
        sock = socket.socket(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        raise ConfigurationError(
            f"[stun] UDP over IPv{ip.version} is not to be had: {error.strerror}"
        ) from error
    try:
        sock.setblocking(False)
        if ip.version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((str(ip), port))
    except OSError as error:
        sock.close()
        raise ConfigurationError(
            f"[stun] UDP {ip} port {port} cannot be bound: {error.strerror}; choose others with bind and ports"
        ) from error
    return sock
