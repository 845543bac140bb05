"""What is told and asked of contacts, and of the tickets that make them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from gateway.answers.base import Answers, time_now
from gateway.control.contacts import (
    AddContactRequest,
    ContactReport,
    GroupReport,
    ImportedReport,
    ImportReport,
    PathPolicyRequest,
    RenameContactRequest,
)
from gateway.control.tickets import JoinReport, JoinRequest, TicketReport, TicketRequest
from gateway.errors import ChooseName, UsageError
from gateway.expose.access import GROUP
from gateway.importing import take
from gateway.limits import CONTACTS_AT_ONCE
from gateway.own_record import TICKET_LIFETIME
from gateway.urls import join_command
from resolver.contacts import AddressBook, Contact, check_groups
from resolver.discovery.base import Scope
from resolver.errors import InvalidName, RecordError, TicketError
from resolver.lookalikes import shown
from resolver.names import Petname, check_petname
from resolver.records import EndpointRecord
from resolver.tickets import Ticket, read_ticket
from tunnels.addresses import Address
from tunnels.events import TunnelState
from tunnels.identity import ID_CHARACTERS, EndpointId

if TYPE_CHECKING:
    from gateway.control.contacts import GroupRequest, ImportedContact, ImportRequest
    from gateway.importing import Taken
    from resolver.signed_packets import SignedPacket
    from tunnels.paths.candidates import PathPolicy
    from tunnels.status import TunnelStatus


class ContactAnswers(Answers):
    """Contacts: list, add, remove, rename, choose paths; tickets: ours, and those of others."""

    async def contacts(self) -> tuple[ContactReport, ...]:
        tunnels = self.parts.endpoint.status()
        reports = []
        for contact in self.parts.contacts.book:
            reports.append(self._contact(contact, tunnels))
            if len(reports) % CONTACTS_AT_ONCE == 0:
                await asyncio.sleep(0)  # names are asked for, and bytes come, meanwhile
        return tuple(reports)

    def _contact(self, contact: Contact, tunnels: tuple[TunnelStatus, ...] | None = None) -> ContactReport:
        """`tunnels` are all there are."""
        parts = self.parts
        known = parts.remote_services.known(contact.endpoint_id)
        record = parts.records.glance(contact.endpoint_id)
        addresses = dict.fromkeys((*contact.addresses, *(record.addresses if record else ())))
        nickname = (record.nickname or "") if record else ""
        if tunnels is None:
            tunnels = parts.endpoint.status()
        tunnels = tuple(tunnel for tunnel in tunnels if tunnel.endpoint_id == contact.endpoint_id)
        return ContactReport(
            petname=contact.petname,
            endpoint_id=str(contact.endpoint_id),
            addresses=tuple(map(str, addresses)),
            relays=tuple(map(str, record.relays)) if record else (),
            services=tuple(service.name for service in known.services) if known else (),
            connected=any(tunnel.state is TunnelState.OPEN for tunnel in tunnels) if tunnels else None,
            origin="configuration" if contact.petname in parts.contacts.configured else "command",
            path_policy=contact.path,
            granted=tuple(
                dict.fromkeys(
                    service
                    for grant in parts.inviting.issued.grants_of(contact.endpoint_id)
                    for service in grant.services
                )
            ),
            nickname=nickname,
            nickname_before=contact.nickname if nickname and contact.nickname != nickname else "",
            typed=tuple(map(str, contact.addresses)),
            groups=contact.groups,
        )

    async def add_contact(self, request: AddContactRequest) -> ContactReport:
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
        return await self._add(petname, endpoint_id, addresses, packet, "contacts")

    async def _add(
        self,
        petname: Petname,
        endpoint_id: EndpointId,
        addresses: tuple[Address, ...],
        packet: SignedPacket | None,
        command: str,
    ) -> ContactReport:
        parts = self.parts
        if endpoint_id == parts.secret_key.endpoint_id:
            raise UsageError("contacts: this is your own endpoint; give the other machine's id or ticket")
        parts.contacts.refuse_configured(petname)
        self._refuse_taken(petname, endpoint_id, command)
        nickname = (EndpointRecord.from_packet(packet).nickname or "") if packet is not None else ""
        contact = Contact(petname, endpoint_id, addresses, packet, time_now(), nickname=nickname)
        kept = await parts.contacts.change(lambda book: book.add(contact))
        if packet is not None:
            try:
                parts.records.learn(packet, "ticket", scope=Scope.GIVEN)
            except RecordError as error:
                raise UsageError(f"contacts: {error}") from None
        parts.endpoint.addresses_changed(endpoint_id)
        parts.access_changed()
        parts.directory.contact_changed(endpoint_id)
        return self._with_warnings(self._contact(kept), endpoint_id)

    def _refuse_taken(self, petname: str, endpoint_id: EndpointId, command: str) -> None:
        """ChooseName if another endpoint is called so."""
        book = self.parts.contacts.book
        taken = book.find(petname)
        if taken is not None and taken.endpoint_id != endpoint_id:
            free = book.suggest(petname)
            raise ChooseName(
                f"{command}: {petname} already is {taken.endpoint_id}; choose another name, such as {free}, "
                f"or first: overlay contacts rm {petname}",
                free,
            )

    def _with_warnings(self, report: ContactReport, endpoint_id: EndpointId) -> ContactReport:
        other = self.parts.contacts.book.lookalike(report.petname, besides=endpoint_id)
        if other is None:
            return report
        warning = (
            f"{report.petname} looks like {other.petname}, which is {other.endpoint_id}; to tell them apart: "
            f"overlay contacts rename {report.petname} NEW-NAME"
        )
        return msgspec.structs.replace(report, warnings=(warning,))

    async def import_contacts(self, request: ImportRequest) -> ImportReport:
        parts = self.parts
        asked = [self._imported(one) for one in request.contacts]

        fixed = AddressBook(
            tuple(one for one in parts.contacts.book if one.petname in parts.contacts.configured)
        )

        def act(book: AddressBook) -> list[Taken]:
            return [take(book, fixed, contact, replace=request.replace) for contact in asked]

        if request.preview:
            taken = act(AddressBook(tuple(parts.contacts.book)))
        else:
            taken = await parts.contacts.change(act)
            for gone in {removed.endpoint_id for one in taken for removed in one.removed}:
                await parts.exposed.revoke(str(gone))
                await parts.inviting.issued.drop(gone)
                await parts.inviting.held.forget(gone)
                parts.endpoint.disconnect(gone, "no contact any more")
                parts.directory.contact_changed(gone)
            for one in taken:
                parts.endpoint.addresses_changed(one.contact.endpoint_id)
            parts.access_changed()
        return ImportReport(
            contacts=tuple(
                ImportedReport(
                    petname=one.contact.petname, outcome=one.outcome, detail=one.detail, undo=one.undo
                )
                for one in taken
            )
        )

    def _imported(self, one: ImportedContact) -> Contact:
        try:
            endpoint_id = EndpointId.parse(one.id)
            if endpoint_id == self.parts.secret_key.endpoint_id:
                raise UsageError(f"contacts: {one.petname} is your own endpoint; leave it out")
            return Contact(
                check_petname(one.petname),
                endpoint_id,
                tuple(map(Address.parse, one.addresses)),
                added_at=time_now(),
                path=one.path,
                groups=check_groups(one.groups),
            )
        except (ValueError, InvalidName) as error:
            raise UsageError(f"contacts: {one.petname}: {error}") from None

    async def remove_contact(self, petname: str) -> ContactReport:
        parts = self.parts
        parts.contacts.refuse_configured(petname)
        known = parts.contacts.book.find(petname)
        report = self._contact(known) if known is not None else None
        contact = await parts.contacts.change(lambda book: book.remove(petname))
        await parts.exposed.revoke(str(contact.endpoint_id))
        await parts.inviting.issued.drop(contact.endpoint_id)
        await parts.inviting.held.forget(contact.endpoint_id)
        parts.endpoint.disconnect(contact.endpoint_id, "no contact any more")
        parts.records.forget(contact.endpoint_id)
        parts.access_changed()
        parts.directory.contact_changed(contact.endpoint_id)
        return report or self._contact(contact)

    async def groups(self) -> tuple[GroupReport, ...]:
        known = self.parts.contacts.book.groups()
        named = {
            entry.removeprefix(GROUP)
            for service in self.parts.exposed.book
            for entry in service.allow
            if entry.startswith(GROUP)
        }
        return tuple(map(self._group, sorted({*known, *named})))

    async def change_group(self, request: GroupRequest) -> GroupReport:
        parts = self.parts
        try:
            group = check_petname(request.group)
        except InvalidName as error:
            raise UsageError(f"contacts: the name of a group is written as a petname is: {error}") from None
        for petname in request.petnames:
            parts.contacts.refuse_configured(petname)

        def act(book: AddressBook) -> list[Contact]:
            changed = []
            for contact in dict.fromkeys(map(book.get, request.petnames)):
                groups = {*contact.groups} - {group} if request.remove else {*contact.groups, group}
                if groups != {*contact.groups}:
                    changed.append(book.set_groups(contact.petname, groups))
            return changed

        changed = await parts.contacts.change(act)
        parts.access_changed()
        return self._group(group, tuple(contact.petname for contact in changed))

    def _group(self, group: str, changed: tuple[str, ...] = ()) -> GroupReport:
        return GroupReport(
            group=group,
            members=tuple(one.petname for one in self.parts.contacts.book if group in one.groups),
            services=tuple(one.name for one in self.parts.exposed.book if f"{GROUP}{group}" in one.allow),
            changed=changed,
        )

    async def rename_contact(self, petname: str, request: RenameContactRequest) -> ContactReport:
        parts = self.parts
        parts.contacts.refuse_configured(petname)
        known = parts.contacts.book.find(petname)
        try:
            if known is not None:
                self._refuse_taken(check_petname(request.petname), known.endpoint_id, "contacts")
        except InvalidName as error:
            raise UsageError(f"contacts: {error}") from None
        record = parts.records.known(known.endpoint_id) if known is not None else None
        nickname = record.record.nickname if record is not None else None
        contact = await parts.contacts.change(
            lambda book: book.rename(petname, request.petname, nickname=nickname)
        )
        parts.access_changed()
        parts.directory.contact_changed(contact.endpoint_id)
        return self._with_warnings(self._contact(contact), contact.endpoint_id)

    async def set_path_policy(self, petname: str, request: PathPolicyRequest) -> ContactReport:
        parts = self.parts
        parts.contacts.refuse_configured(petname)
        contact = await parts.contacts.change(lambda book: book.set_path(petname, request.policy))
        if parts.reach is not None:
            parts.reach.set_policy(contact.endpoint_id, self.path_policy(contact.endpoint_id))
        return self._contact(contact)

    def path_policy(self, endpoint_id: EndpointId) -> PathPolicy:
        """Which paths may be used to an endpoint."""
        return self.parts.contacts.path_policy(endpoint_id, self.parts.config.tunnels.path_policy)

    def apply_path_policies(self) -> None:
        """Use only such paths to each contact as the configuration and the address book say now."""
        if self.parts.reach is not None:
            for contact in self.parts.contacts.book:
                self.parts.reach.set_policy(contact.endpoint_id, self.path_policy(contact.endpoint_id))

    async def ticket(self, request: TicketRequest) -> TicketReport:
        record, ticket = self._ticket(request.expires_in or TICKET_LIFETIME)
        return TicketReport(
            ticket=ticket,
            endpoint_id=str(record.endpoint_id),
            expires=float(record.expires),
            addresses=tuple(map(str, record.addresses)),
            relays=tuple(map(str, record.relays)),
            services=tuple(service.name for service in record.services),
            command=join_command(ticket, self.parts.nickname),
        )

    def _read(self, text: str) -> Ticket:
        try:
            return read_ticket(text, time_now())
        except (TicketError, RecordError) as error:
            raise UsageError(f"ticket: {error}") from None

    def learn_ticket(self, text: str) -> EndpointId:
        """Take a ticket as a way to its endpoint, which becomes no contact; UsageError if it is no good."""
        packet = self._read(text).packet
        self.parts.records.learn(packet, "ticket", scope=Scope.GIVEN)
        return packet.endpoint_id

    async def join(self, request: JoinRequest) -> JoinReport:
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
                petname = self._suggested(record.nickname, record.endpoint_id)
        except InvalidName as error:
            raise UsageError(f"join: {error}") from None
        if request.preview:
            contact = ContactReport(
                petname=petname,
                endpoint_id=str(record.endpoint_id),
                addresses=tuple(map(str, record.addresses)),
                relays=tuple(map(str, record.relays)),
                services=tuple(service.name for service in record.services),
            )
            return JoinReport(contact=contact, expires=float(record.expires), known=known is not None)
        report = await self._add(petname, record.endpoint_id, (), ticket.packet, "join")
        await parts.directory.greet(record.endpoint_id)
        contact_now = parts.contacts.book.get(petname)
        return JoinReport(
            contact=msgspec.structs.replace(self._contact(contact_now), warnings=report.warnings),
            expires=float(record.expires),
            known=known is not None,
            urls=parts.directory.urls(record.endpoint_id),
            loopback=parts.directory.loopback(record.endpoint_id),
            undo=f"overlay contacts rm {report.petname}",
        )

    def _suggested(self, nickname: str | None, endpoint_id: EndpointId) -> Petname:
        """The nickname itself where it is free; anything else is for the person to decide, never settled silently."""
        free = self.parts.contacts.book.suggest(nickname)
        remedy = f"choose one with --name NAME, such as --name {free}"
        if not nickname:
            raise ChooseName(f"join: it suggests no name; {remedy}", free)
        try:
            name = check_petname(nickname)
        except InvalidName as error:
            raise ChooseName(
                f"join: it calls itself {shown(nickname)!r}, which can be no name here ({error}); {remedy}",
                free,
            ) from None
        self._refuse_taken(name, endpoint_id, "join")
        like = self.parts.contacts.book.lookalike(name, besides=endpoint_id)
        if like is not None:
            raise ChooseName(
                f"join: it calls itself {name}, which looks like {like.petname}, and that is {like.endpoint_id}; {remedy}",
                free,
            )
        return name
