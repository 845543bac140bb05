"""A service that is a program: its callers are told to it, and it takes them one by one. ⚡"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from gateway.expose.connecting import TargetError
from gateway.limits import TARGET_CONNECT_SECONDS
from gateway.programs.datagrams import ProgramFlow
from gateway.programs.limits import PROGRAM_STREAMS, PROGRAM_TOLD_BYTES, PROGRAM_WAITING
from gateway.programs.messages import Call, write_line
from gateway.stream_header import Answer, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.programs.ends import Ends
    from gateway.splice import Held
    from tunnels.identity import EndpointId


class Offering:
    """What one program offers on one connection; a `gateway.expose.targets.Program`."""

    def __init__(
        self, name: str, transport: asyncio.Transport, ends: Ends, petname_of: Callable[[EndpointId], str]
    ) -> None:
        """`transport` is the connection on which callers are told."""
        self.name = name
        self._transport = transport
        self._ends = ends
        self._petname_of = petname_of
        self.waiting: dict[str, asyncio.Future[Held]] = {}
        """Callers that the program was told of, by their tokens, until it takes them."""

    def __repr__(self) -> str:
        return f"Offering({self.name}, {len(self.waiting)} waiting)"

    async def open(self, caller: EndpointId) -> Held:
        return await self._taken(caller, "tcp")

    async def open_flow(
        self, caller: EndpointId, on_datagram: Callable[[bytes], None], on_closed: Callable[[], None]
    ) -> ProgramFlow:
        async with asyncio.timeout(TARGET_CONNECT_SECONDS):
            held = await self._taken(caller, "udp")
        return ProgramFlow(held, on_datagram, on_closed)

    def take(self, token: str, held: Held) -> bool:
        """The program takes a caller; whether it is there still."""
        waiting = self.waiting.pop(token, None)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(held)
        return True

    def close(self) -> None:
        """The program is gone, or listens no more: callers that wait are told so."""
        for waiting in self.waiting.values():
            if not waiting.done():
                waiting.set_exception(self._error(Status.TARGET_REFUSED, "the program stopped to listen"))
        self.waiting.clear()

    async def _taken(self, caller: EndpointId, protocol: Literal["tcp", "udp"]) -> Held:
        if self._transport.is_closing():
            raise self._error(Status.TARGET_REFUSED, "the program stopped to listen")
        if (
            len(self.waiting) >= PROGRAM_WAITING
            or len(self._ends) >= PROGRAM_STREAMS
            or self._transport.get_write_buffer_size() > PROGRAM_TOLD_BYTES
        ):
            raise self._error(
                Status.OVERLOADED, "its program does not take more callers now; try again later"
            )
        token = self._ends.begin()
        waiting: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
        self.waiting[token] = waiting
        call = Call(
            stream=token, endpoint_id=str(caller), petname=self._petname_of(caller), protocol=protocol
        )
        taken = False
        try:
            self._transport.write(write_line(call))
            held: Held = await waiting
            taken = True
            return held
        finally:
            self.waiting.pop(token, None)
            if not taken:
                self._ends.over(token, "cut", "the caller did not wait any longer")

    def _error(self, status: Status, reason: str) -> TargetError:
        return TargetError(Answer(status, f"{self.name}: {reason}"), f"{self.name}: {reason}")
