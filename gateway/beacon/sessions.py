"""The WebSockets of one node: login, then frames to and from the hub, and what is said as text. ⚡

A connection that nothing is sent on has no task and no queue beside the one that reads it. Frames for it are written
at once; where the connection is slower than that, they go to its backlog, and a task writes them until it is empty.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
from typing import TYPE_CHECKING, Final

from aiohttp import WSMessage, WSMsgType, web

from gateway.beacon.hub import Deliver, Elsewhere, Refusal, Session
from gateway.beacon.limits import (
    BEACON_BUCKETS,
    BEACON_CLAIM_BURST,
    BEACON_CLAIMS_PER_SECOND,
    BEACON_LOGIN_SECONDS,
    BEACON_NAMEPLATE_BURST,
    BEACON_NAMEPLATE_SECONDS,
    BEACON_NAMEPLATES_PER_SECOND,
    BEACON_PING_AFTER,
    BEACON_SHUTDOWN_SECONDS,
    BEACON_SILENT_AFTER,
    BEACON_STORE_SECONDS,
    BEACON_SWEEP_EVERY,
    BEACON_WRITE_HIGH,
    BEACON_WRITE_MOST,
)
from gateway.beacon.places import client_of, observed
from gateway.beacon.rates import Rates
from gateway.beacon.stores import Nameplate, StoreUnavailable
from gateway.errors import GatewayError
from tunnels.errors import ProtocolViolation, WrongIdentity
from tunnels.identity import EndpointId
from tunnels.limits import RELAY_FRAME, RELAY_TEXT, RELAY_TOPICS
from tunnels.relay import frames
from tunnels.relay.frames import HEADER_BYTES, Challenge, Hello, Refused, Welcome
from tunnels.relay.login import NONCE_BYTES, check_hello, welcome_signature

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.beacon.charging import Charging
    from gateway.beacon.fleet import Fleet
    from gateway.beacon.hub import Hub
    from gateway.beacon.offers import Offers
    from gateway.beacon.stores import Nameplates
    from gateway.beacon.topic_desk import TopicDesk
    from gateway.supervision import Supervisor
    from tunnels.identity import SecretKey

_logger = logging.getLogger(__name__)

_TEXT: Final = 0x81
_BINARY: Final = 0x82
_CLOSE: Final = 0x88
_PING: Final = 0x89
_PONG: Final = 0x8A
_NORMAL: Final = 1000
_AWAY: Final = 1001
_VIOLATION: Final = 1008
_AGAIN: Final = 1013
"""Close codes of RFC 6455 §7.4.1, and "try again later" of its registry."""

_NOT_LENT: Final = Refused(code="access", reason="this relay is lent to its owner's contacts only")


class Connection(Session):
    """A session and the WebSocket it has."""

    __slots__ = ("_protocol", "_transport", "pump", "socket")

    def __init__(
        self,
        endpoint_id: EndpointId,
        client: str | None,
        now: float,
        request: web.Request,
        socket: web.WebSocketResponse,
    ) -> None:
        super().__init__(endpoint_id, client, now)
        assert request.transport is not None  # noqa: S101 - whoever is closed has not logged in
        self._protocol = request.protocol
        self._transport = request.transport
        self._transport.set_write_buffer_limits(high=BEACON_WRITE_HIGH)
        self.socket = socket
        self.pump: asyncio.Task[None] | None = None
        """What empties the backlog."""

    @property
    def is_busy(self) -> bool:
        """Whether what comes now has to wait."""
        return self.pump is not None or self._protocol.writing_paused

    def write(self, payload: bytes, head: int = _BINARY) -> None:
        """One WebSocket frame (RFC 6455 §5.2; a server's are not masked), at once; nothing when the connection is gone.

        aiohttp's own way is a coroutine that may wait, and it would need a task for each receiver.
        """
        if self._transport.is_closing():
            return
        if head != _BINARY and self._transport.get_write_buffer_size() > BEACON_WRITE_MOST:
            self._transport.abort()  # it asks and asks, and reads no answer
            return
        size = len(payload)
        if size < 126:
            self._transport.write(b"%c%c%b" % (head, size, payload))
        else:
            self._transport.writelines((struct.pack(">BBH", head, 126, size), payload))

    @property
    def observed(self) -> str:
        """The `ip:port` that it comes from."""
        return observed(self._transport.get_extra_info("peername"))

    def say(self, said: frames.FromBeacon) -> None:
        """A text frame."""
        self.write(frames.encode_text(said).encode(), _TEXT)

    def close(self, code: int, why: Refused | None = None) -> None:
        """Tell why, and hang up; what is written already still goes, if it goes soon."""
        if why is not None:
            self.say(why)
        self.write(struct.pack(">H", code), _CLOSE)
        self._transport.close()
        asyncio.get_running_loop().call_later(BEACON_SHUTDOWN_SECONDS, self._transport.abort)


class Sessions:
    """Serves the WebSocket of every gateway, from `start` until `close`."""

    def __init__(
        self,
        secret_key: SecretKey,
        hub: Hub,
        *,
        offers: Offers,
        charging: Charging,
        fleet: Fleet | None,
        nameplates: Nameplates,
        is_ours: Callable[[str], bool],
        access: Callable[[EndpointId], bool],
        known: Callable[[web.Request], None],
        supervisor: Supervisor,
        topics: TopicDesk,
    ) -> None:
        """`is_ours` tells whether an authority (host and port) is this beacon's, `access` who may come in; `known` is called
        with the request of whoever has proved its id.
        """
        self._secret_key = secret_key
        self._hub = hub
        self._offers = offers
        self._charging = charging
        self._fleet = fleet
        self._nameplates = nameplates
        self._plates = Rates(BEACON_NAMEPLATES_PER_SECOND, BEACON_NAMEPLATE_BURST, bound=BEACON_BUCKETS)
        self._claims = Rates(BEACON_CLAIMS_PER_SECOND, BEACON_CLAIM_BURST, bound=BEACON_BUCKETS)
        self._is_ours = is_ours
        self._access = access
        self._known = known
        self._supervisor = supervisor
        self._topics = topics
        self.failed: dict[str, int] = {"timeout": 0, "refused": 0}
        """Logins that came to nothing, for the metrics."""

    def start(self) -> None:
        """Begin to look after those that fall silent."""
        self._supervisor.spawn(self._sweep(), name="beacon sweep")
        self._topics.start()

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """The handler of the WebSocket: until it ends."""
        socket = web.WebSocketResponse(
            compress=False,
            autoping=False,
            max_msg_size=HEADER_BYTES + RELAY_FRAME + 1,
            timeout=BEACON_SHUTDOWN_SECONDS,
            writer_limit=0,
        )
        await socket.prepare(request)
        connection = await self._login(request, socket)
        if connection is None:
            return socket
        self._known(request)
        socket.headers.clear()  # sent long ago, and half a kilobyte for each gateway
        del request
        receive = socket.receive
        try:
            while self._heard(connection, message := await receive()):
                if message.type is WSMsgType.TEXT:
                    await self._hear(connection, message.data)
                del message
        except ProtocolViolation as error:
            _logger.debug("a gateway is closed: %s", error)
            connection.close(_VIOLATION, Refused(code="size", reason=str(error)[:300]))
        finally:
            self._leave(connection)
        return socket

    def close(self, code: int = _AWAY) -> None:
        """Hang up on everybody."""
        for session in self._hub.sessions:
            assert isinstance(session, Connection)  # noqa: S101 - we made them
            session.close(code)

    def recheck(self) -> None:
        """Hang up on those that may not come in any more."""
        for session in self._hub.sessions:
            assert isinstance(session, Connection)  # noqa: S101 - we made them
            if not self._access(session.endpoint_id):
                session.close(_VIOLATION, _NOT_LENT)

    def tell(self, said: frames.FromBeacon) -> None:
        """Say something to everybody."""
        for session in self._hub.sessions:
            assert isinstance(session, Connection)  # noqa: S101 - we made them
            session.say(said)

    # --- login ------------------------------------------------------------------------------------------------

    async def _login(self, request: web.Request, socket: web.WebSocketResponse) -> Connection | None:
        challenge = Challenge(
            beacon=str(self._secret_key.endpoint_id), nonce=secrets.token_bytes(NONCE_BYTES)
        )
        try:
            async with asyncio.timeout(BEACON_LOGIN_SECONDS):
                await socket.send_str(frames.encode_text(challenge))
                message = await socket.receive()
        except (TimeoutError, ConnectionError):
            self.failed["timeout"] += 1
            await socket.close(code=_VIOLATION, drain=False)
            return None
        if message.type is not WSMsgType.TEXT:
            self.failed["timeout"] += 1
            await socket.close(code=_VIOLATION, drain=False)
            return None
        try:
            said, endpoint_id = self._identify(message.data, challenge)
        except (ProtocolViolation, WrongIdentity) as error:
            await self._refuse(socket, Refused(code="login", reason=str(error)[:300]))
            return None
        if not self._access(endpoint_id):
            await self._refuse(socket, _NOT_LENT)
            return None
        if self._hub.full and self._hub.find(endpoint_id) is None:
            reason = "as many gateways are connected as may be; come back later"
            await self._refuse(socket, Refused(code="busy", reason=reason), close=_AGAIN)
            return None
        balance = await self._charging.balance(endpoint_id)
        if request.transport is None:
            return None
        peer = request.transport.get_extra_info("peername")
        connection = Connection(endpoint_id, client_of(peer), self._now(), request, socket)
        if balance is not None:
            self._hub.balanced(connection, balance)
        connection.say(
            Welcome(
                signature=welcome_signature(self._secret_key, said, challenge),
                observed=observed(peer),
                stun=self._offers.stun,
                turn=self._offers.turn(endpoint_id),
                limits=self._hub.limits_of(balance),
                policy=self._offers.policy,
                relays=self._offers.relays,
                dials_back=self._offers.dialler is not None,
                nameplates=True,
                topics=RELAY_TOPICS,
            )
        )
        connection.takes_mail = said.takes_mail
        replaced = self._hub.join(connection)
        if isinstance(replaced, Connection):
            replaced.close(
                _NORMAL, Refused(code="login", reason="another connection of this endpoint took its place")
            )
        if self._fleet is not None:
            self._fleet.joined(endpoint_id)
        _logger.debug("a gateway is here", extra={"endpoint": endpoint_id.short})
        return connection

    def _identify(self, text: str, challenge: Challenge) -> tuple[Hello, EndpointId]:
        """The first thing said and who said it; ProtocolViolation or WrongIdentity."""
        said = frames.read_from_gateway(text[: RELAY_TEXT + 1])
        if not isinstance(said, Hello):
            raise ProtocolViolation("the first thing said is who one is")
        endpoint_id = check_hello(said, challenge)
        if not self._is_ours(said.authority):
            raise WrongIdentity(
                "the login was meant for another beacon; [beacon] urls names what this one is called"
            )
        return said, endpoint_id

    async def _refuse(self, socket: web.WebSocketResponse, why: Refused, *, close: int = _VIOLATION) -> None:
        self.failed["refused"] += 1
        try:
            await socket.send_str(frames.encode_text(why))
            await socket.close(code=close, drain=False)
        except ConnectionError:
            pass  # it did not wait for the answer

    def _leave(self, connection: Connection) -> None:
        if self._hub.leave(connection):
            self._topics.leave(connection.endpoint_id)
            if self._fleet is not None:
                self._fleet.left(connection.endpoint_id)
        self._charging.left(connection)

    # --- frames -----------------------------------------------------------------------------------------------

    def _heard(self, connection: Connection, message: WSMessage) -> bool:
        """Take what came, but for text; False when it was the last."""
        kind = message.type
        connection.heard = now = self._now()
        if kind is WSMsgType.BINARY:
            outcome = self._hub.receive(connection, message.data, now)
            if isinstance(outcome, Deliver):
                self.deliver(outcome)
            elif outcome is not None:
                self._elsewhere(connection, outcome)
        elif kind is WSMsgType.PING:
            connection.write(message.data, _PONG)
        else:
            return kind in (WSMsgType.TEXT, WSMsgType.PONG)
        return True

    def deliver(self, outcome: Deliver) -> None:
        """Write a frame to its receiver, or keep it until that is ready."""
        to = outcome.to
        assert isinstance(to, Connection)  # noqa: S101 - we made them
        if to.is_busy:
            self._hub.queue(to, outcome.frame)
            if to.pump is None:
                to.pump = self._supervisor.spawn(self._pump(to), name="beacon backlog")
        else:
            to.write(outcome.frame)

    def deliver_here(self, receiver: EndpointId, frame: bytes) -> None:
        """A frame from another node."""
        outcome = self._hub.deliver(receiver, frame)
        if outcome is not None:
            self.deliver(outcome)

    def _elsewhere(self, connection: Connection, outcome: Elsewhere | Refusal) -> None:
        if isinstance(outcome, Refusal):
            connection.say(outcome.refused)
        elif self._fleet is None:
            self.absent(connection.endpoint_id, outcome.receiver, outcome.frame[0])
        else:
            self._fleet.send(connection.endpoint_id, outcome.receiver, outcome.frame)

    def absent(self, sender: EndpointId, receiver: EndpointId, kind: int) -> None:
        """Tell a sender that its receiver is nowhere."""
        answer = self._hub.absent(sender, receiver, kind)
        if answer is not None:
            self.deliver(answer)

    async def _pump(self, to: Connection) -> None:
        try:
            while (frame := self._hub.next_queued(to)) is not None:
                await to.socket.send_bytes(frame)  # waits while the connection's buffer is full
        except ConnectionError:
            pass  # whoever reads it ends too, and tidies up
        finally:
            to.pump = None

    # --- text -------------------------------------------------------------------------------------------------

    async def _hear(self, connection: Connection, text: str) -> None:
        if len(text) > RELAY_TEXT:
            raise ProtocolViolation(f"a text frame has at most {RELAY_TEXT} characters")
        said = frames.read_from_gateway(text)
        if not self._hub.may_speak(connection, self._now()):
            connection.say(Refused(code="rate", reason="too many questions in one second; ask again later"))
            return
        match said:
            case frames.Hello():
                raise ProtocolViolation("who it is has been said already")
            case frames.Who():
                connection.say(frames.Online(ids=await self._who(said.ids)))
            case frames.TurnPlease():
                connection.say(frames.Turn(turn=self._offers.turn(connection.endpoint_id)))
            case frames.DialBack():
                connection.say(frames.Dialled(sent=self._dial_back(connection, said)))
            case frames.Topics():
                connection.say(self._topics.join(connection, said, self._now()))
            case frames.WhoIsIn():
                connection.say(await self._topics.who(connection, said, self._now()))
            case frames.Redeem():
                await self._redeem(connection, said.voucher)
            case frames.Nameplate() | frames.Claim() | frames.Release():
                await self._meet(connection, said)

    async def _who(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        try:
            ids = tuple(map(EndpointId.parse, texts))
        except ValueError as error:
            raise ProtocolViolation(str(error)) from None
        here = {endpoint_id for endpoint_id in ids if self._hub.find(endpoint_id) is not None}
        if self._fleet is not None:
            try:
                async with asyncio.timeout(BEACON_STORE_SECONDS):
                    here |= await self._fleet.who(tuple(i for i in ids if i not in here))
            except (StoreUnavailable, TimeoutError):
                pass  # those that are here are an answer too
        return tuple(str(endpoint_id) for endpoint_id in ids if endpoint_id in here)

    async def _meet(
        self, connection: Connection, said: frames.Nameplate | frames.Claim | frames.Release
    ) -> None:
        try:
            async with asyncio.timeout(BEACON_STORE_SECONDS):
                match said:
                    case frames.Nameplate():
                        connection.say(await self._put_nameplate(connection, said.token))
                    case frames.Claim():
                        connection.say(await self._claim(connection, said))
                    case frames.Release():
                        await self._nameplates.release(said.number, connection.endpoint_id)
        except (StoreUnavailable, TimeoutError):
            connection.say(Refused(code="busy", reason="the database does not answer; try again later"))

    async def _put_nameplate(self, connection: Connection, token: bytes) -> frames.Plated | Refused:
        if not self._plates.take(connection.client or connection.endpoint_id, 1, self._now()):
            return Refused(code="rate", reason="codes were made too often from there; wait a minute")
        number = await self._nameplates.put(Nameplate(connection.endpoint_id, token))
        if number is None:
            return Refused(code="busy", reason="as many codes wait as may; cancel one, or try again later")
        return frames.Plated(number=number, seconds=int(BEACON_NAMEPLATE_SECONDS))

    async def _claim(self, connection: Connection, said: frames.Claim) -> frames.Claimed | Refused:
        who = connection.client or connection.endpoint_id
        if not self._claims.take(who, 1, self._now()):
            return Refused(code="rate", reason="codes were looked for too often from there; wait a minute")
        plate = await (self._nameplates.take if said.take else self._nameplates.look)(said.number)
        if plate is None:
            return frames.Claimed(found=False)
        if not said.take:
            return frames.Claimed(found=True, tag=frames.tag_of(plate.token))
        return frames.Claimed(found=True, id=str(plate.owner), token=plate.token)

    def _dial_back(self, connection: Connection, asked: frames.DialBack) -> bool:
        dialler = self._offers.dialler
        return dialler is not None and dialler.dial_back(
            connection.observed, connection.client, asked.port, asked.nonce, self._now()
        )

    async def _redeem(self, connection: Connection, voucher: str) -> None:
        try:
            async with asyncio.timeout(BEACON_STORE_SECONDS):
                receipt, _ = await self._offers.redeem(connection.endpoint_id, voucher)
        except TimeoutError:
            connection.say(Refused(code="busy", reason="the accounts do not answer; try again later"))
        except GatewayError as error:
            connection.say(Refused(code="voucher", reason=str(error)[:300]))
        else:
            balance = await self._charging.balance(connection.endpoint_id)
            if balance is not None:
                self._hub.balanced(connection, balance)
            connection.say(frames.Receipt(receipt=receipt, limits=self._hub.limits_of(balance)))

    # --- silence ----------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(BEACON_SWEEP_EVERY)
            now = self._now()
            for session in self._hub.sessions:
                assert isinstance(session, Connection)  # noqa: S101 - we made them
                if now - session.heard > BEACON_SILENT_AFTER:
                    session.close(_AWAY)
                elif now - session.heard > BEACON_PING_AFTER:
                    session.write(b"", _PING)
            self._hub.sweep(now)
            self._plates.sweep(now)
            self._claims.sweep(now)
            self._topics.sweep(now)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
