"""Write a file that only its owner may read, whole or not at all.

What stands in the file before a failed write still stands there after it: the new content goes to a temporary
file in the same directory, reaches the disk, and takes the old file's place in one rename.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE: Final = 0o600
"""The mode of every file written here: its owner may read and write it, nobody else may do anything."""


def write_private(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Put `data` into the file at `path`, atomically, with mode 0600; OSError leaves what was there.

    With `replace=False` an existing file is never touched: FileExistsError, even when two writers race.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        if replace:
            os.replace(temporary, path)
        else:
            _rename_to_free_name(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(path.parent)


def _rename_to_free_name(temporary: Path, path: Path) -> None:
    """Rename without replacing: unlike a rename, a hard link fails when the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: a check, then a rename, is the best that is left
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def _sync_directory(directory: Path) -> None:
    """Make the rename survive a power cut; not every file system can, and the file itself is whole either way."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
