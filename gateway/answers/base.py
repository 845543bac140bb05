"""What all answers are made from, and what several of them tell: our own ticket, who a name stands for, and the paths to an endpoint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.dialing import DialError, Failure
from gateway.errors import UsageError
from gateway.own_record import own_record
from resolver.errors import InvalidName, ResolverError
from resolver.names import OverlayName, is_overlay
from resolver.tickets import write_ticket
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from gateway.facade import Parts
    from gateway.reach import PathsReport
    from resolver.records import EndpointRecord
    from resolver.signed_packets import SignedPacket
    from tunnels.addresses import RelayAddress


class Answers:
    """Base of the rooms beside it."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def _paths(self, endpoint_id: EndpointId) -> PathsReport | None:
        """The paths of the connection with an endpoint."""
        return self.parts.reach.paths(endpoint_id) if self.parts.reach is not None else None

    def _is_lent(self, relay: RelayAddress) -> bool:
        """Whether the relay is a gateway's: ours, the peer's own, or a contact's."""
        lender = relay.beacon.beacon_id
        return lender is not None and (
            lender in (self.parts.secret_key.endpoint_id, relay.endpoint_id)
            or self.parts.contacts.is_contact(lender)
        )

    def _name_of(self, endpoint_id: EndpointId) -> str:
        """Its petname, or the beginning of its id."""
        contact = self.parts.contacts.book.find_id(endpoint_id)
        return contact.petname if contact is not None else endpoint_id.short

    def _name(self, text: str) -> OverlayName:
        """What a person typed: `alice`, `web.alice`, an id, or any of them with .overlay."""
        try:
            return OverlayName.parse(text if is_overlay(text) else f"{text.removesuffix('.')}.overlay")
        except InvalidName as error:
            raise UsageError(f"{error}") from None

    def _owner(self, name: OverlayName) -> EndpointId:
        if isinstance(name.owner, EndpointId):
            return name.owner
        try:
            return self.parts.id_of(name.owner) or self.parts.contacts.book.get(name.owner).endpoint_id
        except ResolverError as error:
            raise DialError(Failure.UNKNOWN_NAME, str(error)) from None

    def _ticket(self, lifetime: float) -> tuple[EndpointRecord, str]:
        """Our record as of now, and as text."""
        record, packet = self._own_record(lifetime)
        return record, write_ticket(packet)

    def _own_record(self, lifetime: float) -> tuple[EndpointRecord, SignedPacket]:
        """Our record as of now, as we give it to people."""
        parts = self.parts
        return own_record(
            parts.secret_key,
            nickname=parts.nickname,
            addresses=parts.own_addresses(),
            services=parts.exposed.public(),
            relays=parts.own_relays(),
            lends=parts.lending.url if parts.lending is not None else None,
            zone=parts.own_zone.entries if parts.own_zone is not None else (),
            now=time_now(),
            lifetime=lifetime,
        )


def time_now() -> float:
    """Wall-clock seconds since 1970: only records, tickets, vouchers and contacts are dated by it."""
    return time.time()  # noqa: TID251 - the one place that reads the wall clock for the facade
