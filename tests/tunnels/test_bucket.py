"""A token bucket."""

from tunnels.bucket import Bucket

NOW = 1000.0


def test_a_bucket_gives_so_many_a_second_and_as_many_at_once():
    bucket = Bucket(10)
    assert sum(bucket.take(NOW) for _ in range(1000)) == 10
    assert sum(bucket.take(NOW + step / 1000) for step in range(1000)) in (9, 10)
    assert sum(bucket.take(NOW + 100) for _ in range(1000)) == 10
