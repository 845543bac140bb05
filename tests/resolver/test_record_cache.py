"""The newest valid record of each endpoint."""

import pytest

from resolver.discovery.base import Scope
from resolver.errors import MalformedRecord, RecordExpired
from resolver.record_cache import RecordCache
from resolver.signed_packets import SignedPacket
from tests.lab.resolver_keys import NOW, key, packet

ALICE = key(1).endpoint_id


def test_a_record_is_kept_with_its_source_and_age() -> None:
    cache = RecordCache()
    kept = cache.offer(packet(signed_at=NOW - 60), "dht", NOW)
    assert cache.get(ALICE, NOW) == kept
    assert (kept.source, kept.learned_at, kept.age(NOW + 5)) == ("dht", NOW, 65.0)
    assert cache.get(key(2).endpoint_id, NOW) is None


def test_a_clock_that_runs_ahead_at_the_owner_gives_no_negative_age() -> None:
    assert RecordCache().offer(packet(signed_at=NOW + 60), "dht", NOW).age(NOW) == 0


def test_only_a_newer_record_replaces_one() -> None:
    cache = RecordCache()
    old, new = packet(signed_at=NOW), packet(signed_at=NOW + 1)
    assert cache.offer(new, "first", NOW).source == "first"
    assert cache.offer(old, "second", NOW).packet == new
    assert cache.offer(new, "third", NOW).source == "first"
    assert cache.offer(packet(signed_at=NOW + 2), "fourth", NOW).source == "fourth"


def test_a_record_is_forgotten_when_it_expires() -> None:
    cache = RecordCache()
    cache.offer(packet(seconds=60), "dht", NOW)
    assert cache.get(ALICE, NOW + 59) is not None
    assert cache.get(ALICE, NOW + 60) is None
    assert len(cache) == 0


def test_a_record_that_cannot_be_used_leaves_what_was_known() -> None:
    cache = RecordCache()
    good = cache.offer(packet(), "dht", NOW)
    with pytest.raises(RecordExpired):
        cache.offer(packet(signed_at=NOW + 1, seconds=0), "dht", NOW + 1)
    with pytest.raises(MalformedRecord):
        cache.offer(SignedPacket.sign(key(1), int((NOW + 2) * 1e6), b"junk"), "dht", NOW)
    assert cache.get(ALICE, NOW) == good


def test_an_expired_record_does_not_stand_in_the_way_of_an_older_one_that_is_valid() -> None:
    cache = RecordCache()
    cache.offer(packet(signed_at=NOW + 1, seconds=10), "dht", NOW)
    older = packet(signed_at=NOW, seconds=3600)
    assert cache.offer(older, "beacon", NOW + 100).packet == older


def test_the_least_recently_used_record_makes_room() -> None:
    cache = RecordCache(limit=3)
    for number in (1, 2, 3):
        cache.offer(packet(number), "dht", NOW)
    cache.get(ALICE, NOW)
    cache.offer(packet(4), "dht", NOW)
    assert [cache.get(key(number).endpoint_id, NOW) is not None for number in (1, 2, 3, 4)] == [
        True,
        False,
        True,
        True,
    ]
    assert repr(cache) == "<RecordCache of 3 endpoints>"


def test_where_memory_is_short_a_fourth_is_kept_and_it_is_those_used_last() -> None:
    cache = RecordCache()
    for number in range(1, 9):
        cache.offer(packet(number), "dht", NOW)
    cache.get(key(1).endpoint_id, NOW)
    cache.shrink()
    assert [number for number in range(1, 9) if key(number).endpoint_id in cache] == [1, 8]


def test_the_newest_of_each_scope_is_kept_and_the_newest_of_all_comes_first() -> None:
    cache = RecordCache()
    public, local = packet(signed_at=NOW), packet(signed_at=NOW + 1, seconds=60)
    cache.offer(local, "local network", NOW, Scope.LOCAL)
    cache.offer(public, "dht", NOW)
    assert [(each.packet, each.scope) for each in cache.all(ALICE, NOW)] == [
        (local, Scope.LOCAL),
        (public, Scope.PUBLIC),
    ]
    assert [each.packet for each in cache.all(ALICE, NOW + 100)] == [public], "the local one has expired"
