"""Contacts of a file into the address book."""

from __future__ import annotations

import pytest

from gateway.importing import take
from resolver.contacts import AddressBook, Contact
from resolver.errors import LimitReached
from resolver.names import Petname
from tests.lab.resolver_keys import key
from tunnels.addresses import Address

NONE = AddressBook()
ONE, TWO, THREE = (key(number).endpoint_id for number in (1, 2, 3))
HOME, AWAY = Address.parse("192.0.2.1:1"), Address.parse("192.0.2.2:2")


def contact(name: str, endpoint_id=ONE, **more) -> Contact:
    return Contact(Petname(name), endpoint_id, **more)


@pytest.fixture
def book() -> AddressBook:
    return AddressBook((contact("alice", addresses=(HOME,)), contact("bob", TWO)))


def petnames(book: AddressBook) -> dict[str, object]:
    return {each.petname: each.endpoint_id for each in book}


def test_new_ones_are_added_with_all_they_have(book: AddressBook) -> None:
    taken = take(book, NONE, contact("carol", THREE, addresses=(HOME,), path="no-lan"), replace=False)
    assert (taken.outcome, taken.detail, taken.undo) == ("added", "", (("contacts", "rm", "carol"),))
    assert (book.get("carol").addresses, book.get("carol").path) == ((HOME,), "no-lan")


def test_one_that_looks_like_another_is_added_and_told(book: AddressBook) -> None:
    taken = take(book, NONE, contact("a1ice", THREE), replace=False)
    assert (taken.outcome, taken.detail) == ("added", f"looks like alice, which is {ONE}")


def test_the_same_one_gets_what_is_new(book: AddressBook) -> None:
    assert take(book, NONE, contact("alice"), replace=False).outcome == "same"
    taken = take(book, NONE, contact("alice", addresses=(AWAY,), path="auto"), replace=False)
    assert (taken.outcome, book.get("alice").addresses) == ("changed", (AWAY, HOME))
    assert taken.undo == (
        ("contacts", "rm", "alice"),
        ("contacts", "add", "alice", str(ONE), "--address", str(HOME)),
    )
    assert take(book, NONE, contact("alice", path="no-lan"), replace=False).undo == (
        ("contacts", "path", "alice", "auto"),
    )


@pytest.mark.parametrize(
    ("offered", "says"),
    [
        (contact("alice", THREE), f"alice is {ONE} here"),
        (contact("alicia"), f"{ONE} is called alice here"),
        (contact("bob"), f"bob is {TWO} here and {ONE} is called alice here"),
    ],
)
def test_a_contradiction_is_told_and_changes_nothing(book: AddressBook, offered: Contact, says: str) -> None:
    before = petnames(book)
    taken = take(book, NONE, offered, replace=False)
    assert (taken.outcome, taken.detail) == ("conflict", says)
    assert petnames(book) == before


@pytest.mark.parametrize(
    ("offered", "after", "removed"),
    [
        (contact("alice", THREE), {"alice": THREE, "bob": TWO}, [ONE]),
        (contact("alicia"), {"alicia": ONE, "bob": TWO}, []),
        (contact("bob"), {"bob": ONE}, [TWO]),
    ],
)
def test_the_file_wins_if_it_shall_and_what_had_to_go_is_told(
    book: AddressBook, offered: Contact, after: dict[str, object], removed: list[object]
) -> None:
    taken = take(book, NONE, offered, replace=True)
    assert taken.outcome == "replaced"
    assert petnames(book) == after
    assert [each.endpoint_id for each in taken.removed] == removed
    assert len(taken.undo) == 1 + len(removed)


@pytest.mark.parametrize("offered", [contact("carol"), contact("carla", THREE)])
def test_what_the_configuration_says_stays(book: AddressBook, offered: Contact) -> None:
    before, fixed = petnames(book), AddressBook((contact("carol", THREE),))
    taken = take(book, fixed, offered, replace=True)
    assert (taken.outcome, taken.detail) == (
        "conflict",
        "[contacts.carol] of the configuration says otherwise",
    )
    assert take(book, fixed, contact("carol", THREE), replace=True).outcome == "same"
    assert petnames(book) == before


def test_a_full_book_takes_no_more() -> None:
    book = AddressBook((contact("alice"),), limit=1)
    with pytest.raises(LimitReached):
        take(book, NONE, contact("bob", TWO), replace=True)


def test_groups_come_with_a_contact_and_are_added_to_those_it_has(book: AddressBook) -> None:
    take(book, NONE, contact("carol", THREE, groups=("chess",)), replace=False)
    taken = take(book, NONE, contact("carol", THREE, groups=("chess", "family")), replace=False)
    assert (taken.outcome, book.get("carol").groups) == ("changed", ("chess", "family"))
    assert taken.undo == (("contacts", "group", "rm", "family", "carol"),)
    taken = take(book, NONE, contact("carol", ONE), replace=True)
    assert taken.undo == (
        ("contacts", "rename", "carol", "alice"),
        ("contacts", "add", "carol", str(THREE)),
        ("contacts", "group", "add", "chess", "carol"),
        ("contacts", "group", "add", "family", "carol"),
    )
