"""Contacts as a file, to move or share an address book: lines of text, or JSON.

::

    # petname  id  where it may be reached, if that was typed by hand
    alice  <52 characters>  192.0.2.1:7777  path=no-lan  groups=family,chess

Records are left out: they expire, and whoever has the id finds a newer one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

import msgspec

from resolver.contacts import PathChoice, check_groups
from resolver.errors import InvalidContacts, InvalidName
from resolver.limits import CONTACT_ADDRESSES, CONTACT_FILE_CHARACTERS, CONTACT_GROUPS, CONTACTS
from resolver.names import check_petname
from tunnels.addresses import Address
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FORMAT: Final = 1
_PATH: Final = "path="
_GROUPS: Final = "groups="


class ListedContact(msgspec.Struct, frozen=True):
    """One contact in a file."""

    petname: str
    id: str
    addresses: tuple[str, ...] = ()
    path: PathChoice = ""
    groups: tuple[str, ...] = ()


class JsonContacts(msgspec.Struct, frozen=True):
    """An address book in a file."""

    contacts: tuple[ListedContact, ...]
    version: int = _FORMAT


def contact_lines(contacts: Iterable[ListedContact]) -> Iterator[str]:
    """Contacts as lines that `read_contacts` reads."""
    for contact in contacts:
        path = (f"{_PATH}{contact.path}",) if contact.path else ()
        groups = (f"{_GROUPS}{','.join(contact.groups)}",) if contact.groups else ()
        yield "  ".join((contact.petname, contact.id, *contact.addresses, *path, *groups))


def read_contacts(text: str) -> tuple[ListedContact, ...]:
    """Read either form, checked; InvalidContacts names the line or the entry that is wrong."""
    if len(text) > CONTACT_FILE_CHARACTERS:
        raise InvalidContacts(f"the file has more than {CONTACT_FILE_CHARACTERS} characters; split it")
    found = _read_json(text) if text.lstrip()[:1] == "{" else _read_lines(text)
    contacts: dict[str, ListedContact] = {}
    ids: dict[str, str] = {}
    for where, contact in found:
        try:
            checked = _checked(contact)
        except (InvalidName, ValueError) as error:
            raise InvalidContacts(f"{where}: {error}") from None
        if checked.petname in contacts or checked.id in ids:
            raise InvalidContacts(
                f"{where}: this petname or this id stands in the file before; leave one out"
            )
        contacts[checked.petname] = checked
        ids[checked.id] = checked.petname
        if len(contacts) > CONTACTS:
            raise InvalidContacts(
                f"the file has more than {CONTACTS} contacts; an address book holds no more"
            )
    return tuple(contacts.values())


def _read_json(text: str) -> Iterator[tuple[str, ListedContact]]:
    try:
        book = msgspec.json.decode(text, type=JsonContacts)
    except (ValueError, RecursionError) as error:
        raise InvalidContacts(
            f"these are no contacts as `overlay contacts export --json` prints them: {error}"
        ) from None
    if book.version != _FORMAT:
        raise InvalidContacts(
            f"the file has version {book.version}; this overlay reads {_FORMAT}, so upgrade it"
        )
    yield from ((f"contacts[{number}]", contact) for number, contact in enumerate(book.contacts))


def _read_lines(text: str) -> Iterator[tuple[str, ListedContact]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) < 2:
            raise InvalidContacts(f"line {number}: a contact is its petname and its id")
        path, groups = _option(_PATH, words), _option(_GROUPS, words)
        if path not in get_args(PathChoice):
            raise InvalidContacts(
                f"line {number}: path is one of {', '.join(filter(None, get_args(PathChoice)))}"
            )
        addresses = tuple(word for word in words[2:] if not word.startswith((_PATH, _GROUPS)))
        yield (
            f"line {number}",
            msgspec.convert(
                {
                    "petname": words[0],
                    "id": words[1],
                    "addresses": addresses,
                    "path": path,
                    "groups": tuple(filter(None, groups.split(","))),
                },
                ListedContact,
            ),
        )


def _option(name: str, words: list[str]) -> str:
    return next((word.removeprefix(name) for word in words[2:] if word.startswith(name)), "")


def _checked(contact: ListedContact) -> ListedContact:
    if len(contact.addresses) > CONTACT_ADDRESSES:
        raise ValueError(f"{len(contact.addresses)} addresses; a contact may have {CONTACT_ADDRESSES}")
    if len(contact.groups) > CONTACT_GROUPS:
        raise ValueError(f"{len(contact.groups)} groups; a contact may be in {CONTACT_GROUPS}")
    return ListedContact(
        check_petname(contact.petname),
        str(EndpointId.parse(contact.id)),
        tuple(str(Address.parse(text)) for text in contact.addresses),
        contact.path,
        check_groups(contact.groups),
    )
