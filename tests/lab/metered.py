"""What a traffic control is given: an address book, and streams that move what they are let."""

from __future__ import annotations

from tunnels.identity import EndpointId

BOB = EndpointId(b"b" * 32)
CAROL = EndpointId(b"c" * 32)


class Contacts:
    """An address book of bob and carol, and some more."""

    def __init__(self, *more: EndpointId) -> None:
        self.petnames = {BOB: "bob", CAROL: "carol"} | {each: each.short for each in more}
        self.groups: dict[EndpointId, frozenset[str]] = {}

    def is_contact(self, endpoint_id: EndpointId) -> bool:
        return endpoint_id in self.petnames

    def petname_of(self, endpoint_id: EndpointId) -> str | None:
        return self.petnames.get(endpoint_id)

    def groups_of(self, endpoint_id: EndpointId) -> frozenset[str]:
        return self.groups.get(endpoint_id, frozenset())


class FakeStream:
    """A stream that wants to move without end, as `tunnels.streams.TunnelTransport` would."""

    def __init__(self) -> None:
        self.bytes_sent = self.bytes_received = 0
        self.waiting = {"sent": 0, "received": 0}
        self.meter = None
        self.gated = self.aborted = False

    def set_meter(self, meter) -> None:
        self.meter = meter

    def shut_gates(self) -> None:
        self.gated = True

    def remove_gates(self) -> None:
        self.gated = False
        self.bytes_sent += self.waiting["sent"]
        self.bytes_received += self.waiting["received"]
        self.waiting = {"sent": 0, "received": 0}

    def let_send(self, size: int) -> None:
        assert 0 < size <= self.waiting["sent"]
        self.waiting["sent"] -= size
        self.bytes_sent += size

    def let_receive(self, size: int) -> None:
        assert 0 < size <= self.waiting["received"]
        self.waiting["received"] -= size
        self.bytes_received += size

    def write(self, size: int) -> None:
        self.waiting["sent"] += size
        let = self.meter.wants_to_send(size) if self.gated else size
        if let:
            self.let_send(let)

    def come(self, size: int) -> None:
        self.waiting["received"] += size
        let = self.meter.wants_to_receive(size) if self.gated else size
        if let:
            self.let_receive(let)

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            self.meter.ended()
