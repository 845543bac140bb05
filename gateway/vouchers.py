"""Vouchers: bytes of relaying that a relay's owner promises to one endpoint; and the receipts for them. Sans-IO.

`overlay:v1` and then, in z-base-32, a voucher::

    32 bytes   id of the issuer, the owner of one or more relays
    16 bytes   serial, by chance; good once
    32 bytes   id of the holder
     8 bytes   bytes of credit, big-endian
     8 bytes   when it expires, unix seconds, big-endian
    64 bytes   the issuer's signature over `_VOUCHER` and all of that
     4 bytes   BLAKE2b of all before, personalised with the form

`overlay:r1` and then a receipt::

    32 bytes   id of the beacon
    16 bytes   serial of the voucher
    32 bytes   id of the holder
     8 bytes   bytes of credit that it gave
     8 bytes   bytes of credit that the holder has now
     8 bytes   when, unix seconds
    64 bytes   the beacon's signature over `_RECEIPT` and all of that
     4 bytes   BLAKE2b, as above

A serial is good once among the beacons that share their accounts; an owner of beacons that do not uses a key for each.
No secret is in either: nobody but the holder can redeem a voucher, who proves the id when connecting.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError
from gateway.limits import BEACON_CREDIT_BYTES, VOUCHER_CHARACTERS
from resolver.times import utc_text
from tunnels.identity import SIGNATURE_BYTES, EndpointId, zbase32_decode, zbase32_encode

if TYPE_CHECKING:
    from collections.abc import Collection

    from tunnels.identity import SecretKey

SERIAL_BYTES: Final = 16
_SCHEME: Final = "overlay:"
_VERSION: Final = "1"
_KINDS: Final = {"v": "voucher", "r": "receipt"}
_VOUCHER: Final = b"overlay voucher v1\0"
_RECEIPT: Final = b"overlay voucher receipt v1\0"
_VOUCHER_FIELDS: Final = struct.Struct(">32s16s32sQQ")
_RECEIPT_FIELDS: Final = struct.Struct(">32s16s32sQQQ")
_CHECKSUM_BYTES: Final = 4
_LATEST: Final = 1 << 40
"""Unix seconds beyond which nothing expires: the year 36812; databases hold it."""
_AROUND: Final = str.maketrans("", "", "<>\"'`")
_CHARACTERS: Final = frozenset("ybndrfg8ejkmcpqxot1uwisza345h769")


class VoucherError(GatewayError):
    """A voucher or receipt is not taken; str() says why and the remedy. Nothing was changed."""


class NotAVoucher(VoucherError):
    """The text is something else, or of a form that this version does not know."""


class VoucherTruncated(VoucherError):
    """The end of the text is missing."""


class VoucherDamaged(VoucherError):
    """A character is wrong, or there is one too many."""


class VoucherForged(VoucherError):
    """Who is named in it did not sign it."""


class UnknownIssuer(VoucherError):
    """Its issuer's vouchers are not taken here."""


class VoucherExpired(VoucherError):
    """It was good until some time ago."""


class NotTheHolder(VoucherError):
    """It is good for another endpoint."""


class AlreadyRedeemed(VoucherError):
    """Its serial was redeemed before."""


