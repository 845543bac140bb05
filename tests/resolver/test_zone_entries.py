"""Records of a zone, as people write them and as packets hold them."""

from __future__ import annotations

import contextlib

import pytest
from dnslib import CNAME, HTTPS, QTYPE, RR, SRV, TXT, A, DNSLabel, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import InvalidName, InvalidZone
from resolver.limits import ZONE_ALPN, ZONE_PREFIX_LABELS
from resolver.zone_entries import Target, ZoneEntry, ZoneKind, check_zone, entry_of, split_label
from tests.lab.resolver_keys import key

ME, BOB = key(1).endpoint_id, key(2).endpoint_id


def find(petname: str):
    return {"bob": BOB, "me": ME}.get(petname)


def parse(line: str) -> ZoneEntry:
    label, kind, *words = line.split()
    return ZoneEntry.parse(label, ZoneKind.parse(kind), words, ME, find)


def read(label: str, rdata: object, kind: int) -> ZoneEntry | None:
    """What is read of a record that went over the wire."""
    name = DNSLabel([part.encode() for part in (*filter(None, label.split(".")), str(ME))])
    packet = bytes(DNSRecord(rr=[RR(name, kind, rdata=rdata)]).pack())
    return entry_of(label.split(".") if label else [], DNSRecord.parse(packet).rr[0], ME)


LINES = [
    "@ TXT v=spf1 -all",
    "note TXT tee Größe",
    "_acme-challenge.blog TXT token",
    "blog CNAME web",
    "blog CNAME @",
    "blog CNAME www.example.org.",
    f"blog CNAME web.{BOB}.overlay",
    f"blog CNAME {BOB}.overlay",
    "_acme-challenge CNAME _x.acme.example.org.",
    "_sip._tcp SRV 10 5 5060 pbx",
    "_sip._udp.branch SRV 0 0 5060 @",
    "_sip._tcp SRV 0 0 443 sip.example.org.",
    "shop HTTPS 1 . alpn=h2,h3 no-default-alpn port=8443",
    "shop HTTPS 0 web",
    "@ HTTPS 1 www.example.org.",
    "_8443._https.shop HTTPS 1 web port=8443",
]


