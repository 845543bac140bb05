"""What was decided about one connection's paths, and why, in lines for people. Sans-IO."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tunnels import limits


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """One decision."""

    at: float
    """The event loop's clock, in seconds."""
    what: str
    """What was done, to which path."""
    why: str
    """The reason; empty where the deed says it all."""
    times: int = 1
    """How often in a row; `at` is the first time."""

    def __str__(self) -> str:
        again = f" ({self.times} times)" if self.times > 1 else ""
        return f"{self.what}: {self.why}{again}" if self.why else f"{self.what}{again}"


class Trace:
    """The last decisions, oldest first; one that is repeated takes one place, so that nothing drowns the others."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: deque[TraceEntry] = deque(maxlen=limits.TRACE_ENTRIES)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, now: float, what: str, why: str = "") -> None:
        """Note a decision."""
        entries = self._entries
        if entries and entries[-1].what == what and entries[-1].why == why:
            last = entries.pop()
            entries.append(TraceEntry(last.at, what, why, last.times + 1))
        else:
            entries.append(TraceEntry(now, what, why))

    @property
    def entries(self) -> tuple[TraceEntry, ...]:
        """All there is."""
        return tuple(self._entries)
