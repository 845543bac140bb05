"""Our own record."""

import pytest

from gateway.own_record import own_record, published_parts
from resolver.records import EndpointRecord, PublicService
from tests.lab.resolver_keys import NOW, TCP, key
from tunnels.addresses import Address, BeaconUrl


def test_it_says_where_we_are_what_is_public_and_until_when():
    address = Address.parse("192.0.2.1:7777")
    service = PublicService("web", 80, 80, TCP)
    record, packet = own_record(
        key(1), nickname="alice", addresses=[address], services=[service], now=NOW, lifetime=60
    )
    assert EndpointRecord.from_packet(packet) == record
    assert record.expires == int(NOW + 60)
    assert (record.nickname, record.addresses, record.services) == ("alice", (address,), (service,))


def test_more_than_fits_is_left_out_the_last_first():
    addresses = [Address.parse(f"192.0.2.{number}:7777") for number in range(1, 60)]
    services = [PublicService(f"service-{number}", number, number, TCP) for number in range(1, 60)]
    record, packet = own_record(key(1), nickname="", addresses=addresses, services=services, now=NOW)
    assert EndpointRecord.from_packet(packet) == record
    assert record.addresses == tuple(addresses[: len(record.addresses)])
    assert record.nickname is None


def test_our_relays_stand_in_it_home_first_and_those_with_too_long_urls_do_not():
    good = [BeaconUrl.parse(f"https://b{number}.example") for number in range(6)]
    relays = [BeaconUrl("https", "a" * 252, 443), *good]
    record, _ = own_record(key(1), nickname="", addresses=[], services=[], relays=relays, now=NOW)
    assert record.relays == tuple(good[:4])


def test_it_tells_of_the_relay_that_we_lend_unless_its_url_is_too_long():
    lent = BeaconUrl("https", "192.0.2.9", 7443, key(1).endpoint_id)
    record, _ = own_record(key(1), nickname="", addresses=[], services=[], lends=lent, now=NOW)
    assert record.lends == lent
    long = BeaconUrl("https", "a" * 200, 7443, key(1).endpoint_id)
    record, _ = own_record(key(1), nickname="", addresses=[], services=[], lends=long, now=NOW)
    assert record.lends is None


ALL = {
    "nickname": "alice",
    "addresses": [Address.parse("192.0.2.1:7777")],
    "services": [PublicService("web", 80, 80, TCP)],
    "relays": [BeaconUrl.parse("https://eu1.example")],
    "lends": BeaconUrl("https", "192.0.2.9", 7443, key(1).endpoint_id),
}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), set()),
        (("relays",), {"relays", "lends"}),
        (("services",), {"services"}),
        (("addresses", "nickname"), {"addresses", "nickname"}),
    ],
)
def test_only_what_the_policy_names_is_published(words: tuple[str, ...], told: set[str]):
    parts = published_parts(words, **ALL)
    assert {name for name, value in parts.items() if value} == told
    record, _ = own_record(key(1), **parts, now=NOW)
    assert {name for name in ALL if getattr(record, name)} == told
