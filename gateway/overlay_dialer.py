"""Opens streams and flows to services by their `.overlay` name: the Dialer behind the proxy and the listeners.

A name becomes an endpoint id, the tunnel to it a stream, the stream's header a service, and every way this can
fail a `DialError` that names the remedy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol, cast

from gateway.collecting import Collecting
from gateway.dialing import DialError, Failure, OpenedStream
from gateway.flows.dialed import DialedFlow
from gateway.flows.keeper import FlowKeeper
from gateway.invites.errors import InviteError
from gateway.invites.stream import WholeMessage
from gateway.limits import ANSWER_SECONDS, SERVICE_LIST_BYTES
from gateway.splice import as_transport
from gateway.stream_header import (
    Answer,
    AnswerParser,
    HeaderError,
    Kind,
    ListedService,
    Request,
    Status,
    decode_services,
)
from gateway.traffic.control import LimitReached
from resolver.errors import InvalidName
from resolver.limits import ALIAS_HOPS, CIRCLE_TOLD_BYTES
from resolver.names import OverlayName, ServiceProtocol
from tunnels.errors import (
    NoAllowedPath,
    ProtocolViolation,
    StreamReset,
    TooManyLanes,
    TooManyStreams,
    TunnelClosed,
    TunnelError,
    WrongIdentity,
)
from tunnels.identity import EndpointId

if TYPE_CHECKING:
    from gateway.dialing import Flow
    from gateway.own_services import OwnServices
    from gateway.traffic.admission import Admission, MeteredTransport
    from gateway.traffic.control import TrafficControl
    from tunnels.dialing import Lane

_NO_ANSWER: Final = TunnelClosed("the stream ended without an answer")

_logger = logging.getLogger(__name__)


class OpenTransport(Protocol):
    """Opens a tunnel stream whose protocol the factory makes; raises TunnelError."""

    def __call__(
        self,
        endpoint_id: EndpointId,
        protocol_factory: Callable[[], asyncio.Protocol],
        /,
        *,
        lane: Lane | None = None,
    ) -> Awaitable[tuple[asyncio.Transport, asyncio.Protocol]]:
        """On that lane, or on the main connection."""


LaneTo = Callable[[str | None, EndpointId, str], "Lane | None"]

AliasOf = Callable[[OverlayName], Awaitable[OverlayName | str | None]]

_FAILURES: Final = {
    Status.FORBIDDEN: Failure.FORBIDDEN,
    Status.NO_SERVICE: Failure.NO_SERVICE,
    Status.TARGET_REFUSED: Failure.TARGET_REFUSED,
    Status.TARGET_UNREACHABLE: Failure.TARGET_UNREACHABLE,
    Status.OVERLOADED: Failure.OVERLOADED,
    Status.LIMITED: Failure.LIMITED,
    Status.BAD_REQUEST: Failure.TARGET_UNREACHABLE,
    Status.WRONG_VERSION: Failure.TARGET_UNREACHABLE,
}
_MEANINGS: Final = {
    Status.FORBIDDEN: "its owner does not let you use it",
    Status.NO_SERVICE: "nothing is exposed there to you under this name and port",
    Status.TARGET_REFUSED: "the server behind it is not running",
    Status.TARGET_UNREACHABLE: "the server behind it does not answer",
    Status.OVERLOADED: "it carries as much as it may; try again later",
    Status.LIMITED: "a limit that its owner has set is reached",
    Status.BAD_REQUEST: "the other gateway did not understand us; update overlay on both sides",
    Status.WRONG_VERSION: "the two gateways speak different versions; update overlay on the older side",
}
_TELLING: Final = frozenset(
    {Status.FORBIDDEN, Status.OVERLOADED, Status.LIMITED, Status.BAD_REQUEST, Status.WRONG_VERSION}
)
"""Where the far side's own words add to ours."""
_TUNNEL_FAILURES: Final = (
    (NoAllowedPath, Failure.PROFILE, "no path that may be used leads there"),
    (TooManyLanes, Failure.OVERLOADED, "it has as many connections as it may; try again later"),
    (TooManyStreams, Failure.OVERLOADED, "the tunnel carries as many streams as it may; try again later"),
    (WrongIdentity, Failure.OFFLINE, "somebody else answers at its address; ask its owner for a new ticket"),
    (StreamReset, Failure.TARGET_UNREACHABLE, "the other gateway gave the stream up; try again"),
    (
        ProtocolViolation,
        Failure.TARGET_UNREACHABLE,
        "the two gateways do not understand each other; update both",
    ),
    (TunnelClosed, Failure.OFFLINE, "the tunnel closed; try again"),
    (TunnelError, Failure.OFFLINE, "its gateway does not answer; is it up there?"),
)


