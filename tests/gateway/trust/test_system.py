"""The system's store, with Debian's own update-ca-certificates on directories of the test's."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from gateway.secure.authority import Authority
from gateway.trust.stores import Said, StoreFailed, Wanted
from gateway.trust.system import LAYOUTS, Layout, SystemStore, system_store

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY = Authority.make(1_800_000_000, "test")
DER = ssl.PEM_cert_to_DER_cert(AUTHORITY.pem.decode())


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    return Wanted(AUTHORITY.label, DER, tmp_path / "authority.pem")


@pytest.mark.needs("update-ca-certificates")
def test_debian_takes_it_up_and_lets_it_go(tmp_path, wanted):
    local, etc, hooks, configuration = (tmp_path / name for name in ("local", "etc", "hooks", "conf"))
    for directory in (local, etc, hooks):
        directory.mkdir()
    configuration.touch()
    (local / "other.crt").write_bytes(Authority.make(1_800_000_000, "other").pem)
    words = ("--localcertsdir", str(local), "--etccertsdir", str(etc), "--hooksdir", str(hooks))
    store = SystemStore(
        Layout(local, ("update-ca-certificates", *words, "--certsconf", str(configuration)), ("--fresh",))
    )
    assert (store.has(wanted.label), store.obstacle()) == (None, "")
    store.add(wanted)
    assert store.has(wanted.label) == DER
    bundle = etc / "ca-certificates.crt"
    assert AUTHORITY.pem.decode().strip() in bundle.read_text()
    store.add(wanted)
    store.remove(wanted.label)
    assert store.has(wanted.label) is None
    assert AUTHORITY.pem.decode().strip() not in bundle.read_text()
    assert not [entry.name for entry in etc.iterdir() if wanted.label in entry.name]
    assert [entry.name for entry in local.iterdir()] == ["other.crt"]


def test_a_file_that_is_not_taken_up_does_not_stay(tmp_path, wanted):
    store = SystemStore(Layout(tmp_path, ("false",)), lambda command: Said(1, b"", "no room"))
    with pytest.raises(StoreFailed, match="no room"):
        store.add(wanted)
    assert list(tmp_path.iterdir()) == []


def test_what_only_root_may_is_shown_with_sudo(wanted):
    store = SystemStore(LAYOUTS[0])
    file = f"/usr/local/share/ca-certificates/{wanted.label}.crt"
    assert store.commands(wanted) == (
        f"sudo install -m 644 {wanted.file} {file}",
        "sudo update-ca-certificates",
    )
    assert store.undo_commands(wanted.label) == (f"sudo rm -f {file}", "sudo update-ca-certificates --fresh")


def test_a_directory_that_is_not_ours_is_an_obstacle(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *words: False)
    assert "root" in SystemStore(Layout(tmp_path, ("true",))).obstacle()


def test_a_file_that_somebody_changed_is_not_ours(tmp_path, wanted):
    store = SystemStore(Layout(tmp_path, ("true",)))
    (tmp_path / f"{wanted.label}.crt").write_text("junk")
    assert store.has(wanted.label) == b""


def test_a_system_is_known_by_its_directory_and_its_program(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "gateway.trust.system.LAYOUTS", (Layout(tmp_path / "none", ("true",)), Layout(tmp_path, ("true",)))
    )
    found = system_store()
    assert found is not None
    assert found.place == str(tmp_path)
    monkeypatch.setattr("gateway.trust.system.LAYOUTS", (Layout(tmp_path, ("no-such-program",)),))
    assert system_store() is None
