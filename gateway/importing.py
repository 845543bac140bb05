"""Contacts of a file into the address book, one by one: what becomes of each, and how it is undone.

A petname belongs to one endpoint and an endpoint has one petname. A contact of a file that contradicts that is left out, unless the
person said that the file wins; what the configuration says wins over any file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.control.contacts import Outcome
    from resolver.contacts import AddressBook, Contact

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one contact of a file."""

    contact: Contact
    outcome: Outcome
    detail: str = ""
    removed: tuple[Contact, ...] = ()
    """Contacts that had to go for it."""
    undo: tuple[Words, ...] = ()
    """The words of the commands behind `overlay` that undo it."""


def take(book: AddressBook, fixed: AddressBook, contact: Contact, *, replace: bool) -> Taken:
    """Put `contact` into the book, or tell why not; LimitReached if the book is full.

    `fixed` are the contacts of the configuration, which nothing changes.
    """
    standing = [one for one in (fixed.find(contact.petname), fixed.find_id(contact.endpoint_id)) if one]
    if standing and all(
        (one.petname, one.endpoint_id) == (contact.petname, contact.endpoint_id) for one in standing
    ):
        return Taken(contact, "same")
    if standing:
        return Taken(
            contact, "conflict", f"[contacts.{standing[0].petname}] of the configuration says otherwise"
        )
    named, known = book.find(contact.petname), book.find_id(contact.endpoint_id)
    if named is not None and named is known:
        return _refreshed(book, named, contact)
    others = [other for other in (named, known) if other is not None]
    if others and not replace:
        return Taken(contact, "conflict", _contradiction(contact, named, known))
    if not others:
        like = book.lookalike(contact.petname) or fixed.lookalike(contact.petname)
        detail = f"looks like {like.petname}, which is {like.endpoint_id}" if like is not None else ""
        return Taken(_added(book, contact), "added", detail, undo=(("contacts", "rm", contact.petname),))
    undo: list[Words] = []
    removed = (book.remove(named.petname),) if named is not None else ()
    if known is not None:
        kept = book.rename(known.petname, contact.petname)
        undo.append(("contacts", "rename", contact.petname, known.petname))
    else:
        kept = _added(book, contact)
        undo.append(("contacts", "rm", contact.petname))
    for gone in removed:
        undo += _again(gone)
    return Taken(kept, "replaced", _contradiction(contact, named, known), removed, tuple(undo))


def _refreshed(book: AddressBook, old: Contact, new: Contact) -> Taken:
    """The same contact: addresses and groups are added to those it has, and a choice of paths is taken."""
    merged = replace(
        old,
        addresses=tuple(dict.fromkeys((*new.addresses, *old.addresses))),
        path=new.path or old.path,
        groups=tuple(sorted({*old.groups, *new.groups})),
    )
    if merged == old:
        return Taken(old, "same")
    if merged.addresses != old.addresses:
        book.set_addresses(old.petname, merged.addresses)
    if merged.path != old.path:
        book.set_path(old.petname, merged.path)
    if merged.groups != old.groups:
        book.set_groups(old.petname, merged.groups)
    if merged.addresses != old.addresses:
        return Taken(merged, "changed", undo=(("contacts", "rm", old.petname), *_again(old)))
    undo = [
        ("contacts", "group", "rm", group, old.petname) for group in merged.groups if group not in old.groups
    ]
    return Taken(merged, "changed", undo=(*undo, *((_path(old),) if merged.path != old.path else ())))


def _added(book: AddressBook, contact: Contact) -> Contact:
    added = book.add(contact)
    if contact.path:
        added = book.set_path(added.petname, contact.path)
    return added


def _again(contact: Contact) -> list[Words]:
    """The commands that bring a contact back."""
    addresses = tuple(word for address in contact.addresses for word in ("--address", str(address)))
    added = ("contacts", "add", contact.petname, str(contact.endpoint_id), *addresses)
    groups = [("contacts", "group", "add", group, contact.petname) for group in contact.groups]
    return [added, *([_path(contact)] if contact.path else []), *groups]


def _path(contact: Contact) -> Words:
    return ("contacts", "path", contact.petname, contact.path or "default")


def _contradiction(contact: Contact, named: Contact | None, known: Contact | None) -> str:
    parts = []
    if named is not None:
        parts.append(f"{contact.petname} is {named.endpoint_id} here")
    if known is not None:
        parts.append(f"{contact.endpoint_id} is called {known.petname} here")
    return " and ".join(parts)
