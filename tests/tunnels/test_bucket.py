"""A token bucket."""

import pytest

from tunnels.bucket import Bucket, Buckets

NOW = 1000.0


def test_a_bucket_gives_so_many_a_second_and_as_many_at_once():
    bucket = Bucket(10)
    assert sum(bucket.take(NOW) for _ in range(1000)) == 10
    assert sum(bucket.take(NOW + step / 1000) for step in range(1000)) in (9, 10)
    assert sum(bucket.take(NOW + 100) for _ in range(1000)) == 10


def test_each_has_a_bucket_and_the_one_that_was_silent_longest_makes_room():
    buckets = Buckets(1, 2, 3)
    for who in (1, 2, 3, 1):
        assert buckets.take(who, NOW)
    assert not buckets.take(1, NOW)
    assert buckets.take(4, NOW)  # in place of 2
    assert len(buckets) == 3
    assert not buckets.take(1, NOW)
    assert [buckets.take(2, NOW) for _ in range(3)] == [True, True, False]


def test_what_is_spent_beyond_what_is_there_has_to_come_back_first():
    bucket = Bucket(10, 5)
    assert bucket.left(NOW) == 5
    bucket.spend(25, NOW)
    assert bucket.left(NOW) == -20
    assert bucket.back_at(NOW) == pytest.approx(NOW + 2, abs=0.001)
    assert bucket.left(bucket.back_at(NOW)) > 0
    assert not bucket.take(NOW + 2)
    assert bucket.take(NOW + 2.1)
    assert bucket.back_at(NOW + 60) == NOW + 60
