"""What is to be done to a resolver, as a value: shown to the person first, and undone from what is noted of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tunnels.addresses import Address

MARK: Final = "written by overlay; `overlay dns remove` takes it away"
"""Stands in the first line of each file of ours: what has it is ours to replace and to remove, and nothing else is."""


@dataclass(frozen=True, slots=True)
class Target:
    """The DNS server that shall be asked for `.overlay`."""

    server: Address
    home: str
    """The home directory of its gateway."""
    endpoint_id: str = ""
    """Of that gateway, if it runs."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file of ours, where the resolver reads it by itself."""

    path: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Files, then commands that look whether the resolver can read them, then commands that make it read them."""

    manager: str
    target: Target
    files: tuple[PlannedFile, ...]
    checks: tuple[tuple[str, ...], ...] = ()
    reloads: tuple[tuple[str, ...], ...] = ()
    """Run as well when the files are gone again."""
    notes: tuple[str, ...] = ()
    """What a person should know of it."""
    shown_only: str = ""
    """Why we do not do it ourselves, if we do not."""
    undo: tuple[tuple[str, ...], ...] = ()
    """Commands that undo it, where removing the files does not."""


def marked(text: str, comment: str = "#") -> str:
    """The text of a file of ours."""
    return f"{comment} {MARK}\n{text}"


def is_ours(data: bytes) -> bool:
    """Whether we wrote this file."""
    return MARK.encode() in data.partition(b"\n")[0]
