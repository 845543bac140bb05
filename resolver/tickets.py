"""A signed record as text, for mail, chat, paper and QR codes.

`overlay:t1` and then the signed packet, key included (see `signed_packets`), as `text_forms` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from resolver.errors import NotATicket, TicketDamaged, TicketTruncated
from resolver.limits import TICKET_CHARACTERS
from resolver.records import EndpointRecord
from resolver.signed_packets import LARGEST, SignedPacket
from resolver.text_forms import TextForm, cleaned
from tunnels.identity import ID_CHARACTERS

FORM: Final = TextForm(
    "t",
    "ticket",
    most_bytes=LARGEST,
    most_characters=TICKET_CHARACTERS,
    not_one=NotATicket,
    truncated=TicketTruncated,
    damaged=TicketDamaged,
)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A verified, unexpired record that somebody handed over as text."""

    packet: SignedPacket
    record: EndpointRecord


def write_ticket(packet: SignedPacket) -> str:
    """The ticket of a signed record: one line of lower-case text."""
    return FORM.write(packet.to_bytes())


def read_ticket(text: str, now: float) -> Ticket:
    """Read a ticket, in any case, with spaces and line breaks anywhere; `now` in unix seconds.

    Raises TicketError or RecordError; the message says what is wrong with it and what to do.
    """
    if len(text) <= TICKET_CHARACTERS and _is_name(cleaned(text)):
        raise NotATicket(
            "this is a name or an endpoint id, not a ticket; add it with: overlay contacts add PETNAME ID"
        )
    packet = SignedPacket.parse(FORM.read(text))
    record = EndpointRecord.from_packet(packet)
    record.check_fresh(now)
    return Ticket(packet, record)


def _is_name(text: str) -> bool:
    return (len(text) == ID_CHARACTERS and ":" not in text) or text.endswith(".overlay")
