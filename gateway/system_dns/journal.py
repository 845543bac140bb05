"""What is noted before anything is done, so that a crash at any point can be undone: one small JSON file of the system's.

It lies outside of every home, because there is one resolver for all users, and in a directory that only root may write to.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.machine import make_directory, missing_directories, remove_whole, write_whole

if TYPE_CHECKING:
    from gateway.system_dns.machine import Machine

DIRECTORY: Final = "/var/lib/overlay-dns"
JOURNAL: Final = f"{DIRECTORY}/restore.json"
LOCK: Final = "/var/run/overlay-dns.lock"
"""Who holds its lock is the only one at work. Only root may open it: who can open a file can lock it, and keep us waiting."""


class WrittenFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file: what is to stand there, and what stood there before us."""

    path: str
    after: bytes
    before: bytes | None = None
    """None when there was none."""


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """One install. It is on disk before the first file, and goes after the last one is gone."""

    version: Literal[1] = 1
    state: Literal["applying", "installed", "removing"]
    manager: str
    server: str
    home: str
    files: tuple[WrittenFile, ...]
    directories: tuple[str, ...] = ()
    """Those that we made, the outer ones first."""
    reloads: tuple[tuple[str, ...], ...] = ()


def load(machine: Machine) -> Journal | None:
    """What is noted; None when nothing is installed."""
    try:
        data = machine.read(JOURNAL)
    except PermissionError:
        raise SystemDnsError(f"{JOURNAL} cannot be read; run this as root") from None
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=Journal)
    except (ValueError, RecursionError) as error:
        raise SystemDnsError(
            f"{JOURNAL} is damaged ({str(error).splitlines()[0]}); move it away and run `overlay dns remove`, "
            "which finds our files by their first line"
        ) from None


def save(machine: Machine, journal: Journal) -> None:
    """Note it; after the return it survives a power cut."""
    for directory in missing_directories(machine, (JOURNAL,)):
        make_directory(machine, directory)
    write_whole(machine, JOURNAL, msgspec.json.format(msgspec.json.encode(journal), indent=1))


def forget(machine: Machine) -> None:
    """Nothing is installed any more."""
    remove_whole(machine, JOURNAL)
    if machine.remove_directory(DIRECTORY):
        machine.sync(os.path.dirname(DIRECTORY))
