"""What the zone answers."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from dnslib import QTYPE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from resolver.facts import NOT_FOUND, NameFacts, NameStatus, ServiceFacts
from resolver.limits import NEGATIVE_TTL, TCP_BYTES
from resolver.messages import Query, Rcode, parse_query
from resolver.names import OverlayName, ServiceProtocol
from resolver.zone import AddressSubject, Fixed, NameSubject, Zone
from resolver.zone_entries import ZoneEntry, ZoneKind
from tests.lab.resolver_dns import query, query_bytes, reply, rows
from tests.lab.resolver_facts import ALICE, FakeNames, exists
from tests.lab.resolver_keys import key

ZONE = Zone()
SOA = "overlay. SOA dns.overlay. hostmaster.overlay. 1 3600 600 86400 5"


def ask(
    name: str, kind: str = "A", *, zone: Zone = ZONE, facts: NameFacts | None = None, limit: int = 1232
) -> DNSRecord:
    """The zone's reply; `facts` replace those that the fake has."""
    asked = query(name, kind, edns=1232)
    names = FakeNames()
    match zone.subject_of(asked):
        case Fixed() as subject:
            return reply(zone.answer_fixed(asked, subject, limit))
        case NameSubject() as subject:
            known = names.lookup_nowait(subject.name)
            return reply(zone.answer_name(asked, subject, facts or known or NOT_FOUND, limit))
        case AddressSubject(address):
            return reply(zone.answer_address(asked, names.name_at(address), limit))


def answers(name: str, kind: str = "A", **more: object) -> list[str]:
    got = ask(name, kind, **more)  # type: ignore[arg-type]
    assert got.header.rcode == Rcode.NOERROR
    return rows(got.rr)


def assert_negative(got: DNSRecord, rcode: Rcode, soa: str = SOA) -> None:
    assert got.header.rcode == rcode
    assert got.header.aa
    assert rows(got.rr) == []
    assert rows(got.auth) == [soa]
    assert got.auth[0].ttl == NEGATIVE_TTL


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("alice.overlay", "A", ["alice.overlay. A 127.80.3.1"]),
        ("web.alice.overlay", "A", ["web.alice.overlay. A 127.80.3.2"]),
        ("wEB.aLice.OVERLAY", "A", ["wEB.aLice.OVERLAY. A 127.80.3.2"]),
        (f"{ALICE}.overlay", "A", [f"{ALICE}.overlay. A 127.80.3.1"]),
        ("alice.overlay", "TXT", [f'alice.overlay. TXT "id={ALICE}"', 'alice.overlay. TXT "hello"']),
        ("web.alice.overlay", "TXT", [f'web.alice.overlay. TXT "id={ALICE}"']),
        ("_web._tcp.alice.overlay", "SRV", ["_web._tcp.alice.overlay. SRV 0 0 8080 web.alice.overlay."]),
        ("_http._tcp.alice.overlay", "SRV", ["_http._tcp.alice.overlay. SRV 0 0 8080 web.alice.overlay."]),
        (
            "_http._tcp.web.alice.overlay",
            "SRV",
            ["_http._tcp.web.alice.overlay. SRV 0 0 8080 web.alice.overlay."],
        ),
        ("_game._udp.alice.overlay", "SRV", ["_game._udp.alice.overlay. SRV 0 0 5000 game.alice.overlay."]),
        ("alice.overlay", "HTTPS", ["alice.overlay. HTTPS 1 . port=8443 ipv4hint=127.80.3.3"]),
        ("https.alice.overlay", "HTTPS", ["https.alice.overlay. HTTPS 1 . port=8443 ipv4hint=127.80.3.3"]),
        ("overlay", "SOA", [SOA]),
        ("overlay", "NS", ["overlay. NS dns.overlay."]),
        ("dns.overlay", "A", ["dns.overlay. A 127.0.0.1"]),
        ("gateway.overlay", "A", ["gateway.overlay. A 127.0.0.1"]),
        ("1.3.80.127.in-addr.arpa", "PTR", ["1.3.80.127.in-addr.arpa. PTR alice.overlay."]),
        ("2.3.80.127.IN-ADDR.ARPA", "PTR", ["2.3.80.127.IN-ADDR.ARPA. PTR web.alice.overlay."]),
    ],
)
def test_what_exists_is_answered(name: str, kind: str, expected: list[str]) -> None:
    assert answers(name, kind) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("alice.overlay", "AAAA"),
        ("alice.overlay", "MX"),
        ("alice.overlay", "SRV"),
        ("web.alice.overlay", "AAAA"),
        ("web.alice.overlay", "HTTPS"),  # a browser would insist on https:// there
        ("_tcp.alice.overlay", "A"),
        ("_udp.game.alice.overlay", "SRV"),
        ("_web._tcp.alice.overlay", "A"),
        ("overlay", "A"),
        ("dns.overlay", "AAAA"),
    ],
)
def test_a_name_without_records_of_that_type_is_nodata_with_soa(name: str, kind: str) -> None:
    assert_negative(ask(name, kind), Rcode.NOERROR)


