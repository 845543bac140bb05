"""What all answers are made from, and what several of them tell: our own ticket, and the paths to an endpoint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.own_record import own_record
from resolver.tickets import write_ticket

if TYPE_CHECKING:
    from gateway.facade import Parts
    from gateway.reach import PathsReport
    from resolver.records import EndpointRecord
    from tunnels.addresses import RelayAddress
    from tunnels.identity import EndpointId


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

    def _ticket(self, lifetime: float) -> tuple[EndpointRecord, str]:
        """Our record as of now, and as text."""
        parts = self.parts
        record, packet = own_record(
            parts.secret_key,
            nickname=parts.nickname,
            addresses=parts.own_addresses(),
            services=parts.exposed.public(),
            relays=parts.own_relays(),
            lends=parts.lending.url if parts.lending is not None else None,
            now=time_now(),
            lifetime=lifetime,
        )
        return record, write_ticket(packet)


def time_now() -> float:
    """Wall-clock seconds since 1970: only records, tickets, vouchers and contacts are dated by it."""
    return time.time()  # noqa: TID251 - the one place that reads the wall clock for the facade
