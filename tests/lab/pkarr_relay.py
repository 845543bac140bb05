"""A pkarr relay in this process: keeps what it is given without looking at it, or answers what a test sets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from aiohttp import web

from tunnels.addresses import BeaconUrl
from tunnels.quic.certificates import make_certificate

if TYPE_CHECKING:
    from tests.lab.netns import Namespace
    from tunnels.identity import SecretKey


def pem_context(secret_key: SecretKey) -> ssl.SSLContext:
    """A server's TLS with the self-signed certificate of this key; reads files, so not for the event loop."""
    certificate = make_certificate(secret_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "both.pem"
        file.write_bytes(certificate.certificate + certificate.private_key)
        context.load_cert_chain(file)
    return context


class PkarrRelay:
    """`async with PkarrRelay() as relay`: `relay.url`, what is kept in `relay.payloads`, what was asked in `relay.log`."""

    def __init__(self, secret_key: SecretKey | None = None, *, namespace: Namespace | None = None) -> None:
        """It listens on the loopback address of `namespace`, or of the one that the test is in."""
        self._secret_key = secret_key
        self._namespace = namespace
        self.payloads: dict[str, bytes] = {}
        self.log: list[tuple[str, str]] = []
        self.heads: list[bytes] = []
        """The header fields of each request."""
        self.reply: web.Response | None = None
        """Answered instead, if set; one that is used once each time."""
        self.silent = False
        """Whether it takes requests and never answers."""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{id}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        key = self._secret_key
        context = None if key is None else await asyncio.to_thread(pem_context, key)
        listener = socket.socket() if self._namespace is None else self._namespace.socket(socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        await web.SockSite(self._runner, listener, ssl_context=context).start()
        port = self._runner.addresses[0][1]
        self.url = (
            BeaconUrl("http", "127.0.0.1", port)
            if key is None
            else BeaconUrl("https", "127.0.0.1", port, key.endpoint_id)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["id"]
        self.log.append((request.method, name))
        self.heads.append(b"\n".join(b": ".join(field) for field in request.raw_headers))
        if self.silent:
            await asyncio.Event().wait()
        if self.reply is not None:
            reply, self.reply = self.reply, None
            return reply
        if request.method == "PUT":
            self.payloads[name] = await request.read()
            return web.Response(status=204)
        if name not in self.payloads:
            return web.Response(status=404)
        return web.Response(body=self.payloads[name], content_type="application/pkarr.org/relays#payload")
