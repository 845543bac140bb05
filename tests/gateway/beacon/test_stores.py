"""What every kind of store does: the same tests for the embedded ones and for those in a real Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.embedded import open_embedded
from gateway.beacon.shared import open_shared
from gateway.beacon.stores import Balance, Stores
from gateway.limits import BEACON_CREDIT_BYTES
from resolver.signed_packets import SignedPacket
from tests.lab.redis import RedisProcess
from tests.lab.resolver_keys import NOW, key, packet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ID = key(1).endpoint_id
OTHER = key(2).endpoint_id
LATER = int(NOW) + 86400


@pytest.fixture(params=["embedded", pytest.param("shared", marks=pytest.mark.needs("redis-server"))])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    if request.param == "embedded":
        found = await open_embedded(None, clock=lambda: NOW)
        yield found
        await found.close()
    else:
        async with RedisProcess(tmp_path) as redis:
            found = await open_shared(redis.url, clock=lambda: NOW)
            yield found
            await found.close()


async def test_a_record_is_given_as_it_was_put(stores: Stores) -> None:
    assert await stores.records.get(ID) is None
    assert await stores.records.put(packet(1))
    assert await stores.records.get(ID) == packet(1)
    assert await stores.records.get(OTHER) is None


async def test_only_a_newer_record_takes_the_place_of_one(stores: Stores) -> None:
    old, new = packet(1, signed_at=NOW - 1), packet(1, nickname="new")
    assert await stores.records.put(new)
    assert not await stores.records.put(old)
    assert await stores.records.get(ID) == new
    newest = packet(1, signed_at=NOW + 1)
    assert await stores.records.put(newest)
    assert await stores.records.get(ID) == newest


async def test_the_same_record_may_be_put_again(stores: Stores) -> None:
    assert await stores.records.put(packet(1))
    assert await stores.records.put(packet(1))


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (b"a", b"b"),
        (b"a", b"ab"),
        (b"", b"\0"),
        (b"\x7f", b"\x80"),
        (b"a" * 900 + b"\x01", b"a" * 900 + b"\xff"),
    ],
)
async def test_of_records_of_one_moment_the_larger_counts_whichever_comes_first(
    stores: Stores, less: bytes, more: bytes
) -> None:
    first, second = SignedPacket.sign(key(1), 7, less), SignedPacket.sign(key(1), 7, more)
    assert await stores.records.put(first)
    assert await stores.records.put(second)
    assert not await stores.records.put(first)
    assert await stores.records.get(ID) == second


async def test_timestamps_are_compared_with_all_their_64_bits(stores: Stores) -> None:
    top = (1 << 64) - 1
    assert await stores.records.put(SignedPacket.sign(key(1), top - 1, b""))
    assert await stores.records.put(SignedPacket.sign(key(1), top, b""))
    assert not await stores.records.put(SignedPacket.sign(key(1), top - 1, b""))
    assert not await stores.records.put(SignedPacket.sign(key(1), 1 << 32, b""))


async def test_of_many_records_put_at_once_the_newest_stays(stores: Stores) -> None:
    packets = [SignedPacket.sign(key(1), 1000 + step * 7 % 50, b"x") for step in range(50)]
    await asyncio.gather(*(stores.records.put(each) for each in packets))
    assert await stores.records.get(ID) == max(packets, key=lambda each: each.timestamp)


async def test_what_is_charged_adds_up_within_a_period(stores: Stores) -> None:
    assert await stores.accounts.balance(ID, 5) == Balance(0, 0)
    assert await stores.accounts.charge(ID, 100, 1000, 5) == Balance(100, 0)
    assert await stores.accounts.charge(ID, 50, 1000, 5) == Balance(150, 0)
    assert await stores.accounts.charge(OTHER, 1, 1000, 5) == Balance(1, 0)
    assert await stores.accounts.balance(ID, 5) == Balance(150, 0)
    assert await stores.accounts.balance(ID, 6) == Balance(0, 0)
    assert await stores.accounts.charge(ID, 1, 1000, 6) == Balance(1, 0)


async def test_credit_pays_for_what_goes_beyond_the_quota_and_nothing_else(stores: Stores) -> None:
    assert await stores.accounts.redeem(b"s" * 16, ID, 500, LATER) == Balance(0, 500)
    assert await stores.accounts.charge(ID, 90, 100, 5) == Balance(90, 500)
    assert await stores.accounts.charge(ID, 30, 100, 5) == Balance(120, 480)
    assert await stores.accounts.charge(ID, 30, 100, 5) == Balance(150, 450)
    assert await stores.accounts.charge(ID, 1000, 100, 5) == Balance(1150, 0)
    assert await stores.accounts.charge(ID, 10, 100, 6) == Balance(10, 0)


async def test_credit_outlives_the_period(stores: Stores) -> None:
    await stores.accounts.redeem(b"s" * 16, ID, 500, LATER)
    await stores.accounts.charge(ID, 10, 0, 5)
    assert await stores.accounts.balance(ID, 6) == Balance(0, 490)


async def test_a_serial_is_redeemed_once_whoever_comes(stores: Stores) -> None:
    assert await stores.accounts.redeem(b"s" * 16, ID, 500, LATER) == Balance(0, 500)
    assert await stores.accounts.redeem(b"s" * 16, ID, 500, LATER) is None
    assert await stores.accounts.redeem(b"s" * 16, OTHER, 500, LATER) is None
    assert await stores.accounts.redeem(b"t" * 16, ID, 500, LATER) == Balance(0, 1000)
    assert await stores.accounts.balance(OTHER, 1) == Balance(0, 0)


async def test_of_many_who_redeem_a_serial_at_once_one_does(stores: Stores) -> None:
    answers = await asyncio.gather(*(stores.accounts.redeem(b"s" * 16, ID, 5, LATER) for _ in range(20)))
    assert sum(answer is not None for answer in answers) == 1
    assert await stores.accounts.balance(ID, 1) == Balance(0, 5)


async def test_a_voucher_that_is_out_of_date_gives_nothing(stores: Stores) -> None:
    assert await stores.accounts.redeem(b"s" * 16, ID, 500, int(NOW)) is None
    assert await stores.accounts.balance(ID, 1) == Balance(0, 0)


async def test_charges_made_at_once_all_count(stores: Stores) -> None:
    await stores.accounts.redeem(b"s" * 16, ID, 1000, LATER)
    await asyncio.gather(*(stores.accounts.charge(ID, 10, 100, 5) for _ in range(50)))
    assert await stores.accounts.balance(ID, 5) == Balance(500, 600)


async def test_credit_grows_up_to_a_bound(stores: Stores) -> None:
    for serial in range(3):
        await stores.accounts.redeem(serial.to_bytes(16), ID, BEACON_CREDIT_BYTES - 1, LATER)
    assert await stores.accounts.balance(ID, 1) == Balance(0, BEACON_CREDIT_BYTES)
    assert await stores.accounts.charge(ID, 3, 0, 1) == Balance(3, BEACON_CREDIT_BYTES - 3)


async def test_it_is_ready_and_closes_twice(stores: Stores) -> None:
    await stores.ready()
    await stores.close()
    await stores.close()
