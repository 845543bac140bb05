"""A traffic control with an address book, and streams that move what they are let."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gateway.traffic.control import Sharing, TrafficControl
from gateway.traffic.ledger import Ledger
from tests.lab.metered import BOB, Contacts, FakeStream

if TYPE_CHECKING:
    from gateway.traffic.terms import Terms
    from tunnels.identity import EndpointId


class Lab:
    """A control, its ledger and its contacts."""

    def __init__(self) -> None:
        self.contacts = Contacts()
        self.local: set[EndpointId] = set()
        self.ledger = Ledger(self.contacts.is_contact)
        self.control = TrafficControl(
            self.ledger,
            self.contacts,
            clock=lambda: datetime(2026, 11, 28, tzinfo=UTC).timestamp(),
            local_endpoints=lambda: self.local,
        )

    def set(self, sharing: Sharing | None = None, **terms: Terms) -> None:
        """Terms by scope, with __ for the dot."""
        self.control.configure(
            {scope.replace("__", "."): each for scope, each in terms.items()}, sharing or Sharing()
        )

    def stream(self, who: EndpointId = BOB, service: str = "web", side="served") -> FakeStream:
        stream = FakeStream()
        self.control.admit(who, service, side).begin(stream)
        return stream


@pytest.fixture
async def lab():
    lab = Lab()
    yield lab
    lab.control.close()
