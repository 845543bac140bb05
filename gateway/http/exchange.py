"""One client connection's requests, each sent on to an upstream and its answer sent back: the machine, without I/O.

It is fed what arrives from either side and gives back bytes for either side and commands for its shell, which is
`gateway.http.connection`. Requests on one connection are served one after the other; one upstream connection is
kept and used again while the requests go to the same place.

::

    IDLE ──head──▶ DIALING ──opened──▶ EXCHANGE ──request and response complete──▶ IDLE
      └──head for the upstream at hand──▶┘ │
                          CONNECT opened, or 101 ──▶ JOINED (the shell splices)
    any ──▶ CLOSED
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from gateway.http.bodies import Body, BodyError, EndlessBody, request_body, response_body
from gateway.http.heads import RequestHead, find_end, parse_request, parse_response, too_long
from gateway.http.plans import (
    CloseClient,
    Command,
    Dial,
    DropUpstream,
    Forward,
    Join,
    Place,
    Plan,
    ResetClient,
    Tunnel,
)
from gateway.http.problems import HttpError, Problem, bad_gateway, bad_request
from gateway.http.rewriting import asked_upgrade, persists, request_bytes, response_bytes
from gateway.limits import HTTP_HEAD_BYTES, HTTP_PIPELINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

_REPLAYABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})  # RFC 9110 §9.2.2
_ENDING: Final = frozenset({400, 408, 413, 431, 501, 505})  # what was sent was not understood
_ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Phase(Enum):
    """What the connection is doing."""

    IDLE = "idle"
    """Between requests, or in the middle of a head."""
    DIALING = "dialing"
    """A request waits for its upstream."""
    EXCHANGE = "exchange"
    """A request and its response are under way."""
    JOINED = "joined"
    """The two sides are spliced."""
    CLOSED = "closed"
    """Nothing more is read or sent."""


class _Exchange:
    """The request under way."""

    __slots__ = ("body", "head", "last", "plan", "replayed", "response", "started", "wire")

    def __init__(self, head: RequestHead, plan: Forward, body: Body, wire: bytes) -> None:
        self.head = head
        self.plan = plan
        self.body = body
        self.wire = wire
        self.last = not persists(head)  # the client's connection ends after this response
        self.response: Body | None = None  # None until the final response head has come
        self.started = False  # something of a response was sent to the client
        self.replayed = False


class Forwarding:
    """The machine. After any input take `bytes_to_upstream`, `bytes_to_client` and `commands`, in this order."""

    def __init__(
        self,
        plan: Plan,
        answer: Callable[[Problem, RequestHead | None, bool], bytes],
        *,
        fixed: Place | None = None,
    ) -> None:
        """`answer(problem, head, close)` writes an error response; `fixed` is an upstream that is already open
        and cannot be opened again."""
        self.phase = Phase.IDLE
        self._plan = plan
        self._answer = answer
        self._fixed = fixed is not None
        self._upstream: Place | None = fixed
        self._upstream_persists = True
        self._reused = False
        self._inbox = b""  # from the client, not consumed yet
        self._searched = 0
        self._response_head = b""
        self._exchange: _Exchange | None = None
        self._tunnel: RequestHead | None = None
        self._to_client: list[bytes] = []
        self._to_upstream: list[bytes] = []
        self._commands: list[Command] = []

    # What the shell asks

    @property
    def client_may_send(self) -> bool:
        """False while more bytes from the client could not be used: its shell stops reading.

        While a tunnel opens nothing is read, so that the end of the client's data reaches the splice.
        """
        if self.phase is Phase.IDLE or self.phase is Phase.CLOSED:
            return True
        return (
            self._tunnel is None and self.phase is not Phase.JOINED and len(self._inbox) < HTTP_PIPELINE_BYTES
        )

    @property
    def in_head(self) -> bool:
        """Whether a request head has begun and not ended."""
        return self.phase is Phase.IDLE and bool(self._inbox)

    def bytes_to_client(self) -> bytes:
        """Take what is to be written to the client."""
        return _take(self._to_client)

    def bytes_to_upstream(self) -> bytes:
        """Take what is to be written to the upstream connection."""
        return _take(self._to_upstream)

    def commands(self) -> list[Command]:
        """Take what is to be done."""
        taken, self._commands = self._commands, []
        return taken

    # The client's side

    def receive_client(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.phase is Phase.CLOSED:
            return
        self._inbox = self._inbox + data if self._inbox else data
        self._serve()

    def client_ended(self) -> None:
        """The client sends no more; the response under way is still delivered if its request is complete."""
        exchange = self._exchange
        if self.phase in (Phase.EXCHANGE, Phase.DIALING) and exchange is not None and exchange.body.done:
            exchange.last = True
        elif self.phase not in (Phase.CLOSED, Phase.JOINED):
            self._drop_upstream()
            self._close(linger=False)

    def timed_out(self) -> None:
        """The client was silent too long between requests, or too slow with a head."""
        if self.phase is not Phase.IDLE:
            return
        if self._inbox:
            self._refuse(bad_request("The request did not arrive in time.", status=408).problem, None)
        else:
            self._drop_upstream()
            self._close(linger=False)

    # The upstream side

    def upstream_opened(self, early: bytes = b"") -> None:
        """The place of the last Dial is open; `early` was already read from it."""
        if self._tunnel is not None:
            self._to_client.append(_ESTABLISHED)
            self._join(early)
            return
        exchange = self._exchange
        if self.phase is not Phase.DIALING or exchange is None:
            return
        self._upstream = exchange.plan.place
        self._upstream_persists = True
        self._reused = False
        self._begin(exchange)
        self._serve()
        if early:
            self.receive_upstream(early)

    def upstream_failed(self, problem: Problem) -> None:
        """The place of the last Dial cannot be opened."""
        if self.phase is Phase.DIALING:
            self._refuse(problem, self._tunnel or (self._exchange.head if self._exchange else None))

    def receive_upstream(self, data: bytes) -> None:
        """Bytes from the upstream connection."""
        exchange = self._exchange
        if self.phase is not Phase.EXCHANGE or exchange is None:
            self._drop_upstream()  # nobody asked
            self._end_if_fixed()
            return
        if exchange.response is None:
            data = self._read_response(exchange, self._response_head + data)
            if exchange.response is None:
                return
        try:
            forward, rest = exchange.response.feed(data)
        except BodyError:
            self._cut_short()
            return
        if forward:
            self._to_client.append(forward)
        if exchange.response.done:
            self._upstream_persists = self._upstream_persists and not rest
            self._finish(exchange)

    def upstream_ended(self, *, reset: bool) -> None:
        """The upstream connection sends no more, or is gone."""
        self._upstream = None
        exchange = self._exchange
        if self.phase is not Phase.EXCHANGE or exchange is None:
            self._end_if_fixed()
        elif isinstance(exchange.response, EndlessBody) and not reset:
            self._finish(exchange)
        elif exchange.started:
            self._cut_short()
        elif self._reused and self._fixed:  # a race that HTTP knows: the client tries again by its own rules
            self._close(linger=False)
        elif self._may_replay(exchange):
            exchange.replayed = True
            self._response_head = b""
            self.phase = Phase.DIALING
            self._commands.append(Dial(exchange.plan.place))
        else:
            why = "It closed the connection before it had answered."
            self._refuse(bad_gateway(why).problem, exchange.head)

    # Requests

    def _serve(self) -> None:
        """Use what the client has sent, as far as it goes."""
        while self._inbox:
            if self.phase is Phase.IDLE:
                if not self._read_request():
                    return
            elif self.phase is Phase.EXCHANGE and self._exchange is not None and not self._exchange.body.done:
                self._send_body(self._exchange)
            else:
                return

    def _read_request(self) -> bool:
        """Read one request head and act on it; False when more bytes are needed or the connection ends."""
        if self._inbox[0] in b"\r\n":  # RFC 9112 §2.2: empty lines before a request are ignored
            self._inbox = self._inbox.lstrip(b"\r\n")
        end = find_end(self._inbox, self._searched)
        head: RequestHead | None = None
        try:
            if (end if end >= 0 else len(self._inbox)) > HTTP_HEAD_BYTES:
                raise too_long()
            if end < 0:
                self._searched = len(self._inbox)
                return False
            raw, self._inbox, self._searched = self._inbox[:end], self._inbox[end:], 0
            head = parse_request(raw)
            hosts = len(head.values(b"host"))
            if hosts > 1 or (not hosts and head.minor and head.target.startswith(b"/")):
                raise bad_request("A request has exactly one Host field.")
            self._act(head, self._plan(head))
        except HttpError as error:
            self._refuse(error.problem, head)
        return self.phase is not Phase.CLOSED

    def _act(self, head: RequestHead, plan: Forward | Tunnel) -> None:
        if isinstance(plan, Tunnel):
            self._tunnel = head
            self._drop_upstream()
            self.phase = Phase.DIALING
            self._commands.append(Dial(plan.place))
            return
        body = request_body(head, plan.rewrite.drop)
        close = not persists(head)
        wire = request_bytes(head, plan.target, body, plan.rewrite, host=plan.host, close=close)
        exchange = _Exchange(head, plan, body, wire)
        if self._upstream == plan.place:
            self._exchange = exchange
            self._begin(exchange)
            return
        self._drop_upstream()
        self._exchange = exchange
        self.phase = Phase.DIALING
        self._commands.append(Dial(plan.place))

    def _begin(self, exchange: _Exchange) -> None:
        self.phase = Phase.EXCHANGE
        self._response_head = b""
        self._to_upstream.append(exchange.wire)

    def _send_body(self, exchange: _Exchange) -> None:
        try:
            forward, self._inbox = exchange.body.feed(self._inbox)
        except BodyError as error:
            self._refuse(
                bad_request(f"The body of the request is malformed: {error}.").problem, exchange.head
            )
            return
        if forward:
            self._to_upstream.append(forward)

    def _may_replay(self, exchange: _Exchange) -> bool:
        bodiless = exchange.body.done and exchange.body.field is None
        return self._reused and bodiless and not exchange.replayed and exchange.head.method in _REPLAYABLE

    # Responses

    def _read_response(self, exchange: _Exchange, data: bytes) -> bytes:
        """Read response heads up to the final one; returns what follows it."""
        while True:
            end = find_end(data)
            if (end if end >= 0 else len(data)) > HTTP_HEAD_BYTES:
                self._drop_upstream()
                self._refuse(bad_gateway("The head of its response is too long.").problem, exchange.head)
                return b""
            if end < 0:
                self._response_head = data
                return b""
            raw, data = data[:end], data[end:]
            self._response_head = b""
            try:
                final = self._take_response_head(exchange, raw, data)
            except HttpError as error:
                self._drop_upstream()
                self._refuse(error.problem, exchange.head)
                return b""
            if final:
                return data

    def _take_response_head(self, exchange: _Exchange, raw: bytes, rest: bytes) -> bool:
        """Send one response head on; True when a body follows it, or the connection was joined."""
        head = parse_response(raw)
        body = response_body(head, exchange.head.method)
        if head.status == 101:
            if asked_upgrade(exchange.head) is None or not exchange.body.done:
                raise bad_gateway("It changed to another protocol, which nobody asked for.")
            self._to_client.append(response_bytes(head, body, minor=1, close=False))
            self._join(rest)
            return True
        if head.status < 200:
            if exchange.head.minor:  # HTTP/1.0 clients know no interim responses (RFC 9110 §15.2)
                exchange.started = True
                self._to_client.append(response_bytes(head, body, minor=1, close=False))
            return False
        exchange.response = body
        exchange.started = True
        exchange.last = exchange.last or isinstance(body, EndlessBody) or not exchange.body.done
        self._upstream_persists = persists(head)
        self._to_client.append(response_bytes(head, body, minor=exchange.head.minor, close=exchange.last))
        return True

    def _finish(self, exchange: _Exchange) -> None:
        """The response is complete."""
        complete = exchange.body.done
        self._exchange = None
        self._reused = True
        self.phase = Phase.IDLE
        if not complete or not self._upstream_persists or exchange.last:
            self._drop_upstream(reset=not complete)
        if exchange.last or (self._fixed and self._upstream is None):
            self._close(linger=not complete)
        else:
            self._serve()

    # Endings

    def _refuse(self, problem: Problem, head: RequestHead | None) -> None:
        """Answer with a problem; the connection goes on only if it is certain where the next request begins."""
        exchange = self._exchange
        if exchange is not None and exchange.started:
            self._cut_short()
            return
        goes_on = self._goes_on_after(problem, head)
        self._to_client.append(self._answer(problem, head, not goes_on))
        if goes_on:
            self._exchange = None
            self.phase = Phase.IDLE
        else:
            self._drop_upstream()
            self._close(linger=True)

    def _goes_on_after(self, problem: Problem, head: RequestHead | None) -> bool:
        if head is None or self._fixed or self._inbox or not persists(head):
            return False  # with more bytes at hand: so that a flood of bad requests gets one answer
        if head.method == b"CONNECT" or problem.status in _ENDING:
            return False  # after CONNECT a client may already send what was meant for the tunnel
        if self._exchange is not None:
            return self._exchange.body.done
        return not head.values(b"content-length") and not head.values(b"transfer-encoding")

    def _cut_short(self) -> None:
        """The response cannot be completed, and part of it is delivered."""
        self._drop_upstream()
        self.phase = Phase.CLOSED
        self._exchange = None
        self._commands.append(ResetClient())

    def _join(self, from_upstream: bytes) -> None:
        self.phase = Phase.JOINED
        self._exchange = None
        self._commands.append(Join(self._inbox, from_upstream))
        self._inbox = b""

    def _drop_upstream(self, *, reset: bool | None = None) -> None:
        if self._upstream is not None:
            self._upstream = None
            self._commands.append(DropUpstream(self._exchange is not None if reset is None else reset))

    def _end_if_fixed(self) -> None:
        if self._fixed and self.phase is not Phase.CLOSED:
            self._close(linger=False)

    def _close(self, *, linger: bool) -> None:
        self.phase = Phase.CLOSED
        self._exchange = None
        self._inbox = b""
        self._commands.append(CloseClient(linger))


def _take(parts: list[bytes]) -> bytes:
    if not parts:
        return b""
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    parts.clear()
    return data
