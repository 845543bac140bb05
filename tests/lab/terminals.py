"""A command on a terminal of its own, as a person sees it: what it prints, and answers to what it asks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

from tests.lab.gateways import clean_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS = 30.0


def on_a_terminal(
    command: Sequence[str],
    *,
    answers: Sequence[tuple[str, str]] = (),
    columns: int = 200,
    raw: bool = False,
    **variables: str,
) -> tuple[int, str]:
    """Exit code, and everything on the terminal without its colours unless it is wanted `raw`; `answers` are (what it asks, what is typed)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = clean_environment() | {"TERM": "xterm-256color", "COLUMNS": str(columns)} | variables
    waiting = list(answers)
    text = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            deadline = time.monotonic() + _SECONDS
            while time.monotonic() < deadline:
                if not select.select([ours], [], [], 0.1)[0]:
                    continue
                try:
                    more = os.read(ours, 65536)
                except OSError:  # the other side is closed: it has ended
                    break
                if not more:
                    break
                text += more
                if waiting and waiting[0][0].encode() in text:
                    os.write(ours, f"{waiting.pop(0)[1]}\n".encode())
            code = process.wait(_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            os.close(ours)
    if raw:
        return code, text.decode(errors="replace")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.decode(errors="replace"))
    return code, shown.replace("\r\n", "\n")
