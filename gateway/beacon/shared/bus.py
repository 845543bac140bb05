"""Frames from node to node, over Redis's publish and subscribe: one channel for each node.

A message holds, for each frame, the receiver's id (32 bytes), the frame's length (4 bytes, big-endian) and the
frame: what is published in one turn of the event loop, or while Redis is busy with the last, goes as one message
for each node. Messages that nobody listens to are lost, and whoever sent one is told.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from gateway.beacon.limits import (
    BUS_MESSAGE_BYTES,
    BUS_QUEUE_BYTES,
    BUS_SILENCE_SECONDS,
    REDIS_PAUSE_SECONDS,
    REDIS_SECONDS,
)
from gateway.beacon.stores import StoreUnavailable
from gateway.supervision import Supervisor
from tunnels.identity import KEY_BYTES, EndpointId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.beacon.shared.database import RedisDatabase

_logger = logging.getLogger(__name__)

_LENGTH: Final = struct.Struct(">I")
_HEAD: Final = KEY_BYTES + _LENGTH.size


class RedisBus:
    """One node's channel, and the way to those of others. See Bus."""

    __slots__ = ("_database", "_flushing", "_listening", "_node", "_tasks", "_waiting", "_waiting_bytes")

    def __init__(self, database: RedisDatabase, node: str) -> None:
        self._database = database
        self._node = node
        self._tasks = Supervisor()
        self._listening = asyncio.Event()
        self._waiting: list[tuple[str, bytes, asyncio.Future[bool]]] = []
        self._waiting_bytes = 0
        self._flushing = False

    async def start(self, deliver: Callable[[EndpointId, bytes], None]) -> None:
        """See Bus. Returns when this node listens, or when it is plain that Redis does not answer yet."""
        self._tasks.spawn(self._listen(deliver), name="beacon bus")
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._listening.wait()
        except TimeoutError:
            _logger.warning("other nodes cannot send to this one until Redis answers")

    async def publish(self, node: str, endpoint_id: EndpointId, frame: bytes) -> bool:
        """See Bus."""
        part = endpoint_id.key + _LENGTH.pack(len(frame)) + frame
        if self._waiting_bytes + len(part) > BUS_QUEUE_BYTES:
            return False
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((node, part, told))
        self._waiting_bytes += len(part)
        if not self._flushing:
            self._flushing = True
            self._tasks.spawn(self._flush(), name="beacon bus sending")
        return await told

    async def close(self) -> None:
        """See Bus."""
        await self._tasks.close()
        self._listening.clear()
        for _, _, told in self._waiting:
            if not told.done():
                told.set_result(False)
        self._waiting.clear()
        self._waiting_bytes = 0

    async def _flush(self) -> None:
        """Send what waits, and what comes meanwhile."""
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                try:
                    await self._send(waiting)
                finally:
                    self._waiting_bytes -= sum(len(part) for _, part, _ in waiting)
                    for _, _, told in waiting:
                        if not told.done():
                            told.set_result(False)
        finally:
            self._flushing = False

    async def _send(self, waiting: list[tuple[str, bytes, asyncio.Future[bool]]]) -> None:
        messages = list(_messages(waiting))
        pipeline = self._database.client.pipeline(transaction=False)
        for node, parts, _ in messages:
            pipeline.publish(self._channel(node), b"".join(parts))
        try:
            receivers = await self._database.run(pipeline.execute)
        except StoreUnavailable as error:
            for _, _, told in waiting:
                if not told.done():
                    told.set_exception(StoreUnavailable(str(error)))
            return
        for (_, _, futures), count in zip(messages, receivers, strict=True):
            for told in futures:
                if not told.done():
                    told.set_result(count > 0)

    async def _listen(self, deliver: Callable[[EndpointId, bytes], None]) -> None:
        while True:
            why = "Redis is silent"
            try:
                await self._hear(deliver)
            except (RedisError, OSError) as error:
                why = str(error)
            # Told once for each time that it did hear them: it may take Redis long to come back.
            level = logging.INFO if self._listening.is_set() else logging.DEBUG
            _logger.log(level, "this node does not hear the others: %s", why)
            self._listening.clear()
            await asyncio.sleep(REDIS_PAUSE_SECONDS)

    async def _hear(self, deliver: Callable[[EndpointId, bytes], None]) -> None:
        """Subscribe and deliver until Redis says nothing any more; RedisError or OSError when the connection ends."""
        async with self._database.client.pubsub() as pubsub:
            await pubsub.subscribe(self._channel(self._node))
            asked = False
            while True:
                message = await pubsub.get_message(timeout=BUS_SILENCE_SECONDS)
                if message is not None:
                    asked = False
                    if message["type"] == "subscribe":
                        self._listening.set()
                    elif message["type"] == "message":
                        for endpoint_id, frame in _frames(message["data"]):
                            deliver(endpoint_id, frame)
                elif asked:
                    return
                else:
                    asked = True
                    await pubsub.ping()

    def _channel(self, node: str) -> str:
        return f"{self._database.prefix}to:{node}"


def _messages(
    waiting: list[tuple[str, bytes, asyncio.Future[bool]]],
) -> Iterator[tuple[str, list[bytes], list[asyncio.Future[bool]]]]:
    """The messages to publish: node, its parts, and who is to be told."""
    filling: dict[str, tuple[list[bytes], list[asyncio.Future[bool]]]] = {}
    sizes: dict[str, int] = {}
    for node, part, told in waiting:
        if node in filling and sizes[node] + len(part) > BUS_MESSAGE_BYTES:
            yield node, *filling.pop(node)
        parts, futures = filling.setdefault(node, ([], []))
        sizes[node] = len(part) if not parts else sizes[node] + len(part)
        parts.append(part)
        futures.append(told)
    for node, (parts, futures) in filling.items():
        yield node, parts, futures


def _frames(message: bytes) -> Iterator[tuple[EndpointId, bytes]]:
    """The receivers and frames in a message; what is cut short, as no node of ours sends it, ends it."""
    start = 0
    while len(message) - start >= _HEAD:
        (length,) = _LENGTH.unpack_from(message, start + KEY_BYTES)
        end = start + _HEAD + length
        if end > len(message):
            return
        yield EndpointId(message[start : start + KEY_BYTES]), message[start + _HEAD : end]
        start = end
