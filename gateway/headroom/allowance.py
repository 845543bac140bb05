"""How much memory this process may use, if nobody says: what its control group allows, and what the machine has. ⚡"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gateway.headroom.limits import (
    MEMORY_DEFAULT_BYTES,
    MEMORY_LEAST_BYTES,
    MEMORY_PART_OF_GROUP,
    MEMORY_PART_OF_MACHINE,
)

_GROUPS: Final = Path("/sys/fs/cgroup")
_OF_PROCESS: Final = Path("/proc/self/cgroup")


def memory_allowance() -> int:
    """Bytes that may be resident."""
    return allowed(group_limit(_OF_PROCESS, _GROUPS), _machine())


def allowed(group: int | None, machine: int | None) -> int:
    """The least of our default, of what is left of the group's limit for other things than us, and of the machine's."""
    bounds = [MEMORY_DEFAULT_BYTES]
    if group is not None:
        bounds.append(int(group * MEMORY_PART_OF_GROUP))
    if machine is not None:
        bounds.append(int(machine * MEMORY_PART_OF_MACHINE))
    return max(min(bounds), MEMORY_LEAST_BYTES)


def group_limit(of_process: Path, groups: Path) -> int | None:
    """The least limit of the process's control group and those above it; None if there is none, or no such thing.

    Version 2 (`0::/path`, `memory.max`), else version 1 (`memory:/path`, `memory.limit_in_bytes`).
    """
    try:
        lines = of_process.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    limits: list[int] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            place, name = groups, "memory.max"
        elif "memory" in controllers.split(","):
            place, name = groups / "memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be that of the host, and ours is at the top: what is not there is passed over.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            limit = _number(place.joinpath(*parts[:depth], name))
            if limit is not None:
                limits.append(limit)
    return min(limits, default=None)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None  # `max` is no number


def _machine() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    except (ValueError, OSError):
        return None
