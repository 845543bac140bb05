"""Our record in multicast DNS (RFC 6762) as a service (RFC 6763), and those of others: zeroconf does it.

Every program that browses the local network can see us: `avahi-browse -r _overlay._udp`. Whoever browses gets the record
with the service, so nobody has to ask twice. Nothing here is believed: who has heard of a record verifies it, and a goodbye,
which anybody can say in another's name, costs no more than asking again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from resolver.discovery.lan_messages import SERVICE_TYPE, from_text, to_text
from resolver.errors import MalformedMessage
from resolver.limits import LAN_FIND_SECONDS, LAN_LINKS, LAN_MDNS_SEARCHES, LAN_MDNS_TEXTS
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from resolver.discovery.lan_links import LanLink
    from resolver.records import EndpointRecord

_TXT: Final = 16
_IN: Final = 1
_PORT_UNKNOWN: Final = 9
"""An endpoint that does not say where it is has no port to tell: DNS-SD wants one, and this one (discard) is nobody's."""


class LanMdns:
    """One gateway's multicast DNS; `heard` gets the bytes of a record, `gone` whose service said goodbye."""

    def __init__(
        self,
        own: EndpointId,
        *,
        heard: Callable[[bytes], None],
        gone: Callable[[EndpointId], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        self._own = own
        self._heard = heard
        self._gone = gone
        self._spawn = spawn
        self._lock = asyncio.Lock()
        self._mdns: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._service: AsyncServiceInfo | None = None
        self._announcing: object = None
        """The library's task that announces our service some times."""
        self._asking: set[str] = set()

        self.problem = ""
        """Why it does not work; empty if it does."""

    def __repr__(self) -> str:
        return f"<LanMdns {'off' if self._mdns is None else 'on'}>"

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions in which it works."""
        if self._mdns is None:
            return ()
        senders = {6 if sender.is_ipv6 else 4 for sender in self._mdns.zeroconf.engine.senders}
        return tuple(sorted(senders))

    async def set_links(self, links: tuple[LanLink, ...]) -> None:
        """Hear and speak on these networks from now on."""
        wanted: list[str | int] = [str(ip) for link in links[:LAN_LINKS] for ip, _ in link.ipv4]
        wanted += [link.index for link in links[:LAN_LINKS] if link.ipv6]
        async with self._lock:
            try:
                if not wanted:
                    await self._shut()  # who may not be found says nothing, not even when asked
                elif self._mdns is None:
                    await self._open(wanted)
                else:
                    await self._mdns.async_update_interfaces(wanted, IPVersion.All)
                    self._keep_answers_near(self._mdns.zeroconf)
                self.problem = ""
            except (OSError, RuntimeError, ZeroconfError) as error:
                self.problem = _words(error)

    async def publish(self, packet: bytes, record: EndpointRecord) -> None:
        """Begin to offer our record, or offer another one from now on."""
        port = record.addresses[0].port if record.addresses else _PORT_UNKNOWN
        service = AsyncServiceInfo(
            SERVICE_TYPE,
            f"{self._own}.{SERVICE_TYPE}",
            port=port,
            properties=to_text(packet),
            addresses=[address.ip.packed for address in record.addresses],
            server=f"{self._own}.local.",
        )
        async with self._lock:
            before, self._service = self._service, service
            if self._mdns is None:
                return
            with suppress(ZeroconfError):
                if before is None:
                    await self._register(self._mdns, service)
                else:
                    self._stop_announcing()
                    self._announcing = await self._mdns.async_update_service(service)

    async def withdraw(self) -> None:
        """Offer nothing any more, and say so."""
        async with self._lock:
            service, self._service = self._service, None
            self._stop_announcing()
            if service is not None and self._mdns is not None:
                with suppress(ZeroconfError):
                    await (await self._mdns.async_unregister_service(service))

    async def find(self, endpoint_id: EndpointId) -> None:
        """Ask for an endpoint's record; what comes is heard as any other. Returns when it came, or did not in time."""
        await self._ask(f"{endpoint_id}.{SERVICE_TYPE}")

    async def close(self) -> None:
        """Say goodbye, and close everything; idempotent."""
        async with self._lock:
            await self._shut()

    # --- inside -----------------------------------------------------------------------------------------

    async def _open(self, wanted: list[str | int]) -> None:
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # what is wrong, our status tells
        zeroconf = Zeroconf(wanted, ip_version=_usable_versions())
        self._mdns = AsyncZeroconf(zc=zeroconf)
        await zeroconf.async_wait_for_start()
        self._keep_answers_near(zeroconf)
        self._browser = AsyncServiceBrowser(zeroconf, SERVICE_TYPE, handlers=[self._browsed])
        if self._service is not None:
            await self._register(self._mdns, self._service)

    async def _shut(self) -> None:
        mdns, self._mdns = self._mdns, None
        self._stop_announcing()
        if self._browser is not None:
            await self._browser.async_cancel()
            self._browser = None
        if mdns is not None:
            await mdns.async_close()

    async def _register(self, mdns: AsyncZeroconf, service: AsyncServiceInfo) -> None:
        # Nobody is asked whether the name is free, which takes 1.7 s: it is a public key, and so ours alone.
        self._announcing = await mdns.async_register_service(service, cooperating_responders=True)

    def _stop_announcing(self) -> None:
        """What is still to be said of the record before must not follow that of the next one, or our goodbye."""
        if isinstance(self._announcing, asyncio.Future):
            self._announcing.cancel()
        self._announcing = None

    def _keep_answers_near(self, zeroconf: Zeroconf) -> None:
        """No answer to a question of one host passes a router: the library answers whoever asks, and with far more bytes."""
        for reader in zeroconf.engine.readers:
            if reader.is_ipv6:
                reader.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
            with suppress(OSError):  # one that speaks IPv6 only
                reader.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)

    def _browsed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        del service_type  # there is one
        try:
            endpoint_id = EndpointId.parse(name.removesuffix(f".{SERVICE_TYPE}"))
        except ValueError:
            return
        if endpoint_id == self._own:
            return
        if state_change is ServiceStateChange.Removed:
            self._gone(endpoint_id)
        elif not self._hear(zeroconf, name) and len(self._asking) < LAN_MDNS_SEARCHES:
            self._spawn(self._ask(name), "multicast DNS")  # a service without its text

    def _hear(self, zeroconf: Zeroconf, name: str) -> bool:
        """Whether there is a text of that name; each of several may be the forged one, and what came last may be true."""
        texts = zeroconf.cache.get_all_by_details(name, _TXT, _IN)
        texts.sort(key=lambda text: text.created, reverse=True)
        for text in texts[:LAN_MDNS_TEXTS]:
            data = getattr(text, "text", b"")  # the library's class of such records is not public
            with suppress(MalformedMessage):
                self._heard(from_text(data))
        return bool(texts)

    async def _ask(self, name: str) -> None:
        if self._mdns is None or name in self._asking or len(self._asking) >= LAN_MDNS_SEARCHES:
            return
        self._asking.add(name)
        try:
            with suppress(ZeroconfError):
                question, zeroconf = AsyncServiceInfo(SERVICE_TYPE, name), self._mdns.zeroconf
                await question.async_request(zeroconf, LAN_FIND_SECONDS * 1000)
                self._hear(zeroconf, name)  # what the library knew already is no news to it
        finally:
            self._asking.discard(name)


def _usable_versions() -> IPVersion:
    """IPv4 only where the system has no IPv6; OSError if another program has the port for itself.

    The library would find out as well, but leaves a socket open then.
    """
    versions = IPVersion.All
    for family, host in ((socket.AF_INET6, "::"), (socket.AF_INET, "")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if hasattr(socket, "SO_REUSEPORT"):
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                probe.bind((host, 5353))
        except OSError as error:
            if family != socket.AF_INET6 or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
            versions = IPVersion.V4Only
    return versions


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "UDP port 5353 is taken by a program that does not share it"
    return f"UDP port 5353: {getattr(error, 'strerror', None) or error}"