@pytest.mark.parametrize("line", LINES)
def test_what_is_written_reads_back_from_words_and_from_the_wire(line: str) -> None:
    entry = parse(line)
    assert " ".join(entry.words(ME)) == line
    assert read(entry.label, entry.rr_data(), entry.kind.value) == entry


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("BLOG cname WEB", "blog CNAME web"),
        ("blog CNAME example.org", "blog CNAME example.org."),
        ("blog CNAME web.bob.overlay", f"blog CNAME web.{BOB}.overlay"),
        ("blog CNAME me.overlay.", "blog CNAME @"),
        (f"blog CNAME web.{BOB}", f"blog CNAME web.{BOB}.overlay"),
        (f"blog CNAME web.{ME}.overlay", "blog CNAME web"),
        ('shop HTTPS 1 . alpn="h2"', "shop HTTPS 1 . alpn=h2"),
    ],
)
def test_names_are_kept_in_a_form_that_means_the_same_everywhere(line: str, words: str) -> None:
    assert " ".join(parse(line).words(ME)) == words


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("blog A 192.0.2.1", "past the tunnel"),
        ("blog AAAA 2001:db8::1", "past the tunnel"),
        ("blog MX 10 mail", "CNAME, TXT, SRV, HTTPS"),
        ("a.b TXT x", "no label of a zone"),
        ("_a._b._c TXT x", "no label of a zone"),
        ("_ TXT x", "no label of a zone"),
        ("-a TXT x", "hyphen"),
        ("xn--80ak6aa92e TXT x", "xn--"),
        ("_overlay TXT x", "written by the gateway"),
        ("@ TXT id=me", "written by the gateway"),
        ("_game._udp TXT last=9", "written by the gateway"),
        ("@ CNAME web", "stands alone"),
        ("blog CNAME blog", "stand for itself"),
        ("blog CNAME a b", "one value"),
        ("blog CNAME nobody.overlay", "nobody is known as nobody"),
        ("blog CNAME a.b.bob.overlay", "is not a name"),
        ("blog CNAME router.lan", "nothing a record may point at"),
        ("blog CNAME localhost.", "nothing a record may point at"),
        ("blog CNAME 192.168.0.1", "nothing a record may point at"),
        ("blog CNAME -a.example.org", "nothing a record may point at"),
        ("blog CNAME x..org", "nothing a record may point at"),
        ("blog SRV 0 0 80 web", "_service._protocol"),
        ("_sip._tcp SRV 0 0 5060 @", "overlay expose"),
        ("_sip._tcp SRV 0 0 5060", "four values"),
        ("_sip._tcp SRV 0 0 0 web", "1 to 65535"),
        ("_sip._tcp SRV 0 -1 9 web", "0 to 65535"),
        ("_sip._tcp SRV 0 0 65536 web", "0 to 65535"),
        ("_sip._tcp SRV 0 0 ² web", "0 to 65535"),
        ("shop HTTPS 1", "a priority, a target"),
        ("shop HTTPS 0 .", "is an alias"),
        ("shop HTTPS 0 web port=1", "is an alias"),
        ("shop HTTPS 1 . ipv4hint=192.0.2.1", "addresses do not belong there"),
        ("shop HTTPS 1 . port=0", "1 to 65535"),
        ("shop HTTPS 1 . port=1 port=2", "each once"),
        ("shop HTTPS 1 . alpn=", "names of protocols"),
        ("shop HTTPS 1 . no-default-alpn", "needs alpn"),
        ("shop HTTPS 1 . alpn=h2 no-default-alpn=1", "has no value"),
    ],
)
def test_what_cannot_stand_in_a_zone_is_refused_with_the_reason(line: str, says: str) -> None:
    with pytest.raises((InvalidZone, InvalidName)) as caught:
        parse(line)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_text_goes_in_strings_of_255_bytes_and_control_characters_do_not() -> None:
    entry = ZoneEntry.parse("a", ZoneKind.TXT, ["x" * 300], ME)
    assert entry.rr_data().data == [b"x" * 255, b"x" * 45]
    for text in ("a\x1b[31m", "a\u202eb", "a\nb"):
        with pytest.raises(InvalidZone, match="printable"):
            ZoneEntry.parse("a", ZoneKind.TXT, [text], ME)
    with pytest.raises(InvalidZone, match="needs a text"):
        ZoneEntry.parse("a", ZoneKind.TXT, [], ME)


def test_the_bounds_are_full() -> None:
    assert split_label("_a._b.c") == (("_a", "_b"), "c")
    assert ZONE_PREFIX_LABELS == 2, "and three are refused above"
    names = [f"p{number}" for number in range(ZONE_ALPN + 1)]
    parse(f"shop HTTPS 1 . alpn={','.join(names[:-1])}")
    with pytest.raises(InvalidZone, match=f"at most {ZONE_ALPN}"):
        parse(f"shop HTTPS 1 . alpn={','.join(names)}")


def test_nothing_stands_beside_a_cname() -> None:
    check_zone([parse("a CNAME b"), parse("_x.a TXT y"), parse("b TXT x"), parse("b HTTPS 1 .")])
    for other in ("a TXT x", "a CNAME c"):
        with pytest.raises(InvalidZone, match="overlay zone unset a"):
            check_zone([parse("a CNAME b"), parse(other)])


