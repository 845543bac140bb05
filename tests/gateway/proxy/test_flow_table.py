"""The destinations of an association."""

from __future__ import annotations

from gateway.limits import (
    UDP_FLOW_FAILED_SECONDS,
    UDP_FLOW_IDLE_SECONDS,
    UDP_FLOWS_PER_ASSOCIATION,
    UDP_QUEUE_DATAGRAMS,
)
from gateway.proxy.flow_table import FlowTable

A = ("a.overlay", 53)


class _Flow:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        """Nothing to end."""


def test_the_first_datagram_opens_and_the_rest_wait() -> None:
    table, flow = FlowTable(), _Flow()
    entry, opens, _ = table.send(A, b"1", 0.0)
    assert opens
    assert table.send(A, b"2", 0.0)[1] is False
    assert table.opened(A, entry, flow)
    table.send(A, b"3", 0.0)
    assert flow.sent == [b"1", b"2", b"3"]


def test_only_the_newest_datagrams_wait() -> None:
    table, flow = FlowTable(), _Flow()
    for number in range(UDP_QUEUE_DATAGRAMS + 5):
        entry, _, _ = table.send(A, b"%d" % number, 0.0)
    table.opened(A, entry, flow)
    assert flow.sent == [b"%d" % number for number in range(5, UDP_QUEUE_DATAGRAMS + 5)]


def test_the_least_recently_used_destination_gives_way() -> None:
    table = FlowTable()
    first = table.send(("host", 1), b"", 0.0)[0]
    for port in range(2, UDP_FLOWS_PER_ASSOCIATION + 1):
        table.send(("host", port), b"", 0.0)
    table.send(("host", 1), b"", 0.0)
    _, opens, given_up = table.send(("host", 9999), b"", 0.0)
    assert opens
    assert given_up is not None
    assert given_up is not first
    assert len(table) == UDP_FLOWS_PER_ASSOCIATION
    assert table.send(("host", 1), b"", 0.0)[0] is first


def test_silence_ends_a_flow_and_traffic_keeps_it() -> None:
    table = FlowTable()
    entry, _, _ = table.send(A, b"", 0.0)
    entry.used = 10.0
    assert table.expire(9.9 + UDP_FLOW_IDLE_SECONDS) == []
    assert table.expire(10.0 + UDP_FLOW_IDLE_SECONDS) == [entry]
    assert len(table) == 0


def test_a_failed_destination_drops_for_a_while_and_is_tried_again() -> None:
    table = FlowTable()
    entry, _, _ = table.send(A, b"", 0.0)
    table.failed(entry, 1.0)
    assert table.send(A, b"", 2.0)[1] is False
    assert not entry.queue
    assert table.expire(1.0 + UDP_FLOW_FAILED_SECONDS) == [entry]
    assert table.send(A, b"", 9.0)[1] is True


def test_a_flow_that_opens_too_late_is_not_wanted() -> None:
    table = FlowTable()
    entry, _, _ = table.send(A, b"", 0.0)
    table.forget(A, entry)
    assert not table.opened(A, entry, _Flow())
    assert table.send(A, b"", 0.0)[1] is True
    table.forget(A, entry)
    assert len(table) == 1
    assert len(table.clear()) == 1
