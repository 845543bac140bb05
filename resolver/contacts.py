"""The address book: which petname I gave to which endpoint, and what I know of where it is.

A value object without files: the daemon loads and saves it through `from_json` and `to_json`. A petname belongs to
one endpoint and an endpoint has one petname, so that a name on the screen always means the same key.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import msgspec

from resolver.errors import (
    ContactConflict,
    ContactError,
    ContactNotFound,
    InvalidName,
    InvalidState,
    LimitReached,
    RecordError,
)
from resolver.limits import CONTACT_ADDRESSES, CONTACT_GROUPS, CONTACTS, LABEL_CHARACTERS
from resolver.lookalikes import skeleton
from resolver.names import Petname, check_petname
from resolver.signed_packets import SignedPacket, newer_of
from tunnels.addresses import Address
from tunnels.identity import EndpointId, zbase32_decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FORMAT: Final = 1

PathChoice: TypeAlias = Literal["", "auto", "direct-only", "relay-only", "no-lan"]
"""Which paths may be used to a contact, by the names of `tunnels.paths`; empty is what holds for all who have none."""


@dataclass(frozen=True, slots=True)
class Contact:
    """One endpoint I know, under the name I gave it."""

    petname: Petname
    endpoint_id: EndpointId
    addresses: tuple[Address, ...] = ()
    """Typed by hand; they never expire."""
    packet: SignedPacket | None = None
    """Its newest record, if it ever gave me one."""
    added_at: float = 0.0
    """Unix seconds."""
    path: PathChoice = ""
    """Which paths may be used to it."""
    nickname: str = ""
    """What it called itself when it became a contact, or when its petname was last chosen; empty if that is not known."""
    groups: tuple[str, ...] = ()
    """The groups it is in, sorted."""

    def __post_init__(self) -> None:
        if len(self.addresses) > CONTACT_ADDRESSES:
            raise LimitReached(
                f"{self.petname} has {len(self.addresses)} addresses; a contact may have {CONTACT_ADDRESSES}"
            )
        if len(self.groups) > CONTACT_GROUPS:
            raise LimitReached(
                f"{self.petname} would be in {len(self.groups)} groups; a contact may be in {CONTACT_GROUPS}: "
                f"overlay contacts group rm GROUP {self.petname}"
            )
        if self.packet is not None and self.packet.endpoint_id != self.endpoint_id:
            raise ValueError(f"the record beside {self.petname} speaks of another endpoint")


def check_groups(groups: Iterable[str]) -> tuple[str, ...]:
    """Names of groups as a contact has them; InvalidName for what can be none: they are written as petnames are."""
    return tuple(sorted({str(check_petname(group)) for group in groups}))


class AddressBook:
    """All contacts, found by petname or by id; every change either happens whole or raises and changes nothing."""

    __slots__ = ("_by_id", "_by_petname", "_by_skeleton", "_limit")

    def __init__(self, contacts: tuple[Contact, ...] = (), *, limit: int = CONTACTS) -> None:
        self._by_petname: dict[str, Contact] = {}
        self._by_id: dict[EndpointId, Contact] = {}
        self._by_skeleton: dict[str, tuple[str, ...]] = {}
        self._limit = limit
        for contact in contacts:
            self.add(contact)

    def __len__(self) -> int:
        return len(self._by_petname)

    def __iter__(self) -> Iterator[Contact]:
        """Contacts by petname."""
        return iter(sorted(self._by_petname.values(), key=lambda contact: contact.petname))

    def __repr__(self) -> str:
        return f"<AddressBook of {len(self)} contacts>"

    def copy(self) -> AddressBook:
        """Another book with the same contacts."""
        book = AddressBook(limit=self._limit)
        book._by_petname, book._by_id = self._by_petname.copy(), self._by_id.copy()
        book._by_skeleton = self._by_skeleton.copy()
        return book

    def find(self, petname: str) -> Contact | None:
        """The contact of this petname, in any case."""
        return self._by_petname.get(petname.lower())

    def find_id(self, endpoint_id: EndpointId) -> Contact | None:
        """The contact of this endpoint."""
        return self._by_id.get(endpoint_id)

    def get(self, petname: str) -> Contact:
        """The contact of this petname; ContactNotFound names the nearest one."""
        contact = self.find(petname)
        if contact is None:
            near = difflib.get_close_matches(petname.lower(), self._by_petname, n=1)
            hint = f"did you mean {near[0]}?" if near else "see: overlay contacts ls"
            raise ContactNotFound(f"no contact is called {petname}; {hint}")
        return contact

    def add(self, contact: Contact) -> Contact:
        """Add a contact, or add addresses and a newer record to the one that is the same; returns what is kept.

        InvalidName, ContactConflict or LimitReached otherwise.
        """
        check_petname(contact.petname)
        known = self.find(contact.petname)
        if known is not None and known.endpoint_id != contact.endpoint_id:
            raise ContactConflict(
                f"{contact.petname} already is {known.endpoint_id}; choose another petname, "
                f"or first: overlay contacts rm {contact.petname}"
            )
        same = self.find_id(contact.endpoint_id)
        if same is not None and same.petname != contact.petname:
            raise ContactConflict(
                f"this endpoint already is {same.petname}; to change that: "
                f"overlay contacts rename {same.petname} {contact.petname}"
            )
        if same is not None:
            addresses = tuple(dict.fromkeys((*contact.addresses, *same.addresses)))
            contact = replace(same, addresses=addresses, packet=_newest(same.packet, contact.packet))
        elif len(self) >= self._limit:
            raise LimitReached(
                f"the address book holds {self._limit} contacts; remove one first: overlay contacts rm PETNAME"
            )
        self._keep(contact)
        return contact

    def remove(self, petname: str) -> Contact:
        """Remove and return a contact; ContactNotFound otherwise."""
        contact = self.get(petname)
        self._drop(contact)
        return contact

    def rename(self, petname: str, new: str, *, nickname: str | None = None) -> Contact:
        """Give a contact another petname; ContactNotFound, ContactConflict or InvalidName otherwise.

        `nickname` is what it calls itself now, which is known to whoever renames it.
        """
        contact = self.get(petname)
        wanted = check_petname(new)
        other = self.find(wanted)
        if other is not None and other is not contact:
            raise ContactConflict(
                f"{wanted} already is {other.endpoint_id}; choose another petname, or rename that one"
            )
        self._drop(contact)
        renamed = replace(
            contact, petname=wanted, nickname=contact.nickname if nickname is None else nickname
        )
        self._keep(renamed)
        return renamed

    def set_addresses(self, petname: str, addresses: tuple[Address, ...]) -> Contact:
        """Replace the addresses typed by hand; ContactNotFound or LimitReached otherwise."""
        contact = replace(self.get(petname), addresses=tuple(dict.fromkeys(addresses)))
        self._keep(contact)
        return contact

    def set_path(self, petname: str, path: PathChoice) -> Contact:
        """Choose which paths may be used to a contact; ContactNotFound otherwise."""
        if path not in get_args(PathChoice):
            raise ValueError(f"{path!r} is none of {', '.join(filter(None, get_args(PathChoice)))}")
        contact = replace(self.get(petname), path=path)
        self._keep(contact)
        return contact

    def groups(self) -> dict[str, list[Contact]]:
        """Each group that contacts are in, with these by petname; groups by name."""
        groups: dict[str, list[Contact]] = {}
        for contact in self:
            for group in contact.groups:
                groups.setdefault(group, []).append(contact)
        return dict(sorted(groups.items()))

    def set_groups(self, petname: str, groups: Iterable[str]) -> Contact:
        """Put a contact into these groups and no others; ContactNotFound, InvalidName or LimitReached otherwise."""
        contact = replace(self.get(petname), groups=check_groups(groups))
        self._keep(contact)
        return contact

    def learn(self, packet: SignedPacket) -> bool:
        """Keep the packet if it is a contact's and newer than what we have; whether it was kept."""
        contact = self.find_id(packet.endpoint_id)
        if contact is None or _newest(contact.packet, packet) is contact.packet:
            return False
        self._keep(replace(contact, packet=packet))
        return True

    def suggest(self, nickname: str | None) -> Petname:
        """A free, allowed petname made from a nickname: `alice-s-laptop`, and `…-2` if that is taken."""
        base = (
            re.sub("[^a-z0-9]+", "-", (nickname or "").lower()).strip("-")[: LABEL_CHARACTERS - 13].strip("-")
        )
        for number in range(1, len(self) + 10):  # more candidates than names that could be taken or forbidden
            candidate = (base or "peer") + (f"-{number}" if number > 1 else "")
            try:
                petname = check_petname(candidate)
            except InvalidName:
                continue
            if self.find(petname) is None and self.lookalike(petname) is None:
                return petname
        return check_petname(f"peer-{len(self) + 1}-{len(base)}")

    def lookalike(self, petname: str, *, besides: EndpointId | None = None) -> Contact | None:
        """A contact of another name that this one could be mistaken for."""
        for name in self._by_skeleton.get(skeleton(petname), ()):
            contact = self._by_petname[name]
            if name != petname and contact.endpoint_id != besides:
                return contact
        return None

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads: plain dicts, lists, strings and numbers."""
        return {
            "version": _FORMAT,
            "contacts": [
                {
                    "petname": contact.petname,
                    "id": str(contact.endpoint_id),
                    "addresses": [str(address) for address in contact.addresses],
                    "record": base64.b64encode(contact.packet.to_bytes()).decode()
                    if contact.packet
                    else None,
                    "added_at": contact.added_at,
                    "path": contact.path,
                    "nickname": contact.nickname,
                    "groups": contact.groups,
                }
                for contact in self
            ],
        }

    @classmethod
    def from_json(cls, saved: object, *, limit: int = CONTACTS, trusted: bool = False) -> AddressBook:
        """Read what `to_json` gave; InvalidState names the place that is wrong.

        `trusted` is for a file that only we write: keys and signatures, checked before they came into it, are not
        checked again, which would take a second for ten thousand contacts.
        """
        try:
            book = msgspec.convert(saved, _SavedBook)
        except msgspec.ValidationError as error:
            raise InvalidState(
                f"the saved contacts are damaged: {error}; restore the file or remove it"
            ) from None
        if book.version != _FORMAT:
            raise InvalidState(
                f"the saved contacts have version {book.version}; this overlay reads {_FORMAT}, so upgrade it"
            )
        contacts = cls(limit=limit)
        for position, entry in enumerate(book.contacts):
            try:
                contacts.add(_contact(entry, trusted=trusted))
            except (ContactError, LimitReached, RecordError, ValueError) as error:
                raise InvalidState(
                    f"the saved contacts are damaged: contacts[{position}] ({entry.petname}): {error}"
                ) from None
        return contacts

    def _keep(self, contact: Contact) -> None:
        self._by_petname[contact.petname] = contact
        self._by_id[contact.endpoint_id] = contact
        looks = skeleton(contact.petname)
        alike = self._by_skeleton.get(looks, ())
        if contact.petname not in alike:
            self._by_skeleton[looks] = (*alike, contact.petname)

    def _drop(self, contact: Contact) -> None:
        del self._by_petname[contact.petname]
        del self._by_id[contact.endpoint_id]
        looks = skeleton(contact.petname)
        alike = tuple(name for name in self._by_skeleton.pop(looks) if name != contact.petname)
        if alike:
            self._by_skeleton[looks] = alike


class _SavedContact(msgspec.Struct, forbid_unknown_fields=True):
    petname: str
    id: str
    addresses: list[str] = []
    record: str | None = None
    added_at: float = 0.0
    path: PathChoice = ""
    nickname: str = ""
    groups: tuple[str, ...] = ()


class _SavedBook(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    contacts: list[_SavedContact]


def _contact(saved: _SavedContact, *, trusted: bool) -> Contact:
    packet = None
    if saved.record is not None:
        try:
            data = base64.b64decode(saved.record, validate=True)
            packet = SignedPacket.trusted(data) if trusted else SignedPacket.parse(data)
        except binascii.Error:
            raise ValueError("its record is not base64") from None
    return Contact(
        check_petname(saved.petname),
        EndpointId(zbase32_decode(saved.id)) if trusted else EndpointId.parse(saved.id),
        tuple(Address.parse(text) for text in saved.addresses),
        packet,
        saved.added_at,
        saved.path,
        saved.nickname,
        check_groups(saved.groups) if saved.groups else (),
    )


def _newest(known: SignedPacket | None, offered: SignedPacket | None) -> SignedPacket | None:
    if known is None or offered is None:
        return known or offered
    return newer_of(known, offered)