@pytest.mark.parametrize(
    ("label", "rdata", "kind"),
    [
        ("www", A("192.0.2.1"), QTYPE.A),
        ("a.b", TXT("x"), QTYPE.TXT),
        ("_overlay", TXT("x"), QTYPE.TXT),
        ("", CNAME("example.org"), QTYPE.CNAME),
        ("", TXT("id=somebody"), QTYPE.TXT),
        ("www", CNAME("router.local"), QTYPE.CNAME),
        ("www", CNAME("localhost"), QTYPE.CNAME),
        ("www", CNAME("10.0.0.1"), QTYPE.CNAME),
        ("www", CNAME("web.bob.overlay"), QTYPE.CNAME),
        ("www", CNAME("."), QTYPE.CNAME),
        ("www", CNAME(f"a.b.{BOB}"), QTYPE.CNAME),
        ("www", CNAME(DNSLabel([b"a\x1b[31m", b"example", b"org"])), QTYPE.CNAME),
        ("www", SRV(0, 0, 80, "example.org"), QTYPE.SRV),
        ("_a._tcp", SRV(0, 0, 0, "example.org"), QTYPE.SRV),
        ("_a._tcp", SRV(0, 0, 80, str(ME)), QTYPE.SRV),
        ("www", HTTPS(1, [b"router", b"lan"], []), QTYPE.HTTPS),
        ("www", HTTPS(0, [], []), QTYPE.HTTPS),
        ("www", HTTPS(1, [], [(0, b"\x00\x04"), (4, b"\xc0\x00\x02\x01")]), QTYPE.HTTPS),
        ("www", HTTPS(1, [], [(1, b"\x02h")]), QTYPE.HTTPS),
        ("www", HTTPS(1, [], [(1, b"\x03h\x1b2")]), QTYPE.HTTPS),
        ("www", HTTPS(1, [], [(3, b"\x00")]), QTYPE.HTTPS),
    ],
)
def test_what_others_may_not_say_is_not_read(label: str, rdata: object, kind: int) -> None:
    assert read(label, rdata, kind) is None


def test_address_hints_of_others_are_left_out() -> None:
    hinted = HTTPS(1, [], [(3, b"\x01\xbb"), (4, b"\xc0\x00\x02\x01"), (6, bytes(16)), (5, b"ech")])
    entry = read("www", hinted, QTYPE.HTTPS)
    assert entry is not None
    assert " ".join(entry.words(ME)) == "www HTTPS 1 . port=443"


def test_an_id_of_another_case_or_with_overlay_behind_it_is_the_same_name() -> None:
    for text in (f"web.{BOB}", f"web.{str(BOB).upper()}", f"web.{BOB}.overlay"):
        entry = read("www", CNAME(DNSLabel([part.encode() for part in text.split(".")])), QTYPE.CNAME)
        assert entry is not None
        assert entry.value.target == Target(BOB, "web")


_LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=4)


@given(
    st.lists(st.text(max_size=70), max_size=4),
    st.one_of(
        st.tuples(st.just(QTYPE.TXT), st.builds(TXT, st.lists(st.binary(max_size=255), max_size=3))),
        st.tuples(st.just(QTYPE.CNAME), st.builds(lambda labels: CNAME(DNSLabel(labels)), _LABELS)),
        st.tuples(
            st.just(QTYPE.SRV),
            st.builds(lambda port, labels: SRV(1, 2, port, DNSLabel(labels)), st.integers(0, 65535), _LABELS),
        ),
        st.tuples(
            st.just(QTYPE.HTTPS),
            st.builds(
                HTTPS,
                st.integers(0, 65535),
                _LABELS,
                st.lists(st.tuples(st.integers(0, 7), st.binary(max_size=20).map(bytearray)), max_size=5),
            ),
        ),
    ),
)
def test_whatever_others_publish_is_read_or_ignored_and_what_is_read_can_be_written(labels, record) -> None:
    kind, rdata = record
    entry = entry_of(labels, RR("x", kind, rdata=rdata), ME)
    if entry is not None:
        assert (
            entry_of(entry.label.split(".") if entry.label else [], RR("x", kind, rdata=entry.rr_data()), ME)
            == entry
        )
        assert all(isinstance(word, str) for word in entry.words(ME))


@given(st.text(max_size=30), st.sampled_from(ZoneKind), st.lists(st.text(max_size=20), max_size=6))
def test_whatever_a_person_types_is_taken_or_refused_in_words(label, kind, words) -> None:
    with contextlib.suppress(InvalidZone, InvalidName):
        entry = ZoneEntry.parse(label, kind, words, ME, find)
        again = entry.words(ME)
        assert ZoneEntry.parse(again[0], kind, again[2:], ME) == entry