class OverlayDialer:
    """A `gateway.dialing.Dialer` for names under `.overlay`."""

    def __init__(
        self,
        open_transport: OpenTransport,
        id_of: Callable[[str], EndpointId | None],
        *,
        own: tuple[EndpointId, OwnServices] | None = None,
        alias_of: AliasOf | None = None,
        answer_seconds: float = ANSWER_SECONDS,
        before: Callable[[EndpointId], Awaitable[None]] | None = None,
        lane_to: LaneTo = lambda user, endpoint_id, label: None,
        traffic: TrafficControl | None = None,
        service_at: Callable[[EndpointId, int, ServiceProtocol], str | None] = lambda *_: None,
    ) -> None:
        """`id_of` says which endpoint a petname belongs to now; `own` is this gateway, which needs no tunnel.

        `alias_of` says what a name stands for by its owner's word: another name, or a public one outside `.overlay`.
        `lane_to` says on which connection a user of the proxy reaches an endpoint; it may raise DialError.
        `before` is waited for before an endpoint is asked for anything: it redeems invites, and may raise DialError.
        `traffic` counts and limits; `service_at` tells what an endpoint's service at a port is called, if that is known.
        """
        self._traffic = traffic
        self._service_at = service_at
        self._before = before
        self._lane_to = lane_to
        self._own_id = own[0] if own is not None else None
        self._own = own[1] if own is not None else None
        self._open_transport = open_transport
        self._id_of = id_of
        self._alias_of = alias_of
        self._answer_seconds = answer_seconds
        self._flows = FlowKeeper()

    def __repr__(self) -> str:
        return f"OverlayDialer({len(self._flows)} flows)"

    def close(self) -> None:
        """End all flows; streams belong to those who opened them."""
        self._flows.close()

    def flows_with(self, endpoint_id: EndpointId) -> int:
        """How many UDP flows we opened there."""
        return self._flows.count(endpoint_id)

    async def open_stream(self, host: str, port: int, *, user: str | None = None) -> OpenedStream:
        """Connect to the TCP service `host:port`; raises DialError. `user` chooses the connection."""
        endpoint_id, service = await self._resolve(host)
        label = _label(host, port)
        lane = self._lane_to(user, endpoint_id, label)
        if self._own is not None and endpoint_id == self._own_id:
            return await self._own.open_stream(service, port, label)
        admission = self._admit(endpoint_id, service, port, ServiceProtocol.TCP, label)
        try:
            await self._prepare(endpoint_id)
            opened = await self._ask(endpoint_id, Request(Kind.TCP_CONNECT, service, port), label, lane=lane)
        except BaseException:
            if admission is not None:
                admission.release()
            raise
        if admission is not None:
            admission.begin(cast("MeteredTransport", opened.transport))
        return opened

    async def open_flow(
        self,
        host: str,
        port: int,
        on_datagram: Callable[[bytes], None],
        on_closed: Callable[[], None],
        *,
        user: str | None = None,
    ) -> Flow:
        """Open a UDP flow to `host:port`, usable before the far side has answered; raises DialError.

        A refusal by the far side comes as `on_closed`, and its reason goes to the log.
        """
        endpoint_id, service = await self._resolve(host)
        label = _label(host, port)
        lane = self._lane_to(user, endpoint_id, label)
        if self._own is not None and endpoint_id == self._own_id:
            return await self._own.open_flow(service, port, label, on_datagram, on_closed)
        admission = self._admit(endpoint_id, service, port, ServiceProtocol.UDP, label)
        flow = DialedFlow(Request(Kind.UDP_FLOW, service, port), label, self._flows, on_datagram, on_closed)
        try:
            await self._prepare(endpoint_id)
            transport = await self._open(endpoint_id, lambda: flow, label, lane)
        except BaseException:
            if admission is not None:
                admission.release()
            raise
        if admission is not None:
            admission.begin(cast("MeteredTransport", transport))
        if not flow.closed and not self._flows.add(flow, endpoint_id):
            flow.close()
            raise DialError(Failure.OVERLOADED, f"{label}: too many UDP flows are open; close some programs")
        return flow

    async def owner_of(self, host: str) -> EndpointId:
        """Who would be asked for `host`; raises DialError."""
        return (await self._resolve(host))[0]

    def _admit(
        self, endpoint_id: EndpointId, service: str, port: int, protocol: ServiceProtocol, label: str
    ) -> Admission | None:
        """Count one more connection; DialError if a limit of ours is reached."""
        if self._traffic is None:
            return None
        name = service or self._service_at(endpoint_id, port, protocol) or str(port)
        try:
            return self._traffic.admit(endpoint_id, name, "used")
        except LimitReached as reached:
            raise DialError(Failure.LIMITED, f"{label}: {reached}") from None

    async def list_services(self, endpoint_id: EndpointId) -> list[ListedService]:
        """The services of an endpoint that we may use; raises DialError."""
        label = f"{endpoint_id.short}…"
        await self._prepare(endpoint_id)
        opened = await self._ask(endpoint_id, Request(Kind.LIST_SERVICES), label)
        try:
            return decode_services(await self._rest_of(opened, SERVICE_LIST_BYTES))
        except (TimeoutError, HeaderError) as error:
            reason = str(error) or "its list of services did not arrive in time; try again"
            raise DialError(Failure.TARGET_UNREACHABLE, f"{label}: {reason}") from None
        finally:
            opened.transport.abort()

    async def ask_circle(self, endpoint_id: EndpointId, question: bytes) -> bytes:
        """Ask a contact for its circle (`resolver.circles`): the answer, not read; raises DialError."""
        label = f"{endpoint_id.short}…"
        opened = await self._ask(endpoint_id, Request(Kind.CIRCLE), label, question)
        try:
            return await self._rest_of(opened, CIRCLE_TOLD_BYTES)
        except TimeoutError:
            raise DialError(
                Failure.TARGET_UNREACHABLE,
                f"{label}: its circle did not arrive in time; it is asked again later",
            ) from None
        finally:
            opened.transport.abort()

    async def _rest_of(self, opened: OpenedStream, limit: int) -> bytes:
        """What comes behind an answer until the stream's end; TimeoutError if that takes too long."""
        collecting = Collecting(opened.early, limit)
        opened.transport.set_protocol(collecting)
        opened.transport.resume_reading()
        async with asyncio.timeout(self._answer_seconds):
            return await collecting.result

    async def redeem(self, endpoint_id: EndpointId, message: bytes) -> bytes:
        """Say something about an invite to its issuer (`gateway.invites.messages`): the answer, without its length.

        Raises DialError; nothing is known then of what the issuer did.
        """
        label = f"{endpoint_id.short}…"
        opened = await self._ask(endpoint_id, Request(Kind.REDEEM), label, message)
        answer = WholeMessage()
        opened.transport.set_protocol(answer)
        answer.data_received(opened.early)
        opened.transport.resume_reading()
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await answer.whole
        except (TimeoutError, InviteError) as error:
            reason = (
                str(error) or "its answer about the invite did not arrive in time; it is asked again later"
            )
            raise DialError(Failure.TARGET_UNREACHABLE, f"{label}: {reason}") from None
        finally:
            opened.transport.abort()

    async def _prepare(self, endpoint_id: EndpointId) -> None:
        if self._before is not None:
            await self._before(endpoint_id)

    async def _resolve(self, host: str) -> tuple[EndpointId, str]:
        """Whose name this is, and the service in it, empty for none; aliases are followed below its owner."""
        try:
            name = OverlayName.parse(host)
        except InvalidName as error:
            raise DialError(Failure.UNKNOWN_NAME, str(error)) from None
        if name.service is not None and self._alias_of is not None:
            name = await self._follow(name, self._alias_of)
        endpoint_id = self._owner_of(name)
        if endpoint_id is None:
            raise DialError(
                Failure.UNKNOWN_NAME,
                f"{host}: nobody is known as {name.owner}; "
                f"add it with 'overlay join TICKET' or 'overlay contacts add {name.owner} ID'",
            )
        return endpoint_id, name.service or ""

    def _owner_of(self, name: OverlayName) -> EndpointId | None:
        return name.owner if isinstance(name.owner, EndpointId) else self._id_of(name.owner)

    async def _follow(self, name: OverlayName, alias_of: AliasOf) -> OverlayName:
        """The name that is no alias."""
        seen = [name]
        while (alias := await alias_of(seen[-1])) is not None:
            if isinstance(alias, str):
                # Whoever owns a name under .overlay shall not make this machine open one of its own network.
                raise DialError(
                    Failure.NO_SERVICE,
                    f"{name} stands for {alias}, which is outside of .overlay; open that instead, if you trust it",
                )
            if self._owner_of(alias) != self._owner_of(name):
                # Nor may its pages read, as if they came from itself, what we may see of others, or have ourselves.
                raise DialError(
                    Failure.NO_SERVICE,
                    f"{name} stands for {alias}, which is somebody else's; open that instead, if you trust it",
                )
            if alias in seen or len(seen) > ALIAS_HOPS:
                raise DialError(
                    Failure.NO_SERVICE,
                    f"{name}: its aliases lead in a circle, or over more than {ALIAS_HOPS} names; tell its owner",
                )
            seen.append(alias)
        return seen[-1]

    async def _open(
        self,
        endpoint_id: EndpointId,
        factory: Callable[[], asyncio.Protocol],
        label: str,
        lane: Lane | None,
    ) -> asyncio.Transport:
        try:
            if lane is None:
                transport, _ = await self._open_transport(endpoint_id, factory)
            else:
                transport, _ = await self._open_transport(endpoint_id, factory, lane=lane)
        except TunnelError as error:
            raise _tunnel_failure(error, label) from error
        return transport

    async def _ask(
        self,
        endpoint_id: EndpointId,
        request: Request,
        label: str,
        message: bytes = b"",
        lane: Lane | None = None,
    ) -> OpenedStream:
        """Open a stream and wait for a good answer to `request`, and to the `message` behind it, with which our side ends.

        If the tunnel ends before there is one, as when the peer restarted, the request is made once more on a new
        tunnel: nothing but the request was sent, and a message that may be sent again, so nothing can happen twice.
        """
        try:
            return await self._ask_once(endpoint_id, request, label, message, lane)
        except TunnelClosed:
            _logger.info("%s: the tunnel ended before the answer; asking once more", label)
        try:
            return await self._ask_once(endpoint_id, request, label, message, lane)
        except TunnelClosed as error:
            raise _tunnel_failure(error, label) from error

    async def _ask_once(
        self, endpoint_id: EndpointId, request: Request, label: str, message: bytes, lane: Lane | None
    ) -> OpenedStream:
        """The same, once; TunnelClosed when the tunnel ended first."""
        opening = _Opening(request.encode() + message, ends=bool(message))
        transport = await self._open(endpoint_id, lambda: opening, label, lane)
        try:
            async with asyncio.timeout(self._answer_seconds):
                answer = await opening.answer
        except TimeoutError:
            transport.abort()
            raise DialError(
                Failure.TARGET_UNREACHABLE,
                f"{label}: the other gateway did not answer within {self._answer_seconds:.0f} s; try again",
            ) from None
        except asyncio.CancelledError:
            transport.abort()
            raise
        if isinstance(answer, TunnelError):
            raise _tunnel_failure(answer, label) from answer
        if answer.status is Status.OK:
            return OpenedStream(transport, opening.rest)
        transport.abort()
        reason = f" ({answer.reason})" if answer.reason and answer.status in _TELLING else ""
        raise DialError(_FAILURES[answer.status], f"{label}: {_MEANINGS[answer.status]}{reason}")


