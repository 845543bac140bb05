"""Paths and beacons in the words of reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gateway.reach import (
    beacon_report,
    candidate_report,
    path_report,
    path_word,
    selected,
    trace_report,
    via,
)
from tests.lab.resolver_keys import key
from tunnels.addresses import Address, BeaconUrl, RelayAddress, TcpAddress, TurnAddress
from tunnels.paths.candidates import Candidate, CandidateKind, Tier
from tunnels.paths.path import PathState
from tunnels.paths.reports import PathReport
from tunnels.paths.trace import TraceEntry
from tunnels.relay.frames import RelayLimits, Welcome
from tunnels.transports.relayed import RelayState, RelayStatus

if TYPE_CHECKING:
    from tunnels.addresses import PathAddress

LAN, PUBLIC = Address.parse("192.168.1.2:7"), Address.parse("203.0.113.9:41641")
BEACON = BeaconUrl.parse("https://eu1.example")
RELAY = RelayAddress(BEACON, key(1).endpoint_id)
TURN = TurnAddress(Address.parse("192.0.2.1:3478"), PUBLIC)


def path(address: PathAddress, tier: Tier = Tier.DIRECT, *, is_selected: bool = False) -> PathReport:
    return PathReport(
        address=address,
        kind=CandidateKind.PEER_REFLEXIVE,
        tier=tier,
        state=PathState.USABLE,
        is_selected=is_selected,
        is_trusted=True,
        rtt=0.0125,
        min_rtt=None,
        is_lossy=False,
        observed=LAN,
        bytes_sent=3,
        bytes_received=4,
        in_state_for=5.0,
        selected_for=6.0 if is_selected else None,
        answered_ago=0.5,
        heard_ago=None,
    )


@dataclass
class Report:
    paths: list[PathReport] = field(default_factory=list)
    own_candidates: list[Candidate] = field(default_factory=list)
    trace: list[TraceEntry] = field(default_factory=list)


@pytest.mark.parametrize(
    ("address", "word", "text"),
    [
        (LAN, "LAN", "192.168.1.2:7 (LAN)"),
        (PUBLIC, "direct", "203.0.113.9:41641 (direct)"),
        (TcpAddress(PUBLIC), "TCP", "203.0.113.9:41641 (TCP)"),
        (TURN, "TURN", "203.0.113.9:41641 (TURN)"),
        (RELAY, "relay", "relay eu1.example"),
        (None, "direct", "no known path"),
    ],
)
def test_a_path_is_told_by_its_kind_and_place(address: PathAddress | None, word: str, text: str) -> None:
    assert path_word(address) == word
    assert via(address, word) == text


def test_a_report_knows_better_than_an_address_looks() -> None:
    allocation = Report([path(PUBLIC, Tier.TURN)])
    assert path_word(PUBLIC, allocation) == "TURN"
    assert path_word(LAN, allocation) == "LAN"


def test_the_selected_path_is_found_where_there_is_one() -> None:
    used = path(RELAY, Tier.RELAY, is_selected=True)
    assert selected(Report([path(LAN), used])) is used
    assert selected(Report([path(LAN)])) is None
    assert selected(None) is None


def test_paths_candidates_and_decisions_become_plain_values() -> None:
    report = path_report(path(PUBLIC, is_selected=True))
    assert (report.address, report.path, report.kind, report.state) == (
        "203.0.113.9:41641",
        "direct",
        "peer-reflexive",
        "usable",
    )
    assert (report.rtt_ms, report.min_rtt_ms, report.selected_seconds, report.heard_ago) == (
        12.5,
        None,
        6.0,
        None,
    )
    assert (report.bytes_in, report.bytes_out, report.observed) == (4, 3, "192.168.1.2:7")
    told = candidate_report(Candidate(LAN, CandidateKind.HOST))
    assert (told.address, told.kind, told.path) == ("192.168.1.2:7", "host", "LAN")
    decision = trace_report(TraceEntry(90.0, "use it", "faster", 2), 100.0)
    assert (decision.at, decision.ago, decision.what, decision.why, decision.times) == (
        90.0,
        10.0,
        "use it",
        "faster",
        2,
    )


def beacon(welcome: Welcome | None) -> RelayStatus:
    return RelayStatus(
        url=BEACON,
        state=RelayState.CONNECTED if welcome else RelayState.WAITING,
        is_home=welcome is not None,
        connected_seconds=7.0 if welcome else None,
        welcome=welcome,
        beacon_id=None,
        bytes_sent=1,
        bytes_received=2,
        error="" if welcome else "no answer in time",
    )


def test_a_beacon_tells_what_it_gives_us() -> None:
    limits = RelayLimits(quota_bytes=10, left_bytes=4, credit_bytes=5)
    report = beacon_report(
        beacon(
            Welcome(signature=bytes(64), observed="1.2.3.4:5", limits=limits, policy="be kind", relays=False)
        )
    )
    assert (report.url, report.state, report.home, report.seconds) == (str(BEACON), "connected", True, 7.0)
    assert (report.observed, report.left_bytes, report.credit_bytes) == ("1.2.3.4:5", 4, 5)
    assert (report.policy, report.relays, report.bytes_in, report.bytes_out) == ("be kind", False, 2, 1)


def test_a_beacon_without_a_quota_has_nothing_left_to_tell_and_one_that_failed_says_why() -> None:
    assert beacon_report(beacon(Welcome(signature=bytes(64), observed="1.2.3.4:5"))).left_bytes is None
    report = beacon_report(beacon(None))
    assert (report.state, report.seconds, report.error) == ("waiting", None, "no answer in time")


def test_a_relay_that_a_gateway_lends_is_told_apart_from_a_beacons() -> None:
    lent = RelayAddress(BeaconUrl.parse(f"https://192.0.2.7:7443#{key(2).endpoint_id}"), key(1).endpoint_id)

    def is_lent(relay: RelayAddress) -> bool:
        return relay.beacon == lent.beacon

    assert path_word(lent, is_lent=is_lent) == "peer relay"
    assert path_word(RELAY, is_lent=is_lent) == "relay"
    assert path_word(PUBLIC, is_lent=is_lent) == "direct"
    assert via(lent, "peer relay") == "peer relay 192.0.2.7:7443"
    assert path_report(path(lent, Tier.RELAY), is_lent=is_lent).path == "peer relay"
    assert candidate_report(Candidate(lent, CandidateKind.RELAY), is_lent=is_lent).path == "peer relay"
    assert candidate_report(Candidate(lent, CandidateKind.RELAY)).path == "relay"
