"""Vouchers we hold: kept, handed in once, and their receipts checked."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from gateway.errors import StateError, UsageError
from gateway.held_vouchers import HeldVouchers
from gateway.home import Home
from gateway.limits import HELD_VOUCHERS
from gateway.vouchers import NotTheHolder, Receipt, Voucher, VoucherDamaged, VoucherExpired
from tests.lab.resolver_keys import NOW, key
from tunnels.addresses import BeaconUrl
from tunnels.errors import Unreachable

if TYPE_CHECKING:
    from pathlib import Path

ME, OWNER, BEACON_KEY = key(1), key(2), key(3)
BEACON = BeaconUrl("https", "eu1.example", 443, BEACON_KEY.endpoint_id)
OTHER = BeaconUrl("https", "us1.example", 443)


def voucher(number: int = 1, *, seconds: int = 60, holder: int = 1) -> Voucher:
    return Voucher.issue(
        OWNER,
        serial=number.to_bytes(16),
        holder=key(holder).endpoint_id,
        credit_bytes=10**9,
        expires=int(NOW) + seconds,
    )


class Beacons:
    """Two beacons, of which one takes vouchers; and our home directory."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.connected: tuple[BeaconUrl, ...] = (OTHER, BEACON)
        self.asked: list[BeaconUrl] = []
        self.signer = BEACON_KEY
        self.serial: bytes | None = None
        self.time = NOW

    async def open(self) -> HeldVouchers:
        return await asyncio.to_thread(
            HeldVouchers,
            self.home,
            ME.endpoint_id,
            redeem=self.redeem,
            connected=lambda: self.connected,
            clock=lambda: self.time,
        )

    async def redeem(self, text: str, beacon: BeaconUrl) -> str:
        self.asked.append(beacon)
        if beacon == OTHER:
            raise Unreachable("the beacon us1.example refuses: this relay takes no vouchers of yours")
        taken = Voucher.read(text)
        if self.serial is not None:
            taken = voucher(int.from_bytes(self.serial))
        return Receipt.sign(self.signer, taken, balance_bytes=10**9, time=int(NOW)).text


@pytest.fixture
async def beacons(tmp_path: Path) -> Beacons:
    home = Home(tmp_path)
    await asyncio.to_thread(home.create)
    return Beacons(home)


async def test_it_is_handed_in_where_it_is_taken_and_only_once(beacons: Beacons) -> None:
    held = await beacons.open()
    report = await held.add(voucher().text)
    assert (report.taken_by, report.error, report.credit_bytes) == ("https://eu1.example", "", 10**9)
    assert beacons.asked == [OTHER, BEACON]
    await held.offer(BEACON)
    assert await held.add(voucher().text.upper()) == report
    again = await beacons.open()
    assert again.reports() == (report,)
    await again.offer(BEACON)
    assert beacons.asked == [OTHER, BEACON]


async def test_without_a_beacon_it_waits_for_one_even_over_a_restart(beacons: Beacons) -> None:
    beacons.connected = ()
    held = await beacons.open()
    report = await held.add(voucher().text)
    assert (report.taken_by, report.error) == ("", "")
    held = await beacons.open()
    await held.offer(OTHER)
    assert held.reports()[0].error.startswith("us1.example: the beacon us1.example refuses")
    await held.offer(BEACON)
    assert held.reports()[0].taken_by == "https://eu1.example"


async def test_a_named_beacon_is_the_only_one_that_is_asked(beacons: Beacons) -> None:
    await (await beacons.open()).add(voucher().text, BEACON)
    assert beacons.asked == [BEACON]


async def test_a_receipt_of_another_beacon_or_for_another_voucher_is_none(beacons: Beacons) -> None:
    held = await beacons.open()
    beacons.signer = key(9)
    report = await held.add(voucher().text)
    assert (report.taken_by, report.error) == ("", "eu1.example: its receipt is for something else")
    beacons.signer, beacons.serial = BEACON_KEY, bytes(16)
    await held.offer(BEACON)
    assert held.reports()[0].taken_by == ""
    beacons.serial = None
    await held.offer(BEACON)
    assert held.reports()[0].taken_by == "https://eu1.example"


async def test_what_is_not_ours_expired_or_damaged_is_not_kept(beacons: Beacons) -> None:
    held = await beacons.open()
    with pytest.raises(NotTheHolder, match="and this endpoint is"):
        await held.add(voucher(holder=5).text)
    with pytest.raises(VoucherExpired, match="ask for a new one"):
        await held.add(voucher(seconds=0).text)
    with pytest.raises(VoucherDamaged):
        await held.add(voucher().text[:-1] + "!")
    assert len(held) == 0
    assert beacons.asked == []


async def test_one_that_expires_while_it_waits_is_not_handed_in(beacons: Beacons) -> None:
    beacons.connected = ()
    held = await beacons.open()
    await held.add(voucher().text)
    beacons.time += 60
    await held.offer(BEACON)
    assert beacons.asked == []
    assert held.reports()[0].expired


async def test_their_number_is_bounded_and_those_that_are_over_make_room(beacons: Beacons) -> None:
    beacons.connected = ()
    held = await beacons.open()
    for number in range(HELD_VOUCHERS):
        await held.add(voucher(number).text)
    with pytest.raises(UsageError, match="64 are held that no beacon has taken"):
        await held.add(voucher(1000).text)
    await held.offer(BEACON)
    await held.add(voucher(1000).text)
    assert len(held) == HELD_VOUCHERS


async def test_one_that_cannot_be_saved_is_not_kept(
    beacons: Beacons, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    held = await beacons.open()
    monkeypatch.setattr("gateway.home.write_private", full)
    with pytest.raises(StateError, match="the disk is full"):
        await held.add(voucher().text)
    assert (len(held), beacons.asked) == (0, [])


async def test_damaged_state_is_told_of_and_left_alone(beacons: Beacons) -> None:
    file = beacons.home.state_file("vouchers")
    await asyncio.to_thread(file.write_text, json.dumps([{"voucher": "overlay:v1x"}]))
    with pytest.raises(StateError, match="is corrupt"):
        await beacons.open()
