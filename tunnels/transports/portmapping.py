"""A port mapping at our router, or a pinhole in its IPv6 firewall, on the sockets of this machine. ⚡

PCP and NAT-PMP go by a socket of ours, UPnP by `igd`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from tunnels import limits
from tunnels.errors import Unreachable
from tunnels.nat import limits as nat_limits
from tunnels.nat.mapping_messages import ROUTER_PORT
from tunnels.nat.portmap import GLOBAL, PortMap, is_behind_nat
from tunnels.transports.igd import Igd, is_installed
from tunnels.transports.interfaces import default_routes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tunnels.addresses import Address
    from tunnels.nat.portmap import Errand, Mapping, Spoken

    Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

_DATAGRAM = 2048
_READS_PER_TURN = 16


@dataclass(frozen=True, slots=True)
class Router:
    """The one behind our default route."""

    ip: IPv4Address | IPv6Address
    own_ip: IPv4Address | IPv6Address
    """What it knows us by."""
    interface: str = ""
    """Where it is, if that address is link-local."""

    def __str__(self) -> str:
        return f"{self.ip}%{self.interface}" if self.interface else str(self.ip)


def find_router() -> Router | None:
    """Our router, if we have a private address there; where ours is public there is nothing to map."""
    for route in default_routes():
        try:
            gateway = ip_address(route.gateway)
        except ValueError:
            continue
        if not isinstance(gateway, IPv4Address):
            continue
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.connect((str(gateway), ROUTER_PORT))
            own_ip = IPv4Address(probe.getsockname()[0])
            if is_behind_nat(own_ip):
                return Router(gateway, own_ip)
    return None


def find_firewall() -> Router | None:
    """Our router for IPv6, if others may know us by the address that we send from."""
    for route in default_routes():
        try:
            gateway = ip_address(route.gateway.partition("%")[0])
        except ValueError:
            continue
        if not isinstance(gateway, IPv6Address):
            continue
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.connect((_ELSEWHERE, ROUTER_PORT))  # nothing is sent
            own_ip = IPv6Address(probe.getsockname()[0].partition("%")[0])
            if own_ip in GLOBAL:
                return Router(gateway, own_ip, route.interface if gateway.is_link_local else "")
    return None


_ELSEWHERE = "2001:db8::1"
"""Some address of the internet, to learn which of ours is used to go there (RFC 3849: it is nobody's)."""


def _socket_to(router: Router) -> socket.socket:
    """A connected socket to its port, so that what others send is not heard; OSError."""
    family = socket.AF_INET if router.ip.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET:
            sock.connect((str(router.ip), ROUTER_PORT))
        else:
            # A pinhole is for the address that asks for it (RFC 6887 §8.1), which to a link-local router is not used by itself.
            sock.bind((str(router.own_ip), 0))
            zone = socket.if_nametoindex(router.interface) if router.interface else 0
            sock.connect((str(router.ip), ROUTER_PORT, 0, zone))
    except OSError:
        sock.close()
        raise
    return sock


class PortMapping:
    """Keeps the port of the tunnels mapped from `start` to `close`, at whatever router there is."""

    def __init__(
        self,
        *,
        bound: Callable[[], tuple[Address, ...]],
        on_change: Callable[[], None],
        spawn: Spawn,
        find: Callable[[], Router | None] = find_router,
        has_upnp: Callable[[], bool] = is_installed,
    ) -> None:
        """`bound` are our sockets; `on_change` is called when `mapping` is another one."""
        self._bound = bound
        self._on_change = on_change
        self._spawn = spawn
        self._find = find
        self._has_upnp = has_upnp
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = None
        self._map: PortMap | None = None
        self._igd: Igd | None = None
        self._port = 0
        self._timer: asyncio.TimerHandle | None = None
        self._errands: asyncio.Task[None] | None = None
        self.router: Router | None = None

    def __repr__(self) -> str:
        return f"<PortMapping {self.mapping or self.problem or 'not there yet'}>"

    @property
    def mapping(self) -> Mapping | None:
        """What there is now."""
        return self._map.mapping if self._map is not None else None

    @property
    def problem(self) -> str:
        """Why there is none, for people; empty while there is one, or may be soon."""
        if self._map is None:
            return "no router of a private network stands before this machine"
        return self._map.problem

    @property
    def spoken(self) -> tuple[Spoken, ...]:
        """What the router does with each protocol; empty without one."""
        return self._map.spoken if self._map is not None else ()

    @property
    def outside(self) -> IPv4Address | None:
        """What the router says that its own address outside is."""
        return self._map.outside if self._map is not None else None

    def start(self) -> None:
        """Look for a router, and ask it; the sockets are bound."""
        router = self._find()
        port = next((a.port for a in self._bound() if router is not None and _hears(a, router.own_ip)), 0)
        if router is None or not port:
            return
        try:
            sock = _socket_to(router)
        except OSError:  # the network is on its way out
            return
        self._sock, self.router, self._port = sock, router, port
        if isinstance(router.ip, IPv4Address) and isinstance(router.own_ip, IPv4Address):
            self._igd = Igd(router.ip, router.own_ip)
        has_upnp = self._has_upnp()
        self._map = PortMap(router.own_ip, port, os.urandom, self._loop.time(), has_upnp=has_upnp)
        self._loop.add_reader(sock, self._readable)
        self._progress()

    def network_changed(self) -> None:
        """Begin anew, if our router or our address there is another one, or may be."""
        if self._map is not None and self._find() == self.router:
            self._map.check(self._loop.time())
            self._progress()
            return
        had = self.mapping is not None
        self._leave()
        self.start()
        if had:
            self._on_change()

    def check(self) -> None:
        """Something is amiss with our addresses."""
        if self._map is not None:
            self._map.check(self._loop.time())
            self._progress()

    def replace(self) -> None:
        """The mapping leads nowhere: get another one."""
        if self._map is not None:
            self._map.replace(self._loop.time())
            self._progress()

    async def close(self) -> None:
        """Give the mapping back, as far as the router takes it within seconds."""
        self._leave()
        if self._errands is not None:
            await asyncio.wait([self._errands], timeout=limits.UPNP_REQUEST)
            self._errands.cancel()

    # --- within -----------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Give back what is there, as far as one datagram does it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._map is not None:
            self._map.close()
            self._transmit()
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._sock.close()
        self._sock = self._map = self.router = None

    def _readable(self) -> None:
        for _ in range(_READS_PER_TURN):
            if self._sock is None or self._map is None:
                return
            try:
                datagram = self._sock.recv(_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:  # the router has no such port
                continue
            self._map.receive(datagram, self._loop.time())
        self._progress()

    def _progress(self) -> None:
        """Send what is due, run errands, and wait for what is next."""
        if self._map is None:
            return
        self._transmit()
        if self._map.take_changed():
            self._on_change()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._map.get_timer()
        if due is not None:
            when = max(due, self._loop.time() + limits.TIMER_RESOLUTION)
            self._timer = self._loop.call_at(when, self._progress)

    def _transmit(self) -> None:
        if self._map is None or self._sock is None:
            return
        for datagram in self._map.datagrams_to_send(self._loop.time()):
            with contextlib.suppress(OSError):  # no route now; it is sent again
                self._sock.send(datagram)
        if self._errands is None or self._errands.done():
            errand = self._map.take_errand()
            if errand is not None and self._igd is not None:
                run = self._run(self._map, self._igd, self._port, errand)
                self._errands = self._spawn(run, "port mapping by UPnP")

    async def _run(self, asked: PortMap, igd: Igd, port: int, errand: Errand | None) -> None:
        """One errand after the other, for the map that asked for them."""
        while errand is not None:
            try:
                if errand.seconds:
                    async with asyncio.timeout(nat_limits.UPNP_WAIT):
                        granted = await igd.add(errand.external_port, port, errand.seconds)
                    asked.granted(*granted, self._loop.time())
                else:
                    await igd.remove(errand.external_port)
            except TimeoutError:
                asked.refused("it does not answer in time", self._loop.time(), is_spoken=igd.is_there)
            except Unreachable as error:
                asked.refused(str(error), self._loop.time(), is_spoken=igd.is_there)
            errand = asked.take_errand()
        if asked is self._map:
            self._loop.call_soon(self._progress)


def _hears(bound: Address, own_ip: IPv4Address | IPv6Address) -> bool:
    """Whether what the router sends on to that ip comes to this socket."""
    return bound.ip == own_ip or (bound.ip.version == own_ip.version and bound.ip.is_unspecified)
