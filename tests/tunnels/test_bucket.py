"""A token bucket."""

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
