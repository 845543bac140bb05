"""The contacts of a running gateway, from commands and from the configuration."""

from __future__ import annotations

import asyncio

import pytest

from gateway.config import ContactSettings
from gateway.contact_book import ContactBook
from gateway.errors import StateError, UsageError
from gateway.home import Home
from gateway.limits import STATE_FILE_BYTES
from resolver.contacts import Contact
from resolver.discovery.base import Scope
from resolver.limits import CONTACT_ADDRESSES, CONTACT_GROUPS, CONTACTS, LABEL_CHARACTERS
from resolver.names import Petname
from resolver.record_cache import KeptPacket
from tests.lab.resolver_keys import NOW, key, packet
from tunnels.addresses import Address

ALICE, BOB = key(1).endpoint_id, key(2).endpoint_id


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def contact(name: str, endpoint_id=ALICE) -> Contact:
    return Contact(Petname(name), endpoint_id)


async def test_a_change_is_saved_and_there_after_a_restart(home):
    book = ContactBook(home, {})
    await book.change(lambda contacts: contacts.add(contact("alice")))
    again = await asyncio.to_thread(ContactBook, home, {})
    assert again.id_of("alice") == again.id_of("ALICE") == ALICE
    assert again.is_contact(ALICE)
    assert not again.is_contact(BOB)


async def test_a_change_that_is_refused_or_cannot_be_saved_changes_nothing(home, monkeypatch):
    book = ContactBook(home, {})
    await book.change(lambda contacts: contacts.add(contact("alice")))
    with pytest.raises(UsageError, match="alice already is"):
        await book.change(lambda contacts: contacts.add(contact("alice", BOB)))

    def full(*_: object) -> None:
        raise StateError("the disk is full")

    monkeypatch.setattr(Home, "save_state", full)
    with pytest.raises(StateError):
        await book.change(lambda contacts: contacts.remove("alice"))
    assert book.id_of("alice") == ALICE


async def test_the_configurations_contacts_are_there_and_out_of_commands_reach(home):
    configured = {"alice": ContactSettings(id=ALICE, addresses=(Address.parse("192.0.2.1:7"),))}
    book = ContactBook(home, configured)
    assert book.id_of("alice") == ALICE
    with pytest.raises(UsageError, match="overlay reload"):
        book.refuse_configured("Alice")
    with pytest.raises(UsageError, match="alice"):
        await book.change(lambda contacts: contacts.add(contact("alice", BOB)))
    assert home.load_state("contacts", dict, dict) == {}


async def test_a_configured_contact_wins_over_a_saved_one_and_says_so(home):
    book = ContactBook(home, {})
    await book.change(lambda contacts: contacts.add(contact("alice")))
    book.configure({"alice": ContactSettings(id=BOB)})
    assert book.id_of("alice") == BOB
    assert "gives way" in book.warnings[0]
    book.configure({"ally": ContactSettings(id=ALICE)})
    assert book.id_of("alice") is None
    assert "goes by that name" in book.warnings[0]
    book.configure({})
    assert book.id_of("alice") == ALICE
    assert not book.warnings


def test_a_damaged_file_is_named(home):
    home.save_state("contacts", {"version": 1, "contacts": [{"petname": "x"}]})
    with pytest.raises(StateError, match=r"contacts\.json"):
        ContactBook(home, {})


async def test_the_ticket_of_a_contact_is_there_after_a_restart(home):
    book = ContactBook(home, {})
    await book.change(lambda contacts: contacts.add(Contact(Petname("alice"), ALICE, (), packet(), NOW)))
    await book.change(lambda contacts: contacts.add(contact("bob", BOB)))
    again = await asyncio.to_thread(ContactBook, home, {})
    assert again.ticket_of(ALICE) == KeptPacket(packet(), "ticket", NOW, Scope.GIVEN)
    assert again.ticket_of(BOB) is None
    assert again.ticket_of(key(3).endpoint_id) is None


def test_the_file_of_a_full_book_may_be_written():
    groups = CONTACT_GROUPS * (LABEL_CHARACTERS + 3)
    largest = (
        1500 + CONTACT_ADDRESSES * 50 + groups + 300
    )  # a ticket in base64 comes first; what is around all is last
    assert CONTACTS * largest < STATE_FILE_BYTES


async def test_groups_are_the_configurations_or_saved_and_of_nobody_who_is_no_contact(home):
    book = ContactBook(
        home, {"bob": ContactSettings(id=BOB, groups=("Chess".lower(),))}, lambda *both: both == (ALICE, BOB)
    )
    await book.change(lambda contacts: contacts.add(contact("alice")))
    await book.change(lambda contacts: contacts.set_groups("alice", ["family"]))
    again = await asyncio.to_thread(ContactBook, home, {})
    assert (again.groups_of(ALICE), again.groups_of(BOB)) == ({"family"}, frozenset())
    assert book.groups_of(BOB) == {"chess"}
    assert (book.is_introduced(ALICE, BOB), book.is_introduced(BOB, ALICE)) == (True, False)
    assert not again.is_introduced(ALICE, BOB)
    await again.change(lambda contacts: contacts.remove("alice"))
    assert again.groups_of(ALICE) == frozenset()
