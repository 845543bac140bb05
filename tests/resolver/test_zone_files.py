"""A zone as a file."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import InvalidZone
from resolver.limits import ZONE_FILE_CHARACTERS
from resolver.profiles import Profile
from resolver.zone_files import json_zone, read_zone_file, zone_of_json
from tests.lab.resolver_keys import key

ME, BOB = key(1).endpoint_id, key(2).endpoint_id
MASTER = f"""\
; a zone as others keep it
$ORIGIN me.overlay.
$TTL 1h30m
@       3600 IN SOA ns.example.org. me.example.org. (
                1      ; serial
                7200 3600 1209600 300 )
        IN  NS  ns.example.org.
@       TXT "v=spf1 -all" plain "a \\"quote\\"; and \\206\\177"
blog    300 IN CNAME web
card    IN 300 CNAME web.bob.overlay.
\tTXT   ( "not"
          "refused here" ) ; a second record of card
www     CNAME example.org.
_sip._tcp   SRV 10 5 5060 pbx
$ORIGIN shop.{ME}.overlay.
@       HTTPS 1 web alpn=h2 port=443
_acme   TXT token
me.overlay. TXT last
"""


def find(petname: str):
    return {"bob": BOB, "me": ME}.get(petname)


def lines(text: str) -> list[str]:
    return [" ".join(entry.words(ME)) for entry in read_zone_file(text, ME, find).records]


def test_a_master_file_is_read_as_others_write_it() -> None:
    assert lines(MASTER) == [
        '@ TXT v=spf1 -all plain a "quote"; and \u03b1',
        "blog CNAME web",
        f"card CNAME web.{BOB}.overlay",
        "card TXT not refused here",
        "www CNAME example.org.",
        "_sip._tcp SRV 10 5 5060 pbx",
        "shop HTTPS 1 web alpn=h2 port=443",
        "_acme.shop TXT token",
        "@ TXT last",
    ]
    assert read_zone_file(MASTER, ME, find).skipped == ("line 4: SOA", "line 7: NS")
    assert lines(MASTER.replace("\n", "\r\n")) == lines(MASTER)


def test_without_an_origin_names_are_below_our_own() -> None:
    assert lines(f"blog CNAME web\n{ME}.overlay. TXT x\nnote.{ME}. TXT y\n") == [
        "blog CNAME web",
        "@ TXT x",
        "note TXT y",
    ]
    assert lines("") == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a TXT x\nb A 192.0.2.1\n", "line 2: a zone has no A records"),
        ("a\n", "line 1: a record has a name"),
        ("a 300 IN\n", "line 1: a record has a name"),
        ('a TXT "x\n', "line 1: a quote that does not end"),
        ("a TXT ( x\n\n", "line 1: a parenthesis that does not close"),
        ("a TXT ) x\n", "line 1: a parenthesis too many"),
        ("a TXT (( x\n", "line 1: a parenthesis too many"),
        ("$INCLUDE other\n", "line 1: $INCLUDE is not understood"),
        ("$ORIGIN\n", "line 1: $ORIGIN is not understood"),
        ("www.example.org. TXT x\n", "line 1: www.example.org. lies outside"),
        ("x.bob.overlay. TXT x\n", "lies outside"),
        ("$ORIGIN example.org.\na TXT x\n", "line 2: a lies outside"),
        ("a CNAME www.example.org\n", "line 1:"),
        ("_profile TXT n=x\n", "overlay zone profile"),
        ("_overlay TXT v=1\n", "written by the gateway"),
        ('a TXT "\\300"\n', "line 1: \\300 is no byte"),
        ('a TXT "\\200"\n', "no text in UTF-8"),
        ("{", "no zone as"),
        ("[1]", "no zone as"),
        ('{"records": [{"label": "a", "type": "A", "value": ["1"]}]}', "records[0]: a zone has no A"),
        ('{"records": [{"label": "_profile", "type": "TXT", "value": ["n=x"]}]}', "records[0]: _profile"),
        ('{"records": [{"label": "a"}]}', "no zone as"),
        ('{"profile": {"name": "\\u0430lice"}}', "mixes the scripts"),
        ("[" * 100_000, "more than"),
        ("x" * (ZONE_FILE_CHARACTERS + 1), f"more than {ZONE_FILE_CHARACTERS} characters"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, says: str) -> None:
    with pytest.raises(InvalidZone) as caught:
        read_zone_file(text, ME, find)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_is_what_show_prints() -> None:
    entries = (
        *read_zone_file(MASTER, ME, find).records,
        Profile("Me", links=("https://a.example/",)).entry(),
    )
    saved = json_zone(entries, ME)
    text = msgspec.json.encode(saved).decode()
    again = read_zone_file(text, ME, find)
    assert again.records == entries[:-1]
    assert again.profile == Profile("Me", links=("https://a.example/",))
    assert zone_of_json(saved, ME) == again
    assert read_zone_file('{"records": [], "host": "x", "used_bytes": 3}', ME, find).profile is None


@pytest.mark.parametrize("text", ["{}", '{"zone": []}', '{"entries": [{"label": "x"}]}'])
def test_another_json_file_is_no_empty_zone(text: str) -> None:
    """`zone import --replace` would take everything away for it."""
    with pytest.raises(InvalidZone, match="it has no 'records'"):
        read_zone_file(text, ME, find)


@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(
            st.sampled_from(['"', "(", ")", ";", "\\", "\n", " ", "$ORIGIN", "a", "TXT", "."]), max_size=40
        ).map("".join),
    )
)
def test_any_file_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidZone):
        read_zone_file(text, ME, find)


@given(
    st.recursive(
        st.none() | st.text(max_size=9) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["records", "label", "type", "value", "profile", "links"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(value: object) -> None:
    with contextlib.suppress(InvalidZone):
        read_zone_file(" " + msgspec.json.encode({"records": [value], "profile": value}).decode(), ME, find)
