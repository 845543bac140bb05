"""`Endpoint`: us, by way of the gateway that runs on this machine, or of one of our own inside the program."""

from __future__ import annotations

import asyncio
import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from gateway.control.client import ControlClient
from gateway.control.contacts import AddContactRequest, ContactReport
from gateway.control.invites import InviteRequest, TakeInviteRequest
from gateway.control.names import PingRequest, ResolveRequest
from gateway.control.tickets import JoinRequest, TicketRequest
from gateway.home import Home
from gateway.invites.texts import FORM as INVITE_FORM
from gateway.programs.destinations import destination
from gateway.programs.messages import Attached, Connect, Offer, OpenFlow
from overlay.attaching import Gateway, Peer
from overlay.datagrams import Datagrams
from overlay.errors import NotRunning, Offline, translated
from overlay.listening import Listener
from overlay.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from types import TracebackType

    from overlay.attaching import Reader, Writer
    from overlay.standalone import OwnGateway

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contact:
    """An endpoint that has a name here."""

    petname: str
    """Our name for it."""
    id: str
    """Its endpoint id."""
    services: tuple[str, ...] = ()
    """What it is known to offer us."""
    connected: bool | None = None
    """Whether a tunnel is up; None if that was never tried."""


@dataclass(frozen=True, slots=True)
class Ping:
    """One round trip."""

    seconds: float
    """There and back."""
    path: str
    """How datagrams go: `LAN`, `direct`, `TCP`, `TURN`, `peer relay` or `relay`."""
    address: str
    """Where datagrams go, or the relay."""


