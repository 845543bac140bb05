"""What a service manager is told while we run (sd_notify(3)): that everything listens, that we are not stuck, that we end. ⚡

Nothing is told where nobody listens: `$NOTIFY_SOCKET` says where.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import TracebackType


class ServiceNotes:
    """From `with`, when everything listens, to its end."""

    def __init__(self, place: str, watchdog: float | None) -> None:
        """`place` is a path, or a name in the abstract namespace that begins with `@`; `watchdog` in seconds."""
        self._place = f"\0{place[1:]}" if place.startswith("@") else place
        self._every = None if watchdog is None else watchdog / 2
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str]) -> Self:
        """Where the environment says; taken out of it, because what we start is no service."""
        place = environ.pop("NOTIFY_SOCKET", "")
        seconds = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        is_ours = not pid or pid == str(os.getpid())
        watchdog = int(seconds) / 1e6 if is_ours and seconds.isdecimal() and int(seconds) else None
        return cls(place if place[:1] in ("/", "@") else "", watchdog)

    def __enter__(self) -> Self:
        self._tell(f"READY=1\nMAINPID={os.getpid()}\nSTATUS=Everything listens")
        self._is_alive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tell("STOPPING=1\nSTATUS=Saying goodbye")

    def _is_alive(self) -> None:
        """A turn of the event loop: while there are such, we are not stuck."""
        if self._every is not None and self._place:
            self._tell("WATCHDOG=1")
            self._timer = asyncio.get_running_loop().call_later(self._every, self._is_alive)

    def _tell(self, text: str) -> None:
        if not self._place:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)  # it may be full, or gone; nobody here can do anything about it
            sock.sendto(text.encode(), self._place)
