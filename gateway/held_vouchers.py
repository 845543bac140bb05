"""The vouchers that we hold: kept on disk, handed in at the beacon that takes them, with its receipt beside them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.control.vouchers import VoucherReport
from gateway.errors import StateError, UsageError
from gateway.limits import HELD_VOUCHERS
from gateway.vouchers import NotTheHolder, Receipt, Voucher, VoucherError, VoucherExpired
from resolver.times import utc_text
from tunnels.errors import TunnelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.home import Home
    from tunnels.addresses import BeaconUrl
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)

_STATE: Final = "vouchers"


class _Saved(msgspec.Struct, forbid_unknown_fields=True):
    voucher: str
    beacon: str = ""
    receipt: str = ""


@dataclass(slots=True)
class _Held:
    voucher: Voucher
    beacon: str = ""
    """Where it was taken."""
    receipt: Receipt | None = None
    error: str = ""
    """Why it was not taken the last time."""


class HeldVouchers:
    """Vouchers by serial. A voucher is handed in once, and kept with its receipt as long as its owner wants."""

    def __init__(
        self,
        home: Home,
        holder: EndpointId,
        *,
        redeem: Callable[[str, BeaconUrl], Awaitable[str]],
        connected: Callable[[], tuple[BeaconUrl, ...]],
        clock: Callable[[], float],
    ) -> None:
        """`redeem` hands a voucher to a beacon and gives its receipt, or raises a TunnelError; `connected` are the
        beacons there are, our home first; `clock` gives unix seconds. StateError when the saved ones are damaged.
        """
        self._home = home
        self._holder = holder
        self._redeem = redeem
        self._connected = connected
        self._clock = clock
        self._lock = asyncio.Lock()
        self._held: dict[bytes, _Held] = {}
        for saved in home.load_state(_STATE, list[_Saved], list):
            try:
                voucher = Voucher.read(saved.voucher)
                receipt = Receipt.read(saved.receipt) if saved.receipt else None
            except VoucherError as error:
                raise StateError(
                    f"state: {home.state_file(_STATE)} is corrupt ({error}); restore it from a backup, or move it away"
                ) from None
            self._held[voucher.serial] = _Held(voucher, saved.beacon, receipt)

    def __len__(self) -> int:
        return len(self._held)

    def reports(self) -> tuple[VoucherReport, ...]:
        """All of them, the one that expires first first."""
        return tuple(map(self._report, sorted(self._held.values(), key=lambda held: held.voucher.expires)))

    async def add(self, text: str, beacon: BeaconUrl | None = None) -> VoucherReport:
        """Keep a voucher and hand it in: at `beacon`, else where one of our beacons takes it, now or when next connected.

        VoucherError or UsageError says why it is not kept.
        """
        voucher = Voucher.read(text)
        if voucher.holder != self._holder:
            raise NotTheHolder(f"vouchers: it is for {voucher.holder}, and this endpoint is {self._holder}")
        if voucher.expires <= self._clock():
            raise VoucherExpired(f"vouchers: it expired on {utc_text(voucher.expires)}; ask for a new one")
        async with self._lock:
            if voucher.serial not in self._held:
                self._make_room()
                self._held[voucher.serial] = _Held(voucher)
                try:
                    await self._save()
                except BaseException:
                    del self._held[voucher.serial]
                    raise
        held = self._held[voucher.serial]
        await self._hand_in(held, (beacon,) if beacon is not None else self._connected())
        return self._report(held)

    async def offer(self, beacon: BeaconUrl) -> None:
        """A beacon is connected: hand in what nobody has taken yet."""
        for held in tuple(self._held.values()):
            await self._hand_in(held, (beacon,))

    async def _hand_in(self, held: _Held, beacons: tuple[BeaconUrl, ...]) -> None:
        """Try these beacons until one has taken it."""
        async with self._lock:
            for beacon in beacons:
                if held.receipt is not None or held.voucher.expires <= self._clock():
                    return
                try:
                    receipt = Receipt.read(await self._redeem(held.voucher.text, beacon))
                except (TunnelError, VoucherError) as error:
                    held.error = f"{beacon.authority}: {error}"
                    continue
                if not receipt.is_for(held.voucher, beacon.beacon_id or receipt.beacon):
                    held.error = f"{beacon.authority}: its receipt is for something else"
                    continue
                held.receipt, held.beacon, held.error = receipt, beacon.origin, ""
                _logger.info("voucher taken by %s", beacon.authority)
                await self._save()

    def _make_room(self) -> None:
        """Drop what is over; UsageError if nothing is."""
        if len(self._held) < HELD_VOUCHERS:
            return
        now = self._clock()
        over = [
            serial
            for serial, held in self._held.items()
            if held.receipt is not None or held.voucher.expires <= now
        ]
        if not over:
            raise UsageError(
                f"vouchers: {HELD_VOUCHERS} are held that no beacon has taken; see: overlay vouchers ls"
            )
        del self._held[over[0]]

    async def _save(self) -> None:
        saved = [
            _Saved(held.voucher.text, held.beacon, held.receipt.text if held.receipt is not None else "")
            for held in self._held.values()
        ]
        await asyncio.to_thread(self._home.save_state, _STATE, saved)

    def _report(self, held: _Held) -> VoucherReport:
        voucher = held.voucher
        return VoucherReport(
            serial=voucher.serial.hex(),
            issuer=str(voucher.issuer),
            credit_bytes=voucher.credit_bytes,
            expires=float(voucher.expires),
            expired=voucher.expires <= self._clock(),
            taken_by=held.beacon,
            receipt=held.receipt.text if held.receipt is not None else "",
            error=held.error,
        )
