"""A machine for `gateway.system_dns` that can end at any step: its process dies, or its power goes.

At a power cut, of what was not synced anything may be left: the beginning of a file, the old name or the new one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.system_dns.machine import Ran

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Ended(BaseException):
    """Here the process ended; no handler of the code under test may see it as an error."""


class _Inode:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.synced: bytes | None = None


class FakeMachine:
    """Files in memory, of which it is known what a power cut would leave; and one resolver that reads some directories."""

    def __init__(self, directories: Sequence[str] = ("/", "/etc", "/var", "/var/lib")) -> None:
        self.names: dict[str, _Inode] = {}
        self.on_disk: dict[str, _Inode] = {}
        self.directories = set(directories)
        self.directories_on_disk = set(directories)
        self.ran: list[tuple[str, ...]] = []
        self.loaded: dict[str, bytes] = {}
        """What the resolver had read when it was told to, or when the machine started."""
        self.answers: dict[tuple[str, ...], Ran] = {}
        self.steps_left: int | None = None
        self.steps = 0
        self.open_to_others = ""
        """A directory that others than root may change."""

    # -- what tests do ---------------------------------------------------------------------------------------

    def put(self, path: str, text: str) -> None:
        """A file that has been there for long."""
        inode = _Inode(text.encode())
        inode.synced = inode.data
        self.names[path] = self.on_disk[path] = inode
        self.directories.add(os.path.dirname(path))
        self.directories_on_disk.add(os.path.dirname(path))

    @property
    def files(self) -> dict[str, bytes]:
        """What is there now."""
        return {path: inode.data for path, inode in self.names.items()}

    def end_after(self, steps: int | None) -> None:
        """Only so many more steps are done."""
        self.steps_left = steps

    def lose_power(self, choose: Callable[[Sequence[object]], object]) -> None:
        """Everything that was not synced is left as `choose` decides; the resolver starts again with what it finds."""
        names: dict[str, _Inode] = {}
        for path in sorted({*self.names, *self.on_disk}):
            now, then = self.names.get(path), self.on_disk.get(path)
            kept = choose((now, then)) if now is not then else now
            if isinstance(kept, _Inode):
                names[path] = kept
        for inode in names.values():
            if inode.synced != inode.data:
                length = choose(range(len(inode.data) + 1))
                assert isinstance(length, int)
                inode.data = inode.data[:length]
            inode.synced = inode.data
        there = set(self.directories_on_disk)
        for path in sorted(self.directories ^ self.directories_on_disk):
            (there.add if choose((True, False)) else there.discard)(path)
        there = {path for path in there if all(above in there for above in _above(path))}
        self.names = {path: inode for path, inode in names.items() if os.path.dirname(path) in there}
        self.directories = there
        self.on_disk, self.directories_on_disk = dict(self.names), set(there)
        self.loaded = self.files

    # -- Machine ---------------------------------------------------------------------------------------------

    def read(self, path: str) -> bytes | None:
        inode = self.names.get(path)
        return None if inode is None else inode.data

    def entries(self, path: str) -> tuple[str, ...]:
        return tuple(sorted(os.path.basename(name) for name in self.names if os.path.dirname(name) == path))

    def is_directory(self, path: str) -> bool:
        return path in self.directories

    def exposed(self, path: str) -> str:
        return self.open_to_others if self.open_to_others and path.startswith(self.open_to_others) else ""

    def write(self, path: str, data: bytes, mode: int) -> None:
        self._step()
        assert mode & 0o022 == 0
        assert os.path.dirname(path) in self.directories, path
        self.names[path] = inode = _Inode(b"")
        for end in (len(data) // 2, len(data)):  # a process may die between two writes
            self._step()
            inode.data = data[:end]

    def sync(self, path: str) -> None:
        self._step()
        if path in self.directories:
            for name in {*self.names, *self.on_disk}:
                if os.path.dirname(name) == path:
                    _copy(self.names, self.on_disk, name)
            for each in self.directories ^ self.directories_on_disk:
                if os.path.dirname(each) == path:
                    (
                        self.directories_on_disk.add
                        if each in self.directories
                        else self.directories_on_disk.discard
                    )(each)
        else:
            self.names[path].synced = self.names[path].data

    def rename(self, old: str, new: str) -> None:
        self._step()
        self.names[new] = self.names.pop(old)

    def unlink(self, path: str) -> None:
        self._step()
        self.names.pop(path, None)

    def make_directory(self, path: str) -> None:
        self._step()
        assert os.path.dirname(path) in self.directories
        self.directories.add(path)

    def remove_directory(self, path: str) -> bool:
        self._step()
        if any(name.startswith(f"{path}/") for name in (*self.names, *self.directories)):
            return False
        self.directories.discard(path)
        return True

    def run(self, command: Sequence[str]) -> Ran:
        self._step()
        self.ran.append(tuple(command))
        if "restart" in command:
            self.loaded = self.files
        return self.answers.get(tuple(command), Ran(0))

    def _step(self) -> None:
        self.steps += 1
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise Ended
            self.steps_left -= 1


def _copy(source: dict[str, _Inode], target: dict[str, _Inode], key: str) -> None:
    if key in source:
        target[key] = source[key]
    else:
        target.pop(key, None)


def _above(path: str) -> list[str]:
    found = []
    while path != "/":
        path = os.path.dirname(path)
        found.append(path)
    return found
