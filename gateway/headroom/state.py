"""Whether there is room for more: judged from what was measured, with a distance between short and not short. No I/O, no clock."""

from __future__ import annotations

from typing import NamedTuple

from gateway.headroom.limits import DESCRIPTORS_RESERVED, DISK_RESERVED_BYTES, MEMORY_RELIEVED


class Change(NamedTuple):
    """Something became short, or is no more: one line for the log."""

    is_short: bool
    text: str


class Headroom:
    """What is short now. Feed `measured`, ask `refusal`."""

    def __init__(self, *, memory: int, descriptors: int | None, home: str) -> None:
        """`memory` bytes may be resident and `descriptors` open, None for any number; `home` is what the disk is named by."""
        self.memory = memory
        self.descriptors = descriptors
        self.reserved = 0 if descriptors is None else min(DESCRIPTORS_RESERVED, descriptors // 8)
        self.resident: int | None = None
        self.free_descriptors: int | None = None
        """As of the last look; None if nobody counts them."""
        self.free_disk: int | None = None
        self.refused = 0
        """Connections refused because something was short, since the start."""
        self._home = home
        self._memory = self._descriptors = self._disk = False

    def __repr__(self) -> str:
        return f"<Headroom: {'; '.join(self.warnings()) or 'room for more'}>"

    @property
    def memory_is_short(self) -> bool:
        """Whether more is resident than may be."""
        return self._memory

    @property
    def descriptors_are_short(self) -> bool:
        """Whether only those are left that are kept for ourselves."""
        return self._descriptors

    @property
    def disk_is_short(self) -> bool:
        """Whether what is saved may not find room."""
        return self._disk

    def measured(
        self, *, resident: int | None, free_descriptors: int | None, free_disk: int | None
    ) -> list[Change]:
        """How it is now, None where nobody can tell; returns what is another than before."""
        self.resident, self.free_descriptors, self.free_disk = resident, free_descriptors, free_disk
        changes: list[Change] = []
        if resident is not None:
            short = resident > self.memory * (MEMORY_RELIEVED if self._memory else 1)
            if short is not self._memory:
                self._memory = short
                changes.append(
                    Change(short, self._about_memory() if short else "memory: there is room again")
                )
        if free_descriptors is not None:
            # Who was refused because few were left is not let in by the first that closes, to be refused at the next.
            short = free_descriptors < self.reserved * (1.25 if self._descriptors else 1)
            changes += self._descriptors_are(short=short)
        if free_disk is not None:
            short = free_disk < DISK_RESERVED_BYTES * (2 if self._disk else 1)
            if short is not self._disk:
                self._disk = short
                changes.append(Change(short, self._about_disk() if short else "disk: there is room again"))
        return changes

    def refusal(self, free_descriptors: int | None) -> tuple[str, list[Change]]:
        """Why there is no room for one more connection, empty if there is; `free_descriptors` is the number at this moment."""
        changes: list[Change] = []
        if free_descriptors is not None and free_descriptors < self.reserved:
            changes = self._descriptors_are(short=True)
        if self._descriptors:
            why = "too many files and connections are open"
        elif self._memory:
            why = "its memory is used up"
        else:
            return "", changes
        self.refused += 1
        return f"this gateway has no room for more connections: {why}; try again later", changes

    def warnings(self) -> tuple[str, ...]:
        """What is short, for the status."""
        return (
            *((self._about_memory(),) if self._memory else ()),
            *((self._about_descriptors(),) if self._descriptors else ()),
            *((self._about_disk(),) if self._disk else ()),
        )

    def _descriptors_are(self, *, short: bool) -> list[Change]:
        if short is self._descriptors:
            return []
        self._descriptors = short
        text = self._about_descriptors() if short else "descriptors: there is room again"
        return [Change(short, text)]

    def _about_memory(self) -> str:
        used = self.resident or 0
        return (
            f"memory: {used // 1_000_000} MB are in use and {self.memory // 1_000_000} MB may be: new connections are refused; "
            "end some, or raise `memory` under [resources] in gateway.toml"
        )

    def _about_descriptors(self) -> str:
        return (
            f"descriptors: of {self.descriptors} files and connections that may be open, {self.reserved} or fewer are left: "
            "new connections are refused; end some, or raise `ulimit -n` (LimitNOFILE= of a service)"
        )

    def _about_disk(self) -> str:
        return (
            f"disk: {(self.free_disk or 0) // 1000} KB are left where {self._home} is: what changes stays in memory until "
            "there is more, and is lost if the gateway ends before; free some"
        )
