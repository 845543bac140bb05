"""The secret key rests in a private file that no accident overwrites."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.disks import fill, read_only, tiny_disk
from tunnels.errors import KeyFileError
from tunnels.identity import SecretKey
from tunnels.keyfile import (
    create_key,
    key_from_text,
    key_to_text,
    load_key,
    load_or_create_key,
    replace_key,
    save_key,
)
from tunnels.limits import KEY_FILE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

SECRET = SecretKey(bytes(range(32)))


def test_the_text_form_is_one_line_with_a_checksum() -> None:
    text = key_to_text(SECRET)
    word, key = text.split()
    assert word == "overlay-secret-key-v1"
    assert len(key) == 58
    assert text.endswith("\n")


@given(st.binary(min_size=32, max_size=32))
def test_every_key_survives_the_text_form(seed: bytes) -> None:
    assert key_from_text(key_to_text(SecretKey(seed))).seed == seed


@given(st.text(max_size=120))
def test_any_text_is_a_key_or_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected one line|another version|cut short"):
        key_from_text(text)


@given(st.integers(22, 79), st.characters(codec="ascii"))
def test_a_changed_character_is_told(place: int, character: str) -> None:
    line = key_to_text(SECRET).strip()
    changed = f"{line[:place]}{character}{line[place + 1 :]}"
    if changed.lower().strip() != line:
        with pytest.raises(ValueError, match=r"expected one line|cut short or mistyped"):
            key_from_text(changed)


def test_every_cut_line_is_told() -> None:
    line = key_to_text(SECRET).strip()
    for length in range(len(line)):
        with pytest.raises(ValueError, match=r"expected one line|another version|cut short"):
            key_from_text(line[:length])


def test_a_key_of_another_version_is_told() -> None:
    with pytest.raises(ValueError, match="another version"):
        key_from_text(key_to_text(SECRET).replace("-v1", "-v2"))


def test_the_first_call_creates_and_the_next_loads(tmp_path: Path) -> None:
    file = tmp_path / "identity.key"
    assert load_key(file) is None
    first = load_or_create_key(file)
    assert load_or_create_key(file).seed == first.seed
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_new_keys_differ(tmp_path: Path) -> None:
    assert create_key(tmp_path / "a").seed != create_key(tmp_path / "b").seed


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "identity.key"
    file.write_text("precious")
    for attempt in (
        lambda: create_key(file),
        lambda: save_key(file, SECRET),
        lambda: load_or_create_key(file),
    ):
        with pytest.raises(KeyFileError, match=r"identity\.key"):
            attempt()
    assert file.read_text() == "precious"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "expected one line"),
        (b"\xff" * 40, "expected one line"),
        (b"x" * (KEY_FILE_BYTES + 1), "larger than"),
        (key_to_text(SECRET).encode()[:-5], "cut short or mistyped"),
        (key_to_text(SECRET).encode() * 2, "expected one line"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----", "expected one line"),
    ],
)
def test_a_corrupt_file_is_one_line_with_the_remedy_and_stays(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    file = tmp_path / "identity.key"
    file.write_bytes(data)
    with pytest.raises(KeyFileError) as caught:
        load_key(file)
    message = str(caught.value)
    assert str(file) in message
    assert reason in message
    assert "move it away" in message
    assert "\n" not in message
    assert file.read_bytes() == data


def test_an_error_never_repeats_what_the_file_holds(tmp_path: Path) -> None:
    file = tmp_path / "identity.key"
    key = key_to_text(SECRET).split()[1]
    file.write_text(f"overlay-secret-key-v1 {key[:-1]}")
    with pytest.raises(KeyFileError) as caught:
        load_key(file)
    assert key[:10] not in str(caught.value)


def test_a_file_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "identity.key"
    create_key(file)
    file.chmod(0o644)
    assert load_key(file) is not None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"not a file|directory"):
        load_key(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(KeyFileError, match="not a file"):
        load_key(tmp_path / "fifo")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_somebody_elses_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "identity.key"
    create_key(file)
    os.chown(file, 12345, 12345)
    with pytest.raises(KeyFileError, match="belongs to somebody else"):
        load_key(file)


def test_a_replaced_key_stays_under_another_name(tmp_path: Path) -> None:
    file = tmp_path / "identity.key"
    assert replace_key(file, SECRET) is None
    old = file.read_bytes()
    other = SecretKey(bytes(32))
    for number in (1, 2):
        backup = replace_key(file, other)
        assert backup == tmp_path / f"identity.key.old-{number}"
    assert (tmp_path / "identity.key.old-1").read_bytes() == old
    loaded = load_key(file)
    assert loaded is not None
    assert loaded.seed == other.seed


def test_a_full_disk_loses_no_key(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with tiny_disk(disk):
        secret = create_key(disk / "identity.key")
        fill(disk)
        with pytest.raises(KeyFileError, match="No space left"):
            create_key(disk / "another.key")
        with pytest.raises(KeyFileError, match="No space left"):
            replace_key(disk / "identity.key", SECRET)
        kept = load_key(disk / "identity.key")
        assert kept is not None
        assert kept.seed == secret.seed


def test_a_read_only_directory_is_told(tmp_path: Path) -> None:
    with read_only(tmp_path), pytest.raises(KeyFileError, match="cannot write"):
        create_key(tmp_path / "identity.key")
