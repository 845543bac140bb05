"""Records that need no network."""

from resolver.contacts import AddressBook, Contact
from resolver.discovery.static import ContactsSource, StaticSource
from resolver.names import Petname
from tests.lab.resolver_keys import NOW, key, packet


async def test_contacts_are_found_in_the_book_of_this_moment() -> None:
    book = AddressBook()
    source = ContactsSource(lambda: book)
    assert await source.find(key(1).endpoint_id) is None
    book.add(Contact(Petname("alice"), key(1).endpoint_id))
    assert await source.find(key(1).endpoint_id) is None
    book.learn(packet(1))
    assert await source.find(key(1).endpoint_id) == packet(1)
    book = AddressBook()
    assert await source.find(key(1).endpoint_id) is None


async def test_of_several_records_of_one_endpoint_the_newest_counts() -> None:
    old, new = packet(signed_at=NOW), packet(signed_at=NOW + 1)
    for packets in ([old, new], [new, old]):
        assert await StaticSource(packets).find(key(1).endpoint_id) == new
    assert await StaticSource([old]).find(key(2).endpoint_id) is None
