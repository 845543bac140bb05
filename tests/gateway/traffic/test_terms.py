"""Which limits hold for whom: the most specific scope that says something decides."""

from __future__ import annotations

import pytest

from gateway.config.quantities import UNLIMITED
from gateway.traffic.terms import NO_TERMS, Terms, TermsBook
from tunnels.identity import EndpointId

BOB = EndpointId(b"b" * 32)

CONFIGURED = {
    "default": Terms(rate=1, quota=2, connections=3, weight=4),
    "groups.family": Terms(rate=10, quota=20),
    "groups.friends": Terms(rate=100, connections=300),
    "contacts.bob": Terms(quota=UNLIMITED),
    f"contacts.{BOB}": Terms(weight=9),
    "strangers": Terms(rate=5),
    "services.web": Terms(connections=7),
}


@pytest.mark.parametrize(
    ("petname", "groups", "expected"),
    [
        (None, (), Terms(rate=1, quota=2, connections=3, weight=9)),
        ("eve", ("unheard-of",), Terms(rate=1, quota=2, connections=3, weight=9)),
        ("eve", ("friends",), Terms(rate=100, quota=2, connections=300, weight=9)),
        ("bob", ("friends", "family"), Terms(rate=10, quota=UNLIMITED, connections=300, weight=9)),
    ],
)
def test_each_limit_is_said_by_the_most_specific_scope(petname, groups, expected):
    assert TermsBook(CONFIGURED).for_contact(BOB, petname, groups) == expected


def test_strangers_and_services_have_their_own():
    book = TermsBook(CONFIGURED)
    assert book.for_strangers() == Terms(rate=5)
    assert book.for_service("web") == Terms(connections=7)
    assert book.for_service("ssh") == NO_TERMS


def test_what_is_set_by_command_is_stronger_in_its_scope_only():
    book = TermsBook(CONFIGURED, {"default": Terms(rate=50), "groups.family": Terms(quota=60)})
    assert book.for_contact(BOB, "bob", ("family",)) == Terms(
        rate=10, quota=UNLIMITED, connections=3, weight=9
    )
    assert book.for_contact(BOB, "eve", ()).rate == 50
    assert set(book.scopes()) == set(CONFIGURED)


def test_nothing_said_and_unlimited_are_no_limits():
    assert not NO_TERMS.limits
    assert not Terms(rate=UNLIMITED, weight=3).limits
    assert Terms(connections=0).limits
    assert NO_TERMS.share == 1
    assert Terms(weight=4).share == 4
