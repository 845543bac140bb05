"""Vouchers and receipts as text: what reads back, and what each kind of wrong one is called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import BEACON_CREDIT_BYTES, VOUCHER_CHARACTERS
from gateway.vouchers import (
    NotAVoucher,
    NotTheHolder,
    Receipt,
    UnknownIssuer,
    Voucher,
    VoucherDamaged,
    VoucherError,
    VoucherExpired,
    VoucherForged,
    VoucherTruncated,
)
from resolver.tickets import write_ticket
from tests.lab.resolver_keys import NOW, key, packet

OWNER, HOLDER, BEACON = key(1), key(2), key(3)
SERIAL = bytes(range(16))
EXPIRES = int(NOW) + 3600
VOUCHER = Voucher.issue(OWNER, serial=SERIAL, holder=HOLDER.endpoint_id, credit_bytes=10**10, expires=EXPIRES)
RECEIPT = Receipt.sign(BEACON, VOUCHER, balance_bytes=3 * 10**10, time=int(NOW))
ALPHABET = "ybndrfg8ejkmcpqxot1uwisza345h769"
ISSUERS = frozenset({OWNER.endpoint_id})


def check(voucher: Voucher = VOUCHER, **changed: object) -> None:
    arguments = {"holder": HOLDER.endpoint_id, "issuers": ISSUERS, "now": NOW, **changed}
    voucher.check(**arguments)  # type: ignore[arg-type]


def test_both_read_back_as_they_were_written() -> None:
    assert Voucher.read(VOUCHER.text) == VOUCHER
    assert Receipt.read(RECEIPT.text) == RECEIPT
    assert (VOUCHER.issuer, VOUCHER.holder) == (OWNER.endpoint_id, HOLDER.endpoint_id)
    assert (RECEIPT.credit_bytes, RECEIPT.balance_bytes, RECEIPT.time) == (10**10, 3 * 10**10, int(NOW))


def test_both_are_one_short_line() -> None:
    assert re.fullmatch(r"overlay:v1[a-z0-9]{263}", VOUCHER.text)
    assert re.fullmatch(r"overlay:r1[a-z0-9]{276}", RECEIPT.text)


def test_the_form_is_fixed() -> None:
    """Whoever reads vouchers of other versions reads these bytes."""
    assert VOUCHER.text.startswith("overlay:v1")
    assert (
        VOUCHER.text
        == Voucher.issue(
            OWNER, serial=SERIAL, holder=HOLDER.endpoint_id, credit_bytes=10**10, expires=EXPIRES
        ).text
    )
    fields = OWNER.endpoint_id.key + SERIAL + HOLDER.endpoint_id.key
    fields += (10**10).to_bytes(8) + EXPIRES.to_bytes(8)
    assert VOUCHER.signature == OWNER.sign(b"overlay voucher v1\0" + fields)


@pytest.mark.parametrize(
    "form",
    [
        VOUCHER.text.upper(),
        f"  <{VOUCHER.text}>\n",
        VOUCHER.text.removeprefix("overlay:"),
        "\n".join("> " + VOUCHER.text[start : start + 60] for start in range(0, 280, 60)),
    ],
)
def test_what_mail_and_chat_make_of_a_voucher_still_reads(form: str) -> None:
    assert Voucher.read(form) == VOUCHER


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", NotAVoucher, "there is no text; paste the whole line that begins with overlay:v1"),
        ("hello", NotAVoucher, "this is no voucher; one begins with overlay:v1"),
        (write_ticket(packet(1)), NotAVoucher, "this is no voucher"),
        (RECEIPT.text, NotAVoucher, "this is no voucher"),
        ("overlay:v2abc", NotAVoucher, "newer overlay .form v2.; upgrade"),
        ("x" * (VOUCHER_CHARACTERS + 1), NotAVoucher, "at most 1024"),
        (VOUCHER.text[:-1], VoucherTruncated, "262 of 263 characters; copy all of it"),
        ("overlay:v1", VoucherTruncated, "0 of 263"),
        (VOUCHER.text + "y", VoucherDamaged, "1 characters too many"),
        (VOUCHER.text[:50] + "0" + VOUCHER.text[51:], VoucherDamaged, "'0' is in no voucher"),
        (VOUCHER.text[:-1] + "9", VoucherDamaged, "wrong; copy it again"),
    ],
)
def test_what_is_no_voucher_is_refused_with_the_reason(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Voucher.read(text)


@given(st.integers(10, len(VOUCHER.text) - 1), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(position: int, character: str) -> None:
    wrong = VOUCHER.text[:position] + character + VOUCHER.text[position + 1 :]
    if wrong != VOUCHER.text:
        with pytest.raises(VoucherDamaged, match="wrong; copy it again"):
            Voucher.read(wrong)


@given(st.text(max_size=200) | st.text(ALPHABET, max_size=400).map("overlay:v1".__add__))
def test_any_text_is_refused_with_an_error_for_people(text: str) -> None:
    for read in (Voucher.read, Receipt.read):
        with pytest.raises(VoucherError) as error:
            read(text)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": key(9).endpoint_id},
        {"serial": bytes(16)},
        {"holder": key(9).endpoint_id},
        {"credit_bytes": 10**12},
        {"expires": EXPIRES + 1},
        {"signature": bytes(64)},
    ],
)
def test_a_voucher_that_was_changed_is_forged(changed: dict[str, object]) -> None:
    fields = {name: getattr(VOUCHER, name) for name in Voucher.__slots__} | changed
    with pytest.raises(VoucherForged, match=r"was not signed by .*; ask for another"):
        Voucher.read(Voucher(**fields).text)


def test_a_signature_of_another_kind_is_no_voucher() -> None:
    fields = b"".join(
        (OWNER.endpoint_id.key, SERIAL, HOLDER.endpoint_id.key, (1).to_bytes(8), EXPIRES.to_bytes(8))
    )
    stolen = Voucher(OWNER.endpoint_id, SERIAL, HOLDER.endpoint_id, 1, EXPIRES, OWNER.sign(fields))
    with pytest.raises(VoucherForged):
        Voucher.read(stolen.text)


@pytest.mark.parametrize(
    ("credit", "expires"), [(0, 5), (BEACON_CREDIT_BYTES + 1, 5), (1, 0), (1, (1 << 64) - 1)]
)
def test_impossible_numbers_are_neither_written_nor_read(credit: int, expires: int) -> None:
    with pytest.raises(ValueError, match="a voucher is for"):
        Voucher.issue(OWNER, serial=SERIAL, holder=HOLDER.endpoint_id, credit_bytes=credit, expires=expires)
    fields = OWNER.endpoint_id.key + SERIAL + HOLDER.endpoint_id.key
    fields += credit.to_bytes(8) + expires.to_bytes(8)
    signature = OWNER.sign(b"overlay voucher v1\0" + fields)
    signed = Voucher(OWNER.endpoint_id, SERIAL, HOLDER.endpoint_id, credit, expires, signature)
    with pytest.raises(VoucherDamaged, match="impossible numbers"):
        Voucher.read(signed.text)


def test_a_serial_has_its_length() -> None:
    with pytest.raises(ValueError, match="16 bytes, not 15"):
        Voucher.issue(OWNER, serial=bytes(15), holder=HOLDER.endpoint_id, credit_bytes=1, expires=EXPIRES)


def test_its_holder_may_redeem_it_until_it_expires_where_its_issuer_is_known() -> None:
    check()
    check(now=EXPIRES - 1)


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"now": EXPIRES}, VoucherExpired, "expired on 2025-11-20 01:53 UTC; ask its issuer for a new one"),
        ({"holder": OWNER.endpoint_id}, NotTheHolder, "only its holder can redeem it"),
        ({"issuers": frozenset({BEACON.endpoint_id})}, UnknownIssuer, "takes no vouchers of"),
        ({"issuers": frozenset()}, UnknownIssuer, "takes no vouchers of"),
    ],
)
def test_others_are_told_apart(changed: dict[str, object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        check(**changed)


def test_a_receipt_is_for_one_voucher_at_one_beacon() -> None:
    other = Voucher.issue(
        OWNER, serial=bytes(16), holder=HOLDER.endpoint_id, credit_bytes=10**10, expires=EXPIRES
    )
    less = Receipt.sign(
        BEACON,
        Voucher.issue(OWNER, serial=SERIAL, holder=HOLDER.endpoint_id, credit_bytes=1, expires=EXPIRES),
        balance_bytes=1,
        time=0,
    )
    assert RECEIPT.is_for(VOUCHER, BEACON.endpoint_id)
    assert not RECEIPT.is_for(other, BEACON.endpoint_id)
    assert not RECEIPT.is_for(VOUCHER, OWNER.endpoint_id)
    assert not less.is_for(VOUCHER, BEACON.endpoint_id)


def test_a_receipt_that_was_changed_is_forged() -> None:
    fields = {name: getattr(RECEIPT, name) for name in Receipt.__slots__} | {"balance_bytes": 1}
    with pytest.raises(VoucherForged, match="the receipt was not signed by"):
        Receipt.read(Receipt(**fields).text)
