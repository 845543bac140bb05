"""One stream that a peer opened, from its first byte to its end.

::

    header ──complete──▶ opening ──target connected──▶ joined ──both ends closed──▶ over
       └──late, wrong──▶ over ◀──refused── ┘
"""

from __future__ import annotations

import asyncio
import logging
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, assert_never, cast

from gateway.collecting import Collecting
from gateway.expose.access import NO_CIRCLE
from gateway.expose.connecting import TargetError, connect_target, target_error
from gateway.expose.proxy_protocol import proxy_header
from gateway.expose.targets import IpTarget, ProgramTarget
from gateway.flows.served import JoinedFlow, ServedFlow, connected_socket
from gateway.http.connection import forward_fixed
from gateway.http.rewriting import ENDPOINT_FIELD, HeaderRewrite, tell_endpoint
from gateway.invites.errors import InviteError
from gateway.invites.limits import REDEEM_SECONDS
from gateway.invites.stream import WholeMessage
from gateway.limits import CIRCLE_TALK_SECONDS
from gateway.splice import Splice, as_transport, reset
from gateway.stream_header import Answer, HeaderError, Kind, RequestParser, Status, encode_services
from gateway.traffic.control import LimitReached
from resolver.errors import RecordError
from resolver.limits import CIRCLE_ASKED_BYTES
from resolver.names import ServiceProtocol

if TYPE_CHECKING:
    from gateway.expose.acceptor import Acceptor, Greeting
    from gateway.expose.services import Service
    from gateway.flows.stream import FlowStream
    from gateway.splice import Held
    from gateway.stream_header import Request
    from gateway.traffic.admission import Admission, MeteredTransport
    from tunnels.identity import EndpointId

_logger = logging.getLogger(__name__)
_OK = Answer(Status.OK).encode()


