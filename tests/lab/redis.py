"""A real Redis for one test: started, hung, killed and started again by it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 20.0
"""Seconds in which Redis starts, or what was asked for comes true, on a busy machine."""


class RedisProcess:
    """`redis-server` on a loopback port of its own, with nothing kept on disk unless a file or the options say so."""

    def __init__(self, directory: Path, *options: str, file: Path | None = None) -> None:
        self._file = () if file is None else (str(file),)
        self._directory = directory
        self._options = options if options or file else ("--save", "", "--appendonly", "no")
        self.port = free_port()
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and return when it answers."""
        assert self.process is None
        program = shutil.which("redis-server")
        assert program is not None
        self.process = await asyncio.create_subprocess_exec(
            program,
            *self._file,
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)),
            *self._options,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            await eventually(self._answers)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Kill it, as a power cut would."""
        if self.process is not None:
            process, self.process = self.process, None
            process.kill()
            await process.wait()

    def hang(self) -> None:
        """It goes on listening, and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def ask(self, *words: str) -> bytes:
        """One command, and the beginning of its answer as it comes over the wire."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"*{len(words)}\r\n".encode())
            for word in words:
                writer.write(b"$%d\r\n%b\r\n" % (len(word.encode()), word.encode()))
            return await reader.read(65536)
        finally:
            writer.close()

    async def _answers(self) -> bool:
        try:
            return (await self.ask("PING")).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


async def eventually(condition) -> None:
    """Return when the awaited condition is true; TimeoutError after PATIENCE."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - anything at all may be waited for
            await asyncio.sleep(0.02)


def free_port() -> int:
    while True:
        with socket.socket() as probe, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            with contextlib.suppress(OSError):  # somebody has it for UDP
                datagrams.bind(("127.0.0.1", port))
                return port
