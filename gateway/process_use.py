"""What our own process uses: memory, descriptors, processor time. ⚡ Reads /proc where there is one."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_STATM: Final = Path("/proc/self/statm")
_DESCRIPTORS: Final = (Path("/proc/self/fd"), Path("/dev/fd"))
"""Directories of our open descriptors, on Linux and elsewhere."""


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """Of the moment it was made; None where this system does not tell."""

    rss: int | None
    """Resident bytes."""
    descriptors: int | None
    descriptors_most: int | None
    """How many may be open; None for any number."""
    cpu_seconds: float
    """Of all threads since the start, in user and system mode."""
    threads: int


def process_use() -> ProcessUse:
    """As it is now; reads files, so not for the event loop."""
    return ProcessUse(
        rss=resident(),
        descriptors=_descriptors(),
        descriptors_most=_most_descriptors(),
        cpu_seconds=time.process_time(),
        threads=threading.active_count(),
    )


def resident() -> int | None:
    """Resident bytes; reads a file."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGESIZE")


def _descriptors() -> int | None:
    for directory in _DESCRIPTORS:
        try:
            return len(os.listdir(directory)) - 1  # the one that lists them
        except OSError:
            continue
    return None


def _most_descriptors() -> int | None:
    if resource is None:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
