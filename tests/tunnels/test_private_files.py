"""A file is written whole and private, or not at all."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from tests.lab.disks import fill, no_growing_files, read_only, tiny_disk
from tunnels.private_files import write_private

if TYPE_CHECKING:
    from pathlib import Path


def test_a_written_file_is_whole_and_only_its_owners(tmp_path: Path) -> None:
    write_private(tmp_path / "f", b"data")
    assert (tmp_path / "f").read_bytes() == b"data"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_an_old_file_is_replaced_with_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    (tmp_path / "f").chmod(0o644)
    write_private(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


def test_an_old_file_is_kept_when_asked_to(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "f", b"new", replace=False)
    assert (tmp_path / "f").read_bytes() == b"old"
    write_private(tmp_path / "g", b"new", replace=False)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["f", "g"]


@pytest.mark.parametrize("replace", [True, False])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with no_growing_files(), pytest.raises(OSError, match="File too large"):
        write_private(tmp_path / "f", b"new", replace=replace)
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with tiny_disk(disk):
        (disk / "f").write_bytes(b"old")
        fill(disk)
        with pytest.raises(OSError, match="No space left"):
            write_private(disk / "f", b"new")
        assert (disk / "f").read_bytes() == b"old"
        assert sorted(entry.name for entry in disk.iterdir()) == ["ballast", "f"]


def test_a_read_only_directory_leaves_the_old_file(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    (directory / "f").write_bytes(b"old")
    with read_only(directory):
        with pytest.raises(OSError, match=r"Read-only|Permission denied"):
            write_private(directory / "f", b"new")
        assert (directory / "f").read_bytes() == b"old"