@pytest.mark.parametrize(
    "name",
    [
        "nobody.overlay",
        "nothing.alice.overlay",
        "_ssh._tcp.alice.overlay",
        "_web._udp.alice.overlay",
        "_web._sctp.alice.overlay",
        "_game._tcp.web.alice.overlay",
        "_udp.web.alice.overlay",
        "_a._web._tcp.alice.overlay",
        "_tcp.overlay",
        "a.b.alice.overlay",
        "x.dns.overlay",
        "check-1.dns.overlay",
        "x.gateway.overlay",
        "check-1.x.gateway.overlay",
        "wpad.overlay",
        "alice.overlay.overlay",
        "al!ice.overlay",
        "y" * 51 + "0.overlay",
    ],
)
@pytest.mark.parametrize("kind", ["A", "AAAA", "SRV", "ANY"])
def test_a_name_that_does_not_exist_is_nxdomain_for_every_type(name: str, kind: str) -> None:
    assert_negative(ask(name, kind), Rcode.NXDOMAIN)


@pytest.mark.parametrize("name", ["example.org", "", "overlay.example", "org", "in-addr.arpa", "xoverlay"])
def test_what_is_not_ours_is_refused(name: str) -> None:
    got = ask(name)
    assert got.header.rcode == Rcode.REFUSED
    assert not got.header.aa
    assert (rows(got.rr), rows(got.auth)) == ([], [])


@pytest.mark.parametrize(
    "address",
    [
        "1.0.0.127",
        "8.8.8.8",
        "127",
        "0.127",
        "1.2.3.63.127",
        "999.64.127",
        "01.0.64.127",
        "x.64.127",
        "1.1.1.10",
    ],
)
def test_reverse_names_that_are_not_ours_are_refused(address: str) -> None:
    assert ask(f"{address}.in-addr.arpa", "PTR").header.rcode == Rcode.REFUSED


def test_reverse_names_without_an_endpoint_do_not_exist_and_nodes_above_do() -> None:
    soa = "80.127.in-addr.arpa. SOA dns.overlay. hostmaster.overlay. 1 3600 600 86400 5"
    assert_negative(ask("9.9.80.127.in-addr.arpa", "PTR"), Rcode.NXDOMAIN, soa)
    assert_negative(ask("x.1.3.80.127.in-addr.arpa", "PTR"), Rcode.NXDOMAIN, soa)
    assert_negative(ask("3.80.127.in-addr.arpa", "PTR"), Rcode.NOERROR, soa)
    assert_negative(ask("80.127.in-addr.arpa", "PTR"), Rcode.NOERROR, soa)
    assert_negative(ask("1.3.80.127.in-addr.arpa", "A"), Rcode.NOERROR, soa)


