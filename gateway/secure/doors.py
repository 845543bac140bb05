"""Both front doors, the authority, and what they need of each other: the one object that the daemon builds. ⚡

A door whose port is taken does not keep the gateway from starting: the names under `.overlay` work all the same, and
several gateways run on one machine. `overlay status` says so.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Literal

from gateway.control.status import ListenerReport
from gateway.doh.handler import DohHandler, DohServer
from gateway.errors import ConfigurationError, StateError
from gateway.secure.authority import Authority
from gateway.secure.hosts import DOH_HOST, is_local
from gateway.secure.leaves import Leaves
from gateway.secure.listening import FrontDoor
from gateway.secure.requests import no_room, plan_visit
from gateway.secure.serving import HttpDoor
from gateway.secure.terminating import HTTPS_PORT, TerminatingDialer, is_plain_http
from gateway.supervision import Supervisor
from resolver.names import OverlayName

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path
    from typing import Any

    from aiohttp import web

    from gateway.config.settings import FrontDoorSettings, HttpsSettings
    from gateway.dialing import Dialer
    from gateway.doh.handler import Respond
    from gateway.http.heads import RequestHead
    from gateway.http.plans import Forward
    from gateway.secure.listening import Admits, Serve
    from gateway.secure.terminating import AliasOf, OwnerOf, ServicesAt
    from gateway.stream_header import ListedService

_logger = logging.getLogger(__name__)

_TAIL: Final = "SERVICE.NAME.localhost"


class SecureDoors:
    """Listens from `start` to `close`; `dialer` ends TLS for services without it while there is an authority."""

    def __init__(
        self,
        front_door: FrontDoorSettings,
        https: HttpsSettings,
        directory: Path,
        dialer: Dialer,
        *,
        owner_of: OwnerOf,
        services_at: ServicesAt,
        alias_of: AliasOf,
        admits: Admits,
        clock: Callable[[], float],
        changed: Callable[[], Awaitable[None]],
        refusal: Callable[[], str] = lambda: "",
    ) -> None:
        """`directory` is where the authority is kept; `changed` is told when it comes or goes; `refusal` says why the process has
        no room for one more connection, empty if it has.
        """
        self._front_door = front_door
        self._https = https
        self._directory = directory
        self._admits = admits
        self._clock = clock
        self._owner_of = owner_of
        self._changed = changed
        self._refusal = refusal
        self._supervisor = Supervisor()
        self._authority: Authority | None = None
        self._leaves: Leaves | None = None
        self._handler: DohHandler | None = None
        self._doh: DohServer | None = None
        self._door = HttpDoor(dialer, self._join_doh)
        self._plain: FrontDoor | None = None
        self._secure: FrontDoor | None = None
        self._notes = {"front_door": "", "https": ""}
        self.dialer = TerminatingDialer(
            dialer, owner_of, services_at, alias_of, lambda: self._leaves, self._spawn, self._door
        )

    async def start(self, respond: Respond | None) -> None:
        """Listen; `respond` answers DNS queries, None where there is no DNS server."""
        if respond is not None:
            self._handler = DohHandler(respond)
            self._doh = DohServer(self._handler, self._spawn)
            await self._doh.start()
        if self._front_door.enabled:
            self._plain = self._open(self._serve_plain, self._front_door.port, "front_door")
        await self.reload()

    async def close(self) -> None:
        """Stop listening and reset every client; idempotent."""
        for door in (self._plain, self._secure):
            if door is not None:
                await door.close()
        self._plain = self._secure = None
        await self._supervisor.close()
        if self._doh is not None:
            await self._doh.close()

    async def reload(self) -> None:
        """Take up an authority that was installed, or removed, since."""
        found = await self._find_authority()
        before = self._authority
        if (found and found.certificate) == (before and before.certificate):
            return
        self._authority = found
        self._leaves = Leaves(found, self._clock, self._is_known) if found is not None else None
        if self._secure is not None and found is None:
            await self._secure.close()
            self._secure = None
        elif self._secure is None and found is not None:
            self._secure = self._open(self._serve_secure, self._https.port, "https")
        await self._changed()

    def doh_routes(self) -> list[web.RouteDef]:
        """DNS over HTTPS for another web server of ours; nothing where there is no DNS server."""
        return self._handler.routes() if self._handler is not None else []

    def offers_https(self, service: ListedService) -> bool:
        """Whether `https://` works for a service that is plain HTTP, because TLS ends here."""
        return (
            self._leaves is not None
            and is_plain_http(service)
            and not service.first_port <= HTTPS_PORT <= service.last_port
        )

    def reports(self) -> tuple[ListenerReport, ...]:
        """Both doors as `overlay status` shows them."""
        absent = "" if self._https.enabled else "[https] enabled is false"
        return (
            self._report("front door", "http", self._plain, self._front_door.enabled, ""),
            self._report(
                "https",
                "https",
                self._secure,
                self._authority is not None,
                absent or "see: overlay ca install",
            ),
        )

    def __repr__(self) -> str:
        return f"<SecureDoors {self._plain} {self._secure}>"

    # --- within -----------------------------------------------------------------------------------------

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._supervisor.spawn(coroutine, name=name)

    def _is_known(self, host: str) -> bool:
        """Whether a host of ours is that of somebody in the address book, by the name there, or of DNS over HTTPS."""
        name = OverlayName.from_labels(host.split(".")[:-1])
        return host == DOH_HOST or (isinstance(name.owner, str) and self._owner_of(name) is not None)

    async def _find_authority(self) -> Authority | None:
        if not self._https.enabled:
            return None
        try:
            found = await asyncio.to_thread(Authority.load, self._directory)
        except StateError as error:
            _logger.warning("%s", error)
            return None
        if found is not None and found.expires <= self._clock():
            _logger.warning("the certificate authority has expired; make a new one with: overlay ca install")
            return None
        return found

    def _open(self, serve: Serve, port: int, section: str) -> FrontDoor | None:
        door = FrontDoor(serve, self._spawn, self._admits, port=port, section=section, refusal=self._refusal)
        try:
            door.start()
        except ConfigurationError as error:
            _logger.warning("%s", error)
            self._notes[section] = str(error)
            return None
        self._notes[section] = ""
        return door

    def _report(
        self,
        name: Literal["front door", "https"],
        scheme: str,
        door: FrontDoor | None,
        enabled: bool,
        absent: str,
    ) -> ListenerReport:
        section = name.replace(" ", "_")
        if door is None:
            return ListenerReport(name=name, enabled=enabled, note=self._notes[section] or absent)
        return ListenerReport(
            name=name,
            addresses=tuple(
                f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in door.addresses
            ),
            note=f"{scheme}://{_TAIL}:{door.port}/",
        )

    async def _serve_plain(self, sock: socket.socket, why: str) -> None:
        await self._door.serve(sock, no_room(why) if why else _plan_plain)

    async def _serve_secure(self, sock: socket.socket, why: str) -> None:
        if self._leaves is None:
            sock.close()
            return
        plan = no_room(why) if why else _plan_secure
        await self._door.serve(sock, plan, self._leaves.chooser(is_local))

    def _join_doh(self, sock: socket.socket) -> bool:
        if self._doh is None:
            return False
        self._doh.join(sock)
        return True


def _plan_plain(head: RequestHead) -> Forward:
    return plan_visit(head, over_tls=False)


def _plan_secure(head: RequestHead) -> Forward:
    return plan_visit(head, over_tls=True)
