"""Facts about a report of the network, and its words."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network

import pytest

from tunnels.addresses import Address
from tunnels.nat import limits
from tunnels.nat.behavior import Allocation, AllocationKind, Behavior, Filtering, Mapping
from tunnels.nat.dialback import Verdict
from tunnels.nat.levels import Levels
from tunnels.nat.lifetime import Lifetime
from tunnels.nat.mapping_messages import Protocol
from tunnels.nat.portmap import Spoken, Support
from tunnels.nat.report import FamilyReport, NetworkReport, RouterReport, findings, remedies

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


def test_nats_are_told_where_more_than_one_is_known_or_excluded():
    assert lines(with_behavior(levels=Levels(1, 1, 1)))["IPv4 NATs"] == "1"
    assert lines(with_behavior(levels=Levels(2)))["IPv4 NATs"] == "at least 2"
    assert lines(with_behavior(levels=Levels(1, 3, 3)))["IPv4 NATs"] == "1 to 3"
    assert "IPv4 NATs" not in lines(with_behavior(levels=Levels(1)))


def test_how_long_mappings_live_is_told_if_it_was_measured():
    assert lines(with_behavior(lifetime=Lifetime(25, 55)))["IPv4 lifetime"] == "25 to 55 s"
    assert lines(with_behavior(lifetime=Lifetime(175)))["IPv4 lifetime"] == "more than 175 s"
    assert lines(with_behavior(lifetime=Lifetime(None, 25)))["IPv4 lifetime"] == "0 to 25 s"


def test_ipv4_through_a_nat64_is_told_as_such():
    through = replace(GOOD, has_address=False, nat64=IPv6Network("64:ff9b::/96"))
    (told,) = [finding for finding in findings(report(through)) if finding.what == "IPv4"]
    assert told.value == "203.0.113.9"
    assert "64:ff9b::/96" in told.meaning


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


HARD = {"mapping": Mapping.ADDRESS_AND_PORT_DEPENDENT}
EXTERNAL = Address.parse("203.0.113.9:41641")


def router(pcp: Support, nat_pmp: Support, upnp: Support, **more) -> RouterReport:
    supports = zip(Protocol, (pcp, nat_pmp, upnp), strict=True)
    words = {Support.REFUSES: "no", Support.ABSENT: "it does not answer"}
    spoken = tuple(Spoken(protocol, support, words.get(support, "")) for protocol, support in supports)
    return RouterReport("192.168.1.1", spoken, **more)


SILENT_ROUTER = router(Support.ABSENT, Support.ABSENT, Support.ABSENT)


def test_what_the_router_does_is_told():
    told = lines(replace(report(), router=router(Support.REFUSES, Support.ABSENT, Support.ASKED)))
    assert told["mapped port"] == "none yet"
    assert (told["PCP"], told["NAT-PMP"], told["UPnP"]) == ("refuses", "absent", "being asked")
    given = router(Support.GRANTS, *[Support.NOT_ASKED] * 2, external=EXTERNAL, verdict=Verdict.VERIFIED)
    told = lines(replace(report(), router=given))
    assert told["mapped port"] == str(EXTERNAL)
    assert told["PCP"] == "grants"
    assert "router outside" not in told


def test_a_router_that_is_elsewhere_than_servers_see_us_has_another_nat_before_it():
    behind = replace(SILENT_ROUTER, outside=IPv4Address("100.64.0.10"))
    told = {finding.what: finding for finding in findings(replace(report(), router=behind))}
    assert told["router outside"].value == "100.64.0.10"
    assert "another NAT" in told["router outside"].meaning


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        (SILENT_ROUTER, "turn on UPnP, NAT-PMP or PCP in the router; or forward UDP 41641"),
        (
            router(Support.REFUSES, Support.REFUSES, Support.ABSENT),
            "allow port mappings by PCP and NAT-PMP in the router",
        ),
        (router(Support.ABSENT, Support.ABSENT, Support.REFUSES), "allow port mappings by UPnP"),
        (None, "direct paths are hard here: forward UDP 41641"),
        (
            router(Support.GRANTS, *[Support.NOT_ASKED] * 2, external=EXTERNAL, verdict=Verdict.DEAD),
            "direct paths are hard here: forward UDP 41641",
        ),
    ],
)
def test_the_remedy_fits_what_the_router_said(asked, remedy):
    assert remedy in remedies(replace(with_behavior(**HARD), router=asked), 41641)[0]
    assert remedies(replace(report(), router=asked), 41641) == (), "where it is easy nothing need be done"


def test_where_upnp_s_library_is_missing_that_is_the_first_thing_to_do():
    spoken = (*SILENT_ROUTER.spoken[:2], Spoken(Protocol.UPNP, Support.NOT_ASKED, limits.UPNP_ABSENT))
    told = replace(with_behavior(**HARD), router=replace(SILENT_ROUTER, spoken=spoken))
    assert "pip install 'overlay-gateway[upnp]'" in remedies(told, 41641)[0]


def test_a_port_that_works_is_all_that_is_needed():
    given = router(Support.GRANTS, *[Support.NOT_ASKED] * 2, external=EXTERNAL, verdict=Verdict.VERIFIED)
    assert remedies(replace(with_behavior(**HARD), router=given), 41641) == ()


def test_behind_two_nats_forwarding_a_port_is_no_remedy():
    told = remedies(replace(with_behavior(**HARD, levels=Levels(2)), router=SILENT_ROUTER), 41641)[0]
    assert "ask the provider for a public address" in told
    assert "forward UDP" not in told
