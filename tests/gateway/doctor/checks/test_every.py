"""Every finding: what makes it, how bad it is, and that it tells what helps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config import parse
from gateway.control.netcheck import FamilyNetworkReport
from gateway.control.services import LoopbackReport, OfferReport
from gateway.control.status import (
    BeaconReport,
    DhtReport,
    ListenerReport,
    LocalNetworkReport,
    PortMappingReport,
)
from gateway.doctor import checks
from gateway.doctor.checks.every import findings_of
from gateway.doctor.facts import BeaconFacts, Facts, FileFacts, Listening, OtherGateway, Proof
from gateway.doctor.findings import SUBJECTS, worst
from gateway.system_dns.report import SystemDnsReport
from tests.gateway.doctor.facts import BEACON, facts, home, machine, netcheck, status

NOBODY = Proof(ok=False, detail="nobody listens there")


def config(text: str):
    return parse(text.encode(), source="gateway.toml", overrides={})


def listener(name: str, **values):
    """The status with another listener of this name."""
    others = tuple(one for one in status().listeners if one.name != name)
    return status(listeners=(*others, ListenerReport(name=name, **values)))


LAN = LocalNetworkReport(interfaces=("eth0",))
ROUTER = PortMappingReport(router="192.168.1.1")
LOOPBACK = LoopbackReport(
    name="web.alice.overlay",
    ip="127.80.3.1",
    offers=(OfferReport(service="web", protocol="tcp", port=80, offered=8080),),
)

CASES: list[tuple[str, str, Facts]] = [
    # home
    ("home-missing", "note", facts(home=home(exists=False))),
    (
        "key-permissions",
        "problem",
        facts(home=home(files=(FileFacts("/h/identity.key", 0o644, is_ours=True),))),
    ),
    ("home-permissions", "problem", facts(home=home(files=(FileFacts("/h", 0o755, is_ours=True),)))),
    ("not-ours", "problem", facts(home=home(files=(FileFacts("/h", 0o700, is_ours=False),)))),
    ("permissions", "ok", facts()),
    (
        "configuration-writable",
        "problem",
        facts(home=home(config=FileFacts("/h/gateway.toml", 0o666, is_ours=True))),
    ),
    (
        "configuration-readable",
        "problem",
        facts(
            home=home(config=FileFacts("/h/gateway.toml", 0o644, is_ours=True)),
            config=config("[proxy]\nusername = 'u'\npassword = 'p'\n"),
        ),
    ),
    ("disk-full", "problem", facts(home=home(free_bytes=1000))),
    ("disk-full", "problem", facts(home=home(free_files=3))),
    ("disk", "ok", facts()),
    ("stale-socket", "note", facts(status=None, home=home(stale_socket="/h/control.sock"))),
    ("configuration", "problem", facts(config=None, config_error="gateway.toml: [proxy] prot is no key")),
    # channels
    ("not-running", "problem", facts(status=None)),
    ("control", "problem", facts(status=None, control_error="it does not answer")),
    ("proxy-off", "note", facts(status=listener("proxy", enabled=False))),
    ("dns-off", "note", facts(status=listener("dns", enabled=False))),
    ("dashboard-off", "note", facts(status=listener("dashboard", enabled=False))),
    ("proxy", "ok", facts()),
    ("proxy", "problem", facts(proofs={"proxy": NOBODY})),
    ("socks5h", "problem", facts(proofs={"socks5h": NOBODY})),
    ("socks5h", "note", facts(proofs={"socks5h": Proof(ok=False, detail="it asks for a password")})),
    ("http-connect", "problem", facts(proofs={"http-connect": NOBODY})),
    ("dns-udp", "problem", facts(proofs={"dns-udp": NOBODY})),
    ("dns-tcp", "problem", facts(proofs={"dns-tcp": NOBODY})),
    ("doh", "problem", facts(proofs={"doh": NOBODY})),
    ("loopback", "problem", facts(proofs={"loopback": NOBODY})),
    ("pac", "problem", facts(proofs={"pac": NOBODY})),
    ("system-dns", "ok", facts()),
    ("system-dns", "note", facts(system_dns=SystemDnsReport(state="none", nameservers=("192.0.2.1",)))),
    ("system-dns", "note", facts(system_dns=SystemDnsReport(state="none", problem="it finds no names"))),
    (
        "system-dns",
        "warning",
        facts(system_dns=SystemDnsReport(state="changed", remedies=("overlay dns install",))),
    ),
    ("front-door", "ok", facts(proofs={"front-door": Proof(ok=True)})),
    ("front-door", "problem", facts(proofs={"front-door": NOBODY})),
    ("https", "problem", facts(proofs={"https": NOBODY})),
    ("privileged-ports", "note", facts(status=status(loopback=(LOOPBACK,)))),
    # ports
    ("ports", "ok", facts()),
    (
        "port-proxy-tcp",
        "problem",
        facts(status=None, machine=machine(listening=(Listening("tcp", "0.0.0.0", 1080, 7, "ssh"),))),
    ),
    (
        "port-dns-udp",
        "problem",
        facts(machine=machine(listening=(Listening("udp", "127.0.0.1", 5399, 7, "dnsmasq"),))),
    ),
    (
        "port-dns-tcp",
        "problem",
        facts(status=None, machine=machine(listening=(Listening("tcp", "127.0.0.1", 5399),))),
    ),
    (
        "port-dashboard-tcp",
        "problem",
        facts(status=None, machine=machine(listening=(Listening("tcp", "127.0.0.1", 7399, 7, "x"),))),
    ),
    (
        "port-tunnels-udp",
        "problem",
        facts(
            status=None,
            config=config("[tunnels]\nport = 41641\n"),
            machine=machine(listening=(Listening("udp", "0.0.0.0", 41641, 7, "x"),)),
        ),
    ),
    (
        "other-resolver",
        "note",
        facts(machine=machine(listening=(Listening("udp", "127.0.0.53", 53, 7, "x"),))),
    ),
    (
        "other-mdns",
        "note",
        facts(machine=machine(listening=(Listening("udp", "0.0.0.0", 5353, 7, "avahi"),))),
    ),
    # machine
    ("udp-buffers", "ok", facts()),
    ("udp-buffers", "warning", facts(machine=machine(receive_buffer=212_992))),
    ("descriptors", "ok", facts()),
    ("descriptors", "problem", facts(machine=machine(open_files=(60_000, 65_536)))),
    ("descriptors", "warning", facts(machine=machine(open_files=(20, 256)))),
    ("version-skew", "warning", facts(version="2.0")),
    ("other-vpn", "note", facts(machine=machine(programs=frozenset({"tailscaled"})))),
    ("other-vpn", "note", facts(machine=machine(interfaces={"ts0": ("100.101.102.103", "fe80::1")}))),
    ("resolvers", "note", facts(machine=machine(programs=frozenset({"AdGuardHome"})))),
    ("other-gateway", "note", facts(machine=machine(others=(OtherGateway(8, "overlay up"),)))),
    (
        "environment-proxy",
        "note",
        facts(machine=machine(proxies={"http_proxy": "set", "NO_PROXY": ".overlay"})),
    ),
    # clock
    ("clock", "ok", facts()),
    ("clock", "problem", facts(now=0.0)),
    ("clock", "problem", facts(beacons=(BeaconFacts(BEACON, skew=-3600.0),))),
    # beacons
    ("beacons-none", "note", facts(config=config(""), beacons=(), status=status(beacons=()))),
    ("beacon", "ok", facts()),
    ("beacon", "ok", facts(status=None)),
    ("beacon", "problem", facts(status=None, beacons=(BeaconFacts(BEACON, "no answer in time"),))),
    (
        "beacon",
        "problem",
        facts(status=status(beacons=(BeaconReport(url=BEACON, state="waiting", error="refused"),))),
    ),
    ("beacon", "warning", facts(beacons=(BeaconFacts("https://us1.example", "no answer in time"),))),
    # network
    ("udp", "ok", facts()),
    ("udp", "warning", facts(netcheck=netcheck(udp_blocked=True))),
    ("udp", "note", facts(netcheck=None, netcheck_error="no beacon")),
    ("network", "note", facts(netcheck=netcheck(remedies=("turn UPnP on",)))),
    (
        "ipv6",
        "ok",
        facts(
            netcheck=netcheck(
                ipv6=FamilyNetworkReport(has_address=True, stun_asked=("a",), stun_answered=("a",))
            )
        ),
    ),
    ("ipv6", "note", facts(netcheck=netcheck(ipv6=FamilyNetworkReport(has_address=True, stun_asked=("a",))))),
    ("port-mapping", "note", facts(status=status(port_mapping=ROUTER))),
    (
        "port-mapping",
        "ok",
        facts(status=status(port_mapping=PortMappingReport(router="r", external="e", state="verified"))),
    ),
    (
        "pinhole",
        "note",
        facts(status=status(pinhole=PortMappingReport(router="r", external="e", state="dead"))),
    ),
    # lan, dht
    ("lan", "ok", facts()),
    ("lan", "note", facts(status=status(local_network=None))),
    ("lan", "note", facts(status=status(local_network=LocalNetworkReport()))),
    (
        "lan-multicast",
        "warning",
        facts(status=status(local_network=LocalNetworkReport(interfaces=("eth0",), mdns_problem="refused"))),
    ),
    (
        "lan-multicast",
        "note",
        facts(
            status=status(
                local_network=LocalNetworkReport(interfaces=("eth0",), mdns_problem="refused", fallback=(4,))
            )
        ),
    ),
    ("dht", "ok", facts()),
    ("dht", "note", facts(status=status(dht=DhtReport(enabled=False, problem="libtorrent is missing")))),
    ("dht", "warning", facts(status=status(dht=DhtReport(enabled=True)))),
    (
        "dht",
        "warning",
        facts(status=status(dht=DhtReport(enabled=True, nodes=5, problem="nobody took it"))),
    ),
]


@pytest.mark.parametrize(
    ("finding", "severity", "given"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_finding_is_made_by_what_it_is_about(finding: str, severity: str, given: Facts):
    found = [one for one in findings_of(given) if one.id == finding]
    assert severity in [one.severity for one in found], findings_of(given)
    for one in found:
        assert one.severity == severity or finding == "beacon"
        assert one.subject in SUBJECTS
        assert one.what
        if one.severity in ("warning", "problem"):
            assert one.why
            assert one.remedy


def test_there_is_a_case_for_every_finding_in_the_code():
    """Whoever adds a finding adds a case."""
    source = "".join(path.read_text() for path in Path(checks.__path__[0]).glob("*.py"))
    made = set(re.findall(r'Finding\(\s*"([a-z0-9-]+)"', source)) | set(
        re.findall(r'^    "([a-z0-9-]+)": \("', source, re.M)
    )
    missing = made - {finding for finding, _, _ in CASES} - {"dns", "dashboard"}  # switches: `dns-off`
    assert not missing
    assert len(made) > 25


def test_nothing_is_wrong_where_all_is_well():
    assert worst(findings_of(facts())) == "ok", findings_of(facts())
    assert worst(()) == "ok"


def test_subjects_choose_what_is_told():
    assert {one.subject for one in findings_of(facts(), ("dns", "clock"))} == {"dns", "clock"}


def test_what_is_told_comes_in_the_order_of_the_subjects():
    order = [SUBJECTS.index(one.subject) for one in findings_of(facts())]
    assert order == sorted(order)


def test_facts_that_are_not_known_are_neither_good_nor_bad():
    bare = Facts(
        version="1.0",
        now=1_800_000_000.0,
        home=home(free_bytes=None, free_files=None),
        machine=machine(receive_buffer=None, send_buffer=None, listening=(), open_files=None),
        config=config(""),
        status=status(dht=None),
    )
    assert worst(findings_of(bare)) == "ok", [one for one in findings_of(bare) if one.severity != "ok"]