class Refused(asyncio.Protocol):
    """A stream that gets an answer at once and nothing else."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        as_transport(transport).write(self._answer.encode())
        transport.close()


class Incoming(asyncio.Protocol):
    """Reads the header and opens the target; then other protocols take the stream over."""

    _transport: asyncio.Transport

    def __init__(self, acceptor: Acceptor, caller: EndpointId) -> None:
        self.caller = caller
        self.service: Service | None = None
        self._acceptor = acceptor
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._joined: Splice | FlowStream | Greeting | None = None
        self._admission: Admission | None = None
        self._pending = True
        self._over = False

    def __repr__(self) -> str:
        return f"Incoming({self.service.name if self.service else '?'} for {self.caller.short})"

    # The stream, until somebody else takes it over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = as_transport(transport)
        self._timer = self._loop.call_later(self._acceptor.header_seconds, self._on_late)

    def data_received(self, data: bytes) -> None:
        if self._task is not None or self._over:
            return
        try:
            request = self._parser.feed(data)
        except HeaderError as error:
            _logger.info("a stream of %s was refused: %s", self.caller.short, error)
            self._refuse(Answer(error.status, str(error)))
            return
        if request is not None:
            self._stop_timer()
            self._transport.pause_reading()
            self._task = self._acceptor.spawn(self._serve(request), f"stream of {self.caller.short}")

    def eof_received(self) -> bool:
        if self._task is None and not self._over:
            self._refuse(Answer(Status.BAD_REQUEST, "the stream ended within its header"))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        self._end()

    def _on_late(self) -> None:
        self._timer = None
        _logger.info("a stream of %s was refused: no header in time", self.caller.short)
        self._refuse(
            Answer(Status.BAD_REQUEST, f"no header came within {self._acceptor.header_seconds:.0f} s")
        )

    # Its end

    def abort(self) -> None:
        """Reset the stream, and the connection to its target."""
        if self._task is not None:
            self._task.cancel()
        if isinstance(self._joined, Splice):
            self._joined.abort()
        elif self._joined is not None:
            self._joined.transport.abort()
        else:
            reset(self._transport)
        self._end()

    def _refuse(self, answer: Answer) -> None:
        self._transport.write(answer.encode())
        self._transport.close()
        self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._stop_timer()
            self._answered()
            if self._admission is not None:
                self._admission.release()
            self._acceptor.forget(self)

    def _answered(self) -> None:
        if self._pending:
            self._pending = False
            self._acceptor.pending.give(self.caller)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Serving it

    async def _serve(self, request: Request) -> None:
        try:
            match request.kind:
                case Kind.LIST_SERVICES:
                    self._transport.write(_OK + encode_services(self._acceptor.services_for(self.caller)))
                    self._transport.close()
                    self._end()
                case Kind.TCP_CONNECT:
                    service = self._find(request, ServiceProtocol.TCP)
                    if service is not None:
                        await self._serve_tcp(service, request.port)
                case Kind.UDP_FLOW:
                    service = self._find(request, ServiceProtocol.UDP)
                    if service is not None:
                        await self._serve_udp(service, request.port)
                case Kind.REDEEM:
                    await self._serve_redeem()
                case Kind.TOPICS:
                    self._serve_topics()
                case Kind.CIRCLE:
                    await self._serve_circle()
                case never:
                    assert_never(never)
        except TargetError as error:
            _logger.warning("%s", error)
            self._refuse(error.answer)
        except asyncio.CancelledError:
            if self._joined is None:
                reset(self._transport)
            self._end()
            raise

    def _find(self, request: Request, protocol: ServiceProtocol) -> Service | None:
        """The service that is meant, if the caller may use it; otherwise the stream is refused."""
        service = self._acceptor.services.find(request.name, request.port, protocol)
        access = self._acceptor.access(service, self.caller)
        if service is None or not access.allowed:
            _logger.info(
                "%s may not use %s port %d/%s: %s",
                self.caller.short, request.name or "(any)", request.port, protocol.value, access.reason,
            )  # fmt: skip
            self._refuse(access.refusal)
            return None
        if self._acceptor.traffic is not None:
            try:
                self._admission = self._acceptor.traffic.admit(self.caller, service.name, "served")
            except LimitReached as reached:
                _logger.info("%s may not use %s now: %s", self.caller.short, service.name, reached)
                self._refuse(Answer(Status.LIMITED, str(reached)))
                return None
        self.service = service
        return service

    def _metered(self) -> None:
        """From here on it is what the service and its caller say that moves on the stream."""
        if self._admission is not None:
            self._admission.begin(cast("MeteredTransport", self._transport))

    def _serve_topics(self) -> None:
        """Whoever asks which topics it shares with us needs no permission, and gets none."""
        greeting = self._acceptor.greet(self.caller, self._end) if self._acceptor.greet is not None else None
        if greeting is None:
            self._refuse(Answer(Status.OVERLOADED, "you ask about topics too often; try again later"))
            return
        self._joined = greeting
        self._transport.write(_OK)
        self._answered()
        greeting.connection_made(self._transport)
        self._transport.set_protocol(greeting)
        greeting.data_received(self._parser.rest)
        self._transport.resume_reading()

    async def _serve_circle(self) -> None:
        """Whoever is no contact is told nothing, whatever it asks."""
        circle = self._acceptor.circle
        refusal = circle.refusal(self.caller) if circle is not None else NO_CIRCLE
        if circle is None or refusal is not None:
            self._refuse(refusal or NO_CIRCLE)
            return
        question = Collecting(self._parser.rest, CIRCLE_ASKED_BYTES)
        self._transport.set_protocol(question)
        self._transport.resume_reading()
        try:
            async with asyncio.timeout(CIRCLE_TALK_SECONDS):
                answer = circle.answer(self.caller, await question.result)
            self._transport.write(_OK + answer if answer is not None else NO_CIRCLE.encode())
            self._transport.close()
            self._answered()
            async with asyncio.timeout(CIRCLE_TALK_SECONDS):  # who does not read it does not make us keep it
                await question.lost
        except (TimeoutError, RecordError) as error:
            _logger.info(
                "%s asks for a circle in vain: %s", self.caller.short, str(error) or "it took too long"
            )
            reset(self._transport)
        self._end()

    async def _serve_tcp(self, service: Service, port: int) -> None:
        target = await connect_target(service, port, self.caller, timeout=self._acceptor.connect_seconds)
        self._transport.write(_OK)
        self._answered()
        self._metered()
        if service.proxy_protocol:
            target.transport.write(self._proxy_header(target))
        if service.rewrites_http:
            target.transport.pause_reading()
            try:
                await forward_fixed(
                    self._transport, target.transport, _rewrite(service, self.caller), early=self._parser.rest
                )
            finally:
                self._end()
            return
        self._joined = Splice(
            self._transport,
            target.transport,
            from_first=self._parser.rest,
            from_second=target.early,
            strict=(target.transport,) if target.is_strict else (),
        )
        target.joined(self._joined)
        self._joined.closed.add_done_callback(lambda _: self._end())

    async def _serve_redeem(self) -> None:
        redeem = self._acceptor.redeem
        if redeem is None:
            self._refuse(Answer(Status.BAD_REQUEST, "no invites are taken here"))
            return
        message = WholeMessage()
        self._transport.set_protocol(message)
        message.data_received(self._parser.rest)
        self._transport.resume_reading()
        try:
            async with asyncio.timeout(REDEEM_SECONDS):
                said = await message.whole
        except (TimeoutError, InviteError) as error:
            self._refuse(
                Answer(Status.BAD_REQUEST, str(error) or "what was to be said of an invite did not come")
            )
            return
        self._transport.write(_OK + await redeem(self.caller, said))
        self._transport.close()
        self._end()

    def _proxy_header(self, target: Held) -> bytes:
        source = self._acceptor.address_of(self.caller)
        local = target.transport.get_extra_info("sockname")
        peer = target.transport.get_extra_info("peername")
        try:
            destination = IPv4Address(peer[0]), int(peer[1])
        except (ValueError, TypeError, IndexError):  # IPv6 or a Unix socket
            return proxy_header(self.caller)
        if source is None:
            return proxy_header(self.caller)
        return proxy_header(self.caller, (source, int(local[1])), destination)

    async def _serve_udp(self, service: Service, port: int) -> None:
        try:
            async with asyncio.timeout(self._acceptor.connect_seconds):
                flow = await self._flow_to(service, port)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            raise target_error(service, error) from None
        self._joined = flow
        flow.connection_made(self._transport)
        admitted = self._acceptor.flows.add(flow, self.caller)
        self._transport.write(
            _OK
            if admitted
            else Answer(Status.OVERLOADED, "too many UDP flows are open; try again later").encode()
        )
        self._answered()
        if not admitted:
            flow.expire()
            return
        self._metered()
        self._transport.set_protocol(flow)
        flow.data_received(self._parser.rest)
        self._transport.resume_reading()

    async def _flow_to(self, service: Service, port: int) -> FlowStream:
        flows = self._acceptor.flows
        match service.target:
            case IpTarget(host=host):
                sock = await connected_socket(host, service.target_port(port))
                return ServedFlow(sock, flows, self._end)
            case ProgramTarget(program=program):
                joined = JoinedFlow(flows, self._end)
                joined.behind = await program.open_flow(self.caller, joined.send, joined.expire)
                return joined
            case _:
                raise TargetError(
                    Answer(Status.TARGET_UNREACHABLE), f"{service.name}: {service.target} carries no UDP"
                )


def _rewrite(service: Service, caller: EndpointId) -> HeaderRewrite:
    if service.endpoint_header:
        return tell_endpoint(str(caller), service.host_header)
    host = service.host_header
    return HeaderRewrite(
        host=host.encode("ascii") if host is not None else None, drop=frozenset({ENDPOINT_FIELD.lower()})
    )
