"""The local network, joined to the gateway: where we are on it, and who of those there is remembered.

How things are said there is `resolver.discovery.lan`, and what we say of ourselves `publishing`. Nothing is said where our
tunnels do not listen, nor on the networks of containers and of other overlays, nor by a gateway that keeps its addresses to itself.
"""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

import msgspec

from gateway.control.status import LocalNetworkReport
from gateway.own_record import own_record
from resolver.discovery.lan import LanSource
from resolver.discovery.lan_links import LanLink
from resolver.signed_packets import LOCAL
from tunnels.addresses import Address
from tunnels.transports.interfaces import local_networks
from tunnels.transports.network import NetworkWatch

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterable
    from typing import Any

    from gateway.config.settings import LanSettings
    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId, SecretKey
    from tunnels.transports.interfaces import InterfaceNetwork


class LocalNetwork:
    """Keeps us findable on the local network from `start` to `close`. `source` is the record source."""

    def __init__(
        self,
        settings: LanSettings,
        secret_key: SecretKey,
        *,
        bound: Callable[[], tuple[Address, ...]],
        may_tell: Callable[[], bool],
        is_hidden: Callable[[], bool],
        is_contact: Callable[[EndpointId], bool],
        learn: Callable[[SignedPacket], object],
        on_change: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        clock: Callable[[], float],
        on_heard: Callable[[SignedPacket], None] = lambda _: None,
    ) -> None:
        """`bound` is where the tunnels' sockets are; `may_tell` is whether we publish a record here, `is_hidden` whether we
        are to use no local network at all.

        `learn` gets the records of contacts that are heard: those of strangers would push others out of the cache, and are
        found when somebody asks for them. `on_heard` is told of all, `on_change` is called when our record has to be published again.
        """
        self._bound = bound
        self._is_hidden = is_hidden
        self._is_contact = is_contact
        self._learn = learn
        self._may_tell = may_tell
        self._on_change = on_change
        self._spawn = spawn
        self._on_heard = on_heard
        self._watch: NetworkWatch | None = None
        self._is_started = False
        self.source = LanSource(
            secret_key.endpoint_id,
            port=settings.port,
            mdns=settings.mdns,
            fallback=settings.fallback,
            links=self._links,
            is_known=is_contact,
            on_heard=self._heard,
            farewell=lambda: own_record(
                secret_key, nickname="", addresses=(), services=(), now=clock(), lifetime=0, salt=LOCAL
            )[1],
            spawn=spawn,
            clock=clock,
            chance=random.random,
        )

    def __repr__(self) -> str:
        return f"<LocalNetwork {self.source!r}>"

    async def start(self) -> None:
        """Be found; the tunnels have their port."""
        await self.source.start()
        self._is_started = True
        self._watch = NetworkWatch(lambda _: self._network_changed())

    async def close(self) -> None:
        """Say goodbye; idempotent."""
        self._is_started = False
        if self._watch is not None:
            self._watch.close()
        await self.source.close()

    def changed(self) -> None:
        """Whether we may be found may have changed."""
        if not self._is_started:
            return
        if not self._may_tell():
            self._spawn(self.source.withdraw(), "leave the local network")
        if bool(self._links()) != self.source.is_somewhere:
            self._network_changed()

    def addresses(self) -> tuple[Address, ...]:
        """Where we are on networks on which we have link-local addresses and no others, without the zone.

        Only who hears us there can use them, with the name of its own interface as the zone.
        """
        return tuple(
            Address(ip, socket.port)
            for link in self._links()
            if all(ip.is_link_local for ip in link.ips)
            for ip in link.ips
            for socket in self._bound()
            if socket.ip.version == ip.version and (socket.ip.is_unspecified or socket.ip == ip)
        )

    def interfaces(self) -> tuple[str, ...]:
        """Those that lead to local networks."""
        return tuple(link.name for link in self._links())

    def report(self) -> LocalNetworkReport:
        """How it is now."""
        return msgspec.convert(self.source.status(), LocalNetworkReport, from_attributes=True)

    # --- within -----------------------------------------------------------------------------------------

    def _links(self) -> tuple[LanLink, ...]:
        return () if self._is_hidden() else links_of(local_networks(), self._bound())

    def _heard(self, packet: SignedPacket) -> None:
        if self._is_contact(packet.endpoint_id):
            self._learn(packet)
        self._on_heard(packet)

    def _network_changed(self) -> None:
        self.source.network_changed()
        self._on_change()


def links_of(networks: Iterable[InterfaceNetwork], bound: tuple[Address, ...]) -> tuple[LanLink, ...]:
    """The local networks on which somebody would reach our sockets."""
    everywhere = {address.ip.version for address in bound if address.ip.is_unspecified}
    ours = {address.ip for address in bound}
    by_interface: dict[str, list[InterfaceNetwork]] = {}
    for each in networks:
        if each.ip.version in everywhere or each.ip in ours:
            by_interface.setdefault(each.interface, []).append(each)
    links = []
    for interface, found in by_interface.items():
        with suppress(OSError):  # it went away meanwhile
            links.append(
                LanLink(
                    interface,
                    socket.if_nametoindex(interface),
                    tuple(
                        (each.ip, each.network)
                        for each in found
                        if isinstance(each.ip, IPv4Address) and isinstance(each.network, IPv4Network)
                    ),
                    tuple(
                        (each.ip, each.network)
                        for each in found
                        if isinstance(each.ip, IPv6Address) and isinstance(each.network, IPv6Network)
                    ),
                )
            )
    return tuple(links)
