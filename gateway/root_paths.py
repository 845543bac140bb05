"""Where root may write without being led elsewhere: on the way there nothing can be changed by anybody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

_UID_MAP: Final = Path("/proc/self/uid_map")
_LINKS: Final = 40  # as many as Linux follows


def is_root(uid_map: Path = _UID_MAP) -> bool:
    """Whether this process may write wherever it likes: root, and not only by that name in a namespace of its user's."""
    if os.geteuid() != 0:
        return False
    try:
        mapped = uid_map.read_text(encoding="ascii").split()
    except OSError:  # no Linux, or no namespaces
        return True
    return mapped == ["0", "0", "4294967295"]


def changeable_by_others(path: Path) -> str:
    """What of the directories and links on the way to a file is not root's, or can be written by others; empty if nothing.

    What is not there yet is not looked at: root makes it, in a directory of root's.
    """
    here, left, links = Path("/"), list(path.parent.parts[1:]), 0
    while True:
        found = here.lstat()
        is_link = stat.S_ISLNK(found.st_mode)
        if found.st_uid != 0:
            return str(here)
        if is_link:
            links += 1
            if links > _LINKS:
                return str(here)
            target = Path(os.readlink(here))
            left = [*(target.parts[1:] if target.is_absolute() else target.parts), *left]
            here = Path("/") if target.is_absolute() else here.parent
        elif found.st_mode & (stat.S_IWOTH | (stat.S_IWGRP if found.st_gid else 0)) and not (
            found.st_mode & stat.S_ISVTX and left
        ):  # in a sticky one, what is root's stays where it is
            return str(here)
        if not left:
            return ""
        part = left.pop(0)
        here = here.parent if part == ".." else here / part
        if not os.path.lexists(here):
            return ""
