"""Every bound of this package, with its reason."""

from typing import Final

STREAM_BUFFER: Final = 256 * 1024
"""Bytes of one stream that wait for the program before the other side is held up: a few reads of the kernel's size."""

BACKLOG: Final = 100
"""Callers that were taken and wait for the program to ask for them, as asyncio's servers have it; others wait at the gateway."""

HANDLERS: Final = 1000
"""Calls of a handler at once, unless the program says otherwise; callers beyond them wait, and are told to come later."""

DATAGRAMS_WAITING: Final = 1024
"""Datagrams that wait for the program, at most; more are dropped and counted."""

DATAGRAMS_WAITING_BYTES: Final = 4 * 1024 * 1024
"""What they may take up, however large they are."""
