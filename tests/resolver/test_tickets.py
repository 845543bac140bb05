"""Records as text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import (
    BadSignature,
    ForeignVersion,
    NotATicket,
    RecordError,
    RecordExpired,
    TicketDamaged,
    TicketError,
    TicketTruncated,
)
from resolver.limits import TICKET_CHARACTERS
from resolver.records import EndpointRecord
from resolver.signed_packets import SignedPacket
from resolver.tickets import read_ticket, write_ticket
from tests.lab.resolver_keys import NOW, key, packet, record

PACKET = packet(nickname="alice")
TICKET = write_ticket(PACKET)


def test_a_ticket_reads_back_as_packet_and_record() -> None:
    ticket = read_ticket(TICKET, NOW)
    assert ticket.packet == PACKET
    assert ticket.record == EndpointRecord.from_packet(PACKET)


def test_a_ticket_is_one_line_that_a_qr_code_holds_in_alphanumeric_mode() -> None:
    assert re.fullmatch(r"overlay:t1[a-z0-9]+", TICKET)
    assert re.fullmatch(r"[0-9A-Z:]+", TICKET.upper())


@pytest.mark.parametrize(
    "form",
    [
        TICKET.upper(),
        f"  {TICKET}\n",
        f"<{TICKET}>",
        f'"{TICKET}"',
        TICKET.removeprefix("overlay:"),
        "\r\n".join(TICKET[start : start + 72] for start in range(0, len(TICKET), 72)),
        "\n".join("> " + TICKET[start : start + 60] for start in range(0, len(TICKET), 60)),
    ],
)
def test_what_mail_and_chat_make_of_a_ticket_still_reads(form: str) -> None:
    assert read_ticket(form, NOW).packet == PACKET


@pytest.mark.parametrize("size", range(len("overlay:t1"), len(TICKET), 7))
def test_a_ticket_cut_short_says_so(size: int) -> None:
    with pytest.raises(TicketTruncated, match="copy all of it"):
        read_ticket(TICKET[:size], NOW)


@given(
    st.integers(len("overlay:t1") + 4, len(TICKET) - 1), st.sampled_from("ybndrfg8ejkmcpqxot1uwisza345h769")
)
def test_one_wrong_character_is_noticed(position: int, character: str) -> None:
    wrong = TICKET[:position] + character + TICKET[position + 1 :]
    if wrong != TICKET:
        with pytest.raises(TicketDamaged, match="wrong; copy it again"):
            read_ticket(wrong, NOW)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", NotATicket, "there is no text"),
        (" \n>", NotATicket, "there is no text"),
        ("hello", NotATicket, "one begins with overlay:t1"),
        ("https://example.org/", NotATicket, "one begins with overlay:t1"),
        ("overlay:invite1abc", NotATicket, "overlay:invite1a… is no ticket"),
        (str(key(1).endpoint_id), NotATicket, "overlay contacts add PETNAME ID"),
        ("web.alice.overlay", NotATicket, "overlay contacts add PETNAME ID"),
        ("overlay:t2ybndr", ForeignVersion, "newer overlay .form t2.; upgrade"),
        (TICKET + "yy", TicketDamaged, "2 characters too many"),
        (TICKET[:50] + "0" + TICKET[51:], TicketDamaged, "'0' is in no ticket"),
        ("overlay:t199999999", TicketDamaged, "near the beginning"),
        ("x" * (TICKET_CHARACTERS + 1), NotATicket, "at most 4096"),
    ],
)
def test_what_is_no_ticket_is_refused_with_the_reason(text: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        read_ticket(text, NOW)


def test_an_expired_ticket_says_when_it_expired() -> None:
    with pytest.raises(RecordExpired, match="expired on 2025-11-20 01:53 UTC; ask its owner for a new one"):
        read_ticket(TICKET, NOW + 3600)


def test_a_ticket_whose_record_is_forged_is_refused() -> None:
    forged = SignedPacket(PACKET.endpoint_id, PACKET.timestamp, record(2).encode(), PACKET.signature)
    with pytest.raises(BadSignature, match="was not signed by"):
        read_ticket(write_ticket(forged), NOW)


@given(
    st.text(max_size=200)
    | st.text("ybndrfg8ejkmcpqxot1uwisza345h769", max_size=400).map("overlay:t1".__add__)
)
def test_any_text_is_refused_with_an_error_for_people(text: str) -> None:
    with pytest.raises((TicketError, RecordError)) as error:
        read_ticket(text, NOW)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=996))
def test_every_packet_has_a_ticket(data: bytes) -> None:
    text = write_ticket(SignedPacket.sign(key(1), 7, data))
    assert len(text) <= 1790
    with pytest.raises(RecordError):  # the checksum and the signature hold; only the bytes are no record
        read_ticket(text, NOW)
