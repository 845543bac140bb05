"""A beacon takes each voucher once, from its holder, and tells every other case apart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.embedded import open_embedded
from gateway.beacon.redeeming import VoucherDesk
from gateway.beacon.stores import Balance, Stores, StoreUnavailable
from gateway.vouchers import (
    AlreadyRedeemed,
    NotAVoucher,
    NotTheHolder,
    Receipt,
    UnknownIssuer,
    Voucher,
    VoucherExpired,
    VoucherForged,
)
from tests.lab.resolver_keys import NOW, key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OWNER, HOLDER, BEACON, STRANGER = key(1), key(2), key(3), key(4)
HOLDER_ID = HOLDER.endpoint_id


def voucher(serial: int = 1, issuer: object = OWNER, credit: int = 1000, seconds: int = 3600) -> Voucher:
    return Voucher.issue(
        issuer,  # type: ignore[arg-type]
        serial=serial.to_bytes(16),
        holder=HOLDER_ID,
        credit_bytes=credit,
        expires=int(NOW) + seconds,
    )


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    opened = await open_embedded(None, clock=lambda: NOW)
    yield opened
    await opened.close()


@pytest.fixture
def desk(stores: Stores) -> VoucherDesk:
    return VoucherDesk(BEACON, [OWNER.endpoint_id], stores.accounts, lambda: NOW)


async def test_a_voucher_becomes_credit_and_a_receipt(desk: VoucherDesk, stores: Stores) -> None:
    text, balance = await desk.redeem(HOLDER_ID, voucher().text)
    receipt = Receipt.read(text)
    assert receipt.is_for(voucher(), BEACON.endpoint_id)
    assert (receipt.balance_bytes, receipt.time, balance) == (1000, int(NOW), Balance(0, 1000))
    text, balance = await desk.redeem(HOLDER_ID, voucher(2).text)
    assert (Receipt.read(text).balance_bytes, balance) == (2000, Balance(0, 2000))
    assert await stores.accounts.balance(HOLDER_ID, 1) == Balance(0, 2000)


async def test_every_other_case_is_told_apart_and_gives_nothing(desk: VoucherDesk, stores: Stores) -> None:
    true = voucher()
    forged = Voucher(true.issuer, true.serial, true.holder, 10**15, true.expires, true.signature)
    for text, holder, error in (
        (forged.text, HOLDER_ID, VoucherForged),
        (voucher(issuer=STRANGER).text, HOLDER_ID, UnknownIssuer),
        (voucher(seconds=0).text, HOLDER_ID, VoucherExpired),
        (true.text, STRANGER.endpoint_id, NotTheHolder),
        ("junk", HOLDER_ID, NotAVoucher),
    ):
        with pytest.raises(error):
            await desk.redeem(holder, text)
    assert await stores.accounts.balance(HOLDER_ID, 1) == Balance(0, 0)
    await desk.redeem(HOLDER_ID, true.text)
    with pytest.raises(AlreadyRedeemed, match="each is good once"):
        await desk.redeem(HOLDER_ID, true.text)
    assert await stores.accounts.balance(HOLDER_ID, 1) == Balance(0, 1000)


async def test_a_voucher_handed_in_many_times_at_once_counts_once(desk: VoucherDesk, stores: Stores) -> None:
    results = await asyncio.gather(
        *(desk.redeem(HOLDER_ID, voucher().text) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, AlreadyRedeemed) for result in results) == 9
    assert await stores.accounts.balance(HOLDER_ID, 1) == Balance(0, 1000)


async def test_a_voucher_is_not_lost_when_the_accounts_do_not_answer(
    desk: VoucherDesk, stores: Stores
) -> None:
    await stores.close()
    with pytest.raises(StoreUnavailable):
        await desk.redeem(HOLDER_ID, voucher().text)
