"""What is told and asked of our own services."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from gateway.answers.base import Answers
from gateway.control import api
from gateway.errors import UsageError
from gateway.expose.access import ALL_CONTACTS
from gateway.expose.services import Service
from gateway.own_record import TICKET_LIFETIME
from gateway.urls import join_command, service_url, use_command
from tunnels.identity import ID_CHARACTERS, EndpointId


class ServiceAnswers(Answers):
    """Services: list, expose, take away."""

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
            join=join_command(self._ticket(TICKET_LIFETIME)[1], nickname),
            use=use_command(host, service),
            undo=f"overlay unexpose {service.name}",
            origin="configuration" if service.name in parts.exposed.configured else "command",
            warnings=tuple(warnings),
            invited=invited,
        )
