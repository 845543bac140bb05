"""The hello of two endpoints on a stream (see `hello`): both ends of it, and how often it is answered. ⚡"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any, Protocol

from gateway.expose.acceptor import Greeting
from gateway.splice import as_transport
from gateway.stream_header import AnswerParser, HeaderError, Kind, Request, Status
from gateway.topics.hello import (
    Answer,
    Asked,
    Asking,
    Farewell,
    Found,
    HelloError,
    MessageReader,
    Question,
)
from gateway.topics.limits import (
    TOPIC_HELLO_SECONDS,
    TOPIC_HELLOS,
    TOPIC_HELLOS_PER_ENDPOINT,
    TOPIC_LEFT_ALONE,
)
from tunnels.bucket import Bucket, Buckets
from tunnels.errors import TunnelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.topics.manifest import Manifest
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)


class OpenStream(Protocol):
    """Opens a stream to an endpoint that nobody here chose (`tunnels.endpoint.Endpoint.open_stream`)."""

    def __call__(
        self, endpoint_id: EndpointId, protocol_factory: Callable[[], asyncio.Protocol], *, is_stranger: bool
    ) -> Awaitable[tuple[Any, asyncio.Protocol]]: ...


class Greeter:
    """Asks others which topics we share, and answers those who ask us."""

    def __init__(
        self, own: EndpointId, open_stream: OpenStream, on_met: Callable[[EndpointId, Found], None]
    ) -> None:
        """`on_met` is told of each who asked us and proved to be in topics of ours."""
        self._own = own
        self._open_stream = open_stream
        self._on_met = on_met
        self._all = Bucket(TOPIC_HELLOS / 60, TOPIC_HELLOS)
        self._of = Buckets(TOPIC_HELLOS_PER_ENDPOINT / 60, TOPIC_HELLOS_PER_ENDPOINT, TOPIC_LEFT_ALONE)
        self.keys: dict[bytes, bytes] = {}
        """Of the topics that we are in."""
        self.manifests: dict[bytes, Manifest] = {}

    def __repr__(self) -> str:
        return f"<Greeter in {len(self.keys)} topics>"

    async def ask(self, endpoint_id: EndpointId) -> Found:
        """Which of our topics the endpoint proves to be in; HelloError, TunnelError or TimeoutError if it does not say."""
        asking = Asking(self.keys, self.manifests, self._own, endpoint_id, secrets.token_bytes)
        protocol = _AskingEnd(asking)
        transport, _ = await self._open_stream(endpoint_id, lambda: protocol, is_stranger=True)
        try:
            async with asyncio.timeout(TOPIC_HELLO_SECONDS):
                return await protocol.found
        except BaseException:
            transport.abort()
            raise

    def answer(self, caller: EndpointId, on_end: Callable[[], None]) -> GreetedEnd | None:
        """The end of a stream on which a caller asks; None if it, or everybody, asks too often."""
        now = asyncio.get_running_loop().time()
        if not (self._of.take(caller, now) and self._all.take(now)):
            return None
        return GreetedEnd(
            lambda question: self._asked(question, caller), lambda f: self._met(caller, f), on_end
        )

    def _asked(self, question: Question, caller: EndpointId) -> Asked:
        return Asked(question, self.keys, self.manifests, self._own, caller)

    def _met(self, caller: EndpointId, found: Found) -> None:
        if found:
            self._on_met(caller, found)


class _AskingEnd(asyncio.Protocol):
    """Asks, and says farewell."""

    def __init__(self, asking: Asking) -> None:
        self.found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._asking = asking
        self._header: AnswerParser | None = AnswerParser()
        self._reader = MessageReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = as_transport(transport)
        self._transport.write(Request(Kind.TOPICS).encode() + self._asking.question)

    def data_received(self, data: bytes) -> None:
        if self.found.done():
            return
        try:
            self._take(data)
        except (HelloError, HeaderError) as error:
            self._fail(HelloError(str(error)))
            self._transport.abort()

    def _take(self, data: bytes) -> None:
        if self._header is not None:
            answer = self._header.feed(data)
            if answer is None:
                return
            if answer.status is not Status.OK:
                raise HelloError(
                    f"the peer does not say which topics it is in: {answer.reason or answer.status.name}"
                )
            data, self._header = self._header.rest, None
        self._reader.feed(data)
        message = self._reader.next(Answer)
        if message is not None:
            found, farewell = self._asking.answered(message)
            self._transport.write(farewell)
            self._transport.close()
            self.found.set_result(found)

    def eof_received(self) -> bool:
        self._fail(HelloError("the peer ended before it said which topics it is in"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc if isinstance(exc, TunnelError) else HelloError("the stream ended too early"))

    def _fail(self, error: Exception) -> None:
        if not self.found.done():
            self.found.set_exception(error)
            self.found.exception()  # whoever waited may have stopped


class GreetedEnd(Greeting):
    """Answers one question; what the caller then says is taken as far as it has proved it."""

    def __init__(
        self,
        asked: Callable[[Question], Asked],
        met: Callable[[Found], None],
        on_end: Callable[[], None],
    ) -> None:
        self._ask = asked
        self._met = met
        self._on_end = on_end
        self._reader = MessageReader()
        self._asked: Asked | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = as_transport(transport)
        self._arm()

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        try:
            self._reader.feed(data)
            if self._asked is None:
                question = self._reader.next(Question)
                if question is None:
                    return
                self._asked = self._ask(question)
                self.transport.write(self._asked.answer)
                self._arm()
            farewell = self._reader.next(Farewell)
        except HelloError as error:
            _logger.info("%s", error)
            self._finish()
            self.transport.abort()
            return
        if farewell is not None:
            self._met(self._asked.told(farewell))
            self._finish()
            self.transport.close()

    def eof_received(self) -> bool:
        """The caller has nothing to say; what it proved by its question holds."""
        if self._asked is not None and not self._over:
            self._met(dict.fromkeys(self._asked.shared))
        self._finish()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(TOPIC_HELLO_SECONDS, self._late)

    def _late(self) -> None:
        self._finish()
        self.transport.abort()

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            if self._timer is not None:
                self._timer.cancel()
            self._on_end()
