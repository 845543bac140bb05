"""What requests and reports on the control socket share: their bases, and the texts that they bound."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

TransportProtocol: TypeAlias = Literal["tcp", "udp"]

NameText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=253)]
"""A petname, an endpoint id or a name under .overlay: no longer than a DNS name may be."""

TicketText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]
"""A record of 1000 bytes is about 1700 characters as text; more is no ticket."""

PathWord: TypeAlias = Literal["LAN", "direct", "TCP", "TURN", "peer relay", "relay"]
"""How datagrams go: on a network of one's own, straight, straight but in a TCP connection, by a TURN server, by a relay that a
gateway lends, by a beacon's."""

AddressTexts: TypeAlias = Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=16)]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller asks for; a field we don't know is refused, because ignoring it would do something else."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller is told; fields of a newer daemon are ignored."""
