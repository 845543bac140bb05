"""What is told and asked of our own services."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import Final, Literal

import msgspec

from gateway.answers.base import Answers
from gateway.control.services import ExposeRequest, ServiceReport
from gateway.errors import UsageError
from gateway.expose.access import ALL_CONTACTS, CONTACTS_OF, GROUP
from gateway.expose.services import Service
from gateway.own_record import TICKET_LIFETIME
from gateway.urls import join_command, service_url, use_command
from resolver.well_known import well_known_port
from tunnels.identity import ID_CHARACTERS, EndpointId

_FIRST_DYNAMIC: Final = 49152  # RFC 6335 §6: ports that are nobody's
_LAST_DYNAMIC: Final = 65535


class ServiceAnswers(Answers):
    """Services: list, expose, take away."""

    async def services(self) -> tuple[ServiceReport, ...]:
        return tuple(self._service(service) for service in self.parts.exposed.book)

    async def expose(self, request: ExposeRequest) -> ServiceReport:
        service = Service.of(request.name, request.settings)
        # What is granted is granted to an endpoint: whoever gets the petname later has not got the grant.
        service = replace(service, allow=tuple(dict.fromkeys(map(self._allowed, service.allow))))
        await self.parts.exposed.expose(service)
        self.parts.access_changed()
        return self._service(service)

    async def unexpose(self, name: str) -> ServiceReport:
        known = self.parts.exposed.book.get(name.lower())
        report = self._service(known) if known is not None else None
        service = await self.parts.exposed.unexpose(name)
        self.parts.access_changed()
        return report or self._service(service)

    def attach(self, service: Service) -> ServiceReport:
        """Take in a service of a program, its `allow` as it was typed; UsageError if it makes no sense or its name is taken."""
        service = replace(service, allow=tuple(dict.fromkeys(map(self._allowed, service.allow))))
        self.parts.exposed.attach(service)
        self.parts.access_changed()
        return self._service(service)

    def detach(self, name: str) -> None:
        """The program is done with it; who uses it goes on until the program ends that."""
        self.parts.exposed.detach(name)
        self.parts.access_changed()

    def free_port(self, name: str) -> int:
        """A port for a service that is asked for by its name: that which the name has by habit, if it is free."""
        taken = {port for one in self.parts.exposed.book for port in range(one.first_port, one.last_port + 1)}
        known = well_known_port(name)
        if known is not None and known not in taken:
            return known
        return next(port for port in range(_FIRST_DYNAMIC, _LAST_DYNAMIC + 1) if port not in taken)

    def petname_of(self, endpoint_id: EndpointId) -> str:
        """What we call an endpoint; empty if it is no contact."""
        contact = self.parts.contacts.book.find_id(endpoint_id)
        return contact.petname if contact is not None else ""

    def _allowed(self, who: str) -> str:
        """An entry of `--allow` as it is kept, with an endpoint's id for its name; UsageError for nobody."""
        if who == ALL_CONTACTS:
            return who
        if who.startswith(GROUP):
            return self._allowed_group(who)
        if who.startswith(CONTACTS_OF):
            return self._allowed_circle(who)
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

    def _allowed_group(self, who: str) -> str:
        group = who.removeprefix(GROUP).lower()
        groups = self.parts.contacts.book.groups()
        if group not in groups:
            near = difflib.get_close_matches(group, groups, n=1)
            hint = f"did you mean {GROUP}{near[0]}?" if near else "see `overlay contacts group ls`"
            raise UsageError(
                f"--allow {who}: no contact is in that group; {hint} "
                f"or first: overlay contacts group add {group or 'GROUP'} NAME"
            )
        return f"{GROUP}{group}"

    def _allowed_circle(self, who: str) -> str:
        name = who.removeprefix(CONTACTS_OF).lower()
        book = self.parts.contacts.book
        contact = book.find(name)
        if contact is None and len(name) == ID_CHARACTERS:
            contact = next((one for one in book if str(one.endpoint_id) == name), None)
        if contact is None:
            raise UsageError(
                f"--allow {who}: {name or 'nobody'} is no contact, so nobody is introduced; "
                f"see `overlay contacts ls`, or first: overlay contacts add NAME ID"
            )
        return f"{CONTACTS_OF}{contact.endpoint_id}"

    def _petname(self, who: str) -> str:
        """An entry of `allow` for people: the petname of an id that has one."""
        if who.startswith(CONTACTS_OF):
            return f"{CONTACTS_OF}{self._petname(who.removeprefix(CONTACTS_OF))}"
        endpoint_id = _parsed(who)
        contact = self.parts.contacts.book.find_id(endpoint_id) if endpoint_id is not None else None
        return who if contact is None else contact.petname

    def _doubt(self, name: str, who: str) -> str:
        """Why an entry of a service's `allow` stands for nobody (any more); empty if it stands for somebody."""
        contacts = self.parts.contacts
        if who.startswith(GROUP):
            group = who.removeprefix(GROUP)
            if group in contacts.book.groups():
                return ""
            return f"{name} allows {who}, and nobody is in it; put somebody in: overlay contacts group add {group} NAME"
        circle, who_of = who.startswith(CONTACTS_OF), who.removeprefix(CONTACTS_OF)
        if who_of == ALL_CONTACTS or (len(who_of) == ID_CHARACTERS and not circle):
            return ""
        introducer = _parsed(who_of) or contacts.id_of(who_of)
        if introducer is None or not contacts.is_contact(introducer):
            return f"{name} allows {who}, who is no contact (any more)"
        introductions = self.parts.introductions
        if circle and introductions is not None and not introductions.has_members(introducer):
            return (
                f"{name} allows {self._petname(who)}, and nobody is introduced (yet): {self._name_of(introducer)} needs "
                "[social] introduce = true, and each of those introducible = true"
            )
        return ""

    def _service(self, service: Service) -> ServiceReport:
        parts = self.parts
        me, nickname = str(parts.secret_key.endpoint_id), parts.nickname
        warnings = []
        invited = tuple(
            dict.fromkeys(
                self._name_of(grant.endpoint_id)
                for grant in parts.inviting.issued.grants()
                if service.name in grant.services
            )
        )
        if not service.public and not service.allow and not invited:
            warnings.append(
                f"nobody may use {service.name} yet: overlay invite --service {service.name}, "
                "or expose it again with --allow NAME, --allow contacts or --public"
            )
        warnings += filter(None, (self._doubt(service.name, who) for who in service.allow))
        host = f"{service.name}.{nickname or me}.overlay"
        return ServiceReport(
            name=service.name,
            settings=msgspec.structs.replace(
                service.settings, allow=tuple(map(self._petname, service.allow))
            ),
            port=service.ports,
            host=f"{service.name}.{me}.overlay",
            nickname_host=f"{service.name}.{nickname}.overlay" if nickname else "",
            url=service_url(host, service),
            join=join_command(self._ticket(TICKET_LIFETIME)[1], nickname),
            use=use_command(host, service),
            undo="" if parts.exposed.is_attached(service.name) else f"overlay unexpose {service.name}",
            origin=self._origin(service.name),
            warnings=tuple(warnings),
            invited=invited,
        )

    def _origin(self, name: str) -> Literal["configuration", "command", "program"]:
        if self.parts.exposed.is_attached(name):
            return "program"
        return "configuration" if name in self.parts.exposed.configured else "command"


def _parsed(text: str) -> EndpointId | None:
    """The endpoint whose id this is; None if it is none."""
    try:
        return EndpointId.parse(text)
    except ValueError:
        return None
