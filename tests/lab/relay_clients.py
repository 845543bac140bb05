"""A gateway's end of the relay protocol, for tests of a beacon: as plain as can be, and able to misbehave."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import aiohttp

from tests.lab.resolver_keys import key
from tunnels.relay import frames
from tunnels.relay.frames import CONNECT_PATH, Challenge, FrameKind, Welcome
from tunnels.relay.login import check_welcome, hello

if TYPE_CHECKING:
    from tunnels.addresses import BeaconUrl
    from tunnels.identity import EndpointId, SecretKey


class RelayClient:
    """One WebSocket; `login` proves the id of the key."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, url: BeaconUrl, secret_key: SecretKey
    ) -> None:
        self.socket, self.url, self.secret_key = socket, url, secret_key
        self.endpoint_id = secret_key.endpoint_id
        self.welcome: Welcome | None = None

    @classmethod
    async def open(
        cls, http: aiohttp.ClientSession, url: BeaconUrl, secret_key: SecretKey | int, **options: object
    ) -> RelayClient:
        """Connected, and not logged in."""
        if isinstance(secret_key, int):
            secret_key = key(secret_key)
        socket = await http.ws_connect(url.origin + CONNECT_PATH, compress=0, max_msg_size=1 << 20, **options)
        return cls(socket, url, secret_key)

    async def login(self) -> RelayClient:
        """Logged in, and the beacon has proved its own id."""
        challenge = await self.hear()
        assert isinstance(challenge, Challenge)
        said = hello(self.secret_key, challenge, secrets.token_bytes(16), self.url, "test")
        await self.say(said)
        welcome = await self.hear()
        assert isinstance(welcome, Welcome), welcome
        check_welcome(welcome, said, challenge)
        self.welcome = welcome
        return self

    async def say(self, said: frames.FromGateway) -> None:
        """A text frame."""
        await self.socket.send_str(frames.encode_text(said))

    async def hear(self) -> frames.FromBeacon:
        """The next frame, which is text."""
        return frames.read_from_beacon(await self.socket.receive_str(timeout=10))

    async def send(self, kind: FrameKind, to: EndpointId, body: bytes) -> None:
        """A binary frame."""
        await self.socket.send_bytes(frames.encode(kind, to, body))

    async def receive(self) -> tuple[FrameKind, EndpointId, bytes]:
        """The next frame, which is binary."""
        return frames.decode(await self.socket.receive_bytes(timeout=10))

    async def closed(self) -> int | None:
        """Wait until the beacon hangs up; the close code."""
        while True:
            message = await self.socket.receive(timeout=10)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data
            if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return self.socket.close_code


async def connected(http: aiohttp.ClientSession, url: BeaconUrl, secret_key: SecretKey | int) -> RelayClient:
    """A client that is logged in."""
    return await (await RelayClient.open(http, url, secret_key)).login()
