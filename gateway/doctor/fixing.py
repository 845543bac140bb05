"""Doing what a finding says, where that can be undone: permissions made narrow, a socket that nobody answers on removed."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import StateError

if TYPE_CHECKING:
    from gateway.doctor.findings import Fix


@dataclass(frozen=True, slots=True)
class Fixed:
    """What was done."""

    what: str
    undo: str = ""


def apply(fix: Fix) -> Fixed:
    """Do it, if things are still as they were found; StateError says why it cannot be done."""
    try:
        if fix.kind == "chmod":
            return _chmod(fix)
        return _unlink(fix)
    except OSError as error:
        raise StateError(f"doctor: cannot change {fix.path}: {error.strerror or error}") from None


def _chmod(fix: Fix) -> Fixed:
    # What stands there is opened without following a link: whoever may put one there must not choose what we change.
    descriptor = os.open(fix.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid():
            raise StateError(f"doctor: {fix.path} is not what it was; look at it with ls -l")
        # Only ever narrower, so that this can do no harm.
        os.chmod(f"/proc/self/fd/{descriptor}", stat.S_IMODE(found.st_mode) & fix.mode)
    finally:
        os.close(descriptor)
    return Fixed(f"{fix.path} has mode {fix.mode:04o} now", fix.undo)


def _unlink(fix: Fix) -> Fixed:
    if not stat.S_ISSOCK(os.lstat(fix.path).st_mode):
        raise StateError(f"doctor: {fix.path} is no socket; look at it with ls -l")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        if sock.connect_ex(fix.path) == 0:
            raise StateError(f"doctor: a gateway answers on {fix.path} now; nothing was changed")
    os.unlink(fix.path)
    return Fixed(f"{fix.path} is removed; the next gateway makes its own")
