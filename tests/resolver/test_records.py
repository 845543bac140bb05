"""What an endpoint says of itself."""

import contextlib
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from dnslib import CNAME, RD, RR, SRV, TXT, A, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import (
    ForeignVersion,
    MalformedRecord,
    RecordError,
    RecordExpired,
    RecordTooLarge,
    ZoneTooLarge,
)
from resolver.limits import (
    OWN_PACKET_BYTES,
    RECORD_ADDRESSES,
    RECORD_RELAYS,
    RECORD_SERVICES,
    RECORD_TOPICS,
    RELAY_BYTES,
    ZONE_BYTES,
    ZONE_ENTRIES,
)
from resolver.names import ServiceProtocol
from resolver.records import EndpointRecord, PublicService, check_nickname, check_own_zone, zone_bytes
from resolver.signed_packets import SignedPacket
from resolver.topics import topic_id, topic_text
from resolver.zone_entries import Text, ZoneEntry, ZoneKind
from tests.lab.resolver_keys import BOTH, NOW, NPM_PKARR, TCP, UDP, key, packet, record
from tunnels.addresses import Address, BeaconUrl

WEB = PublicService("web", 80, 80, TCP)
GAME = PublicService("game", 5000, 5100, UDP)
DNS = PublicService("dns", 53, 53, BOTH)
HOME = BeaconUrl.parse("https://eu1.example")
PINNED = BeaconUrl.parse(f"https://[2001:db8::9]:7443#{key(2).endpoint_id}")
LONG = BeaconUrl.parse(f"https://{'a' * 170}.example:7443#{key(2).endpoint_id}")


def signed_with(*entries: RR) -> SignedPacket:
    """A packet of endpoint 1 that holds these DNS records."""
    return SignedPacket.sign(key(1), 5, bytes(DNSRecord(rr=list(entries)).pack()))


def entry(name: str, rdata: RD, rtype: int) -> RR:
    apex = str(key(1).endpoint_id)
    return RR(
        [label.encode() for label in (f"{name}.{apex}" if name else apex).split(".")], rtype, rdata=rdata
    )


def about(*strings: str) -> RR:
    return entry("_overlay", TXT(list(strings)), 16)


def test_a_record_reads_back_as_it_was() -> None:
    whole = record(
        nickname="Älice's laptop", addresses=("192.0.2.1:7777", "[2001:db8::1]:1"), services=(WEB, GAME, DNS)
    )
    assert EndpointRecord.from_packet(whole.sign(key(1))) == whole


def test_the_dns_form_is_as_documented() -> None:
    apex = str(key(1).endpoint_id)
    lines = [
        " ".join(str(row).split())
        for row in DNSRecord.parse(record(nickname="al", services=(GAME,)).encode()).rr
    ]
    assert lines == [
        f'_overlay.{apex}. 300 IN TXT "v=1" "exp={int(NOW) + 3600}" "n=al" "a=192.0.2.1:7777"',
        f"_game._udp.{apex}. 300 IN SRV 0 0 5000 {apex}.",
        f'_game._udp.{apex}. 300 IN TXT "last=5100"',
    ]


def test_a_record_made_by_the_npm_package_is_read() -> None:
    read = EndpointRecord.from_packet(SignedPacket.parse(NPM_PKARR))
    assert read.nickname == "js"
    assert read.expires == 1_900_000_000
    assert read.addresses == (Address.parse("192.0.2.7:7777"),)
    assert read.services == (WEB,)


