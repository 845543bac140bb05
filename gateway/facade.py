"""What the command line and the dashboard may ask, answered by the parts of a running gateway."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

import gateway as package
from gateway.control import api
from gateway.dialing import DialError, Failure
from gateway.errors import UsageError
from gateway.expose.access import ALL_CONTACTS
from gateway.expose.services import Service
from gateway.own_record import TICKET_LIFETIME, own_record
from gateway.reach import (
    beacon_report,
    candidate_report,
    path_report,
    path_word,
    selected,
    trace_report,
    via,
)
from gateway.urls import join_command, service_url, use_command
from resolver.contacts import Contact
from resolver.errors import InvalidName, RecordError, ResolverError, TicketError
from resolver.facts import NameStatus
from resolver.names import OverlayName, Petname, check_petname, is_overlay
from resolver.tickets import Ticket, read_ticket, write_ticket
from tunnels.addresses import Address, BeaconUrl
from tunnels.errors import TunnelError
from tunnels.events import TunnelState
from tunnels.identity import ID_CHARACTERS, EndpointId
from tunnels.paths.candidates import PathPolicy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import Config
    from gateway.contact_book import ContactBook
    from gateway.directory import Directory
    from gateway.exposed import ExposedServices
    from gateway.held_vouchers import HeldVouchers
    from gateway.home import Home
    from gateway.overlay_dialer import OverlayDialer
    from gateway.reach import PathsReport, Reach
    from gateway.remote_services import RemoteServices
    from resolver.client import ResolverClient
    from resolver.records import EndpointRecord
    from resolver.signed_packets import SignedPacket
    from tunnels.endpoint import Endpoint, TunnelStatus
    from tunnels.identity import SecretKey


@dataclass(slots=True)
class Parts:
    """The parts of a running gateway that answers are made from."""

    home: Home
    secret_key: SecretKey
    config: Config
    nickname: str
    contacts: ContactBook
    id_of: Callable[[str], EndpointId | None]
    """Whose a petname is, our own nickname included."""
    exposed: ExposedServices
    remote_services: RemoteServices
    endpoint: Endpoint
    records: ResolverClient
    dialer: OverlayDialer
    directory: Directory
    own_addresses: Callable[[], tuple[Address, ...]]
    """Where we tell others that we are."""
    listeners: Callable[[], tuple[api.ListenerReport, ...]]
    access_changed: Callable[[], None]
    """Services or contacts changed: streams that are not allowed any more end."""
    reload: Callable[[], Awaitable[api.ReloadReport]]
    stop: Callable[[], None]
    started: float
    """By the loop's clock."""
    own_relays: Callable[[], tuple[BeaconUrl, ...]]
    """Our beacons, our home first."""
    unpublished: Callable[[], dict[str, str]]
    """Why our record could not be put at each beacon where it could not."""
    reach: Reach | None = None
    """What tells of paths and beacons; None where there is nothing of the kind."""
    vouchers: HeldVouchers | None = None
    """None where there is nobody to hand one in."""


