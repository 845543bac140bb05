"""NSS databases, with the real certutil; and which of them belong to a person's browsers."""

from __future__ import annotations

import shutil
import ssl
from typing import TYPE_CHECKING

import pytest

from gateway.secure.authority import Authority
from gateway.trust.limits import NSS_DATABASES
from gateway.trust.nss import NssStore, nss_stores
from gateway.trust.stores import Said, StoreFailed, Wanted

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY = Authority.make(1_800_000_000, "test")
DER = ssl.PEM_cert_to_DER_cert(AUTHORITY.pem.decode())


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    file = tmp_path / "authority.pem"
    file.write_bytes(AUTHORITY.pem)
    return Wanted(AUTHORITY.label, DER, file)


@pytest.mark.needs("certutil")
def test_an_authority_is_added_found_and_removed_and_the_database_made(tmp_path, wanted):
    store = NssStore("chromium", tmp_path / ".pki" / "nssdb")
    assert store.has(wanted.label) is None
    assert store.obstacle() == ""
    store.add(wanted)
    assert store.has(wanted.label) == DER
    store.add(wanted)
    assert store.has(wanted.label) == DER
    assert store.has("overlay-other") is None
    store.remove(wanted.label)
    store.remove(wanted.label)
    assert store.has(wanted.label) is None


@pytest.mark.needs("certutil")
def test_what_is_no_database_is_told_of(tmp_path, wanted):
    (tmp_path / "cert9.db").write_bytes(b"junk" * 100)
    store = NssStore("firefox", tmp_path)
    for what in (lambda: store.add(wanted), lambda: store.remove(wanted.label)):
        with pytest.raises(StoreFailed, match=str(tmp_path)):
            what()


def test_without_certutil_a_person_is_told_what_to_install(tmp_path, wanted, monkeypatch):
    monkeypatch.setattr("gateway.trust.nss.found", lambda program: None)
    store = NssStore("chromium", tmp_path)
    assert "libnss3-tools" in store.obstacle()
    assert store.has(wanted.label) is None
    assert store.commands(wanted) == (
        f"certutil -N -d sql:{tmp_path} --empty-password",
        f"certutil -A -d sql:{tmp_path} -t C,, -n {wanted.label} -i {wanted.file}",
    )
    assert store.undo_commands(wanted.label) == (f"certutil -D -d sql:{tmp_path} -n {wanted.label}",)


@pytest.mark.parametrize("output", [b"", b"junk", b"\xff" * 9])
def test_what_a_program_says_that_is_no_certificate_is_an_error_of_ours(tmp_path, output, monkeypatch):
    monkeypatch.setattr("gateway.trust.nss.found", lambda program: program)
    (tmp_path / "cert9.db").touch()
    store = NssStore("chromium", tmp_path, lambda command: Said(0, output, ""))
    with pytest.raises(StoreFailed):
        store.has("overlay-1")


def test_a_label_that_comes_back_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.trust.nss.found", lambda program: program)
    (tmp_path / "cert9.db").touch()
    store = NssStore("chromium", tmp_path, lambda command: Said(0, AUTHORITY.pem, ""))
    with pytest.raises(StoreFailed, match="again"):
        store.remove("overlay-1")


def places(home: Path, **environ: str) -> list[tuple[str, str]]:
    return [(s.kind, s.place.removeprefix(f"{home}/")) for s in nss_stores(home, environ)]


def test_the_databases_are_those_of_the_browsers_that_are_here(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *words, **named: None)
    assert places(tmp_path) == []
    (tmp_path / ".config/google-chrome").mkdir(parents=True)
    assert places(tmp_path) == [("chromium", ".pki/nssdb")]
    for profile in (".mozilla/firefox/b.default", ".mozilla/firefox/a.work", "data/pki/nssdb"):
        (tmp_path / profile).mkdir(parents=True)
        (tmp_path / profile / "cert9.db").touch()
    (tmp_path / ".mozilla/firefox/never-started").mkdir()
    assert places(tmp_path, XDG_DATA_HOME=str(tmp_path / "data")) == [
        ("chromium", ".pki/nssdb"),
        ("chromium", "data/pki/nssdb"),
        ("firefox", ".mozilla/firefox/a.work"),
        ("firefox", ".mozilla/firefox/b.default"),
    ]


def test_no_more_databases_are_touched_than_may_be(tmp_path):
    for number in range(NSS_DATABASES + 5):
        profile = tmp_path / ".mozilla/firefox" / str(number)
        profile.mkdir(parents=True)
        (profile / "cert9.db").touch()
    assert len(nss_stores(tmp_path, {})) == NSS_DATABASES
