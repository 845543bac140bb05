"""The system as this room sees it: files that can be written so that a power cut leaves them whole, and commands.

`Machine` is the seam: `RealMachine` is the system itself; tests put in one that forgets what was not synced, or that ends at any step.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gateway.root_paths import changeable_by_others, is_root
from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.limits import SYSTEM_COMMAND_SECONDS, SYSTEM_FILE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    output: str = ""

    @property
    def said(self) -> str:
        """The last line of what it wrote, for people."""
        lines = self.output.strip().splitlines()
        return lines[-1].strip() if lines else ""


class Machine(Protocol):
    """Paths are absolute texts. What fails is an OSError, except that nothing is there: that is None, or already done."""

    def read(self, path: str) -> bytes | None:
        """The whole file; None when there is none."""
        ...

    def entries(self, path: str) -> tuple[str, ...]:
        """The names in a directory, in order; none when there is no such directory."""
        ...

    def is_directory(self, path: str) -> bool: ...

    def exposed(self, path: str) -> str:
        """What on the way to a file somebody else than root may change, so that root could be led elsewhere; empty if nothing."""
        ...

    def write(self, path: str, data: bytes, mode: int) -> None:
        """Write a file anew; it may be lost in a power cut until `sync`."""
        ...

    def sync(self, path: str) -> None:
        """What is in this file, or which names are in this directory, survives a power cut from now on."""
        ...

    def rename(self, old: str, new: str) -> None: ...

    def unlink(self, path: str) -> None: ...

    def make_directory(self, path: str) -> None: ...

    def remove_directory(self, path: str) -> bool:
        """Remove an empty directory; False when something is in it."""
        ...

    def run(self, command: Sequence[str]) -> Ran:
        """Run a command to its end; a SystemDnsError when it takes too long or does not exist."""
        ...


class RealMachine:
    """The system, or for tests a tree below `root` (commands are not confined to it)."""

    def __init__(self, root: str = "/") -> None:
        self._root = Path(root)

    def _at(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def read(self, path: str) -> bytes | None:
        """See Machine; a file that is longer than any that we have to do with is an OSError."""
        try:
            with self._at(path).open("rb") as file:
                data = file.read(SYSTEM_FILE_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if len(data) > SYSTEM_FILE_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return data

    def entries(self, path: str) -> tuple[str, ...]:
        """See Machine."""
        try:
            return tuple(sorted(os.listdir(self._at(path))))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def is_directory(self, path: str) -> bool:
        """See Machine."""
        return self._at(path).is_dir()

    def exposed(self, path: str) -> str:
        """See Machine; who is not root writes nowhere but where they may."""
        return changeable_by_others(self._at(path)) if is_root() else ""

    def write(self, path: str, data: bytes, mode: int) -> None:
        """See Machine; a link that somebody put there is not followed."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(path))
        descriptor = os.open(self._at(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask is: the resolver runs as another user
            file.write(data)

    def sync(self, path: str) -> None:
        """See Machine."""
        descriptor = os.open(self._at(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        """See Machine."""
        os.replace(self._at(old), self._at(new))

    def unlink(self, path: str) -> None:
        """See Machine."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self._at(path))

    def make_directory(self, path: str) -> None:
        """See Machine."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._at(path), 0o755)

    def remove_directory(self, path: str) -> bool:
        """See Machine."""
        try:
            os.rmdir(self._at(path))
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        return True

    def run(self, command: Sequence[str]) -> Ran:
        """See Machine."""
        try:
            done = subprocess.run(  # noqa: S603 - commands of our own plans
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=SYSTEM_COMMAND_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise SystemDnsError(f"{command[0]} is not installed") from None
        except subprocess.TimeoutExpired:
            raise SystemDnsError(
                f"`{' '.join(command)}` did not end within {SYSTEM_COMMAND_SECONDS:g} s"
            ) from None
        return Ran(done.returncode, done.stdout.decode(errors="replace"))


def write_whole(machine: Machine, path: str, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that a crash at any point leaves the old one or the new one, and after the return the new one."""
    temporary = temporary_of(path)
    machine.write(temporary, data, mode)
    machine.sync(temporary)
    machine.rename(temporary, path)
    machine.sync(os.path.dirname(path))


def remove_whole(machine: Machine, path: str) -> None:
    """Remove a file, and what a write that was cut off has left beside it; after the return it stays removed."""
    directory = os.path.dirname(path)
    machine.unlink(temporary_of(path))
    machine.unlink(path)
    if machine.is_directory(directory):
        machine.sync(directory)


def make_directory(machine: Machine, path: str) -> None:
    """Make a directory, so that it survives a power cut."""
    machine.make_directory(path)
    machine.sync(os.path.dirname(path))


def missing_directories(machine: Machine, paths: Iterable[str]) -> list[str]:
    """The directories that these files still need, the outer ones first."""
    missing: list[str] = []
    for path in paths:
        above = []
        directory = os.path.dirname(path)
        while not machine.is_directory(directory):
            above.append(directory)
            directory = os.path.dirname(directory)
        missing += [each for each in reversed(above) if each not in missing]
    return missing


def temporary_of(path: str) -> str:
    """Where a file is written before it takes its place: a name that no resolver reads."""
    directory, name = os.path.split(path)
    return f"{directory}/.{name}.overlay-new"
