"""`overlay ca` on a person's own stores, with the real certutil, and no gateway running."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.secure.limits import CA_DAYS
from gateway.trust import system
from gateway.trust.nss import NssStore
from gateway.trust.stores import StoreFailed

pytestmark = pytest.mark.needs("certutil")


@pytest.fixture(autouse=True)
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody with Chromium and one Firefox profile, and a system whose store we do not know."""
    person = tmp_path / "person"
    (person / ".config/chromium").mkdir(parents=True)
    profile = person / ".mozilla/firefox/x.default"
    profile.mkdir(parents=True)
    NssStore("firefox", profile)._run(("certutil", "-N", "-d", f"sql:{profile}", "--empty-password"))
    monkeypatch.setenv("HOME", str(person))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(system, "LAYOUTS", ())
    return person


def states(outcome) -> list[tuple[str, str, bool]]:
    return [(store["kind"], store["state"], store["changed"]) for store in outcome.json["stores"]]


def test_it_is_made_put_everywhere_and_taken_away_again(alone, home):
    first = alone("ca", "install", "--json")
    assert first.code == 0, first.err
    assert states(first) == [("chromium", "trusted", True), ("firefox", "trusted", True)]
    assert (first.json["made"], first.json["running"]) == (True, False)
    second = alone("ca", "install", "--json")
    assert states(second) == [("chromium", "trusted", False), ("firefox", "trusted", False)]
    assert second.json["fingerprint"] == first.json["fingerprint"]
    assert states(alone("ca", "status", "--json")) == states(second)
    removed = alone("ca", "remove", "--json")
    assert (removed.code, states(removed)) == (0, [("chromium", "absent", True), ("firefox", "absent", True)])
    assert not home.authority_directory.exists()
    assert alone("ca", "status").code == 1
    again = alone("ca", "remove", "--json")
    assert (again.code, again.json["removed"]) == (0, False)


def test_people_are_told_what_was_done_how_to_use_it_and_how_to_undo_it(alone, home):
    said = alone("ca", "install").out
    assert "good for .overlay and .localhost only" in said
    assert f"curl --cacert {home.authority_directory}/authority.pem https://web.NAME.overlay/" in said
    assert f"overlay --home {home.path} ca remove" in said
    assert "until" in alone("ca", "status").out
    assert "its key is deleted" in alone("ca", "remove").out
    assert "no authority" in alone("ca", "remove").out


def test_one_store_alone_can_be_chosen(alone):
    assert states(alone("ca", "install", "--store", "firefox", "--json")) == [("firefox", "trusted", True)]
    assert states(alone("ca", "status", "--json")) == [
        ("chromium", "absent", False),
        ("firefox", "trusted", False),
    ]
    missing = alone("ca", "install", "--store", "system")
    assert (missing.code, "no store of system" in missing.err) == (2, True)


def test_a_store_that_fails_leaves_nothing_behind(alone, home, monkeypatch):
    def full(store: NssStore, wanted: object) -> None:
        if store.kind == "firefox":
            raise StoreFailed(f"{store.place}: it is full")
        real(store, wanted)

    real = NssStore.add
    monkeypatch.setattr(NssStore, "add", full)
    failed = alone("ca", "install")
    assert failed.code == 1
    assert failed.err.count("\n") == 1
    assert "it is full; nothing was changed" in failed.err
    assert not home.authority_directory.exists()


@pytest.mark.parametrize(
    ("platform", "show", "word", "undo"),
    [
        ("darwin", "macos", "security add-trusted-cert", "security delete-certificate"),
        ("win32", "windows", "certutil -user -addstore", "certutil -user -delstore"),
    ],
)
def test_other_systems_are_shown_their_commands(alone, monkeypatch, platform, show, word, undo):
    said = alone("ca", "install", "--show", show, "--json").json
    assert said["stores"] == []
    assert word in said["commands"][0]
    assert undo in said["undo"][0]
    monkeypatch.setattr("gateway.cli.ca.sys.platform", platform)
    assert alone("ca", "install", "--json").json["commands"] == said["commands"]
    removed = alone("ca", "remove", "--json")
    assert (removed.code, removed.json["commands"]) == (1, said["undo"])


def test_without_certutil_the_commands_are_printed_and_nothing_fails(alone, monkeypatch):
    monkeypatch.setattr("gateway.trust.nss.found", lambda program: None)
    said = alone("ca", "install")
    assert said.code == 0
    assert "libnss3-tools" in said.out
    assert "certutil -A -d sql:" in said.out


def test_an_authority_that_ends_soon_is_replaced_everywhere(alone, monkeypatch):
    first = alone("ca", "install", "--json").json
    monkeypatch.setattr("gateway.cli.ca._now", lambda: first["expires"] - 10 * 86400)
    assert "ends soon" in alone("ca", "status").err
    second = alone("ca", "install", "--json").json
    assert second["label"] != first["label"]
    assert second["expires"] > first["expires"] + (CA_DAYS - 20) * 86400
    for store in second["stores"]:
        assert NssStore(store["kind"], Path(store["place"])).has(first["label"]) is None


def test_what_only_root_may_take_away_is_left_on_the_list(alone, home, monkeypatch):
    alone("ca", "install")
    monkeypatch.setattr(NssStore, "obstacle", lambda store: "not now" if store.kind == "firefox" else "")
    left = alone("ca", "remove", "--json")
    assert left.code == 1
    assert [store["commands"] != [] for store in left.json["stores"]] == [False, True]
    assert not (home.authority_directory / "authority.key").exists()
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(home.path.parent / "person"))
    monkeypatch.setattr(system, "LAYOUTS", ())
    assert alone("ca", "remove", "--json").code == 0
    assert not home.authority_directory.exists()


def test_a_damaged_authority_can_be_removed(alone, home):
    alone("ca", "install")
    (home.authority_directory / "authority.key").write_bytes(b"junk")
    broken = alone("ca", "status")
    assert (broken.code, "overlay ca remove" in broken.err) == (4, True)
    removed = alone("ca", "remove", "--json")
    assert removed.code == 0
    assert [store["changed"] for store in json.loads(removed.out)["stores"]] == [True, True]