def _label(host: str, port: int) -> str:
    """What is asked for, in messages; 0 is no port, and the name says all."""
    return f"{host}:{port}" if port else host


def _tunnel_failure(error: TunnelError, label: str) -> DialError:
    failure, meaning = next((f, meaning) for kind, f, meaning in _TUNNEL_FAILURES if isinstance(error, kind))
    return DialError(failure, f"{label}: {meaning} ({error})")


class _Opening(asyncio.Protocol):
    """Sends the request and waits for the answer; then the stream is held still for its next protocol."""

    def __init__(self, said: bytes, *, ends: bool) -> None:
        """`ends`: nothing follows what is said."""
        self.answer: asyncio.Future[Answer | TunnelError] = asyncio.get_running_loop().create_future()
        self._said, self._ends = said, ends
        self._parser = AnswerParser()

    @property
    def rest(self) -> bytes:
        """What came behind the answer."""
        return self._parser.rest

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = as_transport(transport)
        self._transport.write(self._said)
        if self._ends:
            self._transport.write_eof()

    def data_received(self, data: bytes) -> None:
        if self.answer.done():
            return
        try:
            answer = self._parser.feed(data)
        except HeaderError as error:
            answer = Answer(error.status, str(error))
        if answer is not None:
            self._transport.pause_reading()
            self.answer.set_result(answer)

    def eof_received(self) -> bool:
        self._gone(_NO_ANSWER)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, TunnelClosed) and not self.answer.done():
            self.answer.set_exception(exc)
        self._gone(exc if isinstance(exc, TunnelError) else _NO_ANSWER)

    def _gone(self, error: TunnelError) -> None:
        if not self.answer.done():
            self.answer.set_result(error)
