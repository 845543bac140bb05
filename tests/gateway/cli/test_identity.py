"""`overlay id` moves an identity between machines without losing or showing one by accident."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.home import Home
from tunnels.keyfile import create_key, key_to_text, load_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.cli.conftest import Alone

PROGRAM = [sys.executable, "-c", "from gateway.cli import main; main()"]


def test_an_id_is_printed_without_a_gateway(alone: Alone) -> None:
    secret = create_key(alone.home.identity_file)
    assert alone("id").out == f"{secret.endpoint_id}\n"
    assert alone("id", "--json").json == {
        "endpoint_id": str(secret.endpoint_id),
        "name": f"{secret.endpoint_id}.overlay",
    }


def test_no_identity_yet_is_told_and_nothing_is_made(alone: Alone) -> None:
    done = alone("id")
    assert done.code == 4
    assert "has no identity yet" in done.err
    assert not alone.home.identity_file.exists()


def test_a_corrupt_identity_is_one_line_and_stays(alone: Alone) -> None:
    alone.home.identity_file.write_text("precious?")
    done = alone("id")
    assert (done.code, done.err.count("\n")) == (4, 1)
    assert done.err.startswith("overlay: identity: ")
    assert alone.home.identity_file.read_text() == "precious?"


def test_an_identity_moves_to_another_home(alone: Alone, tmp_path: Path) -> None:
    secret = create_key(alone.home.identity_file)
    exported = tmp_path / "exported"
    done = alone("id", "--export", str(exported))
    assert done.code == 0
    assert "whoever has it is you" in done.err
    assert secret.seed.hex() not in done.out + done.err
    assert key_to_text(secret).split()[1] not in done.out + done.err
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    alone.home = Home(tmp_path / "other")
    assert alone("id", "--import", str(exported)).out == f"{secret.endpoint_id}\n"
    assert alone("id", "--import", str(exported)).code == 0


def test_an_export_never_overwrites(alone: Alone, tmp_path: Path) -> None:
    create_key(alone.home.identity_file)
    (tmp_path / "file").write_text("precious")
    done = alone("id", "--export", str(tmp_path / "file"))
    assert done.code == 4
    assert (tmp_path / "file").read_text() == "precious"


def test_an_import_replaces_an_identity_only_by_force_and_keeps_it(alone: Alone, tmp_path: Path) -> None:
    old = create_key(alone.home.identity_file)
    new = create_key(tmp_path / "new")
    done = alone("id", "--import", str(tmp_path / "new"))
    assert done.code == 4
    assert "add --force" in done.err
    assert alone("id").out == f"{old.endpoint_id}\n"
    done = alone("id", "--import", str(tmp_path / "new"), "--force")
    assert done.out == f"{new.endpoint_id}\n"
    assert "identity.key.old-1" in done.err
    kept = load_key(alone.home.path / "identity.key.old-1")
    assert kept is not None
    assert kept.seed == old.seed


def test_a_corrupt_identity_is_replaced_only_by_force(alone: Alone, tmp_path: Path) -> None:
    create_key(tmp_path / "new")
    alone.home.identity_file.write_text("precious?")
    assert alone("id", "--import", str(tmp_path / "new")).code == 4
    assert alone("id", "--import", str(tmp_path / "new"), "--force").code == 0
    assert (alone.home.path / "identity.key.old-1").read_text() == "precious?"


def test_an_import_waits_for_the_gateway_to_stop(alone: Alone, tmp_path: Path) -> None:
    create_key(tmp_path / "new")
    with alone.home.lock():
        done = alone("id", "--import", str(tmp_path / "new"))
    assert done.code == 4
    assert "another gateway" in done.err
    assert not alone.home.identity_file.exists()


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\xff\xfe"])
def test_what_is_no_key_is_not_imported(alone: Alone, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    done = alone("id", "--import", str(tmp_path / "x"))
    assert done.code == 2
    assert "holds no secret key" in done.err
    assert alone("id", "--import", str(tmp_path / "missing")).code == 2
    assert alone("id", "--import", "a", "--export", "b").code == 2


def test_a_secret_is_not_shown_on_a_terminal_by_accident(home: Home) -> None:
    secret = create_key(home.identity_file)
    for words, shown in (((), False), (("--yes",), True)):
        ours, theirs = pty.openpty()
        result = subprocess.run(
            [*PROGRAM, "--home", str(home.path), "id", "--export", "-", *words], stdout=theirs, check=False
        )
        assert result.returncode == (0 if shown else 2)
        os.set_blocking(ours, False)
        if shown:
            assert key_to_text(secret).strip().encode() in os.read(ours, 65536)
        os.close(theirs)
        os.close(ours)


def test_a_secret_goes_through_a_pipe(home: Home, tmp_path: Path) -> None:
    secret = create_key(home.identity_file)
    exported = subprocess.run(
        [*PROGRAM, "--home", str(home.path), "id", "--export", "-"], capture_output=True, check=True
    )
    imported = subprocess.run(
        [*PROGRAM, "--home", str(tmp_path / "other"), "id", "--import", "-"],
        input=exported.stdout,
        capture_output=True,
        check=True,
    )
    assert imported.stdout.decode().strip() == str(secret.endpoint_id)
