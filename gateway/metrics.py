"""The figures of a gateway for Prometheus, made of what it tells people: `StatusReport`, `LiveReport` and a few counts.

How many time series there are is bounded whoever connects: labels are our own words, and petnames if `[metrics] contacts`
asks for them. The ids of strangers are no labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from gateway import exposition
from gateway.control.base import PathWord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

    from gateway.control.live import LiveReport, PeerLiveReport
    from gateway.control.status import StatusReport
    from gateway.expose.acceptor import AcceptorStatus
    from gateway.proxy.listener import ProxyStatus

_GATEWAY: Final = exposition.Families("overlay_gateway_")
_PROCESS: Final = exposition.Families("process_")
"""Names that every client library of Prometheus uses, so that any dashboard of processes shows this one."""

_STATES: Final = ("connected", "connecting", "waiting", "closed")
"""Of beacons; each is told, also where there are none, so that a graph has no holes."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the adapters count of themselves."""

    proxy: ProxyStatus | None = None
    """None where there is no proxy."""
    acceptor: AcceptorStatus | None = None


def text(status: StatusReport, live: LiveReport, counts: Counts, *, contacts: bool) -> bytes:
    """All of it in Prometheus's text format 0.0.4; `contacts`: with figures of each contact that is connected."""

    def collect() -> Iterable[Metric]:
        yield from _process(live)
        yield from _gateway(status, live)
        yield from _moved(live)
        yield from _adapters(counts)
        if contacts:
            yield from _contacts(live)

    return exposition.text(collect)


def _process(live: LiveReport) -> Iterable[Metric]:
    process = live.process
    if process.rss is not None:
        yield _PROCESS.gauge("resident_memory_bytes", "Resident memory in bytes.", process.rss)
    if process.descriptors is not None:
        yield _PROCESS.gauge("open_fds", "Open descriptors.", process.descriptors)
    if process.descriptors_most is not None:
        yield _PROCESS.gauge("max_fds", "Descriptors that may be open.", process.descriptors_most)
    yield _PROCESS.counter("cpu_seconds", "User and system time in seconds.", process.cpu_seconds)
    yield _GATEWAY.gauge("threads", "Threads of the process.", process.threads)
    yield _GATEWAY.gauge("tasks", "Asyncio tasks of the process.", process.tasks)


def _gateway(status: StatusReport, live: LiveReport) -> Iterable[Metric]:
    info = _GATEWAY.gauges("info", "1, with what runs.", "version", {status.version: 1})
    yield info
    yield _GATEWAY.gauge("uptime_seconds", "Since the gateway started.", live.moment - live.started)
    yield _GATEWAY.gauge("services", "Services that are exposed.", len(status.services))
    yield _GATEWAY.gauge("warnings", "Warnings that `overlay status` shows.", len(status.warnings))
    states = dict.fromkeys(_STATES, 0)
    for beacon in status.beacons:
        states[beacon.state] = states.get(beacon.state, 0) + 1
    yield _GATEWAY.gauges("beacons", "Beacons by the state of our connection.", "state", states)
    received = sum(beacon.bytes_in for beacon in status.beacons)
    sent = sum(beacon.bytes_out for beacon in status.beacons)
    yield _GATEWAY.gauge("beacon_connection_received_bytes", "By the beacon connections of now.", received)
    yield _GATEWAY.gauge("beacon_connection_sent_bytes", "By the beacon connections of now.", sent)
    mapped = status.port_mapping is not None and status.port_mapping.state == "verified"
    yield _GATEWAY.gauge("port_mapped", "1 if a port of our router was seen to lead here.", mapped)
    if status.dht is not None:
        yield _GATEWAY.gauge("dht_nodes", "Nodes of the DHT that are known.", status.dht.nodes)
    if status.lending is not None:
        yield _GATEWAY.gauge(
            "lent_relay_connections", "Who uses the relay we lend.", status.lending.connected
        )
        yield _GATEWAY.counter("lent_relay_bytes", "Bytes relayed for them.", status.lending.relayed_bytes)


def _moved(live: LiveReport) -> Iterable[Metric]:
    peers = dict.fromkeys(get_args(PathWord), 0)
    for peer in live.peers:
        peers[peer.path] += 1
    yield _GATEWAY.gauges("peers", "Endpoints that are connected, by the path in use.", "path", peers)
    sent, received = dict.fromkeys(get_args(PathWord), 0), dict.fromkeys(get_args(PathWord), 0)
    for moved in live.moved:
        sent[moved.path] += moved.sent
        received[moved.path] += moved.received
    del sent["peer relay"], received["peer relay"]  # counted as relay
    yield _GATEWAY.counters("sent_bytes", "Bytes of tunnels, on the wire.", "path", sent)
    yield _GATEWAY.counters("received_bytes", "Bytes of tunnels, on the wire.", "path", received)
    yield _GATEWAY.gauge("streams", "Streams of all tunnels.", live.streams)
    yield _GATEWAY.gauge("flows", "UDP flows of all tunnels.", live.flows)


def _adapters(counts: Counts) -> Iterable[Metric]:
    if counts.proxy is not None:
        proxy = counts.proxy
        yield _GATEWAY.gauge("proxy_clients", "Clients of the proxy.", proxy.connections)
        yield _GATEWAY.gauge("proxy_associations", "UDP associations of the proxy.", proxy.associations)
        yield _GATEWAY.counter("proxy_accepted", "Clients that the proxy let in.", proxy.accepted)
        yield _GATEWAY.counter("proxy_refused", "Clients beyond a limit.", proxy.refused)
        yield _GATEWAY.counter("proxy_evicted", "Clients that gave way to newer ones.", proxy.evicted)
    if counts.acceptor is not None:
        served = counts.acceptor
        yield _GATEWAY.gauge("served_streams", "Streams that others opened here.", served.streams)
        yield _GATEWAY.gauge("served_pending", "Of these, how many have no answer yet.", served.pending)
        yield _GATEWAY.gauge("served_flows", "Of these, how many are UDP flows.", served.flows)


def _contacts(live: LiveReport) -> Iterable[Metric]:
    def of(value: str) -> dict[str, float]:
        return {one.petname: getattr(one, value) for one in known}

    known: list[PeerLiveReport] = [peer for peer in live.peers if peer.petname]
    yield _GATEWAY.counters("contact_sent_bytes", "Bytes to a connected contact.", "contact", of("sent"))
    yield _GATEWAY.counters(
        "contact_received_bytes", "Bytes from a connected contact.", "contact", of("received")
    )
    yield _GATEWAY.gauges("contact_streams", "Streams with a contact.", "contact", of("streams"))
    rtts = {one.petname: one.rtt for one in known if one.rtt is not None}
    yield _GATEWAY.gauges("contact_rtt_seconds", "Round trip to a contact.", "contact", rtts)
