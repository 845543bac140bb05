"""A gateway inside the program: tunnels and names, without proxy, DNS server and pages, for as long as the program wants it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.config import load
from gateway.daemon import Daemon
from gateway.home import Home
from tunnels.keyfile import load_or_create_key

if TYPE_CHECKING:
    from collections.abc import Mapping

_NONE_OF_IT: Final = dict.fromkeys(
    ("proxy.enabled", "dns.enabled", "dashboard.enabled", "loopback.enabled"), False
)
"""What is for people and other programs; `settings` may turn it on."""


class OwnGateway:
    """Runs from `start` to `close`, on the program's event loop. Both may raise errors of `gateway` and `tunnels`."""

    def __init__(self, home: Path | None, settings: Mapping[str, object]) -> None:
        """`home` keeps identity and contacts; None: a new identity, which is forgotten at the end.

        `settings` are those of the configuration, as `{"gateway.nickname": "alice"}`, and win over the file in `home`.
        """
        self._path = home
        self._settings = {**_NONE_OF_IT, **settings}
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> Home:
        """Run; the home that it runs on."""
        async with contextlib.AsyncExitStack() as stack:
            path = self._path
            if path is None:
                place = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="overlay-")
                stack.push_async_callback(asyncio.to_thread, place.cleanup)
                path = Path(place.name)
            home = Home(await asyncio.to_thread(path.absolute))
            await asyncio.to_thread(home.create)
            lock = await asyncio.to_thread(home.lock)
            stack.callback(lock.release)
            config = await asyncio.to_thread(
                load, home.config_file, environ=os.environ, overrides=self._settings
            )
            secret_key = await asyncio.to_thread(load_or_create_key, home.identity_file)
            await Daemon(home, self._settings, config, secret_key, None).start(stack)
            self._stack = stack.pop_all()
        return home

    async def close(self) -> None:
        """End it; idempotent."""
        await self._stack.aclose()