@dataclass(frozen=True, slots=True)
class Voucher:
    """A voucher whose signature has been verified, or was just made: there is no other way to get one."""

    issuer: EndpointId
    serial: bytes
    """SERIAL_BYTES by chance."""
    holder: EndpointId
    """Who may redeem it."""
    credit_bytes: int
    expires: int
    """Unix seconds."""
    signature: bytes

    @classmethod
    def issue(
        cls, secret_key: SecretKey, *, serial: bytes, holder: EndpointId, credit_bytes: int, expires: int
    ) -> Voucher:
        """Sign one; ValueError for numbers that no voucher can have."""
        if not _plausible(credit_bytes, expires):
            raise ValueError(f"a voucher is for 1 to {BEACON_CREDIT_BYTES} bytes, and expires within reason")
        if len(serial) != SERIAL_BYTES:
            raise ValueError(f"a serial has {SERIAL_BYTES} bytes, not {len(serial)}")
        issuer = secret_key.endpoint_id
        fields = _VOUCHER_FIELDS.pack(issuer.key, serial, holder.key, credit_bytes, expires)
        return cls(issuer, serial, holder, credit_bytes, expires, secret_key.sign(_VOUCHER + fields))

    @classmethod
    def read(cls, text: str) -> Voucher:
        """Read a voucher's text, in any case, with spaces and line breaks anywhere; a VoucherError says what is wrong."""
        data = _read("v", text, _VOUCHER_FIELDS.size + SIGNATURE_BYTES)
        fields, signature = data[: _VOUCHER_FIELDS.size], data[_VOUCHER_FIELDS.size :]
        issuer, serial, holder, credit_bytes, expires = _VOUCHER_FIELDS.unpack(fields)
        voucher = cls(EndpointId(issuer), serial, EndpointId(holder), credit_bytes, expires, signature)
        if not voucher.issuer.verify(_VOUCHER + fields, signature):
            raise VoucherForged(
                f"the voucher was not signed by {voucher.issuer.short}…, whom it names; ask for another"
            )
        if not _plausible(credit_bytes, expires):
            raise VoucherDamaged("the voucher's issuer wrote impossible numbers into it; ask for another")
        return voucher

    def check(self, *, holder: EndpointId, issuers: Collection[EndpointId], now: float) -> None:
        """Return if `holder` may redeem it, at a relay that takes these issuers' vouchers; else a VoucherError.

        That its serial is new is for the accounts to say.
        """
        if self.issuer not in issuers:
            raise UnknownIssuer(
                f"this relay takes no vouchers of {self.issuer.short}…; redeem it where its issuer says"
            )
        if self.holder != holder:
            raise NotTheHolder(
                f"the voucher is for {self.holder.short}…, not for {holder.short}…; only its holder can redeem it"
            )
        if self.expires <= now:
            raise VoucherExpired(
                f"the voucher expired on {utc_text(self.expires)}; ask its issuer for a new one"
            )

    @property
    def text(self) -> str:
        """One line of lower-case text."""
        fields = _VOUCHER_FIELDS.pack(
            self.issuer.key, self.serial, self.holder.key, self.credit_bytes, self.expires
        )
        return _write("v", fields + self.signature)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A beacon's word, signed, that it took a voucher; verified, or just made."""

    beacon: EndpointId
    serial: bytes
    """Of the voucher."""
    holder: EndpointId
    credit_bytes: int
    """What the voucher gave."""
    balance_bytes: int
    """All credit that the holder had then."""
    time: int
    """Unix seconds."""
    signature: bytes

    @classmethod
    def sign(cls, beacon_key: SecretKey, voucher: Voucher, *, balance_bytes: int, time: int) -> Receipt:
        """The receipt for a voucher that was just redeemed."""
        beacon = beacon_key.endpoint_id
        fields = _RECEIPT_FIELDS.pack(
            beacon.key, voucher.serial, voucher.holder.key, voucher.credit_bytes, balance_bytes, time
        )
        return cls(
            beacon,
            voucher.serial,
            voucher.holder,
            voucher.credit_bytes,
            balance_bytes,
            time,
            beacon_key.sign(_RECEIPT + fields),
        )

    @classmethod
    def read(cls, text: str) -> Receipt:
        """Read a receipt's text; a VoucherError says what is wrong with it."""
        data = _read("r", text, _RECEIPT_FIELDS.size + SIGNATURE_BYTES)
        fields, signature = data[: _RECEIPT_FIELDS.size], data[_RECEIPT_FIELDS.size :]
        beacon, serial, holder, credit_bytes, balance_bytes, time = _RECEIPT_FIELDS.unpack(fields)
        receipt = cls(
            EndpointId(beacon), serial, EndpointId(holder), credit_bytes, balance_bytes, time, signature
        )
        if not receipt.beacon.verify(_RECEIPT + fields, signature):
            raise VoucherForged(f"the receipt was not signed by {receipt.beacon.short}…, whom it names")
        return receipt

    def is_for(self, voucher: Voucher, beacon: EndpointId) -> bool:
        """Whether this beacon says in it that it took this voucher, all of it."""
        return (self.beacon, self.serial, self.holder, self.credit_bytes) == (
            beacon,
            voucher.serial,
            voucher.holder,
            voucher.credit_bytes,
        )

    @property
    def text(self) -> str:
        """One line of lower-case text."""
        fields = _RECEIPT_FIELDS.pack(
            self.beacon.key, self.serial, self.holder.key, self.credit_bytes, self.balance_bytes, self.time
        )
        return _write("r", fields + self.signature)


def _plausible(credit_bytes: int, expires: int) -> bool:
    return 0 < credit_bytes <= BEACON_CREDIT_BYTES and 0 < expires <= _LATEST


def _write(kind: str, data: bytes) -> str:
    return f"{_SCHEME}{kind}{_VERSION}{zbase32_encode(data + _checksum(kind, data))}"


def _read(kind: str, text: str, size: int) -> bytes:
    """The `size` bytes that the text holds behind its head and before its checksum."""
    name = _KINDS[kind]
    head = _SCHEME + kind + _VERSION
    if len(text) > VOUCHER_CHARACTERS:
        raise NotAVoucher(
            f"this is {len(text)} characters of text; a {name} has at most {VOUCHER_CHARACTERS}"
        )
    text = "".join(text.translate(_AROUND).split()).lower()
    if not text:
        raise NotAVoucher(f"there is no text; paste the whole line that begins with {head}")
    body = text.removeprefix(_SCHEME)
    if not body.startswith(kind + _VERSION):
        if text != body and body[:1] == kind and body[1:2].isdecimal():
            raise NotAVoucher(f"this {name} was made by a newer overlay (form {body[:2]}); upgrade")
        raise NotAVoucher(f"this is no {name}; one begins with {head}")
    body = body.removeprefix(kind + _VERSION)
    for character in body:
        if character not in _CHARACTERS:
            raise VoucherDamaged(f"{character!r} is in no {name}; copy it again, or ask for it once more")
    expected = -(-(size + _CHECKSUM_BYTES) * 8 // 5)
    if len(body) < expected:
        raise VoucherTruncated(
            f"the {name} is cut short: it has {len(body)} of {expected} characters; copy all of it"
        )
    if len(body) > expected:
        raise VoucherDamaged(
            f"the {name} has {len(body) - expected} characters too many; copy only the {name}"
        )
    try:
        data = zbase32_decode(body)
    except ValueError:
        raise VoucherDamaged(f"the last character of the {name} is wrong; copy it again") from None
    if _checksum(kind, data[:-_CHECKSUM_BYTES]) != data[-_CHECKSUM_BYTES:]:
        raise VoucherDamaged(f"a character of the {name} is wrong; copy it again, or ask for it once more")
    return data[:-_CHECKSUM_BYTES]


def _checksum(kind: str, data: bytes) -> bytes:
    person = f"overlay {_KINDS[kind]}{_VERSION}".encode()
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES, person=person).digest()
