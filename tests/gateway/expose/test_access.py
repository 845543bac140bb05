"""Denied unless allowed; strangers cannot tell a closed service from none; contacts can."""

from __future__ import annotations

import pytest

from gateway.expose.access import introducers, may_use
from gateway.expose.services import Service
from gateway.expose.targets import IpTarget
from gateway.stream_header import Status
from tests.lab.streams import ALICE, BOB, CAROL


class Book:
    """An address book of petnames."""

    def __init__(self, *, groups=(), circles=(), **petnames):
        self.petnames = petnames
        self.groups = dict(groups)
        self.circles = dict(circles)

    def id_of(self, petname):
        return self.petnames.get(petname)

    def is_contact(self, endpoint_id):
        return endpoint_id in self.petnames.values()

    def groups_of(self, endpoint_id):
        return frozenset(name for name, members in self.groups.items() if endpoint_id in members)

    def is_introduced(self, introducer, endpoint_id):
        return endpoint_id in self.circles.get(introducer, ())


def service(*allow: str, public: bool = False) -> Service:
    return Service("web", IpTarget("127.0.0.1", 8000, 8000), 80, 80, allow=allow, public=public)


class Granted:
    """Carol may use web by an invite."""

    def granted(self, caller, name):
        return (caller, name) == (CAROL, "web")


def test_an_invite_lets_its_taker_use_what_it_names_and_nobody_else() -> None:
    book = Book(alice=ALICE)
    access = may_use(service(), CAROL, book, Granted())
    assert (access.allowed, access.reason) == (True, "by an invite")
    assert not may_use(service(), CAROL, book).allowed
    assert not may_use(service(), ALICE, book, Granted()).allowed
    assert may_use(service("alice"), ALICE, book, Granted()).allowed
    other = Service("ssh", IpTarget("127.0.0.1", 22, 22), 22, 22)
    assert may_use(other, CAROL, book, Granted()).refusal.status is Status.NO_SERVICE
    assert not may_use(None, CAROL, book, Granted()).allowed


@pytest.mark.parametrize(
    ("offer", "caller", "allowed"),
    [
        (service(), ALICE, False),
        (service("alice"), ALICE, True),
        (service("alice"), BOB, False),
        (service("contacts"), ALICE, True),
        (service("contacts"), BOB, True),
        (service("contacts"), CAROL, False),
        (service(str(CAROL)), CAROL, True),
        (service(str(CAROL).upper()), CAROL, True),
        (service("carol"), CAROL, False),
        (service("nobody", "alice"), ALICE, True),
        (service(public=True), CAROL, True),
        (None, ALICE, False),
    ],
)
def test_only_who_is_allowed_may(offer, caller, allowed) -> None:
    assert may_use(offer, caller, Book(alice=ALICE, bob=BOB)).allowed is allowed


def test_a_stranger_cannot_tell_a_closed_service_from_none() -> None:
    book = Book(alice=ALICE)
    closed, none = may_use(service("alice"), CAROL, book), may_use(None, CAROL, book)
    assert closed.refusal == none.refusal
    assert closed.refusal.status is Status.NO_SERVICE
    assert closed.reason != none.reason  # our own log does tell


def test_a_contact_is_told_the_difference() -> None:
    book = Book(bob=BOB)
    assert may_use(service(), BOB, book).refusal.status is Status.FORBIDDEN
    assert "--allow" in may_use(service(), BOB, book).refusal.reason
    assert may_use(None, BOB, book).refusal.status is Status.NO_SERVICE


def test_a_renamed_or_removed_contact_is_so_at_once() -> None:
    book, offer = Book(alice=ALICE), service("alice")
    assert may_use(offer, ALICE, book).allowed
    book.petnames = {"alice": BOB}
    assert not may_use(offer, ALICE, book).allowed
    assert may_use(offer, BOB, book).allowed
    book.petnames = {}
    assert not may_use(offer, BOB, book).allowed


def test_a_group_is_who_is_in_it_now() -> None:
    book, offer = Book(alice=ALICE, bob=BOB, groups={"family": {ALICE}}), service("group:family")
    assert may_use(offer, ALICE, book).allowed
    assert not may_use(offer, BOB, book).allowed
    assert not may_use(offer, CAROL, book).allowed
    book.groups = {}
    assert not may_use(offer, ALICE, book).allowed


@pytest.mark.parametrize("whose", ["alice", str(ALICE)])
def test_contacts_of_a_contact_are_those_it_introduces(whose) -> None:
    book, offer = Book(alice=ALICE, bob=BOB, circles={ALICE: {CAROL}}), service(f"contacts-of:{whose}")
    assert may_use(offer, CAROL, book).allowed
    assert not may_use(offer, ALICE, book).allowed  # who introduces is not thereby allowed itself
    assert not may_use(offer, BOB, book).allowed
    book.petnames = {"bob": BOB}  # alice is forgotten, and so is her word
    assert not may_use(offer, CAROL, book).allowed


def test_contacts_of_nobody_are_nobody() -> None:
    book = Book(alice=ALICE, circles={ALICE: {CAROL}})
    for whose in ("dave", "", "y" * 51 + "z"):
        assert not may_use(service(f"contacts-of:{whose}"), CAROL, book).allowed
    assert not may_use(service("group:"), CAROL, book).allowed


def test_introducers_are_the_contacts_whose_circles_services_are_open_to() -> None:
    services = [
        service("contacts-of:alice", "bob", "contacts"),
        service(f"contacts-of:{BOB}", f"contacts-of:{CAROL}", "contacts-of:nobody", "group:family"),
    ]
    assert introducers(services, Book(alice=ALICE, bob=BOB)) == {ALICE, BOB}