class Endpoint:
    """This machine's endpoint, or the program's own; `async with` it, or `start` and `close`.

    Every method may raise an `OverlayError`, whose text says what to do.
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        standalone: bool = False,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Use the gateway that runs on `home`: that of `overlay up` if it is None.

        With `standalone` no gateway need run: the program has one inside, with the identity and the contacts in `home`, or
        with a new identity that is forgotten at the end. `settings` are for it, as in gateway.toml: `{"gateway.nickname": "bot"}`.
        """
        self._directory = home
        self._own: OwnGateway | None = None
        self._is_standalone = standalone
        self._settings = dict(settings or {})
        if settings and not standalone:
            raise ValueError("settings are for a gateway of the program's own; add standalone=True")
        self._gateway: Gateway | None = None
        self.id = ""
        """Our endpoint id, once started."""
        self.nickname = ""
        """What we suggest that others call us."""

    def __repr__(self) -> str:
        return f"<Endpoint {self.id[:8] or 'not started'}>"

    async def start(self) -> None:
        """Find the gateway, or start our own. NotRunning if there is none."""
        with translated():
            if self._is_standalone:
                # A second's work the first time, and not for the event loop.
                standalone = await asyncio.to_thread(importlib.import_module, "overlay.standalone")
                place = None if self._directory is None else Path(self._directory)
                self._own = own = standalone.OwnGateway(place, self._settings)
                home = await own.start()
            else:
                chosen = None if self._directory is None else os.fspath(self._directory)
                home = await asyncio.to_thread(Home.find, chosen, os.environ)
            self._gateway = Gateway(home, await asyncio.to_thread(home.control_socket))
        try:
            status = await self._ask(ControlClient.status)
        except BaseException:
            await self.close()
            raise
        self.id, self.nickname = status.endpoint_id, status.nickname

    async def close(self) -> None:
        """End what was started. Streams through a gateway of its own end with it. Idempotent."""
        self._gateway = None
        if self._own is not None:
            own, self._own = self._own, None
            await own.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # --- connecting -------------------------------------------------------------------------------------

    async def connect(
        self, name: str, service: str | int | None = None, *, timeout: float | None = None
    ) -> Stream:
        """Open a stream to a service: `connect("alice", "web")`, `connect("alice", 8000)`, `connect("web.alice")`.

        `name` is a contact's or an endpoint id. ConnectError says why there is none; Offline after `timeout` seconds, too.
        """
        attached, reader, writer = await self._attach(Connect, name, service, timeout)
        return Stream(self._running, attached.stream, _peer(attached), reader, writer)

    async def open_connection(
        self, name: str, service: str | int | None = None, *, timeout: float | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The same as a reader and a writer, in the place of `asyncio.open_connection`."""
        stream = await self.connect(name, service, timeout=timeout)
        return stream.reader, stream.writer

    async def datagrams(
        self, name: str, service: str | int | None = None, *, timeout: float | None = None
    ) -> Datagrams:
        """Exchange datagrams with a service that takes them (UDP)."""
        attached, reader, writer = await self._attach(OpenFlow, name, service, timeout)
        return Datagrams(self._running, attached.stream, _peer(attached), reader, writer)

    async def _attach(
        self, kind: type[Connect | OpenFlow], name: str, service: str | int | None, timeout: float | None
    ) -> tuple[Attached, Reader, Writer]:
        with translated():
            host, port = destination(name, None if service is None else str(service))
            try:
                async with asyncio.timeout(timeout):
                    return await self._running.attach(kind(host=host, port=port), Attached)
            except TimeoutError:
                raise Offline(
                    f"{host} did not answer within {timeout:g} s; see: overlay ping {name}"
                ) from None

    # --- being a service --------------------------------------------------------------------------------

    def listen(
        self,
        service: str,
        handler: Callable[[Stream], Awaitable[None]] | None = None,
        *,
        allow: Iterable[str] = (),
        public: bool = False,
        port: int = 0,
        limit: int | None = None,
    ) -> Listener[Stream]:
        """Be the service `service`, while the listener is open, for whom `allow` names as `overlay expose --allow` does.

        Use it with `async with`. `handler` is called for each caller; without one, iterate over the listener. `public`: for
        everybody. Who has an invite for a service of this name may use it, too. `port` is what others may ask for beside the name.
        """
        return Listener(
            lambda: self._running,
            offer_of(service, "tcp", allow, public=public, port=port),
            Stream,
            handler,
            limit=limit,
        )

    def listen_datagrams(
        self,
        service: str,
        handler: Callable[[Datagrams], Awaitable[None]] | None = None,
        *,
        allow: Iterable[str] = (),
        public: bool = False,
        port: int = 0,
        limit: int | None = None,
    ) -> Listener[Datagrams]:
        """The same for datagrams: a caller is who sends from one place, as with UDP."""
        return Listener(
            lambda: self._running,
            offer_of(service, "udp", allow, public=public, port=port),
            Datagrams,
            handler,
            limit=limit,
        )

    # --- names and people -------------------------------------------------------------------------------

    async def contacts(self) -> tuple[Contact, ...]:
        """Who has a name here."""
        return tuple(map(_contact, await self._ask(ControlClient.contacts)))

    async def add_contact(self, petname: str, id_or_ticket: str) -> Contact:
        """Give an endpoint a name."""
        asked = AddContactRequest(petname=petname, id_or_ticket=id_or_ticket)
        return _contact(await self._ask(lambda client: client.add_contact(asked)))

    async def remove_contact(self, petname: str) -> None:
        """Forget a contact, with what it was allowed by name."""
        await self._ask(lambda client: client.remove_contact(petname))

    async def ticket(self) -> str:
        """Where we are, as text for others; it grants nothing."""
        return (await self._ask(lambda client: client.ticket(TicketRequest()))).ticket

    async def invite(
        self,
        *services: str,
        name: str = "",
        uses: int = 1,
        expires_in: float | None = None,
    ) -> str:
        """An invite to services of ours, as text; a secret for whom it is meant. It is good for a week, or `expires_in` seconds.

        Whoever takes it becomes a contact, with the name that is given, else the one it suggests.
        """
        asked = InviteRequest(services=services, name=name, uses=uses, expires_in=expires_in)
        return (await self._ask(lambda client: client.invite(asked))).invite

    async def join(self, link: str, name: str = "") -> Contact:
        """Take an invite or a ticket: its endpoint becomes a contact, called `name`, else what it suggests (or NameTaken)."""
        if INVITE_FORM.claims(link):
            invite = TakeInviteRequest(invite=link, petname=name)
            return _contact((await self._ask(lambda client: client.take_invite(invite))).contact)
        ticket = JoinRequest(ticket=link, petname=name)
        return _contact((await self._ask(lambda client: client.join(ticket))).contact)

    async def ping(self, name: str, *, timeout: float = 10.0) -> Ping:
        """One round trip to an endpoint; Offline if it does not answer within `timeout` seconds."""
        report = await self._ask(lambda client: client.ping(PingRequest(name=name, timeout=timeout)))
        return Ping(report.rtt_ms / 1000, report.path, report.address)

    async def resolve(self, name: str) -> str:
        """The endpoint id that a name stands for here; UnknownName or NoService."""
        return (await self._ask(lambda client: client.resolve(ResolveRequest(name=name)))).endpoint_id

    # --- the gateway ------------------------------------------------------------------------------------

    @property
    def home(self) -> Path:
        """The home directory of the gateway in use."""
        return self._running.home.path

    @property
    def _running(self) -> Gateway:
        if self._gateway is None:
            raise NotRunning("this endpoint is not started; use `async with overlay.Endpoint() as me`")
        return self._gateway

    async def _ask(self, question: Callable[[ControlClient], T]) -> T:
        home = self._running.home
        with translated():
            return await asyncio.to_thread(lambda: question(ControlClient(home)))


def offer_of(
    service: str, protocol: Literal["tcp", "udp"], allow: Iterable[str], *, public: bool, port: int
) -> Offer:
    """What to ask the gateway for, to be a service."""
    if isinstance(allow, str):
        raise TypeError("allow is a list of names, such as ['bob']")
    return Offer(
        service=service,
        protocols=(protocol,),
        allow=tuple(allow),
        public=public,
        port=port,
    )


def _contact(report: ContactReport) -> Contact:
    return Contact(report.petname, report.endpoint_id, report.services, report.connected)


def _peer(attached: Attached) -> Peer:
    return Peer(attached.endpoint_id, attached.petname)
