"""What endpoints tell each other by way of a beacon before they have a connection. Sans-IO.

It travels sealed (`sealed`), so it is as true as its sender is; that does not make the addresses in it good to send to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import ProtocolViolation

if TYPE_CHECKING:
    from collections.abc import Iterable

_ADDRESS_CHARACTERS: Final = 64  # [IPv6]:port, and no zone, which means nothing elsewhere


class Place(msgspec.Struct, frozen=True, array_like=True):
    """One candidate: an address, and the number of its kind (`tunnels.paths.candidates.CandidateKind`)."""

    kind: Annotated[int, Meta(ge=0, le=255)]
    address: Annotated[str, Meta(max_length=_ADDRESS_CHARACTERS)]


class Call(msgspec.Struct, frozen=True, kw_only=True, tag="call", tag_field="type"):
    """I am dialling you, from these addresses: send something to them, so that your NAT lets me in."""

    places: Annotated[tuple[Place, ...], Meta(max_length=limits.CALL_CANDIDATES)] = ()
    is_answer: bool = False
    """You called; dial me here."""
    description: Annotated[bytes, Meta(max_length=limits.DESCRIPTION_BYTES)] = b""
    """What my network is like (`tunnels.crossing.description`); empty if that is not known."""

    @classmethod
    def of(
        cls,
        candidates: Iterable[tuple[int, Address]],
        *,
        is_answer: bool = False,
        description: bytes = b"",
    ) -> Call:
        """From kinds and addresses, the best first; those beyond `limits.CALL_CANDIDATES` are left out."""
        places = [
            Place(kind, str(address))
            for kind, address in candidates
            if len(str(address)) <= _ADDRESS_CHARACTERS and "%" not in str(address)
        ]
        return cls(
            places=tuple(places[: limits.CALL_CANDIDATES]), is_answer=is_answer, description=description
        )

    def candidates(self) -> tuple[tuple[int, Address], ...]:
        """Kinds and addresses; what cannot be read, and what is good on one interface only, is left out.

        They are the sender's word: what may be sent to is for `tunnels.paths.candidates` to say.
        """
        found = []
        for place in self.places:
            try:
                address = Address.parse(place.address)
            except ValueError:
                continue
            if "%" not in place.address:
                found.append((place.kind, address))
        return tuple(found)


Message = Call

_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Call)


def encode(message: Message) -> bytes:
    """As the payload of a sealed message."""
    return msgspec.msgpack.encode(message)


def decode(payload: bytes) -> Message:
    """A payload's message; ProtocolViolation for anything else."""
    try:
        return _decoder.decode(payload)
    except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
        raise ProtocolViolation(f"not a message of ours: {error}") from None
