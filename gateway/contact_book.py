"""The address book of a running gateway: what commands added and is saved, with what the configuration names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.errors import StateError, UsageError
from resolver.contacts import AddressBook, Contact, check_groups
from resolver.discovery.base import Scope
from resolver.errors import InvalidState, ResolverError
from resolver.names import check_petname
from resolver.record_cache import KeptPacket
from tunnels.paths.candidates import PathPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import ContactSettings
    from gateway.home import Home
    from tunnels.identity import EndpointId

_STATE: Final = "contacts"

Result = TypeVar("Result")


class ContactBook:
    """Contacts from both origins in one `AddressBook`; a change is saved before it counts."""

    def __init__(
        self,
        home: Home,
        configured: Mapping[str, ContactSettings],
        introduced: Callable[[EndpointId, EndpointId], bool] = lambda *_: False,
    ) -> None:
        """Read the saved contacts; StateError when the file is damaged.

        `introduced` tells whether the first, a contact, has introduced the second.
        """
        self._home = home
        self._introduced = introduced
        self._lock = asyncio.Lock()
        try:
            self._saved = AddressBook.from_json(home.load_state(_STATE, dict, _empty), trusted=True)
        except InvalidState as error:
            raise StateError(f"state: {home.state_file(_STATE)}: {error}") from None
        self.warnings: tuple[str, ...] = ()
        self.configured: frozenset[str] = frozenset()
        self.book = AddressBook()
        self.configure(configured)

    def configure(self, configured: Mapping[str, ContactSettings]) -> None:
        """Take the contacts of a configuration in place of those of the last one; they win over saved ones."""
        self._configuration = dict(configured)
        self.configured = frozenset(name.lower() for name in configured)
        self.book, warnings = self._merged(self._saved)
        self.warnings = tuple(warnings)

    def id_of(self, petname: str) -> EndpointId | None:
        """The endpoint that goes by this petname here."""
        contact = self.book.find(petname)
        return None if contact is None else contact.endpoint_id

    def ticket_of(self, endpoint_id: EndpointId) -> KeptPacket | None:
        """The newest ticket that a contact gave us."""
        contact = self.book.find_id(endpoint_id)
        if contact is None or contact.packet is None:
            return None
        return KeptPacket(contact.packet, "ticket", contact.added_at, Scope.GIVEN)

    def is_contact(self, endpoint_id: EndpointId) -> bool:
        """Whether the endpoint is in the address book."""
        return self.book.find_id(endpoint_id) is not None

    def petname_of(self, endpoint_id: EndpointId) -> str | None:
        """What the endpoint is called in the address book; None if it is not there."""
        contact = self.book.find_id(endpoint_id)
        return None if contact is None else contact.petname

    def groups_of(self, endpoint_id: EndpointId) -> frozenset[str]:
        """The groups that an endpoint is in; none if it is no contact."""
        contact = self.book.find_id(endpoint_id)
        return frozenset(contact.groups) if contact is not None else frozenset()

    def is_introduced(self, introducer: EndpointId, endpoint_id: EndpointId) -> bool:
        """Whether a contact has the endpoint in its circle, and both let it be told."""
        return self._introduced(introducer, endpoint_id)

    def path_policy(self, endpoint_id: EndpointId, default: str) -> PathPolicy:
        """Which paths may be used to an endpoint: what its contact says, else the default."""
        contact = self.book.find_id(endpoint_id)
        return PathPolicy((contact.path if contact is not None else "") or default)

    async def change(self, act: Callable[[AddressBook], Result]) -> Result:
        """Let `act` change the saved contacts, save them, and make the change count; or nothing has changed.

        UsageError when the book refuses, StateError when it cannot be saved.
        """
        async with self._lock:
            trial = self._saved.copy()
            try:
                result = act(trial)
                merged, warnings = self._merged(trial)
            except ResolverError as error:
                raise UsageError(f"contacts: {error}") from None
            clash = next((warning for warning in warnings if warning not in self.warnings), None)
            if clash is not None:
                raise UsageError(f"contacts: {clash}")
            await asyncio.to_thread(lambda: self._home.save_state(_STATE, trial.to_json()))
            self._saved, self.book = trial, merged
            return result

    def refuse_configured(self, petname: str) -> None:
        """UsageError if the contact stands in the configuration, where a command does not reach."""
        if petname.lower() in self.configured:
            raise UsageError(
                f"contacts: {petname} stands in {self._home.config_file} as [contacts.{petname}]; "
                "change it there, then: overlay reload"
            )

    def _merged(self, saved: AddressBook) -> tuple[AddressBook, list[str]]:
        warnings: list[str] = []
        if not self._configuration:
            return saved.copy(), warnings
        book = AddressBook()
        for petname, settings in self._configuration.items():
            name = check_petname(petname)
            known = saved.find_id(settings.id)
            packet = known.packet if known is not None else None
            groups = check_groups(settings.groups)
            book.add(
                Contact(name, settings.id, settings.addresses, packet, path=settings.path, groups=groups)
            )
        for contact in saved:
            by_name, by_id = book.find(contact.petname), book.find_id(contact.endpoint_id)
            if by_name is not None and by_name.endpoint_id != contact.endpoint_id:
                warnings.append(
                    f"{contact.petname} of {contact.endpoint_id.short}… gives way to [contacts.{contact.petname}] "
                    f"of the configuration; rename one of them"
                )
            elif by_id is not None and by_id.petname != contact.petname:
                warnings.append(
                    f"{contact.petname} is [contacts.{by_id.petname}] in the configuration, and goes by that name"
                )
            else:
                book.add(contact)
        return book, warnings


def _empty() -> dict[str, Any]:
    return AddressBook().to_json()