def test_another_network_has_other_reverse_names_and_mapped_ports_have_none() -> None:
    small = Zone(IPv4Network("127.80.3.0/24"))
    assert answers("1.3.80.127.in-addr.arpa", "PTR", zone=small) == [
        "1.3.80.127.in-addr.arpa. PTR alice.overlay."
    ]
    assert ask("80.127.in-addr.arpa", "PTR", zone=small).header.rcode == Rcode.REFUSED
    assert ask("1.4.80.127.in-addr.arpa", "PTR", zone=small).header.rcode == Rcode.REFUSED
    assert ask("1.3.80.127.in-addr.arpa", "PTR", zone=Zone(None)).header.rcode == Rcode.REFUSED


def test_srv_targets_and_the_nameserver_come_with_their_addresses() -> None:
    assert rows(ask("_web._tcp.alice.overlay", "SRV").ar) == ["web.alice.overlay. A 127.80.3.2"]
    assert rows(ask("overlay", "NS").ar) == ["dns.overlay. A 127.0.0.1"]


@pytest.mark.parametrize("name", ["alice.overlay", "overlay", "_web._tcp.alice.overlay", "dns.overlay"])
def test_any_is_answered_with_one_small_record(name: str) -> None:
    (row,) = ask(name, "ANY").rr
    assert QTYPE[row.rtype] == "HINFO"
    assert row.rdata.data == b"\x07RFC8482\x00"


def test_a_name_that_cannot_be_told_now_is_servfail_with_the_reason() -> None:
    got = ask("offline.overlay")
    assert got.header.rcode == Rcode.SERVFAIL
    assert got.ar[0].rdata[0].data == b"\x00\x16offline.overlay did not answer at any address"


def test_a_name_without_a_loopback_address_has_no_a_record() -> None:
    assert_negative(
        ask("alice.overlay", facts=NameFacts(NameStatus.EXISTS, endpoint_id=ALICE)), Rcode.NOERROR
    )


def test_https_names_the_port_only_where_it_is_not_443() -> None:
    service = ServiceFacts("shop", 443, 443, ServiceProtocol.TCP, IPv4Address("127.80.3.9"))
    facts = replace(exists(IPv4Address("127.80.3.9")), services=(service,))
    assert answers("shop.alice.overlay", "HTTPS", facts=facts) == [
        "shop.alice.overlay. HTTPS 1 . ipv4hint=127.80.3.9"
    ]


def test_a_long_text_is_cut_into_strings() -> None:
    facts = NameFacts(NameStatus.EXISTS, texts=("x" * 300, ""))
    (long, empty) = ask("alice.overlay", "TXT", facts=facts).rr
    assert [len(string) for string in long.rdata.data] == [255, 45]
    assert empty.rdata.data == [b""]


def test_many_services_are_truncated_over_udp_and_whole_over_tcp() -> None:
    services = tuple(
        ServiceFacts("web", port, port, ServiceProtocol.TCP, IPv4Address("127.80.3.9"))
        for port in range(1, 100)
    )
    facts = replace(exists(IPv4Address("127.80.3.9")), services=services)
    over_udp = ask("_web._tcp.alice.overlay", "SRV", facts=facts)
    assert (over_udp.header.tc, len(over_udp.rr), str(over_udp.q.qname)) == (1, 0, "_web._tcp.alice.overlay.")
    over_tcp = ask("_web._tcp.alice.overlay", "SRV", facts=facts, limit=TCP_BYTES)
    assert (over_tcp.header.tc, len(over_tcp.rr)) == (0, 99)


labels = st.lists(
    st.binary(min_size=1, max_size=20)
    | st.sampled_from([b"overlay", b"alice", b"_tcp", b"_web", b"in-addr", b"arpa", b"127", b"64", b"web"]),
    max_size=6,
)


