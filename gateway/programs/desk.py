"""Serves programs on the control socket: reads what each wants, does it, and joins its connection with what it wanted. ⚡

::

    line ──▶ doing ──connect, accept──▶ joined with a stream ──▶ over
                   ──flow────────────▶ carries datagrams ─────▶ over
                   ──offer, forward──▶ held, and told of callers and troubles ──▶ over, with the service or the ports
                   ──ending, done, abort, refused─▶ over
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.control.errors import reply_of
from gateway.dialing import DialError, Failure
from gateway.errors import GatewayError, UsageError
from gateway.expose.services import Service
from gateway.expose.targets import ProgramTarget
from gateway.limits import CONTROL_HEAD_SECONDS
from gateway.programs.datagrams import DialedDatagrams
from gateway.programs.ends import Ends
from gateway.programs.forwards import Forwards
from gateway.programs.limits import PROGRAM_HELD, PROGRAM_LINE_BYTES, PROGRAM_STREAMS, PROGRAM_TOLD_BYTES
from gateway.programs.messages import (
    MAGIC,
    Abort,
    Accept,
    Attached,
    Connect,
    Done,
    Ending,
    Forward,
    Forwarding,
    LineReader,
    Offer,
    Offered,
    OpenFlow,
    Trouble,
    read_request,
    write_line,
)
from gateway.programs.offering import Offering
from gateway.splice import Held, Splice
from resolver.names import ServiceProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.control.services import ServiceReport
    from gateway.dialing import Dialer
    from gateway.programs.messages import Asked
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)


class OverlayNames(Protocol):
    """What is asked of whoever dials (`gateway.overlay_dialer`)."""

    async def owner_of(self, host: str) -> EndpointId:
        """Whose name it is; raises DialError."""


class Services(Protocol):
    """What is asked of the gateway's own services (`gateway.answers.services`)."""

    def attach(self, service: Service) -> ServiceReport:
        """Take in a program's service; UsageError."""

    def detach(self, name: str) -> None:
        """It is gone."""

    def free_port(self, name: str) -> int:
        """A port that no service has."""

    def petname_of(self, endpoint_id: EndpointId) -> str:
        """What an endpoint is called here."""

    def learn_ticket(self, text: str) -> EndpointId:
        """Know how to reach an endpoint; UsageError."""


class ProgramDesk:
    """All programs of one gateway, from their first line to `close`."""

    magic: Final = MAGIC

    def __init__(
        self,
        dialer: Dialer,
        names: OverlayNames,
        services: Services,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        *,
        refusal: Callable[[], str] = lambda: "",
    ) -> None:
        """`services` and `names` are asked at each line; `spawn` starts a supervised task under a name; `refusal` says why the
        process has no room for one more connection, empty if it has.
        """
        self.dialer, self.names, self.services, self.spawn = dialer, names, services, spawn
        self.refusal = refusal
        self.ends = Ends()
        self.offerings: dict[str, Offering] = {}
        """By the names of their services."""
        self._callers: set[ProgramConnection] = set()
        self._held = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"ProgramDesk({len(self._callers)} connections, {len(self.ends)} streams, {self._held} held)"

    def welcome(self, transport: asyncio.Transport, early: bytes) -> None:
        """Take over a connection whose first bytes, `early`, are a program's."""
        if len(self._callers) >= PROGRAM_STREAMS:
            transport.abort()
            return
        caller = ProgramConnection(self, transport)
        self._callers.add(caller)
        transport.set_protocol(caller)
        caller.data_received(early)

    def forget(self, caller: ProgramConnection) -> None:
        """Its connection is over, or carries a stream now."""
        self._callers.discard(caller)

    def hold(self) -> None:
        """One more service or set of ports; UsageError if there are too many."""
        if why := self.refusal():
            raise UsageError(f"programs: {why}")
        if self._held >= PROGRAM_HELD:
            raise UsageError(
                f"programs: {PROGRAM_HELD} services of programs and forwards are open, the most there may be; end some"
            )
        self._held += 1

    def release(self) -> None:
        """One less."""
        self._held -= 1

    def begin(self) -> str:
        """The token of one more stream; DialError if there are too many."""
        if why := self.refusal():
            raise DialError(Failure.OVERLOADED, f"programs: {why}")
        if len(self.ends) >= PROGRAM_STREAMS:
            raise DialError(
                Failure.OVERLOADED,
                f"programs: {PROGRAM_STREAMS} streams of programs are open, the most there may be; close some",
            )
        return self.ends.begin()

    def close(self) -> None:
        """Reset everything; idempotent."""
        for caller in list(self._callers):
            caller.abort()
        self.ends.close()


