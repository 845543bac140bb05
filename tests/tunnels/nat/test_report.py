"""Facts about a report of the network, and its words."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from tunnels.addresses import Address
from tunnels.nat.behavior import Allocation, AllocationKind, Behavior, Filtering, Mapping
from tunnels.nat.report import FamilyReport, NetworkReport, findings, remedies

SERVER = Address.parse("198.51.100.1:3478")
HOME = Behavior(
    translated=True,
    mapping=Mapping.ENDPOINT_INDEPENDENT,
    filtering=Filtering.ADDRESS_AND_PORT_DEPENDENT,
    allocation=Allocation(AllocationKind.PRESERVING),
    external_ips=(IPv4Address("203.0.113.9"),),
)
GOOD = FamilyReport(
    has_address=True, asked=(SERVER,), answered=(SERVER,), shows_filtering=True, behavior=HOME
)
NONE = FamilyReport(has_address=False)
SILENT = FamilyReport(has_address=True, asked=(SERVER,))


def report(ipv4: FamilyReport = GOOD, ipv6: FamilyReport = NONE) -> NetworkReport:
    return NetworkReport(ipv4, ipv6, measured_at=0.0, seconds=0.5)


def with_behavior(**traits) -> NetworkReport:
    return report(replace(GOOD, behavior=replace(HOME, **traits)))


def lines(of: NetworkReport) -> dict[str, str]:
    return {finding.what: finding.value for finding in findings(of)}


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "blocked"),
    [
        (GOOD, NONE, False),
        (SILENT, NONE, True),
        (SILENT, GOOD, False),
        (GOOD, SILENT, False),
        (NONE, NONE, None),
        (SILENT, SILENT, True),
    ],
)
def test_udp_is_blocked_where_no_family_is_answered(ipv4, ipv6, blocked):
    assert report(ipv4, ipv6).udp_blocked is blocked
    assert lines(report(ipv4, ipv6))["UDP"] == {None: "unknown", True: "blocked", False: "works"}[blocked]


def test_an_ordinary_home_needs_nothing():
    assert remedies(report(), 41641) == ()
    assert lines(report()) == {
        "UDP": "works",
        "IPv4": "203.0.113.9",
        "IPv4 mapping": "endpoint-independent",
        "IPv4 filtering": "address-and-port-dependent",
        "IPv4 ports": "preserving",
        "IPv6": "none",
    }


def test_ports_are_told_in_full():
    told = with_behavior(allocation=Allocation(AllocationKind.DELTA, delta=2), noise=12.4)
    assert lines(told)["IPv4 ports"] == "delta +2, 12/s taken by others"
    told = with_behavior(allocation=Allocation(AllocationKind.BLOCK, span=(1024, 2047), keeps_parity=True))
    assert lines(told)["IPv4 ports"] == "block 1024-2047, even or odd as the socket's"


def test_what_was_seen_of_hairpinning_and_order_is_told():
    told = lines(with_behavior(hairpin=True, inbound_first_poisons=True))
    assert told["IPv4 hairpin"] == "yes"
    assert told["IPv4 order"] == "ours first"
    assert lines(with_behavior(hairpin=False))["IPv4 hairpin"] == "no"


def test_where_the_tunnels_are_seen_is_told():
    own = Address.parse("203.0.113.9:41641")
    assert lines(report(replace(GOOD, own_addresses=(own,))))["IPv4 tunnels"] == str(own)


def test_a_family_that_was_not_measured_says_so():
    assert lines(report(ipv6=SILENT))["IPv6"] == "no answer"
    assert lines(report(ipv6=FamilyReport(has_address=True)))["IPv6"] == "not measured"


def test_remedies_fit_what_was_found():
    assert "let UDP out" in remedies(report(SILENT), 41641)[0]
    assert "no STUN server was asked" in remedies(report(NONE), 41641)[0]
    varies = remedies(with_behavior(mapping=Mapping.DEPENDENT), 41641)
    assert "forward UDP 41641" in varies[0]
    assert 'addresses = ["203.0.113.9:41641"]' in varies[0]
    assert "IPv6" in varies[1]
    assert "public address" in remedies(with_behavior(translated=False), 41641)[0]
    assert "two addresses" in remedies(report(replace(GOOD, shows_filtering=False)), 41641)[0]
    assert "no STUN server answered over it" in remedies(report(ipv6=SILENT), 41641)[0]


def test_a_router_that_lets_anybody_in_needs_no_forwarding():
    open_ = with_behavior(mapping=Mapping.DEPENDENT, filtering=Filtering.ENDPOINT_INDEPENDENT)
    assert remedies(open_, 41641) == ()


@pytest.mark.parametrize("mapping", Mapping)
@pytest.mark.parametrize("filtering", Filtering)
@pytest.mark.parametrize("kind", AllocationKind)
def test_everything_has_words(mapping, filtering, kind):
    told = with_behavior(mapping=mapping, filtering=filtering, allocation=Allocation(kind))
    assert all(finding.value for finding in findings(told))
    assert all("\n" not in line for line in remedies(told, 1))
