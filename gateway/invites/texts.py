"""An invite as text: `overlay:i1` and then, as `resolver.text_forms` writes it, its record, its chain and its secret.

What is carried::

    2 bytes    length of the record, big-endian
    n bytes    the issuer's signed packet, key included
    m bytes    the chain (see `capability`)
   32 bytes    the secret of its last link

It is a bearer capability until it was taken as often as it is good, unless it is for one endpoint alone.
"""

from __future__ import annotations

import struct
from typing import Final

from gateway.invites.capability import SEED_BYTES, Chain, Invite
from gateway.invites.errors import InviteDamaged, InviteNewer, InviteTampered
from gateway.invites.limits import INVITE_BYTES, INVITE_CHARACTERS
from resolver.errors import RecordError
from resolver.signed_packets import SignedPacket
from resolver.text_forms import TextForm
from tunnels.identity import zbase32_encode

FORM: Final = TextForm(
    "i",
    "invite",
    most_bytes=INVITE_BYTES,
    most_characters=INVITE_CHARACTERS,
    not_one=InviteDamaged,
    truncated=InviteDamaged,
    damaged=InviteDamaged,
    newer=InviteNewer,
)
_LENGTH: Final = struct.Struct(">H")


def write_invite(invite: Invite) -> str:
    """One line of lower-case text."""
    return FORM.write(invite_bytes(invite))


def read_invite(text: str) -> Invite:
    """Read and verify, in any case, with spaces and line breaks anywhere; an InviteError says what is wrong with it.

    Whether it is for us, and good now, is for `Invite.check` to say.
    """
    return invite_from(FORM.read(text))


def invite_bytes(invite: Invite) -> bytes:
    """What the text carries."""
    packet = invite.packet.to_bytes()
    return _LENGTH.pack(len(packet)) + packet + invite.chain.data + invite.secret.seed


def invite_from(data: bytes) -> Invite:
    """Read what `invite_bytes` gave; an InviteError says what is wrong with it."""
    if len(data) < _LENGTH.size + SEED_BYTES:
        raise InviteDamaged("the invite is cut short; ask for it once more")
    (size,) = _LENGTH.unpack_from(data)
    rest = data[_LENGTH.size + size :]
    if len(rest) <= SEED_BYTES:
        raise InviteDamaged("the invite is cut short; ask for it once more")
    try:
        packet = SignedPacket.parse(data[_LENGTH.size : _LENGTH.size + size])
    except RecordError as error:
        raise InviteTampered(f"the invite's record cannot be used: {error}") from None
    return Invite.of(packet, Chain.parse(rest[:-SEED_BYTES], packet.endpoint_id), rest[-SEED_BYTES:])


def serial_text(serial: bytes) -> str:
    """A serial for people and lists."""
    return zbase32_encode(serial)
