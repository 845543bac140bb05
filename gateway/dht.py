"""The Mainline DHT of a gateway: started where it is wanted and libtorrent is there, its nodes kept for the next start. ⚡"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from gateway.control.status import DhtReport
from gateway.errors import ConfigurationError
from gateway.home import state_error
from gateway.limits import DHT_SAVE_SECONDS, DHT_STATE_BYTES
from resolver.discovery.dht import DhtSource
from resolver.discovery.dht_table import DhtTable, TableSettings
from resolver.errors import DhtMissing, DiscoveryError
from tunnels.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from gateway.config.settings import DhtSettings
    from gateway.home import Home
    from resolver.signed_packets import SignedPacket

_logger = logging.getLogger(__name__)


class Dht:
    """The DHT, or why there is none. `start` it, `close` it once."""

    def __init__(
        self,
        settings: DhtSettings,
        hosts: Sequence[str],
        home: Home,
        *,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        on_news: Callable[[SignedPacket], None],
        is_hidden: bool = False,
    ) -> None:
        """`hosts` are the ips that tunnels listen on; `on_news` takes records that came late.

        `is_hidden` tells that nobody may learn our addresses: then only `enabled = "on"` starts it.
        """
        self._settings = settings
        self._hosts = hosts
        self._file = home.dht_nodes_file
        self._spawn = spawn
        self._on_news = on_news
        self._is_hidden = is_hidden
        self._saving: asyncio.Task[None] | None = None
        self.source: DhtSource | None = None
        self.problem = ""
        """Why there is none, with the remedy; empty where it runs or is not wanted."""

    async def start(self) -> None:
        """Start it; ConfigurationError if it must run and cannot."""
        settings = self._settings
        if settings.enabled == "off" or (settings.enabled == "auto" and self._is_hidden):
            return
        table = DhtTable(
            TableSettings(
                hosts=self._hosts,
                port=settings.port,
                bootstrap=settings.bootstrap,
                serves=settings.serve,
                private=settings.private,
            ),
            await asyncio.to_thread(self._load),
        )
        source = DhtSource(
            table,
            hosts=self._hosts,
            bootstrap=settings.bootstrap,
            private=settings.private,
            on_news=self._on_news,
        )
        try:
            await source.open()
        except DiscoveryError as error:
            if settings.enabled == "on":
                raise ConfigurationError(f'dht: {error}; or set [dht] enabled = "auto"') from None
            self.problem = str(error)
            if not isinstance(error, DhtMissing):
                _logger.warning("%s", error)
            return
        self.source = source
        self._saving = self._spawn(self._save_sometimes(), "save the nodes of the DHT")

    @property
    def sources(self) -> tuple[DhtSource, ...]:
        """The DHT where it runs, else nothing."""
        return () if self.source is None else (self.source,)

    async def close(self) -> None:
        """End it, and write the nodes known now."""
        if self.source is None:
            return
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.wait((self._saving,))
        await self._save(self.source)
        await self.source.close()

    def report(self) -> DhtReport:
        """How it is, for `overlay status`."""
        source = self.source
        if source is None:
            return DhtReport(enabled=False, problem=self.problem)
        last = source.last_publication
        return DhtReport(
            enabled=True,
            nodes=source.nodes,
            serves=self._settings.serve,
            stored=None if last is None else last.stored,
            published_ago=None if last is None else asyncio.get_running_loop().time() - last.at,
            problem="" if last is None else last.problem,
        )

    async def _save_sometimes(self) -> None:
        """A gateway that is killed finds its way back, too."""
        while self.source is not None:
            await asyncio.sleep(DHT_SAVE_SECONDS)
            await self._save(self.source)

    async def _save(self, source: DhtSource) -> None:
        state = await source.state()
        try:
            await asyncio.to_thread(write_private, self._file, state)
        except OSError as error:
            _logger.warning(
                "%s; nodes are asked for again after a restart", state_error("write", self._file, error)
            )

    def _load(self) -> bytes:
        """The nodes of last time; none if they cannot be read."""
        try:
            with self._file.open("rb") as file:
                return file.read(DHT_STATE_BYTES)
        except FileNotFoundError:
            return b""
        except OSError as error:
            _logger.warning("%s; nodes are asked for again", state_error("read", self._file, error))
            return b""
