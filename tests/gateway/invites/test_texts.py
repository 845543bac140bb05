"""Invites as text: read back by whoever gets one, refused with the reason where it is not as it was made."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.invites.errors import InviteDamaged, InviteError, InviteNewer, InviteTampered
from gateway.invites.limits import INVITE_CHARACTERS
from gateway.invites.texts import FORM, invite_bytes, invite_from, read_invite, write_invite
from tests.lab.invites import BOB, invite, passed_on

GIVEN = invite("web", petname="bob")
TEXT = write_invite(GIVEN)


def test_an_invite_reads_back_in_every_form_that_mail_and_qr_codes_give_it() -> None:
    assert re.fullmatch(r"overlay:i1[a-z0-9]+", TEXT)
    for form in (
        TEXT,
        TEXT.upper(),
        f"<{TEXT}>\n",
        "\r\n> ".join(TEXT[at : at + 60] for at in range(0, len(TEXT), 60)),
    ):
        read = read_invite(form)
        assert (read.chain, read.packet, read.secret.seed) == (GIVEN.chain, GIVEN.packet, GIVEN.secret.seed)


def test_one_that_was_passed_on_reads_back_too() -> None:
    narrow = passed_on(invite("web", depth=1), BOB, "web")
    assert read_invite(write_invite(narrow)).chain == narrow.chain


@pytest.mark.parametrize("size", range(len("overlay:i1"), len(TEXT), 40))
def test_an_invite_cut_short_says_so(size: int) -> None:
    with pytest.raises(InviteDamaged, match="copy all of it"):
        read_invite(TEXT[:size])


@given(st.integers(len("overlay:i1") + 4, len(TEXT) - 1), st.sampled_from("ybndrfg8ejkmcpqxot1uwisza345h769"))
def test_a_slip_of_the_pen_is_told_from_a_forgery(at: int, character: str) -> None:
    wrong = TEXT[:at] + character + TEXT[at + 1 :]
    if wrong != TEXT:
        with pytest.raises(InviteDamaged, match="wrong; copy it again"):
            read_invite(wrong)


@given(st.integers(2, len(invite_bytes(GIVEN)) - 1), st.integers(1, 255))
def test_whoever_changes_an_invite_and_mends_its_checksum_is_found_out(at: int, change: int) -> None:
    data = bytearray(invite_bytes(GIVEN))
    data[at] ^= change
    with pytest.raises((InviteTampered, InviteDamaged)):
        read_invite(FORM.write(bytes(data)))


def test_other_texts_are_told_apart() -> None:
    with pytest.raises(InviteNewer, match="newer overlay"):
        read_invite("overlay:i2yyyy")
    with pytest.raises(InviteDamaged, match="begins with overlay:i1"):
        read_invite("hello")
    with pytest.raises(InviteDamaged, match=f"at most {INVITE_CHARACTERS}"):
        read_invite("y" * (INVITE_CHARACTERS + 1))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(InviteError):
        invite_from(data)
