"""Our own record."""

from gateway.own_record import own_record
from resolver.records import EndpointRecord, PublicService
from tests.lab.resolver_keys import NOW, TCP, key
from tunnels.addresses import Address


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
