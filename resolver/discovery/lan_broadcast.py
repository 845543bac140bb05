"""The sockets for our own datagrams on the local network: IPv4 broadcast and IPv6 multicast, as `lan_talk` wants it.

Several gateways of one machine share the port: what goes to everybody reaches each of them. An answer goes to the port that
the question came from, which is one of its asker's own. Nothing passes a router: datagrams have one hop to live.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final

from resolver.discovery.lan_links import is_on
from resolver.discovery.lan_messages import MULTICAST_GROUP
from resolver.limits import LAN_LINKS, LAN_READ_BYTES, LAN_READS
from tunnels.addresses import Address

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address

    from resolver.discovery.lan_links import LanLink

_BROADCAST: Final = "255.255.255.255"
_MEMBERSHIP: Final = struct.Struct("@16sI")  # struct ipv6_mreq


class LanBroadcast:
    """Sockets for what `receive` takes: a datagram and who sent it, from a network of ours."""

    def __init__(self, port: int, receive: Callable[[bytes, Address], None]) -> None:
        self._port = port
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._links: tuple[LanLink, ...] = ()
        self._ears: dict[int, socket.socket] = {}
        """What hears everybody, by IP version."""
        self._mouths: dict[IPv4Address | None, socket.socket] = {}
        """What speaks, and hears answers: one for each IPv4 address of ours, and one for IPv6."""
        self._joined: set[int] = set()
        """The interfaces on which the group is joined, by number."""
        self.problems: dict[int, str] = {}
        """Why it does not work, by IP version; empty where it does."""

    def __repr__(self) -> str:
        return f"<LanBroadcast on {', '.join(link.name for link in self._links) or 'nothing'}>"

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions in which it works."""
        spoken = {4 if ip is not None else 6 for ip in self._mouths}
        return tuple(version for version in (4, 6) if version in spoken and version not in self.problems)

    def set_links(self, links: tuple[LanLink, ...]) -> None:
        """Hear and speak on these networks from now on."""
        self._links = links[:LAN_LINKS]
        self.problems.clear()
        self._set_ipv4({ip for link in self._links for ip, _ in link.ipv4})
        self._set_ipv6({link.index for link in self._links if link.ipv6})

    def send(self, datagram: bytes, to: Address | None) -> None:
        """Send it to everybody, or to one asker; what cannot be sent is lost, and said again later."""
        if to is not None:
            self._answer(datagram, to)
            return
        for ip, mouth in self._mouths.items():
            if ip is not None:
                self._send(mouth, datagram, (_BROADCAST, self._port), 4)
        for index in self._joined:
            self._send(self._mouths[None], datagram, (MULTICAST_GROUP, self._port, 0, index), 6)

    def close(self) -> None:
        """Close all sockets; idempotent."""
        for opened in (*self._ears.values(), *self._mouths.values()):
            self._close(opened)
        self._ears.clear()
        self._mouths.clear()
        self._joined.clear()

    # --- sockets ----------------------------------------------------------------------------------------

    def _set_ipv4(self, wanted: set[IPv4Address]) -> None:
        for ip in [ip for ip in self._mouths if ip is not None and ip not in wanted]:
            self._close(self._mouths.pop(ip))
        if not wanted:
            self._deafen(4)
            return
        try:
            if 4 not in self._ears:
                self._ears[4] = self._open(socket.AF_INET, "", self._port)
            for ip in wanted - self._mouths.keys():
                opened = self._open(socket.AF_INET, str(ip), 0)
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                opened.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
                self._mouths[ip] = opened
        except OSError as error:
            self.problems[4] = self._words(error)

    def _set_ipv6(self, wanted: set[int]) -> None:
        if not wanted:
            self._deafen(6)
            if None in self._mouths:
                self._close(self._mouths.pop(None))
            self._joined.clear()
            return
        try:
            if 6 not in self._ears:
                self._ears[6] = self._open(socket.AF_INET6, "::", self._port)
            if None not in self._mouths:
                opened = self._open(socket.AF_INET6, "::", 0)
                for option in (socket.IPV6_MULTICAST_HOPS, socket.IPV6_UNICAST_HOPS):
                    opened.setsockopt(socket.IPPROTO_IPV6, option, 1)
                self._mouths[None] = opened
            for index in self._joined - wanted:
                self._joined.discard(index)
                with suppress(OSError):  # its interface is gone
                    self._membership(socket.IPV6_LEAVE_GROUP, index)
            for index in wanted - self._joined:
                self._membership(socket.IPV6_JOIN_GROUP, index)
                self._joined.add(index)
        except OSError as error:
            self.problems[6] = self._words(error)

    def _membership(self, option: int, index: int) -> None:
        group = _MEMBERSHIP.pack(IPv6Address(MULTICAST_GROUP).packed, index)
        self._ears[6].setsockopt(socket.IPPROTO_IPV6, option, group)

    def _open(self, family: int, host: str, port: int) -> socket.socket:
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port:
                # On Linux this lets programs of any user hear what goes to all; elsewhere it takes the other one.
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if not sys.platform.startswith("linux") and hasattr(socket, "SO_REUSEPORT"):
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            opened.bind((host, port))
            self._loop.add_reader(opened, self._readable, opened)
        except OSError:
            opened.close()
            raise
        return opened

    def _deafen(self, version: int) -> None:
        """Hear nothing more of this IP version: we are nowhere on it."""
        if version in self._ears:
            self._close(self._ears.pop(version))

    def _close(self, opened: socket.socket) -> None:
        self._loop.remove_reader(opened)
        opened.close()

    def _readable(self, opened: socket.socket) -> None:
        for _ in range(LAN_READS):
            try:
                datagram, source = opened.recvfrom(LAN_READ_BYTES)
            except OSError:  # nothing more, or the answer to something that nobody got
                return
            with suppress(ValueError):  # from port 0
                sender = Address.of(source[0], source[1])
                if is_on(self._links, sender.ip):
                    self._receive(datagram, sender)

    # --- out --------------------------------------------------------------------------------------------

    def _answer(self, datagram: bytes, to: Address) -> None:
        if isinstance(to.ip, IPv6Address):
            mouth = self._mouths.get(None)
        else:
            own = (ip for link in self._links for ip, network in link.ipv4 if to.ip in network)
            mouth = next((self._mouths[ip] for ip in own if ip in self._mouths), None)
        if mouth is not None:
            with suppress(OSError):  # the asker is gone, or a filter forbids it; it asks again
                mouth.sendto(datagram, to.sockaddr)

    def _send(self, mouth: socket.socket, datagram: bytes, to: tuple[object, ...], version: int) -> None:
        try:
            mouth.sendto(datagram, to)
        except BlockingIOError:
            pass  # more than the interface takes; it is said again
        except OSError as error:
            self.problems[version] = self._words(error)
        else:
            self.problems.pop(version, None)

    def _words(self, error: OSError) -> str:
        return f"UDP port {self._port}: {error.strerror or error}"
