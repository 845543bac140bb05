"""May this endpoint use this service? Denied unless somebody said so. No I/O.

Who is allowed is looked up at each call, so that a contact removed or renamed is so at once. To a stranger, a
service it may not use looks as one that does not exist: same status, same words; else anybody could list what
we have. A contact is told the difference, because a person who is refused needs to know whom to ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from gateway.stream_header import Answer, Status
from tunnels.identity import ID_CHARACTERS

if TYPE_CHECKING:
    from gateway.expose.services import Service
    from tunnels.identity import EndpointId

ALL_CONTACTS: Final = "contacts"
"""The entry of a service's `allow` that stands for everybody in the address book."""


class Contacts(Protocol):
    """What access needs to know of the address book."""

    def id_of(self, petname: str) -> EndpointId | None:
        """The endpoint that has this petname now."""

    def is_contact(self, endpoint_id: EndpointId) -> bool:
        """Whether the endpoint is in the address book now."""


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
        elif (
            (str(caller) == entry.lower()) if len(entry) == ID_CHARACTERS else contacts.id_of(entry) == caller
        ):
            return f"{entry} is allowed"
    return None
