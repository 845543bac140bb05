"""A small beacon for the tests of what connects to one: logs in, passes frames on, misbehaves when told to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from tests.lab.certificates import server_context
from tunnels import limits
from tunnels.addresses import BeaconUrl
from tunnels.identity import EndpointId, SecretKey
from tunnels.relay import frames, login
from tunnels.relay.frames import FrameKind

if TYPE_CHECKING:
    from collections.abc import Callable


class LabBeacon:
    """On loopback; `async with` runs it. With `tls` it has the certificate of its own key, and its URL is pinned."""

    def __init__(self, seed: int = 200, *, tls: bool = False, port: int = 0, **welcome: object) -> None:
        self.key = SecretKey(bytes([seed]) * 32)
        self.claims = self.key.endpoint_id
        """Whom it says it is in its challenge."""
        self.tls = tls
        self.port = port
        self.welcome = welcome
        self.sessions: dict[EndpointId, web.WebSocketResponse] = {}
        self.logins: list[EndpointId] = []
        self.heard: list[tuple[FrameKind, EndpointId, bytes]] = []
        self.said: list[frames.FromGateway] = []
        self.members: tuple[str, ...] = ()
        """Whom it says to be in any topic."""
        self.requests = 0
        self.silent = False
        """Reads on, and says nothing any more: no pong, no frame."""
        self.logs_in_silently = False
        self.login_seconds = 0.0
        """Waited before the challenge."""
        self.refuse: str | None = None
        self.status: int | None = None
        """Answer the upgrade with this instead."""
        self.tamper: Callable[[EndpointId, EndpointId, bytes], list[tuple[EndpointId, bytes]]] | None = None
        """(sender, receiver, frame as sent on) -> what is sent on instead, to whom."""

    @property
    def url(self) -> BeaconUrl:
        return BeaconUrl.parse(
            f"https://127.0.0.1:{self.port}#{self.key.endpoint_id}"
            if self.tls
            else f"http://127.0.0.1:{self.port}"
        )

    async def __aenter__(self) -> LabBeacon:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get(frames.CONNECT_PATH, self._connect)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self.runner.setup()
        context = await asyncio.to_thread(server_context, self.key) if self.tls else None
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, ssl_context=context, reuse_address=True)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def stop(self) -> None:
        for session in list(self.sessions.values()):
            await session.close(message=b"bye")
        await self.runner.cleanup()

    def cut(self) -> None:
        """End every connection without a word, as a machine that loses its power and comes back does."""
        for session in self.sessions.values():
            session._req.transport.abort()

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if self.status is not None:
            return web.Response(status=self.status, headers={"Location": "http://127.0.0.1:1/"})
        session = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=64 * 1024)
        await session.prepare(request)
        await asyncio.sleep(self.login_seconds)
        while self.silent and not self.logs_in_silently:  # noqa: ASYNC110 - a beacon that hangs does just this
            await asyncio.sleep(0.02)
        challenge = frames.Challenge(beacon=str(self.claims), nonce=bytes(range(16)))
        await session.send_str(frames.encode_text(challenge))
        message = await session.receive()
        if message.type is not WSMsgType.TEXT:
            return session
        hello = frames.read_from_gateway(message.data)
        assert isinstance(hello, frames.Hello)
        endpoint_id = login.check_hello(hello, challenge)
        if self.refuse is not None:
            await session.send_str(frames.encode_text(frames.Refused(code="access", reason=self.refuse)))
            await session.close()
            return session
        welcome = frames.Welcome(
            signature=login.welcome_signature(self.key, hello, challenge),
            observed="192.0.2.1:1",
            **self.welcome,
        )
        await session.send_str(frames.encode_text(welcome))
        self.logins.append(endpoint_id)
        older, self.sessions[endpoint_id] = self.sessions.get(endpoint_id), session
        if older is not None:
            reason = "another connection of this endpoint took its place"
            await older.send_str(frames.encode_text(frames.Refused(code="login", reason=reason)))
            await older.close(message=b"connected elsewhere")
        try:
            await self._serve(endpoint_id, session)
        finally:
            if self.sessions.get(endpoint_id) is session:
                del self.sessions[endpoint_id]
        return session

    async def _serve(self, sender: EndpointId, session: web.WebSocketResponse) -> None:
        async for message in session:
            if self.silent:
                continue
            if message.type is WSMsgType.PING:
                await session.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                await self._answer(session, frames.read_from_gateway(message.data))
            elif message.type is WSMsgType.BINARY:
                kind, receiver, body = frames.decode(message.data)
                self.heard.append((kind, receiver, body))
                onward = frames.encode(kind, sender, body)
                passed = (
                    [(receiver, onward)] if self.tamper is None else self.tamper(sender, receiver, onward)
                )
                for to, frame in passed:
                    if to in self.sessions:
                        await self.sessions[to].send_bytes(frame)
                    else:
                        await session.send_bytes(frames.encode(FrameKind.ABSENT, to, bytes([kind])))

    async def _answer(self, session: web.WebSocketResponse, said: frames.FromGateway) -> None:
        self.said.append(said)
        answer: frames.FromBeacon
        match said:
            case frames.Who(ids=ids):
                assert len(ids) <= limits.RELAY_WHO_IDS
                answer = frames.Online(
                    ids=tuple(text for text in ids if EndpointId.parse(text) in self.sessions)
                )
            case frames.Redeem(voucher="good"):
                answer = frames.Receipt(receipt="r", limits=frames.RelayLimits(credit_bytes=7))
            case frames.TurnPlease():
                server = frames.TurnServer(
                    address="192.0.2.9:3478", username="new", password="p", seconds=3600
                )
                answer = frames.Turn(turn=server)
            case frames.Topics(ids=topics):
                answer = frames.TopicsKept(kept=len(topics))
            case frames.WhoIsIn(topic=topic):
                answer = frames.IsIn(topic=topic, ids=self.members)
            case _:
                answer = frames.Refused(code="voucher", reason="forged")
        await session.send_str(frames.encode_text(answer))

    async def say(self, endpoint_id: EndpointId, frame: str | bytes) -> None:
        """Send what one likes to a gateway."""
        session = self.sessions[endpoint_id]
        await (session.send_str(frame) if isinstance(frame, str) else session.send_bytes(frame))
