"""What `overlay voucher` asks and is told, on the wire."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from gateway.control.base import Report, Request

_VoucherText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=2048)]

_BeaconText: TypeAlias = Annotated[str, Meta(max_length=400)]


class AddVoucherRequest(Request, frozen=True, kw_only=True):
    """Take a voucher and hand it in."""

    voucher: _VoucherText
    beacon: _BeaconText = ""
    """Where; empty for our own beacons."""


class VoucherReport(Report, frozen=True, kw_only=True):
    """A voucher that we hold."""

    serial: str
    """In hexadecimal."""
    issuer: str
    """The id of the relay's owner."""
    credit_bytes: int
    expires: float
    """Wall-clock seconds since 1970."""
    expired: bool = False
    taken_by: str = ""
    """The URL of the beacon that took it; empty while none has."""
    receipt: str = ""
    """That beacon's signed word for it."""
    error: str = ""
    """Why none has."""