def test_unknown_keys_and_records_are_ignored() -> None:
    read = EndpointRecord.from_packet(
        signed_with(
            entry("", A("192.0.2.9"), 1),
            about("v=1.7", "exp=99", "zz=new", "plain", "a=relay:example", "a=192.0.2.1:1", "a=192.0.2.1:1"),
            about("v=9", "exp=1"),
            entry("_web._quic", SRV(0, 0, 80, "x."), 33),
            entry("web._tcp", SRV(0, 0, 80, "x."), 33),
            entry("_-bad._tcp", SRV(0, 0, 80, "x."), 33),
            entry("_none._tcp", SRV(0, 0, 0, str(key(1).endpoint_id)), 33),
            entry("_back._tcp", SRV(0, 0, 80, str(key(1).endpoint_id)), 33),
            entry("_back._tcp", TXT(["last=79"]), 16),
            entry("_odd._tcp", SRV(0, 0, 80, str(key(1).endpoint_id)), 33),
            entry("_odd._tcp", TXT(["last=many"]), 16),
            RR([b"_overlay", str(key(1).endpoint_id).encode()], 16, rclass=3, rdata=TXT("v=9")),
            entry("www", CNAME("example.org."), 5),
            entry("", RD(b"\x01\x02"), 65280),
        )
    )
    assert read.expires == 99
    assert read.addresses == (Address.parse("192.0.2.1:1"),)
    assert read.services == (PublicService("odd", 80, 80, TCP),)


def test_records_of_another_zone_are_ignored() -> None:
    elsewhere = RR([b"_overlay", b"example"], 16, rdata=TXT(["v=1", "exp=99"]))
    with pytest.raises(MalformedRecord, match="does not describe an overlay endpoint"):
        EndpointRecord.from_packet(signed_with(elsewhere))


@pytest.mark.parametrize(
    "address", ["0.0.0.0:7", "224.0.0.1:7", "255.255.255.255:7", "[::]:7", "[ff02::1]:7"]
)
def test_addresses_nothing_can_be_sent_to_are_left_out(address: str) -> None:
    assert EndpointRecord.from_packet(signed_with(about("v=1", "exp=1", f"a={address}"))).addresses == ()


def test_more_addresses_than_the_bound_are_left_out() -> None:
    addresses = [f"a=192.0.2.1:{port}" for port in range(1, 40)]
    read = EndpointRecord.from_packet(signed_with(about("v=1", "exp=1", *addresses)))
    assert [address.port for address in read.addresses] == list(range(1, RECORD_ADDRESSES + 1))


def test_a_nickname_that_would_deface_a_terminal_is_left_out() -> None:
    assert EndpointRecord.from_packet(signed_with(about("v=1", "exp=1", "n=a\x1b[31m"))).nickname is None