@given(labels, st.sampled_from([b"overlay", b"arpa", b""]), st.integers(0, 65535))
def test_any_name_and_type_gets_a_reply_that_fits(parts: list[bytes], last: bytes, kind: int) -> None:
    wire = b"".join(bytes([len(part)]) + part for part in [*parts, last] if part) + b"\x00"
    data = query_bytes("x")[:12] + wire + kind.to_bytes(2) + b"\x00\x01"
    asked = parse_query(data)
    if not isinstance(asked, Query):
        return
    match ZONE.subject_of(asked):
        case Fixed() as subject:
            answered = ZONE.answer_fixed(asked, subject, 512)
        case NameSubject() as subject:
            answered = ZONE.answer_name(asked, subject, exists(IPv4Address("127.80.3.1")), 512)
        case AddressSubject():
            answered = ZONE.answer_address(asked, OverlayName.parse("alice.overlay"), 512)
    assert len(answered) <= 512
    assert answered[12 : 12 + len(wire)] == wire


# --- what owners put into their zones --------------------------------------------------------------------------


def zoned(*lines: str, node: str = "", services: tuple[ServiceFacts, ...] = (), **more: object) -> NameFacts:
    """Facts of a name of alice's at which these records are."""
    entries = []
    for line in lines:
        label, kind, *words = line.split()
        entries.append(ZoneEntry.parse(label, ZoneKind.parse(kind), words, ALICE))
    return NameFacts(
        NameStatus.EXISTS, services=services, zone=tuple(one for one in entries if one.node == node), zone_of=ALICE, **more  # type: ignore[arg-type]
    )  # fmt: skip


def test_records_at_the_name_itself_stand_beside_ours() -> None:
    facts = replace(
        exists(IPv4Address("127.80.3.1")),
        zone=zoned("@ TXT hello world", "@ HTTPS 1 web").zone,
        zone_of=ALICE,
    )
    assert answers("alice.overlay", "TXT", facts=facts) == [
        f'alice.overlay. TXT "id={ALICE}"',
        'alice.overlay. TXT "hello","world"',
    ]
    assert answers("alice.overlay", "A", facts=facts) == ["alice.overlay. A 127.80.3.1"]
    (https,) = answers("alice.overlay", "HTTPS", facts=facts)
    assert "ipv4hint=127.80.3.3" in https, "a service of ours that speaks TLS wins"


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("note.alice.overlay", "TXT", ['note.alice.overlay. TXT "x"']),
        (
            "_sip._tcp.note.alice.overlay",
            "SRV",
            ["_sip._tcp.note.alice.overlay. SRV 1 2 5060 pbx.alice.overlay."],
        ),
        (
            f"_sip._tcp.note.{ALICE}.overlay",
            "SRV",
            [f"_sip._tcp.note.{ALICE}.overlay. SRV 1 2 5060 pbx.{ALICE}.overlay."],
        ),
        (
            "_out._tcp.note.alice.overlay",
            "SRV",
            ["_out._tcp.note.alice.overlay. SRV 0 0 80 www.example.org."],
        ),
        ("_acme.note.alice.overlay", "TXT", ["_acme.note.alice.overlay. CNAME a.example.org."]),
        ("_acme.note.alice.overlay", "CNAME", ["_acme.note.alice.overlay. CNAME a.example.org."]),
        ("note.alice.overlay", "HTTPS", ["note.alice.overlay. HTTPS 1 . alpn=h2 port=8443"]),
    ],
)
def test_a_label_answers_with_its_records(name: str, kind: str, expected: list[str]) -> None:
    facts = zoned(
        "note TXT x",
        "_sip._tcp.note SRV 1 2 5060 pbx",
        "_out._tcp.note SRV 0 0 80 www.example.org",
        "_acme.note CNAME a.example.org",
        "note HTTPS 1 . alpn=h2 port=8443",
        node="note",
    )
    assert answers(name, kind, facts=facts) == expected


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        ("note.alice.overlay", "A", Rcode.NOERROR),
        ("note.alice.overlay", "AAAA", Rcode.NOERROR),
        ("note.alice.overlay", "SRV", Rcode.NOERROR),
        ("_tcp.note.alice.overlay", "A", Rcode.NOERROR),
        ("_udp.note.alice.overlay", "A", Rcode.NXDOMAIN),
        ("_x._tcp.note.alice.overlay", "SRV", Rcode.NXDOMAIN),
        ("_a._b._c.note.alice.overlay", "TXT", Rcode.NXDOMAIN),
    ],
)
def test_other_types_are_nodata_and_other_labels_do_not_exist(name: str, kind: str, rcode: Rcode) -> None:
    assert_negative(
        ask(name, kind, facts=zoned("note TXT x", "_sip._tcp.note SRV 0 0 1 a", node="note")), rcode
    )


