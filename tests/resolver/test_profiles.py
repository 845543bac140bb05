"""What an owner tells people of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import InvalidZone
from resolver.limits import PROFILE_LINKS, PROFILE_NAME_BYTES, PROFILE_STRING_BYTES
from resolver.profiles import Profile, is_profile, profile_of
from resolver.zone_entries import Text, ZoneEntry

FULL = Profile(
    "Алиса", "Tea, and trains", "https://a.example/a.png", ("https://a.example/", "http://[2001:db8::1]/")
)


def said(*strings: bytes) -> tuple[ZoneEntry, ...]:
    return (ZoneEntry((), "other", Text((b"n=no",))), ZoneEntry(("_profile",), "", Text(strings)))


def test_it_is_a_txt_record_as_documented_and_reads_back() -> None:
    entry = FULL.check().entry()
    assert entry is not None
    assert is_profile(entry)
    assert entry.value == Text(
        (
            "n=Алиса".encode(),
            b"d=Tea, and trains",
            b"a=https://a.example/a.png",
            b"l=https://a.example/",
            b"l=http://[2001:db8::1]/",
        )
    )
    assert profile_of([entry]) == FULL


def test_an_empty_one_is_no_record() -> None:
    assert Profile().entry() is None
    assert not Profile()
    assert profile_of([]) == Profile()
    assert Profile(links=("https://a.example/",))


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        (Profile("\u0430lice"), "display name 'xn--lice-43d': it mixes the scripts"),
        (Profile(description="pay \u0430lice"), "mixes the scripts"),
        (Profile(description="a\x1b[2J"), r"a\x1b"),
        (Profile("x" * (PROFILE_NAME_BYTES + 1)), f"has {PROFILE_NAME_BYTES + 1} bytes; it may have at most"),
        (Profile(description="x" * (PROFILE_STRING_BYTES + 1)), "at most 253"),
        (Profile(avatar="javascript:alert(1)"), "no URL"),
        (Profile(avatar="https://\u0430lice.example/"), "no URL"),
        (Profile(avatar="https://" + "x" * PROFILE_STRING_BYTES), "no URL"),
        (Profile(links=("https://a.example/\x1b",)), "no URL"),
        (Profile(links=("https://a.example/",) * (PROFILE_LINKS + 1)), f"at most {PROFILE_LINKS} links"),
    ],
)
def test_what_cannot_be_published_is_refused(profile: Profile, says: str) -> None:
    with pytest.raises(InvalidZone) as caught:
        profile.check()
    assert says in str(caught.value) or says in repr(str(caught.value))
    assert str(caught.value).isprintable()


def test_the_largest_is_taken() -> None:
    Profile(
        "x" * PROFILE_NAME_BYTES, "x" * PROFILE_STRING_BYTES, links=("https://a.example/",) * PROFILE_LINKS
    ).check()


def test_of_others_what_can_be_used_is_read() -> None:
    links = [b"l=https://a.example/%d" % number for number in range(PROFILE_LINKS + 2)]
    read = profile_of(
        said(b"n=first", b"n=second", b"z=new", b"plain", b"", b"a=ftp://x", b"l=javascript:x", *links)
    )
    assert (read.name, read.description, read.avatar) == ("first", "", "")
    assert read.links == tuple(link[2:].decode() for link in links[:PROFILE_LINKS])


@given(st.lists(st.binary(max_size=255), max_size=12))
def test_any_strings_are_read(strings: list[bytes]) -> None:
    read = profile_of(said(*strings))
    assert len(read.links) <= PROFILE_LINKS
    assert all(link.isascii() and link.isprintable() for link in (*read.links, read.avatar))