@pytest.mark.parametrize(
    ("strings", "error", "says"),
    [
        (("v=2", "exp=1"), ForeignVersion, "made by a newer overlay .version 2; this one reads 1.; upgrade"),
        (("v=0", "exp=1"), MalformedRecord, "does not say its version"),
        (("exp=1",), MalformedRecord, "does not say its version"),
        (("v=1",), MalformedRecord, "does not say when it expires"),
        (("v=1", "exp=soon"), MalformedRecord, "does not say when it expires"),
        (("v=1", "exp=" + "9" * 11), MalformedRecord, "does not say when it expires"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(
    strings: tuple[str, ...], error: type[RecordError], says: str
) -> None:
    with pytest.raises(error, match=says):
        EndpointRecord.from_packet(signed_with(about(*strings)))


def test_a_record_is_fresh_until_the_second_it_expires() -> None:
    one = record(seconds=60)
    one.check_fresh(NOW + 59.9)
    with pytest.raises(RecordExpired, match="expired on 2025-11-20 00:54 UTC; ask its owner"):
        one.check_fresh(NOW + 60)


def test_a_record_too_large_says_by_how_many_bytes_and_can_be_fitted() -> None:
    services = tuple(PublicService(f"service-{number}", number + 1, number + 1, TCP) for number in range(20))
    large = record(services=services)
    excess = len(large.encode()) - OWN_PACKET_BYTES
    with pytest.raises(RecordTooLarge, match=f"{excess} bytes too large; publish fewer"):
        large.sign(key(1))
    fitted = large.fitted()
    assert 8 <= len(fitted.services) < 20
    assert fitted.services == services[: len(fitted.services)]
    assert fitted.addresses == large.addresses
    with pytest.raises(RecordTooLarge):
        replace(fitted, services=services[: len(fitted.services) + 1]).sign(key(1))
    assert EndpointRecord.from_packet(fitted.sign(key(1))) == fitted


def test_the_longest_nickname_and_sixteen_longest_addresses_fit() -> None:
    address = Address(IPv6Address("2001:db8:1111:2222:3333:4444:5555:6666"), 65535)
    one = replace(record(nickname="ä" * 32), addresses=(address,) * RECORD_ADDRESSES)
    assert one.fitted() == one


def test_bounds_hold_when_a_record_is_built() -> None:
    address = Address(IPv4Address("192.0.2.1"), 1)
    with pytest.raises(ValueError, match="17 addresses; a record has at most 16"):
        replace(record(), addresses=(address,) * 17)
    with pytest.raises(ValueError, match="65 public services"):
        replace(record(), services=(WEB,) * (RECORD_SERVICES + 1))
    with pytest.raises(ValueError, match="66 bytes; it may have at most 64"):
        record(nickname="ä" * 33)


@pytest.mark.parametrize("nickname", ["", " a", "a\n", "\x00", "\ud800", "\u202egnp"])
def test_a_nickname_is_one_line_of_printable_text(nickname: str) -> None:
    with pytest.raises(ValueError, match="nickname"):
        check_nickname(nickname)


@pytest.mark.parametrize(
    ("name", "first", "last", "protocols"),
    [
        ("Web", 1, 1, TCP),
        ("a_b", 1, 1, TCP),
        ("a", 0, 1, TCP),
        ("a", 2, 1, TCP),
        ("a", 1, 65536, TCP),
        ("a", 1, 1, ()),
    ],
)
def test_a_public_service_has_a_name_ports_and_a_protocol(
    name: str, first: int, last: int, protocols: frozenset[ServiceProtocol]
) -> None:
    with pytest.raises(ValueError, match=r"is not|are not ports|no protocol|contains"):
        PublicService(name, first, last, frozenset(protocols))


def test_only_the_endpoint_itself_signs_its_record() -> None:
    with pytest.raises(ValueError, match="only the endpoint itself"):
        record(1).sign(key(2))


@given(st.binary(max_size=996))
def test_any_signed_bytes_are_a_record_or_a_record_error(data: bytes) -> None:
    with pytest.raises(RecordError):
        EndpointRecord.from_packet(SignedPacket.sign(key(1), 1, data))


@given(st.data())
def test_a_mutated_record_is_a_record_or_a_record_error(data: st.DataObject) -> None:
    good = bytearray(packet(nickname="a", services=(WEB, GAME)).packet)
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    with contextlib.suppress(RecordError):
        EndpointRecord.from_packet(SignedPacket.sign(key(1), 1, bytes(good[:cut])))


def test_a_chain_of_compression_pointers_is_refused_and_not_followed_for_ever() -> None:
    chain = b"".join((0xC000 | 12 + 2 * number).to_bytes(2) for number in range(480))
    data = bytes.fromhex("000084000001000000000000") + b"\x00\x00" + chain
    with pytest.raises(MalformedRecord):
        EndpointRecord.from_packet(SignedPacket.sign(key(1), 1, data))


names = st.from_regex(r"[a-z0-9]([a-z0-9]|-(?=[a-z0-9])){0,20}", fullmatch=True).filter(
    lambda n: not n.startswith("xn--")
)
addresses = st.builds(Address, st.ip_addresses(v=4), st.integers(1, 65535)).filter(
    lambda a: not a.ip.is_multicast and not a.ip.is_unspecified and str(a.ip) != "255.255.255.255"
)


@given(
    st.lists(addresses, max_size=6, unique=True),
    st.lists(
        st.tuples(names, st.integers(1, 65535), st.sampled_from([TCP, UDP, BOTH])),
        max_size=4,
        unique_by=lambda s: s[0],
    ),
    st.integers(0, 9_999_999_999),
)
def test_whatever_fits_reads_back(
    some: list[Address], services: list[tuple[str, int, frozenset[ServiceProtocol]]], expires: int
) -> None:
    built = replace(
        record(),
        expires=expires,
        addresses=tuple(some),
        services=tuple(
            PublicService(name, port, min(port + 3, 65535), kinds) for name, port, kinds in services
        ),
    ).fitted()
    assert EndpointRecord.from_packet(built.sign(key(1))) == built


def test_relays_read_back_home_first_with_the_key_of_a_pinned_beacon() -> None:
    whole = replace(record(), relays=(HOME, PINNED))
    assert EndpointRecord.from_packet(whole.sign(key(1))) == whole
    assert '"r=https://eu1.example"' in str(DNSRecord.parse(whole.encode()).rr[0])


def test_relays_that_are_no_beacons_and_a_second_of_one_host_are_left_out() -> None:
    texts = (
        "https://eu1.example",
        "wss://eu1.example",
        "https://user:secret@eu2.example",
        "https://eu2.example/path",
        f"https://eu1.example:443#{key(2).endpoint_id}",
        "https://eu1.example#nobody",
        "",
        f"https://{'a' * 244}",
        "http://127.0.0.1:8080",
    )
    read = EndpointRecord.from_packet(signed_with(about("v=1", "exp=1", *(f"r={text}" for text in texts))))
    assert list(map(str, read.relays)) == ["https://eu1.example", "http://127.0.0.1:8080"]


def test_more_relays_than_the_bound_are_left_out() -> None:
    relays = [f"r=https://b{number}.example" for number in range(RECORD_RELAYS + 3)]
    read = EndpointRecord.from_packet(signed_with(about("v=1", "exp=1", *relays)))
    assert [relay.host for relay in read.relays] == [f"b{number}.example" for number in range(RECORD_RELAYS)]
    with pytest.raises(ValueError, match="5 relays; a record has at most 4"):
        replace(record(), relays=tuple(BeaconUrl("https", f"b{number}", 443) for number in range(5)))


def test_a_beacon_whose_url_is_too_long_stands_in_no_record() -> None:
    assert len(str(LONG)) <= RELAY_BYTES
    replace(record(), relays=(LONG,)).sign(key(1))
    with pytest.raises(ValueError, match="too long for a record"):
        replace(record(), relays=(replace(LONG, host="a" * 200 + ".example"),))


def test_what_does_not_fit_goes_services_first_and_the_home_stays() -> None:
    addresses = tuple(f"[2001:db8:1111:2222:3333:4444:5555:{number:x}]:65535" for number in range(16))
    relays = tuple(replace(LONG, host=f"b{number}{LONG.host[2:]}") for number in range(4))
    large = replace(record(addresses=addresses, nickname="n" * 64, services=(WEB,)), relays=relays)
    fitted = large.fitted()
    fitted.sign(key(1))
    assert fitted.services == ()
    assert fitted.relays == relays[:1]
    assert fitted.addresses == large.addresses[: len(fitted.addresses)]
    assert len(fitted.addresses) > 8


LENT = BeaconUrl.parse(f"https://192.0.2.9:7443#{key(1).endpoint_id}")


def test_the_relay_that_an_endpoint_lends_reads_back() -> None:
    whole = replace(record(), relays=(HOME, LENT), lends=LENT)
    assert EndpointRecord.from_packet(whole.sign(key(1))) == whole
    assert f'"l={LENT}"' in str(DNSRecord.parse(whole.encode()).rr[0])


def test_only_a_relay_of_its_own_is_lent_and_only_one() -> None:
    texts = (
        "https://eu1.example",
        "junk",
        f"https://eu1.example:8443#{key(2).endpoint_id}",
        f"http://eu1.example:80#{key(1).endpoint_id}",
        f"https://{'a' * 177}.example:7443#{key(1).endpoint_id}",
    )
    read = EndpointRecord.from_packet(signed_with(about("v=1", "exp=1", *(f"l={text}" for text in texts))))
    assert read.lends is None
    second = f"https://192.0.2.8:1#{key(1).endpoint_id}"
    read = EndpointRecord.from_packet(signed_with(about("v=1", "exp=1", f"l={LENT}", f"l={second}")))
    assert read.lends == LENT
    for other in (HOME, replace(LENT, scheme="http"), replace(LENT, beacon_id=key(2).endpoint_id)):
        with pytest.raises(ValueError, match="relay of its own"):
            replace(record(), lends=other)


def test_the_lent_relay_stays_in_a_record_that_is_full() -> None:
    longest = BeaconUrl.parse(f"https://{'a' * 170}.example:7443#{key(1).endpoint_id}")
    addresses = tuple(f"[2001:db8:1111:2222:3333:4444:5555:{number:x}]:65535" for number in range(16))
    large = replace(record(addresses=addresses, nickname="n" * 64), relays=(LONG,), lends=longest)
    fitted = large.fitted()
    fitted.sign(key(1))
    assert (fitted.relays, fitted.lends, fitted.nickname) == ((LONG,), longest, "n" * 64)


def test_topics_read_back_and_what_is_none_is_left_out() -> None:
    topics = tuple(topic_id(name) for name in ("chat", "game"))
    whole = replace(record(), topics=topics)
    assert EndpointRecord.from_packet(whole.sign(key(1))) == whole
    strings = (
        "v=1",
        "exp=4000000000",
        "t=yyyy",
        f"t={topic_text(topics[0])}",
        "t=",
        f"t={topic_text(topics[0])}",
    )
    assert EndpointRecord.from_packet(signed_with(about(*strings))).topics == topics[:1]


def test_a_record_has_a_few_topics_and_in_a_full_one_they_give_way_to_its_relays() -> None:
    many = tuple(topic_id(str(number)) for number in range(RECORD_TOPICS + 4))
    with pytest.raises(ValueError, match="at most 16 topics"):
        replace(record(), topics=many)
    with pytest.raises(ValueError, match="20 bytes each"):
        replace(record(), topics=(b"short",))
    strings = ("v=1", "exp=4000000000", *(f"t={topic_text(topic)}" for topic in many))
    assert EndpointRecord.from_packet(signed_with(about(*strings))).topics == many[:RECORD_TOPICS]
    large = replace(
        record(), relays=(LONG, replace(LONG, host="b" + LONG.host[1:]), LENT), topics=many[:RECORD_TOPICS]
    )
    fitted = large.fitted()
    assert fitted.relays == large.relays
    assert 0 < len(fitted.topics) < RECORD_TOPICS
    assert fitted.topics == many[: len(fitted.topics)]


def zone_of(*lines: str) -> tuple[ZoneEntry, ...]:
    return tuple(
        ZoneEntry.parse(label, ZoneKind.parse(kind), words, key(1).endpoint_id)
        for label, kind, *words in map(str.split, lines)
    )


def test_a_zone_reads_back_beside_services_and_is_told_apart_from_them() -> None:
    zone = zone_of(
        "blog CNAME web",
        "_sip._tcp SRV 1 2 5060 pbx",
        "_web._tcp TXT path=/",
        "@ TXT hello",
        "shop HTTPS 1 . port=443",
        "_profile TXT n=Alice",
    )
    whole = replace(record(services=(WEB, GAME)), zone=zone)
    assert EndpointRecord.from_packet(whole.sign(key(1))) == whole
    read = DNSRecord.parse(whole.encode())
    assert [str(row.rname).partition(".")[0] for row in read.rr[-6:]] == [
        "blog", "_sip", "_web", str(key(1).endpoint_id), "shop", "_profile",
    ]  # fmt: skip


def test_of_others_as_many_records_are_read_as_the_bound_says_each_once() -> None:
    texts = [entry("a", TXT([str(number)]), 16) for number in range(ZONE_ENTRIES + 5)]
    read = EndpointRecord.from_packet(signed_with(about("v=1", "exp=1"), *texts[:2], *texts))
    assert [one.value.strings for one in read.zone] == [(b"%d" % number,) for number in range(ZONE_ENTRIES)]
    with pytest.raises(ValueError, match=f"at most {ZONE_ENTRIES}"):
        replace(record(), zone=tuple(replace(read.zone[0], node=f"n{n}") for n in range(ZONE_ENTRIES + 1)))


def test_a_zone_is_refused_by_the_byte_and_a_full_one_fits_beside_the_longest_of_all_else() -> None:
    me = key(1).endpoint_id
    bare = zone_bytes(me, zone_of("big TXT x"))
    fill = ZONE_BYTES - bare - 1  # a second string has a byte for its length
    text = ZoneEntry(("_profile",), "", Text((b"",)))
    full = (ZoneEntry((), "big", Text((b"x" * 255, b"x" * (fill + 1 - 255)))),)
    assert zone_bytes(me, full) == ZONE_BYTES
    assert check_own_zone(me, full) == full
    with pytest.raises(ZoneTooLarge, match="1 bytes too large; nothing was changed") as caught:
        check_own_zone(me, (ZoneEntry((), "big", Text((b"x" * 255, b"x" * (fill + 2 - 255)))),))
    assert caught.value.excess == 1
    with pytest.raises(ZoneTooLarge, match="1 records too large"):
        check_own_zone(me, (text,) * (ZONE_ENTRIES + 1))

    home = BeaconUrl(
        "https", "a" * (RELAY_BYTES - len(str(PINNED)) + len(PINNED.host)), 7443, key(2).endpoint_id
    )
    lent = BeaconUrl("https", f"[{':'.join(['ffff'] * 8)}]", 65535, me)
    worst = EndpointRecord(
        me, 1, 9_999_999_999, "n" * 64,
        tuple(Address.parse(f"[2001:db8:{n}:ffff:ffff:ffff:ffff:ffff]:65535") for n in range(1000, 1016)),
        tuple(PublicService(f"service-{n}", n + 1, n + 2, BOTH) for n in range(20)),
        (home, PINNED, HOME), lent, zone=full,
    )  # fmt: skip
    fitted = worst.fitted()
    assert (fitted.zone, fitted.relays[0], fitted.lends, fitted.nickname) == (full, home, lent, "n" * 64)
    assert len(fitted.encode()) <= OWN_PACKET_BYTES
    longer = replace(worst, lends=BeaconUrl("https", "b" * 150, 65535, me))
    assert longer.fitted().lends is None, "a lent relay of a long name is the last to go"
    assert longer.fitted().zone == full


def test_a_services_neighbours_do_not_make_a_zone_smaller_than_it_is_reckoned() -> None:
    zone = zone_of("_sip._tcp SRV 1 2 5060 pbx", "_a._udp.web TXT x", "web TXT y")
    services = (WEB, GAME, DNS)
    beside = replace(record(services=services), zone=zone)
    grown = len(beside.encode()) - len(record(services=services).encode())
    assert grown <= zone_bytes(key(1).endpoint_id, zone)


@given(st.lists(st.binary(max_size=60), max_size=3), st.binary(max_size=300))
def test_any_packet_below_our_apex_is_read_or_refused(labels: list[bytes], rdata: bytes) -> None:
    name = [label for label in labels if label] + [str(key(1).endpoint_id).encode()]
    for rtype in (5, 16, 33, 65):
        raw = DNSRecord(rr=[about("v=1", "exp=1"), RR(name, 99, rdata=RD(rdata))]).pack()
        packet = bytes(raw).replace(b"\x00\x63\x00\x01", bytes([0, rtype, 0, 1]))
        if len(packet) > OWN_PACKET_BYTES:
            continue
        with contextlib.suppress(RecordError):
            read = EndpointRecord.from_packet(SignedPacket.sign(key(1), 5, packet))
            assert EndpointRecord.from_packet(replace(read, services=()).sign(key(1))).zone == read.zone
