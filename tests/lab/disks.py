"""Directories that really fail: a full disk and a read-only file system, and a limit on the size of files."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def tiny_disk(mount_point: Path, *, kilobytes: int = 16) -> Iterator[None]:
    """A file system of so many kB at `mount_point`; skips the test where we may not mount one."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting needs root")
    mount_point.mkdir(exist_ok=True)
    result = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(mount_point)],
        capture_output=True,
        check=False,
    )
    if result.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(mount_point)], check=True)


def fill(directory: Path) -> None:
    """Leave no free byte on the disk of `directory`."""
    with contextlib.suppress(OSError), (directory / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Nothing can be written below `directory` meanwhile, not even by root; skips where that can't be done."""
    if os.geteuid() != 0:
        mode = directory.stat().st_mode
        directory.chmod(0o500)
        try:
            yield
        finally:
            directory.chmod(mode)
        return
    for words in (["mount", "--bind"], ["mount", "-o", "remount,bind,ro"]):
        result = subprocess.run([*words, str(directory), str(directory)], capture_output=True, check=False)
        if result.returncode != 0:
            subprocess.run(["umount", "-l", str(directory)], capture_output=True, check=False)
            pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@contextlib.contextmanager
def no_growing_files() -> Iterator[None]:
    """Every write that would make a file larger fails with EFBIG, for everybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
