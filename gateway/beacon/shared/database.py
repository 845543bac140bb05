"""The connections to Redis: one deadline for every request, one error for every failure, a pause after each."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.beacon.limits import REDIS_CONNECTIONS, REDIS_PAUSE_SECONDS, REDIS_SECONDS
from gateway.beacon.stores import StoreUnavailable
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

PREFIX: Final = "overlay:"
"""In front of every key and channel of ours, unless another is given: the Redis may serve others too."""


class RedisDatabase:
    """A Redis that several nodes share."""

    __slots__ = ("_closed", "_paused_until", "_place", "_problem", "client", "prefix")

    def __init__(self, url: str, prefix: str = PREFIX) -> None:
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=REDIS_CONNECTIONS,
                timeout=REDIS_SECONDS,
                socket_timeout=1.0,
                socket_connect_timeout=1.0,
                # Once more, because the connections from before a restart are all dead.
                retry=Retry(NoBackoff(), 1),
                socket_keepalive=True,
                socket_keepalive_options=_keepalive_options(),
                # Or each new connection reads the client's version from the disk, to tell it to Redis.
                driver_info=None,
            )
        except ValueError as error:
            raise ConfigurationError(
                f"redis.url: this is no address of a Redis ({error}); write redis://host:6379/0"
            ) from None
        self.client = Redis(connection_pool=pool)
        """For scripts, and for listening; everything that waits for an answer goes through `run`."""
        self.prefix = prefix
        """In front of every key and channel."""
        options = pool.connection_kwargs
        self._place = options.get("path") or f"{options.get('host')}:{options.get('port', 6379)}"
        self._paused_until = 0.0
        self._problem = ""
        self._closed = False

    async def run(self, request: Callable[[], Awaitable[T]]) -> T:
        """Make the request; StoreUnavailable if it fails or takes too long, or one before it just did."""
        if self._closed:
            raise StoreUnavailable("the beacon's database is closed; it shuts down")
        clock = asyncio.get_running_loop().time
        if clock() < self._paused_until:
            raise StoreUnavailable(self._problem)
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                return await request()
        except TimeoutError:
            problem = "does not answer"
        except (RedisError, OSError) as error:
            problem = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        self._problem = f"redis {self._place}: {problem}; it is asked again soon"
        self._paused_until = clock() + REDIS_PAUSE_SECONDS
        raise StoreUnavailable(self._problem)

    async def check(self) -> None:
        """Return if Redis answers."""
        await self.run(lambda: self.client.ping())

    async def close(self) -> None:
        """Close the connections; idempotent."""
        self._closed = True
        await self.client.aclose(close_connection_pool=True)


def _keepalive_options() -> dict[int, int]:
    """A Redis whose machine vanished is noticed in 10 s, not in hours; where the system lets us say so."""
    wanted = {"TCP_KEEPIDLE": 4, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
