"""`overlay zone` and `overlay whois`."""

from __future__ import annotations

import io
import json
import shlex
from typing import TYPE_CHECKING

import msgspec

from gateway.control import zones
from resolver.limits import ZONE_FILE_CHARACTERS
from tests.lab.control_zones import ALICE

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.gateway.cli.conftest import Overlay

BLOG = zones.ZoneRecordReport(label="blog", type="CNAME", value=("web",))
NOTE = zones.ZoneRecordReport(label="@", type="TXT", value=("a b", "\x1b[31mred", "\u202eevil", "\u0430lice"))


async def test_a_zone_is_shown_with_its_space(overlay: Overlay) -> None:
    done = await overlay("zone")
    assert "156 of 456 bytes used, 300 left; the whole record has 400 of 996." in done.err
    assert "zone set blog CNAME web" in done.err
    assert "display name  Alice" in done.out
    overlay.gateway.zone_records = [BLOG, NOTE]
    done = await overlay("zone", "show")
    assert [line.split() for line in done.out.splitlines()][1] == ["blog", "CNAME", "web"]
    assert r'"a b" "\x1b[31mred"' in done.out
    assert "xn--" in done.out
    for character in "\x1b\u202e\u0430":
        assert character not in done.out
    assert "the record has no room for game" in done.err
    assert (await overlay("zone", "show", "--json")).json["records"][0] == {
        "label": "blog",
        "type": "CNAME",
        "value": ["web"],
    }


async def test_a_change_tells_what_it_did_and_how_to_undo_it(overlay: Overlay) -> None:
    done = await overlay("zone", "set", "note", "TXT", "two words", "x")
    home = f"overlay --home {overlay.home.path}"
    assert done.out.splitlines() == [
        "- note TXT old",
        "+ note TXT two words x",
        f"undo: {home} zone set note TXT 'two words' && {home} zone unset x",
    ]
    assert "300 left" in done.err
    assert overlay.gateway.asked == [zones.ZoneSetRequest(label="note", type="TXT", value=("two words", "x"))]
    undo = done.out.splitlines()[-1].partition("undo: ")[2].split(" && ")[0]
    assert (await overlay(*shlex.split(undo)[3:])).code == 0
    assert (await overlay("zone", "set", "--add", "note", "TXT", "--json", "--", "-x")).json["added"] == [
        "note TXT -x"
    ]
    assert overlay.gateway.asked[-1] == zones.ZoneSetRequest(
        label="note", type="TXT", value=("-x",), add=True
    )
    assert (await overlay("zone", "unset", "note")).out == "Nothing changes.\n"
    await overlay("zone", "unset", "note", "TXT")
    assert overlay.gateway.asked[-2:] == [
        zones.ZoneUnsetRequest(label="note"),
        zones.ZoneUnsetRequest(label="note", type="TXT"),
    ]


async def test_refusals_are_one_line_without_control_codes(overlay: Overlay) -> None:
    done = await overlay("zone", "set", "www", "A", "192.0.2.1")
    assert (done.code, done.err) == (2, "overlay: zone: a zone has no A records\n")
    assert (await overlay("zone", "set", "www", "TXT")).code == 2
    done = await overlay("whois", "nobody\x1b[2J\u202e")
    assert done.code != 0
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err
    assert done.err.count("\n") == 1


async def test_a_profile_is_shown_and_changed(overlay: Overlay) -> None:
    done = await overlay("zone", "profile")
    assert "link          https://a.example/" in done.out
    assert (await overlay("zone", "profile", "--json")).json["name"] == "Alice"
    assert overlay.gateway.asked == []
    done = await overlay("zone", "profile", "--name", "", "--link", "https://a", "--link", "https://b")
    assert "web is a service of yours" in done.err
    await overlay("zone", "profile", "--no-links", "--avatar", "https://a/a.png", "--description", "x")
    assert overlay.gateway.asked == [
        zones.ProfileRequest(name="", links=("https://a", "https://b")),
        zones.ProfileRequest(description="x", avatar="https://a/a.png", links=()),
    ]
    done = await overlay("zone", "profile", "--no-links", "--link", "https://a")
    assert (done.code, done.err.count("\n")) == (2, 1)


async def test_a_file_is_imported(overlay: Overlay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "zone.txt"
    file.write_text("a TXT b\n")
    done = await overlay("zone", "import", str(file), "--replace", "--dry-run")
    assert "+ a TXT b" in done.out
    assert "passed over: line 1: SOA" in done.err
    assert overlay.gateway.asked == [zones.ZoneImportRequest(text="a TXT b\n", replace=True, preview=True)]
    monkeypatch.setattr("sys.stdin", io.StringIO("c TXT d\n"))
    assert (await overlay("zone", "import", "-")).code == 0
    assert overlay.gateway.asked[-1] == zones.ZoneImportRequest(text="c TXT d\n")
    for data, says in ((b"\xff\xfe", "UTF-8"), (b"x" * (ZONE_FILE_CHARACTERS + 1), "characters")):
        file.write_bytes(data)
        done = await overlay("zone", "import", str(file))
        assert (done.code, says in done.err, done.err.count("\n")) == (2, True, 1)
    assert (await overlay("zone", "import", str(tmp_path / "none"))).code == 2


async def test_whois_tells_what_is_known_and_by_whose_word(overlay: Overlay) -> None:
    done = await overlay("whois", "alice")
    assert ALICE in done.out
    assert "No record of it is known" in done.err
    overlay.gateway.who = zones.WhoisReport(
        endpoint_id=ALICE,
        petname="alice",
        nickname="al",
        known_as="robert",
        profile=zones.ProfileReport(name="\u0430lice", description="x \x1b[31m \u202e"),
        zone=(BLOG,),
        services=("web",),
        relays=("https://eu1.example#x",),
        addresses=("192.0.2.1:7",),
        source="eu1.example",
        age=90.0,
        expires=1e9,
    )
    done = await overlay("whois", "alice")
    assert "al (it was robert when it became a contact)" in done.out
    assert "display name  xn--lice-43d" in done.out
    assert "1 min 30 s old, from eu1.example, good until 2001-09-09" in done.out
    assert "192.0.2.1:7, relay eu1.example" in done.out
    assert "blog" in done.out
    for character in "\x1b\u202e\u0430":
        assert character not in done.out
    raw = (await overlay("whois", "alice", "--json")).out
    assert all(character.isprintable() or character == "\n" for character in raw)
    assert json.loads(raw) == json.loads(msgspec.json.encode(overlay.gateway.who))
