"""What doctor tells: findings, what may be done about them by itself, and how bad it is altogether."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Severity: TypeAlias = Literal["ok", "note", "warning", "problem"]
"""Well; to be known; works worse than it could; does not work, or is not safe."""

SEVERITIES: Final[tuple[Severity, ...]] = ("ok", "note", "warning", "problem")
"""The worse the later."""

Subject: TypeAlias = Literal[
    "home",
    "proxy",
    "dns",
    "loopback",
    "doors",
    "pac",
    "ports",
    "machine",
    "clock",
    "beacons",
    "network",
    "lan",
    "dht",
]

SUBJECTS: Final[tuple[Subject, ...]] = (
    "home", "proxy", "dns", "loopback", "doors", "pac", "ports", "machine", "clock", "beacons", "network", "lan", "dht",
)  # fmt: skip
"""In the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Fix:
    """Something that doctor may do by itself, because it can be undone."""

    kind: Literal["chmod", "unlink", "system-dns"]
    path: str = ""
    mode: int = 0
    """Permission bits that it is to have."""
    undo: str = ""
    """The command that makes it as it was; empty where nothing is lost."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for people, and what helps."""

    id: str
    """Stays the same from version to version: `key-permissions`."""
    subject: Subject
    severity: Severity
    what: str
    why: str = ""
    """What it does to whom."""
    remedy: str = ""
    """A command or a setting; every warning and problem has one."""
    fix: Fix | None = None


def worst(findings: Iterable[Finding]) -> Severity:
    """The worst of them; `ok` if there are none."""
    return max((finding.severity for finding in findings), key=SEVERITIES.index, default="ok")
