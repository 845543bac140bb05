"""A terminal that a program draws on: a pty, and as much of a screen as `overlay` uses. Tested by who uses it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Self

from tests.lab.gateways import clean_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")


class Terminal:
    """Runs a command on a terminal of so many lines and columns; killed at the end."""

    def __init__(self, command: Sequence[str], lines: int, columns: int) -> None:
        self._ours, theirs = pty.openpty()
        self._size(lines, columns)
        environment = {**clean_environment(), "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self._drawn = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._ours)

    def shows(self, pattern: str, seconds: float = 15.0) -> None:
        """Wait until something new that it draws matches, line by line."""
        self._drawn = ""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text, re.MULTILINE):
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {pattern!r} within {seconds:g} s in {self.text[-2000:]!r}")
            readable, _, _ = select.select([self._ours], [], [], left)
            if readable:
                self._drawn += self._read()

    @property
    def text(self) -> str:
        """What was drawn of late, without the codes."""
        return _CONTROL.sub("", self._drawn).replace("\r", "")

    def types(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def resize(self, lines: int, columns: int) -> None:
        """Its window is of another size now."""
        self._size(lines, columns)

    def wait(self, seconds: float = 10.0) -> int:
        """The exit code, once it has ended."""
        deadline = time.monotonic() + seconds
        while (code := self._process.poll()) is None and time.monotonic() < deadline:
            readable, _, _ = select.select([self._ours], [], [], 0.1)  # or it waits for room to draw
            if readable:
                self._read()
        if code is None:
            raise AssertionError(f"it goes on: {self.text[-2000:]!r}")
        return code

    def _read(self) -> str:
        try:
            return os.read(self._ours, 65536).decode("utf-8", "replace")
        except OSError:  # it ended
            return ""

    def _size(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