def test_a_service_wins_over_records_of_its_name_but_for_texts() -> None:
    facts = replace(
        exists(IPv4Address("127.80.3.2")),
        zone=zoned(
            "web TXT x", "web HTTPS 1 www.example.org", "_web._tcp.web SRV 0 0 9 www.example.org", node="web"
        ).zone,
        zone_of=ALICE,
    )
    assert_negative(ask("web.alice.overlay", "HTTPS", facts=facts), Rcode.NOERROR)
    assert answers("web.alice.overlay", "TXT", facts=facts)[1:] == ['web.alice.overlay. TXT "x"']
    assert answers("_web._tcp.web.alice.overlay", "SRV", facts=facts) == [
        "_web._tcp.web.alice.overlay. SRV 0 0 8080 web.alice.overlay."
    ]
    assert_negative(ask("_web._tcp.web.alice.overlay", "TXT", facts=facts), Rcode.NOERROR)


def test_the_port_of_a_service_of_the_same_endpoint_is_the_one_where_it_is_here() -> None:
    facts = replace(
        exists(IPv4Address("127.80.3.1")),
        zone=zoned(
            "_a._tcp SRV 0 0 80 web", "_b._tcp SRV 0 0 81 web", "_c._tcp SRV 0 0 80 www.example.org"
        ).zone,
        zone_of=ALICE,
    )
    for label, port in (("_a", 8080), ("_b", 81), ("_c", 80)):
        (row,) = answers(f"{label}._tcp.alice.overlay", "SRV", facts=facts)
        assert row.split()[4] == str(port)


WWW = NameFacts(NameStatus.EXISTS, zone_of=ALICE, alias=OverlayName.parse("web.alice.overlay"))
OUT = NameFacts(NameStatus.EXISTS, zone_of=ALICE, alias="www.example.org")


def follow(kind: str, *aliased: tuple[str, NameFacts], facts: NameFacts = WWW) -> DNSRecord:
    asked = query("wWw.alice.overlay", kind, edns=1232)
    subject = ZONE.subject_of(asked)
    assert isinstance(subject, NameSubject)
    hops = [(OverlayName.parse(name), known) for name, known in aliased]
    return reply(ZONE.answer_name(asked, subject, facts, 1232, hops))


def test_an_alias_is_answered_with_what_it_stands_for() -> None:
    web = exists(IPv4Address("127.80.3.2"))
    alias = "wWw.alice.overlay. CNAME web.alice.overlay."
    got = follow("A", ("web.alice.overlay", web))
    assert rows(got.rr) == [alias, "web.alice.overlay. A 127.80.3.2"]
    assert got.header.aa
    for kind in ("CNAME", "ANY"):
        assert rows(follow(kind).rr) == [alias]
    got = follow("AAAA", ("web.alice.overlay", web))
    assert (rows(got.rr), rows(got.auth), got.header.rcode) == ([alias], [SOA], Rcode.NOERROR)
    got = follow("A", ("web.alice.overlay", NOT_FOUND))
    assert (rows(got.rr), rows(got.auth), got.header.rcode) == ([alias], [SOA], Rcode.NXDOMAIN)
    got = follow("A", ("web.alice.overlay", NameFacts(NameStatus.UNKNOWN, "offline")))
    assert (rows(got.rr), got.header.rcode) == ([], Rcode.SERVFAIL)
    got = follow("A", ("web.alice.overlay", OUT))
    assert rows(got.rr) == [alias, "web.alice.overlay. CNAME www.example.org."]


