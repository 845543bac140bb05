"""Denied unless allowed; strangers cannot tell a closed service from none; contacts can."""

from __future__ import annotations

import pytest

from gateway.expose.access import may_use
from gateway.expose.services import Service
from gateway.expose.targets import IpTarget
from gateway.stream_header import Status
from tests.lab.streams import ALICE, BOB, CAROL


class Book:
    """An address book of petnames."""

    def __init__(self, **petnames):
        self.petnames = petnames

    def id_of(self, petname):
        return self.petnames.get(petname)

    def is_contact(self, endpoint_id):
        return endpoint_id in self.petnames.values()


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
