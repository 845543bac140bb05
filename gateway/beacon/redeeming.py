"""A beacon takes vouchers: it checks them, has the accounts remember the serial, and signs a receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.vouchers import AlreadyRedeemed, Receipt, Voucher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.beacon.stores import Accounts, Balance
    from tunnels.identity import EndpointId, SecretKey


class VoucherDesk:
    """Turns vouchers of some issuers into credit."""

    __slots__ = ("_accounts", "_beacon_key", "_clock", "_issuers")

    def __init__(
        self,
        beacon_key: SecretKey,
        issuers: Iterable[EndpointId],
        accounts: Accounts,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives unix seconds."""
        self._beacon_key = beacon_key
        self._issuers = frozenset(issuers)
        self._accounts = accounts
        self._clock = clock

    async def redeem(self, holder: EndpointId, text: str) -> tuple[str, Balance]:
        """Take the voucher that `holder`, who has proved that id, hands in; the receipt's text, and the credit now.

        VoucherError says why it is not taken, StoreUnavailable that it may be later; nothing is lost either way.
        """
        now = self._clock()
        voucher = Voucher.read(text)
        voucher.check(holder=holder, issuers=self._issuers, now=now)
        balance = await self._accounts.redeem(
            voucher.serial, voucher.holder, voucher.credit_bytes, voucher.expires
        )
        if balance is None:
            raise AlreadyRedeemed("the voucher was redeemed before; each is good once, ask for a new one")
        receipt = Receipt.sign(self._beacon_key, voucher, balance_bytes=balance.credit_bytes, time=int(now))
        return receipt.text, balance
