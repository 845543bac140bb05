"""May this endpoint use this service? Denied unless somebody said so. No I/O.

Who is allowed is looked up at each call, so that a contact removed or renamed is so at once. To a stranger, a
service it may not use looks as one that does not exist: same status, same words; else anybody could list what
we have. A contact is told the difference, because a person who is refused needs to know whom to ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from gateway.stream_header import Answer, Status
from tunnels.identity import ID_CHARACTERS, EndpointId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.expose.services import Service

ALL_CONTACTS: Final = "contacts"
"""The entry of a service's `allow` that stands for everybody in the address book."""
GROUP: Final = "group:"
"""What an entry begins with that stands for a group of contacts: `group:family`."""
CONTACTS_OF: Final = "contacts-of:"
"""What an entry begins with that stands for those whom a contact introduced: `contacts-of:alice`, or with her id."""


def introducers(services: Iterable[Service], contacts: Contacts) -> frozenset[EndpointId]:
    """The contacts whose circles services are open to."""
    named = {
        _endpoint(entry.removeprefix(CONTACTS_OF), contacts)
        for service in services
        for entry in service.allow
        if entry.startswith(CONTACTS_OF)
    }
    return frozenset(who for who in named if who is not None and contacts.is_contact(who))


class Contacts(Protocol):
    """What access needs to know of the address book."""

    def id_of(self, petname: str) -> EndpointId | None:
        """The endpoint that has this petname now."""

    def is_contact(self, endpoint_id: EndpointId) -> bool:
        """Whether the endpoint is in the address book now."""

    def groups_of(self, endpoint_id: EndpointId) -> frozenset[str]:
        """The groups that the endpoint is in now; none if it is no contact."""

    def is_introduced(self, introducer: EndpointId, endpoint_id: EndpointId) -> bool:
        """Whether a contact has the endpoint in its circle, and both let it be told."""


class Grants(Protocol):
    """What access needs to know of invites."""

    def granted(self, caller: EndpointId, service: str) -> bool:
        """Whether an invite lets the endpoint use the service now."""


@dataclass(frozen=True, slots=True)
class Access:
    """Whether a caller may, and what to answer if not."""

    allowed: bool
    reason: str
    """For our own log: why, or why not."""
    refusal: Answer
    """For the caller; only meaningful if not allowed."""


NO_CIRCLE: Final = Answer(Status.FORBIDDEN, "nobody is introduced here, or not to you")
"""To whoever asks for our circle and is not told it: a stranger, or a contact where nobody is introduced."""

_NO_SERVICE: Final = Answer(Status.NO_SERVICE, "there is no such service here, or not for you")


def may_use(
    service: Service | None, caller: EndpointId, contacts: Contacts, grants: Grants | None = None
) -> Access:
    """Whether `caller` may use `service`; None is a service that does not exist. Without `grants` no invites count."""
    known = contacts.is_contact(caller)
    if service is None:
        told = (
            Answer(Status.NO_SERVICE, "nothing is exposed under this name and port") if known else _NO_SERVICE
        )
        return Access(False, "no such service", told)
    why = _permission(service, caller, contacts, known=known)
    if why is None and grants is not None and grants.granted(caller, service.name):
        why = "by an invite"
    if why is not None:
        return Access(True, why, _NO_SERVICE)
    if known:
        told = Answer(
            Status.FORBIDDEN,
            f"{service.name} is not open to you; its owner may add: --allow {caller}",
        )
        return Access(False, "a contact that is not allowed", told)
    return Access(False, "a stranger, and the service is not public", _NO_SERVICE)


def _permission(service: Service, caller: EndpointId, contacts: Contacts, *, known: bool) -> str | None:
    """By which entry the caller may use the service, None if by none."""
    if service.public:
        return "public"
    for entry in service.allow:
        if entry == ALL_CONTACTS:
            if known:
                return "any contact is allowed"
        elif _is_among(caller, entry, contacts):
            return f"{entry} is allowed"
    return None


def is_listed(who: EndpointId, entries: Iterable[str], contacts: Contacts) -> bool:
    """Whether one of these entries, as `allow` has them, stands for the endpoint."""
    return any(
        contacts.is_contact(who) if entry == ALL_CONTACTS else _is_among(who, entry, contacts)
        for entry in entries
    )


def _is_among(caller: EndpointId, entry: str, contacts: Contacts) -> bool:
    """Whether an entry of `allow` stands for the caller, among others."""
    if entry.startswith(GROUP):
        return entry.removeprefix(GROUP) in contacts.groups_of(caller)
    if entry.startswith(CONTACTS_OF):
        introducer = _endpoint(entry.removeprefix(CONTACTS_OF), contacts)
        # Who is no contact any more introduces nobody.
        return (
            introducer is not None
            and contacts.is_contact(introducer)
            and contacts.is_introduced(introducer, caller)
        )
    return _endpoint(entry, contacts) == caller


def _endpoint(text: str, contacts: Contacts) -> EndpointId | None:
    """Whose id or petname this is now."""
    if len(text) == ID_CHARACTERS:
        try:
            return EndpointId.parse(text)
        except ValueError:
            return None
    return contacts.id_of(text)