class Facade:
    """Implements `gateway.control.api.Gateway`."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    # --- status -----------------------------------------------------------------------------------------

    async def status(self) -> api.StatusReport:
        parts = self.parts
        return api.StatusReport(
            version=package.__version__,
            endpoint_id=str(parts.secret_key.endpoint_id),
            nickname=parts.nickname,
            pid=os.getpid(),
            home=str(parts.home.path),
            uptime=asyncio.get_running_loop().time() - parts.started,
            quic_engine=parts.config.tunnels.quic_engine,
            listeners=parts.listeners(),
            addresses=tuple(map(str, parts.own_addresses())),
            services=await self.services(),
            contacts=await self.contacts(),
            tunnels=tuple(
                self._tunnel(tunnel)
                for tunnel in parts.endpoint.status()
                if tunnel.state is TunnelState.OPEN and tunnel.is_current
            ),
            beacons=tuple(map(beacon_report, parts.reach.relays())) if parts.reach is not None else (),
            loopback=parts.directory.loopback(),
            warnings=(
                *parts.contacts.warnings,
                *parts.exposed.warnings,
                *parts.directory.warnings(),
                *(f"our record is not at {where}: {why}" for where, why in parts.unpublished().items()),
            ),
        )

    def _paths(self, endpoint_id: EndpointId) -> PathsReport | None:
        return self.parts.reach.paths(endpoint_id) if self.parts.reach is not None else None

    def _tunnel(self, tunnel: TunnelStatus) -> api.TunnelReport:
        contact = self.parts.contacts.book.find_id(tunnel.endpoint_id)
        paths = self._paths(tunnel.endpoint_id)
        used = selected(paths)
        return api.TunnelReport(
            endpoint_id=str(tunnel.endpoint_id),
            petname=contact.petname if contact is not None else "",
            address=str(tunnel.address or ""),
            path=path_word(tunnel.address, paths),
            path_seconds=None if used is None else used.selected_for,
            rtt_ms=None if tunnel.rtt is None else tunnel.rtt * 1000,
            streams=tunnel.streams,
            bytes_in=tunnel.bytes_received,
            bytes_out=tunnel.bytes_sent,
            seconds=tunnel.age or 0.0,
        )

    # --- services ---------------------------------------------------------------------------------------

    async def services(self) -> tuple[api.ServiceReport, ...]:
        return tuple(self._service(service) for service in self.parts.exposed.book)

    async def expose(self, request: api.ExposeRequest) -> api.ServiceReport:
        service = Service.of(request.name, request.settings)
        # What is granted is granted to an endpoint: whoever gets the petname later has not got the grant.
        service = replace(service, allow=tuple(dict.fromkeys(map(self._allowed, service.allow))))
        await self.parts.exposed.expose(service)
        self.parts.access_changed()
        return self._service(service)

    async def unexpose(self, name: str) -> api.ServiceReport:
        known = self.parts.exposed.book.get(name.lower())
        report = self._service(known) if known is not None else None
        service = await self.parts.exposed.unexpose(name)
        self.parts.access_changed()
        return report or self._service(service)

    def _allowed(self, who: str) -> str:
        """An entry of `--allow` as it is kept: an endpoint id, or `contacts`; UsageError for nobody."""
        if who == ALL_CONTACTS:
            return who
        known = self.parts.contacts.id_of(who)
        if known is not None:
            return str(known)
        if len(who) == ID_CHARACTERS:
            try:
                return str(EndpointId.parse(who))
            except ValueError as error:
                raise UsageError(f"--allow {who}: {error}") from None
        raise UsageError(
            f"--allow {who}: no contact is called that; see `overlay contacts ls`, "
            f"or first: overlay contacts add {who} ID"
        )

    def _petname(self, who: str) -> str:
        """An entry of `allow` for people: the petname of an id that has one."""
        contact = None
        if len(who) == ID_CHARACTERS:
            contact = self.parts.contacts.book.find_id(EndpointId.parse(who))
        return who if contact is None else contact.petname

    def _service(self, service: Service) -> api.ServiceReport:
        parts = self.parts
        me, nickname = str(parts.secret_key.endpoint_id), parts.nickname
        warnings = []
        if not service.public and not service.allow:
            warnings.append(
                f"nobody may use {service.name} yet: expose it again with --allow NAME, --allow contacts or --public"
            )
        warnings += [
            f"{service.name} allows {who}, who is no contact (any more)"
            for who in service.allow
            if who != ALL_CONTACTS and len(who) != ID_CHARACTERS and parts.contacts.id_of(who) is None
        ]
        host = f"{service.name}.{nickname or me}.overlay"
        return api.ServiceReport(
            name=service.name,
            settings=msgspec.structs.replace(
                service.settings, allow=tuple(map(self._petname, service.allow))
            ),
            port=service.ports,
            host=f"{service.name}.{me}.overlay",
            nickname_host=f"{service.name}.{nickname}.overlay" if nickname else "",
            url=service_url(host, service),
            join=join_command(self._ticket(TICKET_LIFETIME)[2], nickname),
            use=use_command(host, service),
            undo=f"overlay unexpose {service.name}",
            origin="configuration" if service.name in parts.exposed.configured else "command",
            warnings=tuple(warnings),
        )

    # --- contacts, tickets ------------------------------------------------------------------------------

    async def contacts(self) -> tuple[api.ContactReport, ...]:
        return tuple(self._contact(contact) for contact in self.parts.contacts.book)

    def _contact(self, contact: Contact) -> api.ContactReport:
        parts = self.parts
        known = parts.remote_services.known(contact.endpoint_id)
        record = parts.records.explain(contact.endpoint_id).cached
        addresses = dict.fromkeys((*contact.addresses, *(record.record.addresses if record else ())))
        tunnels = [t for t in parts.endpoint.status() if t.endpoint_id == contact.endpoint_id]
        return api.ContactReport(
            petname=contact.petname,
            endpoint_id=str(contact.endpoint_id),
            addresses=tuple(map(str, addresses)),
            services=tuple(service.name for service in known.services) if known else (),
            connected=any(tunnel.state is TunnelState.OPEN for tunnel in tunnels) if tunnels else None,
            origin="configuration" if contact.petname in parts.contacts.configured else "command",
            path_policy=contact.path,
        )

    async def add_contact(self, request: api.AddContactRequest) -> api.ContactReport:
        text = request.id_or_ticket.strip()
        packet = None
        try:
            petname = check_petname(request.petname)
            if len(text) == ID_CHARACTERS:
                endpoint_id = EndpointId.parse(text)
            else:
                packet = self._read(text).packet
                endpoint_id = packet.endpoint_id
            addresses = tuple(map(Address.parse, request.addresses))
        except (ValueError, InvalidName) as error:
            raise UsageError(f"contacts: {error}") from None
        return await self._add(petname, endpoint_id, addresses, packet)

    async def _add(
        self,
        petname: Petname,
        endpoint_id: EndpointId,
        addresses: tuple[Address, ...],
        packet: SignedPacket | None,
    ) -> api.ContactReport:
        parts = self.parts
        if endpoint_id == parts.secret_key.endpoint_id:
            raise UsageError("contacts: this is your own endpoint; give the other machine's id or ticket")
        parts.contacts.refuse_configured(petname)
        contact = Contact(petname, endpoint_id, addresses, packet, time_now())
        kept = await parts.contacts.change(lambda book: book.add(contact))
        if packet is not None:
            try:
                parts.records.learn(packet, "ticket")
            except RecordError as error:
                raise UsageError(f"contacts: {error}") from None
        parts.endpoint.addresses_changed(endpoint_id)
        parts.access_changed()
        parts.directory.contact_changed(endpoint_id)
        return self._contact(kept)

    async def remove_contact(self, petname: str) -> api.ContactReport:
        parts = self.parts
        parts.contacts.refuse_configured(petname)
        known = parts.contacts.book.find(petname)
        report = self._contact(known) if known is not None else None
        contact = await parts.contacts.change(lambda book: book.remove(petname))
        await parts.exposed.revoke(str(contact.endpoint_id))
        parts.endpoint.disconnect(contact.endpoint_id, "no contact any more")
        parts.access_changed()
        parts.directory.contact_changed(contact.endpoint_id)
        return report or self._contact(contact)

    async def rename_contact(self, petname: str, request: api.RenameContactRequest) -> api.ContactReport:
        parts = self.parts
        parts.contacts.refuse_configured(petname)
        contact = await parts.contacts.change(lambda book: book.rename(petname, request.petname))
        parts.access_changed()
        parts.directory.contact_changed(contact.endpoint_id)
        return self._contact(contact)

    async def set_path_policy(self, petname: str, request: api.PathPolicyRequest) -> api.ContactReport:
        parts = self.parts
        parts.contacts.refuse_configured(petname)
        contact = await parts.contacts.change(lambda book: book.set_path(petname, request.policy))
        if parts.reach is not None:
            parts.reach.set_policy(contact.endpoint_id, self.path_policy(contact.endpoint_id))
        return self._contact(contact)

    def path_policy(self, endpoint_id: EndpointId) -> PathPolicy:
        """Which paths may be used to an endpoint."""
        contact = self.parts.contacts.book.find_id(endpoint_id)
        return PathPolicy((contact.path if contact else "") or self.parts.config.tunnels.path_policy)

    async def ticket(self, request: api.TicketRequest) -> api.TicketReport:
        record, _, ticket = self._ticket(request.expires_in or TICKET_LIFETIME)
        return api.TicketReport(
            ticket=ticket,
            endpoint_id=str(record.endpoint_id),
            expires=float(record.expires),
            addresses=tuple(map(str, record.addresses)),
            services=tuple(service.name for service in record.services),
            command=join_command(ticket, self.parts.nickname),
        )

    def _ticket(self, lifetime: float) -> tuple[EndpointRecord, SignedPacket, str]:
        parts = self.parts
        record, packet = own_record(
            parts.secret_key,
            nickname=parts.nickname,
            addresses=parts.own_addresses(),
            services=parts.exposed.public(),
            relays=parts.own_relays(),
            now=time_now(),
            lifetime=lifetime,
        )
        return record, packet, write_ticket(packet)

    def _read(self, text: str) -> Ticket:
        try:
            return read_ticket(text, time_now())
        except (TicketError, RecordError) as error:
            raise UsageError(f"ticket: {error}") from None

    async def join(self, request: api.JoinRequest) -> api.JoinReport:
        parts = self.parts
        ticket = self._read(request.ticket)
        record = ticket.record
        known = parts.contacts.book.find_id(record.endpoint_id)
        try:
            if request.petname:
                petname = check_petname(request.petname)
            elif known is not None:
                petname = known.petname
            else:
                petname = self._suggested(record.nickname)
        except InvalidName as error:
            raise UsageError(f"join: {error}") from None
        if request.preview:
            contact = api.ContactReport(
                petname=petname,
                endpoint_id=str(record.endpoint_id),
                addresses=tuple(map(str, record.addresses)),
                services=tuple(service.name for service in record.services),
            )
            return api.JoinReport(contact=contact, expires=float(record.expires), known=known is not None)
        report = await self._add(petname, record.endpoint_id, (), ticket.packet)
        await parts.directory.greet(record.endpoint_id)
        contact_now = parts.contacts.book.get(petname)
        return api.JoinReport(
            contact=self._contact(contact_now),
            expires=float(record.expires),
            known=known is not None,
            urls=parts.directory.urls(record.endpoint_id),
            loopback=parts.directory.loopback(record.endpoint_id),
            undo=f"overlay contacts rm {report.petname}",
        )

    def _suggested(self, nickname: str | None) -> Petname:
        """The nickname itself where it is free; a conflict is for the person to decide, never settled silently."""
        if not nickname:
            raise UsageError("join: the ticket suggests no name; choose one with --name NAME")
        name = check_petname(nickname)
        taken = self.parts.contacts.book.find(name)
        if taken is not None:
            free = self.parts.contacts.book.suggest(nickname)
            raise UsageError(
                f"join: {name} already is {taken.endpoint_id}; choose another name, such as --name {free}"
            )
        return name

    # --- vouchers ---------------------------------------------------------------------------------------

    async def vouchers(self) -> tuple[api.VoucherReport, ...]:
        held = self.parts.vouchers
        return held.reports() if held is not None else ()

    async def add_voucher(self, request: api.AddVoucherRequest) -> api.VoucherReport:
        held = self.parts.vouchers
        if held is None:
            raise UsageError("vouchers: this gateway knows no beacon; name one with: overlay up --beacon URL")
        try:
            beacon = BeaconUrl.parse(request.beacon) if request.beacon else None
        except ValueError as error:
            raise UsageError(f"vouchers: {error}") from None
        return await held.add(request.voucher, beacon)

    # --- names ------------------------------------------------------------------------------------------

    async def ping(self, request: api.PingRequest) -> api.PingReport:
        parts = self.parts
        name = self._name(request.name)
        endpoint_id = self._owner(name)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(request.timeout):
                was_up = any(
                    t.endpoint_id == endpoint_id and t.state is TunnelState.OPEN
                    for t in parts.endpoint.status()
                )
                began = loop.time()
                await parts.endpoint.connect(endpoint_id)
                connected = loop.time() - began
                seconds, address = await parts.endpoint.ping(endpoint_id)
        except TimeoutError:
            raise DialError(
                Failure.OFFLINE, f"{request.name} did not answer within {request.timeout:g} s"
            ) from None
        except TunnelError as error:
            raise DialError(Failure.OFFLINE, str(error)) from None
        path = path_word(address, self._paths(endpoint_id))
        return api.PingReport(
            name=request.name,
            endpoint_id=str(endpoint_id),
            rtt_ms=seconds * 1000,
            address=str(address or ""),
            path=path,
            via=via(address, path),
            connect_ms=None if was_up else connected * 1000,
        )

    async def paths(self, name: str) -> api.PathsReport:
        parts = self.parts
        endpoint_id = self._owner(self._name(name))
        report = self._paths(endpoint_id)
        if report is None:
            raise DialError(Failure.OFFLINE, f"paths: no tunnel with {name} is up; try: overlay ping {name}")
        contact = parts.contacts.book.find_id(endpoint_id)
        now = asyncio.get_running_loop().time()
        return api.PathsReport(
            endpoint_id=str(endpoint_id),
            petname=contact.petname if contact is not None else "",
            policy=self.path_policy(endpoint_id).value,
            own_candidates=tuple(map(candidate_report, report.own_candidates)),
            paths=tuple(map(path_report, report.paths)),
            decisions=tuple(trace_report(entry, now) for entry in report.trace),
        )

    async def resolve(self, request: api.ResolveRequest) -> api.ResolveReport:
        parts = self.parts
        name = self._name(request.name)
        endpoint_id = self._owner(name)
        facts = await parts.directory.lookup(name)
        if facts.status is NameStatus.NOT_FOUND:
            raise DialError(
                Failure.NO_SERVICE, f"{name} does not exist: its owner exposes no such service to you"
            )
        if facts.status is NameStatus.UNKNOWN:
            raise DialError(Failure.OFFLINE, facts.reason)
        contact = parts.contacts.book.find_id(endpoint_id)
        explained = parts.records.explain(endpoint_id)
        addresses = (*explained.typed, *(explained.cached.record.addresses if explained.cached else ()))
        return api.ResolveReport(
            name=str(name),
            endpoint_id=str(endpoint_id),
            petname=contact.petname if contact is not None else "",
            service=name.service or "",
            ip=str(facts.ipv4 or ""),
            offers=parts.directory.offers(facts, name.service),
            addresses=tuple(map(str, dict.fromkeys(addresses))),
            source="contact" if isinstance(name.owner, str) else "id",
        )

    def _name(self, text: str) -> OverlayName:
        """What a person typed: `alice`, `web.alice`, an id, or any of them with .overlay."""
        try:
            return OverlayName.parse(text if is_overlay(text) else f"{text.removesuffix('.')}.overlay")
        except InvalidName as error:
            raise UsageError(f"{error}") from None

    def _owner(self, name: OverlayName) -> EndpointId:
        if isinstance(name.owner, EndpointId):
            return name.owner
        try:
            return self.parts.id_of(name.owner) or self.parts.contacts.book.get(name.owner).endpoint_id
        except ResolverError as error:
            raise DialError(Failure.UNKNOWN_NAME, str(error)) from None

    # --- the daemon itself ------------------------------------------------------------------------------

    async def reload(self) -> api.ReloadReport:
        return await self.parts.reload()

    async def down(self) -> None:
        self.parts.stop()


def time_now() -> float:
    """Wall-clock seconds since 1970: only records, tickets and contacts are dated by it."""
    return time.time()  # noqa: TID251 - the one place that reads the wall clock for the facade
