"""Being a service: callers come as streams or datagrams, to a handler or one by one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from gateway.errors import UsageError
from gateway.programs.messages import Accept, Attached, Call, Offered
from gateway.supervision import Supervisor
from overlay.attaching import Peer
from overlay.errors import Closed, translated
from overlay.limits import BACKLOG, HANDLERS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from gateway.programs.messages import Offer
    from overlay.attaching import Gateway
    from overlay.datagrams import Datagrams
    from overlay.streams import Stream

T = TypeVar("T", bound="Stream | Datagrams")


class Listener(Generic[T]):
    """A service that is there from `async with` to its end, or from `start` to `close`.

    With a handler each caller is given to a call of its own, which may be as long as it likes; its stream is closed when it
    returns, and cut off if it raises, which goes to the log. Without one, iterate over the listener, or `accept`.
    """

    def __init__(
        self,
        gateway: Callable[[], Gateway],
        offer: Offer,
        kind: type[T],
        handler: Callable[[T], Awaitable[None]] | None,
        *,
        limit: int | None,
    ) -> None:
        """Made by `Endpoint.listen`; `limit` is how many handlers run, or callers wait, at once."""
        self.service = offer.service.lower()
        self.host = ""
        """The name others use, with this endpoint's id in it; once it has started."""
        self.warnings: tuple[str, ...] = ()
        """Such as that nobody may use it yet."""
        self._gateway = gateway
        self._offer = offer
        self._kind = kind
        self._handler = handler
        self._room = asyncio.Semaphore(limit or (HANDLERS if handler is not None else BACKLOG))
        self._taken: asyncio.Queue[T | None] = asyncio.Queue()
        self._supervisor: Supervisor | None = None
        self._writer: asyncio.StreamWriter | None = None

    def __repr__(self) -> str:
        return f"<Listener {self.service}>"

    async def start(self) -> None:
        """Be the service; InvalidRequest if that cannot be, as when its name is taken."""
        with translated():
            offered, reader, writer = await self._gateway().attach(self._offer, Offered)
        self.host, self.warnings, self._writer = offered.host, offered.warnings, writer
        self._supervisor = Supervisor()
        self._supervisor.spawn(self._take_calls(reader), name=f"callers of {self.service}")

    async def close(self) -> None:
        """Be it no more. Handlers are cancelled; streams that were given out stay open. Idempotent."""
        if self._supervisor is None:
            return
        supervisor, self._supervisor = self._supervisor, None
        if self._writer is not None:
            self._writer.close()
        await supervisor.close()
        while not self._taken.empty():
            waiting = self._taken.get_nowait()
            if waiting is not None:  # nobody asked for it
                waiting.close()
        self._taken.put_nowait(None)

    async def accept(self) -> T:
        """The next caller; Closed when there will be none any more."""
        caller = await self._taken.get()
        if caller is None:
            self._taken.put_nowait(None)  # for whoever asks next
            raise Closed(f"{self.service}: nobody can call any more; the listener or the gateway has ended")
        self._room.release()
        return caller

    async def wait_closed(self) -> None:
        """Until the gateway ends, or `close`: for who has given a handler and has nothing else to do."""
        while await self._taken.get() is not None:
            pass
        self._taken.put_nowait(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.accept()
        except Closed:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _take_calls(self, reader: asyncio.StreamReader) -> None:
        gateway = self._gateway()
        try:
            with translated():
                while True:
                    call = await gateway.told(reader, Call)
                    await self._room.acquire()
                    try:
                        caller = await self._take(gateway, call)
                    except UsageError:  # it did not wait any longer
                        self._room.release()
                        continue
                    if self._handler is None:
                        self._taken.put_nowait(caller)
                    elif self._supervisor is not None:
                        self._supervisor.spawn(
                            self._handle(self._handler, caller), name=f"caller of {self.service}"
                        )
        except Closed:
            self._taken.put_nowait(None)

    async def _take(self, gateway: Gateway, call: Call) -> T:
        _, reader, writer = await gateway.attach(Accept(stream=call.stream), Attached)
        return self._kind(gateway, call.stream, Peer(call.endpoint_id, call.petname), reader, writer)

    async def _handle(self, handler: Callable[[T], Awaitable[None]], caller: T) -> None:
        try:
            async with caller:
                await handler(caller)
        finally:
            self._room.release()
