"""The seam to record sources: the same manners of the fake and the real ones."""

import pytest

from resolver.contacts import AddressBook, Contact
from resolver.discovery.base import RecordSource
from resolver.discovery.static import ContactsSource, StaticSource
from resolver.names import Petname
from tests.lab.resolver_keys import key, packet
from tests.lab.resolver_sources import FakeSource

KNOWN = packet(1)


def of_contacts() -> RecordSource:
    book = AddressBook((Contact(Petname("alice"), KNOWN.endpoint_id, packet=KNOWN),))
    return ContactsSource(lambda: book)


def of_configuration() -> RecordSource:
    return StaticSource([KNOWN])


def fake() -> RecordSource:
    return FakeSource("fake", KNOWN)


@pytest.mark.parametrize("make", [of_contacts, of_configuration, fake])
async def test_every_source_finds_what_it_knows_and_takes_what_is_published(make) -> None:
    source: RecordSource = make()
    assert source.name
    assert await source.find(key(1).endpoint_id) == KNOWN
    await source.publish(packet(2))
