"""One connection, from being admitted to its end: what it counts as, what it moved, and its gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.traffic.fair import Flow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.traffic.account import Account
    from gateway.traffic.fair import Leaf
    from gateway.traffic.ledger import Direction, Ledger, Side
    from gateway.traffic.places import Place
    from tunnels.identity import EndpointId
    from tunnels.streams import Meter


class MeteredTransport(Protocol):
    """What is asked of a stream; a `tunnels.streams.TunnelTransport` is one."""

    bytes_received: int

    @property
    def bytes_sent(self) -> int: ...
    def set_meter(self, meter: Meter) -> None: ...
    def shut_gates(self) -> None: ...
    def remove_gates(self) -> None: ...
    def let_send(self, size: int) -> None: ...
    def let_receive(self, size: int) -> None: ...
    def abort(self) -> None: ...


class Office(Protocol):
    """Who admits, and is asked for more (`gateway.traffic.control`)."""

    ledger: Ledger

    def ask(self, admission: Admission, direction: Direction, octets: int) -> int: ...
    def may_datagram(self, admission: Admission, direction: Direction, octets: int) -> bool: ...
    def forget(self, admission: Admission) -> None: ...


class FlowOf(Flow):
    """A flow that knows whose it is."""

    __slots__ = ("admission", "direction")

    def __init__(self, admission: Admission, direction: Direction) -> None:
        super().__init__()
        self.admission = admission
        self.direction = direction


class Admission:
    """The `Meter` of a stream; made by the office."""

    __slots__ = (
        "_counted_received",
        "_counted_sent",
        "_office",
        "_transport",
        "accounts",
        "endpoint_id",
        "is_ending",
        "place",
        "received",
        "sent",
        "service",
        "side",
    )

    accounts: tuple[Account, ...]
    place: Place | None
    """None where nothing holds it back."""

    def __init__(self, office: Office, endpoint_id: EndpointId, service: str, side: Side) -> None:
        self._office = office
        self._transport: MeteredTransport | None = None
        self._counted_sent = self._counted_received = 0
        self.endpoint_id = endpoint_id
        self.service = service
        self.side = side
        self.is_ending = False
        self.sent = FlowOf(self, "sent")
        self.received = FlowOf(self, "received")

    def __repr__(self) -> str:
        return f"Admission({self.endpoint_id.short} {self.side} {self.service})"

    def begin(self, transport: MeteredTransport) -> None:
        """The stream is there; what moved on it so far was no more than a header."""
        self._transport = transport
        self._counted_sent, self._counted_received = transport.bytes_sent, transport.bytes_received
        transport.set_meter(self)
        self.set_gates()

    def release(self) -> None:
        """It never came to be, or has ended; idempotent."""
        self._office.forget(self)

    def set_place(
        self,
        accounts: tuple[Account, ...],
        place: Place | None = None,
        leaves: Mapping[Direction, Leaf] | None = None,
    ) -> None:
        """Whose limits hold, and among whom it waits, if it ever does."""
        self.accounts = accounts
        self.place = place
        for direction, leaf in (leaves or {}).items():
            (self.sent if direction == "sent" else self.received).move(leaf)

    def set_gates(self) -> None:
        """Shut them if something may hold the stream back, and take them away otherwise."""
        if self._transport is None:
            return
        if self.place is not None:
            self._transport.shut_gates()
        else:
            self._transport.remove_gates()
            self.sent.wants = self.received.wants = 0

    def let(self, direction: Direction, octets: int) -> None:
        """So much of what waits may go."""
        if self._transport is None:
            return
        if direction == "sent":
            self._transport.let_send(octets)
        else:
            self._transport.let_receive(octets)

    def abort(self) -> None:
        """Reset the stream."""
        if self._transport is not None:
            self._transport.abort()

    def sample(self) -> None:
        """Count what has moved since the last time."""
        transport = self._transport
        if transport is None:
            return
        sent, received = transport.bytes_sent, transport.bytes_received
        ledger, who = self._office.ledger, self.endpoint_id
        ledger.count(who, self.service, "sent", sent - self._counted_sent, self.side)
        ledger.count(who, self.service, "received", received - self._counted_received, self.side)
        self._counted_sent, self._counted_received = sent, received

    # What the stream asks (tunnels.streams.Meter)

    def wants_to_send(self, size: int) -> int:
        return self._office.ask(self, "sent", size)

    def wants_to_receive(self, size: int) -> int:
        return self._office.ask(self, "received", size)

    def may_send_datagram(self, size: int) -> bool:
        return self._office.may_datagram(self, "sent", size)

    def may_receive_datagram(self, size: int) -> bool:
        return self._office.may_datagram(self, "received", size)

    def stopped(self, *, sending: bool) -> None:
        (self.sent if sending else self.received).wants = 0

    def ended(self) -> None:
        self.release()