class ProgramConnection(Held):
    """One connection of a program."""

    __slots__ = ("_desk", "_is_held", "_line", "_task", "_timer", "is_strict", "on_joined", "pid")

    def __init__(self, desk: ProgramDesk, transport: asyncio.Transport) -> None:
        super().__init__()
        self.transport = transport
        self.is_strict = False
        self.on_joined: Callable[[Splice], None] | None = None
        self.pid = _pid(transport)
        self._desk = desk
        self._line = LineReader()
        self._is_held = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(
            CONTROL_HEAD_SECONDS, transport.abort
        )

    def joined(self, splice: Splice) -> None:
        if self.on_joined is not None:
            self.on_joined(splice)

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            self._more(data)
            return
        try:
            line = self._line.feed(data)
            if line is None:
                return
            asked = read_request(line)
        except UsageError as error:
            self._refuse(error)
            return
        self._stop_timer()
        self.early = self._line.rest
        self.transport.pause_reading()
        self._task = self._desk.spawn(self._serve(asked), f"program {self.pid}")

    def _more(self, data: bytes) -> None:
        """Something behind the line; of a program that is only told things, nothing is expected."""
        self.early += data
        if len(self.early) > PROGRAM_LINE_BYTES:
            self.transport.abort()
        else:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        if self._task is None or self._is_held:
            return False  # it is gone, and what it held goes with it
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timer()
        if self._task is not None:
            self._task.cancel()
        self._desk.forget(self)

    def abort(self) -> None:
        """End it at once."""
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, error: GatewayError) -> None:
        self._say(reply_of(error)[1])
        self.transport.close()

    def _say(self, report: object) -> None:
        if not self.transport.is_closing():  # the program may have gone meanwhile
            self.transport.write(write_line(report))

    # --- what is asked for ------------------------------------------------------------------------------

    async def _serve(self, asked: Asked) -> None:
        try:
            match asked:
                case Connect():
                    await self._connect(asked)
                case OpenFlow():
                    await self._flow(asked)
                case Offer():
                    await self._offer(asked)
                case Accept():
                    self._accept(asked)
                case Forward():
                    await self._forward(asked)
                case Ending(stream=token):
                    self._say(self._desk.ends.ending(token))
                    self.transport.close()
                case Done(stream=token):
                    self._desk.ends.done(token)
                    self._say(self._desk.ends.ending(token))
                    self.transport.close()
                case Abort(stream=token):
                    self._desk.ends.abort(token)
                    self._say(self._desk.ends.ending(token))
                    self.transport.close()
        except GatewayError as error:
            self._refuse(error)
        finally:
            self._desk.forget(self)

    async def _connect(self, asked: Connect) -> None:
        desk = self._desk
        token = desk.begin()
        try:
            if asked.ticket is not None:
                desk.services.learn_ticket(asked.ticket)
            owner = await desk.names.owner_of(asked.host)
            opened = await desk.dialer.open_stream(asked.host, asked.port)
        except BaseException as error:
            desk.ends.over(token, "cut", str(error))
            raise
        self._say(self._attached(token, owner))
        strict = [self.transport] if asked.strict else []
        if opened.held is not None and opened.held.is_strict:
            strict.append(opened.transport)
        splice = Splice(
            opened.transport,
            self.transport,
            from_first=opened.early,
            from_second=self.early,
            strict=tuple(strict),
        )
        desk.ends.joined(token, splice, opened.transport)
        if opened.held is not None:
            opened.held.joined(splice)

    def _accept(self, asked: Accept) -> None:
        desk, token = self._desk, asked.stream
        offering = next((one for one in desk.offerings.values() if token in one.waiting), None)
        self.is_strict = asked.strict
        self.on_joined = lambda splice: desk.ends.joined(token, splice, splice.other(self.transport))
        if offering is None or not offering.take(token, self):
            raise UsageError("programs: the caller did not wait any longer, or was taken before")
        self._say(Attached(stream=token, endpoint_id=""))
        desk.ends.taken(token, self.transport)

    async def _flow(self, asked: OpenFlow) -> None:
        desk = self._desk
        token = desk.begin()
        try:
            owner = await desk.names.owner_of(asked.host)
            datagrams = DialedDatagrams(desk.dialer, asked.host, asked.port, desk.ends, token)
            await datagrams.open()
            self._say(self._attached(token, owner))
            await datagrams.run(self)
        finally:
            desk.ends.over(token, "cut")

    async def _offer(self, asked: Offer) -> None:
        desk, name = self._desk, asked.service.lower()
        desk.hold()
        try:
            offering = Offering(name, self.transport, desk.ends, desk.services.petname_of)
            port = asked.port or desk.services.free_port(name)
            report = desk.services.attach(
                Service(
                    name,
                    ProgramTarget(offering, self.pid),
                    port,
                    port,
                    tuple(protocol for protocol in ServiceProtocol if protocol.value in asked.protocols),
                    asked.allow,
                    asked.public,
                    unlisted=asked.unlisted,
                )
            )
            desk.offerings[name] = offering
            try:
                self._say(Offered(service=name, host=report.host, port=port, warnings=report.warnings))
                await self._gone()
            finally:
                del desk.offerings[name]
                offering.close()
                desk.services.detach(name)
        finally:
            desk.release()

    async def _forward(self, asked: Forward) -> None:
        desk = self._desk
        desk.hold()
        forwards = Forwards(desk.dialer, desk.spawn, self._trouble, lambda: desk.refusal())
        try:
            places = await forwards.start(asked.rules)
            self._say(Forwarding(places=places))
            await self._gone()
        finally:
            forwards.close()
            desk.release()

    def _trouble(self, host: str, why: str) -> None:
        if self.transport.get_write_buffer_size() <= PROGRAM_TOLD_BYTES:
            self._say(Trouble(host=host, error=why))

    async def _gone(self) -> None:
        """Until the program closes its connection, which cancels us."""
        self._is_held = True
        self.transport.resume_reading()
        await asyncio.get_running_loop().create_future()

    def _attached(self, token: str, owner: EndpointId) -> Attached:
        return Attached(stream=token, endpoint_id=str(owner), petname=self._desk.services.petname_of(owner))


def _pid(transport: asyncio.Transport) -> int:
    """The process at the other end; 0 where the kernel does not tell."""
    sock = transport.get_extra_info("socket")
    if sock is None or not hasattr(socket, "SO_PEERCRED"):
        return 0
    pid: int = struct.unpack(
        "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )[0]
    return pid
