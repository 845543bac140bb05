"""Records that need no network: those of tickets in the address book, and those in the configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.discovery.base import Scope
from resolver.signed_packets import newer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from resolver.contacts import AddressBook
    from resolver.signed_packets import SignedPacket
    from tunnels.identity import EndpointId


class ContactsSource:
    """The records that contacts gave us; always up to date with the book, which may be replaced as a whole."""

    name = "contacts"
    scope = Scope.GIVEN

    def __init__(self, book: Callable[[], AddressBook]) -> None:
        self._book = book

    async def find(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The newest record of the contact with this id."""
        contact = self._book().find_id(endpoint_id)
        return contact.packet if contact is not None else None

    async def publish(self, packet: SignedPacket) -> None:
        """Nothing to do: a person hands our ticket over."""


class StaticSource:
    """A fixed set of records."""

    scope = Scope.PUBLIC

    def __init__(self, packets: Iterable[SignedPacket], *, name: str = "configuration") -> None:
        """Of several records of one endpoint the newest counts."""
        self.name = name
        self._packets: dict[EndpointId, SignedPacket] = {}
        for packet in packets:
            known = self._packets.get(packet.endpoint_id, packet)
            self._packets[packet.endpoint_id] = newer_of(known, packet)

    async def find(self, endpoint_id: EndpointId) -> SignedPacket | None:
        """The record of this endpoint."""
        return self._packets.get(endpoint_id)

    async def publish(self, packet: SignedPacket) -> None:
        """Nothing to do: the set is fixed."""