@pytest.mark.parametrize("kind", ["A", "AAAA", "TXT", "HTTPS", "SRV", "CNAME", "ANY"])
def test_of_an_alias_that_leads_outside_only_the_alias_is_told(kind: str) -> None:
    got = follow(kind, facts=OUT)
    assert rows(got.rr) == ["wWw.alice.overlay. CNAME www.example.org."]
    assert (rows(got.auth), rows(got.ar), got.header.rcode) == ([], [], Rcode.NOERROR)


@pytest.mark.parametrize("kind", ["A", "AAAA", "TXT", "HTTPS", "SRV"])
def test_an_alias_of_somebody_elses_name_leads_nowhere(kind: str) -> None:
    """Whoever owns a page could else have a browser read, as if it came from there, what only its reader may see."""
    web = exists(IPv4Address("127.80.3.2"))
    for target in ("web.bob.overlay", f"web.{key(2).endpoint_id}.overlay"):
        theirs = replace(WWW, alias=OverlayName.parse(target))
        got = follow(kind, (target, web), facts=theirs)
        assert (rows(got.rr), got.header.rcode) == ([], Rcode.SERVFAIL)
        got = follow(kind, ("web.alice.overlay", theirs), (target, web))
        assert (rows(got.rr), got.header.rcode) == ([], Rcode.SERVFAIL)
        assert rows(follow("CNAME", facts=theirs).rr) == [f"wWw.alice.overlay. CNAME {target}."]


def test_an_alias_that_was_not_followed_to_its_end_is_an_error() -> None:
    got = follow("A")
    assert (rows(got.rr), got.header.rcode) == ([], Rcode.SERVFAIL)


_TARGETS = st.sampled_from(["web", "@", "www.example.org", f"web.{key(2).endpoint_id}.overlay"])


@given(
    st.lists(
        st.one_of(
            st.builds(
                "{} TXT {}".format,
                st.sampled_from(["@", "_a._tcp", "web"]),
                st.sampled_from(["x", "127.0.0.1"]),
            ),
            st.builds("_a._tcp SRV 0 0 80 {}".format, _TARGETS.filter(lambda target: target != "@")),
            st.builds("{} HTTPS 1 {} port=80".format, st.sampled_from(["@", "web"]), _TARGETS),
            st.builds("_c CNAME {}".format, _TARGETS),
        ),
        max_size=6,
    ),
    st.sampled_from(
        [
            "alice.overlay",
            "web.alice.overlay",
            "_a._tcp.alice.overlay",
            "_c.alice.overlay",
            "_tcp.alice.overlay",
        ]
    ),
    st.sampled_from(["A", "AAAA", "TXT", "SRV", "HTTPS", "CNAME", "ANY", "NS"]),
)
def test_no_zone_makes_us_answer_for_other_names_or_with_other_addresses(lines, name, kind) -> None:
    facts = replace(
        exists(IPv4Address("127.80.3.1")),
        zone=zoned(*lines, node="web" if name.startswith("web") else "").zone,
        zone_of=ALICE,
    )
    got = ask(name, kind, facts=facts)
    for row in (*got.rr, *got.ar):
        if row.rtype != QTYPE.OPT:
            assert str(row.rname).endswith("alice.overlay.")
        if row.rtype == QTYPE.A:
            assert IPv4Address(str(row.rdata)) in IPv4Network("127.0.0.0/8")
        if row.rtype == QTYPE.HTTPS and "ipv4hint" in str(row.rdata):
            assert "ipv4hint=127." in str(row.rdata)


@pytest.mark.parametrize("name", ["gateway.overlay", "check-1a2b.gateway.overlay", "Check-1.GATEWAY.overlay"])
def test_this_gateway_says_which_it_is_and_that_under_names_nobody_has_asked_for(name: str) -> None:
    zone = Zone(own_id="alice")
    assert answers(name, "TXT", zone=zone) == [f'{name}. TXT "id=alice"']
    assert answers(name, zone=zone) == [f"{name}. A 127.0.0.1"]
    assert_negative(ask(name, "AAAA", zone=zone), Rcode.NOERROR)
    assert_negative(ask("dns.overlay", "TXT", zone=zone), Rcode.NOERROR)
