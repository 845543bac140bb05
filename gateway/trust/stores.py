"""What every store of trusted authorities can do, and how programs are run for it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.errors import GatewayError
from gateway.trust.limits import TRUST_COMMAND_SECONDS

if TYPE_CHECKING:
    from pathlib import Path


class StoreFailed(GatewayError):
    """A store could not be changed or read; str() says which, and what its program said."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An authority that is to be trusted."""

    label: str
    """What stores call it."""
    der: bytes
    file: Path
    """Where its certificate is, in PEM."""


class Store(Protocol):
    """One place where authorities are trusted."""

    @property
    def kind(self) -> str:
        """`system`, `chromium` or `firefox`."""

    @property
    def place(self) -> str:
        """Where it is, for people."""

    def has(self, label: str) -> bytes | None:
        """The certificate of this label, in DER; None if there is none. Raises StoreFailed."""

    def obstacle(self) -> str:
        """Why we cannot change it; empty if we can."""

    def commands(self, wanted: Wanted) -> tuple[str, ...]:
        """What a person types to add it."""

    def undo_commands(self, label: str) -> tuple[str, ...]:
        """What a person types to take it away."""

    def add(self, wanted: Wanted) -> None:
        """Trust it; raises StoreFailed."""

    def remove(self, label: str) -> None:
        """Trust it no more; raises StoreFailed."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a program did."""

    code: int
    output: bytes
    error: str


Run = Callable[[Sequence[str]], Said]
"""Runs a program and waits for its end."""


def run(command: Sequence[str]) -> Said:
    """Run a program that asks nobody anything; StoreFailed if it is not there or does not end."""
    try:
        done = subprocess.run(  # noqa: S603 - our own words, no shell
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRUST_COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StoreFailed(f"{command[0]} did not end within {TRUST_COMMAND_SECONDS:.0f} s") from None
    except OSError as error:
        raise StoreFailed(f"{command[0]} cannot be run: {error.strerror}") from None
    return Said(done.returncode, done.stdout, " ".join(done.stderr.decode("utf-8", "replace").split()))


def found(program: str) -> str | None:
    """Where a program is, also where only root looks for it."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def typed(command: Sequence[str]) -> str:
    """A command as it is typed."""
    return shlex.join(command)
