"""A real web server in a thread: pages with resources and a WebSocket, echoes, uploads and downloads."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = """<!doctype html><html><head><title>Alice</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css"></head>
<body><h1>Hello from alice</h1><img id="dot" src="/dot.svg"><p id="script">no script</p><p id="socket">no socket</p>
<script src="/script.js"></script></body></html>"""

SCRIPT = """document.getElementById("script").textContent = "script ran";
const socket = new WebSocket("ws://" + location.host + "/socket");
socket.onopen = () => socket.send("marco");
socket.onmessage = (event) => { document.getElementById("socket").textContent = event.data; };
"""

DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><circle cx="20" cy="20" r="18" fill="green"/></svg>'


class WebServer:
    """Runs from construction to `close`; `port` is where, `seen` are the requests' headers."""

    def __init__(
        self, directory: Path | None = None, host: str = "127.0.0.1", unix: Path | None = None
    ) -> None:
        self.seen: list[dict[str, str]] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._app = web.Application(client_max_size=1 << 40)
        self._app.add_routes(
            [
                web.get("/", self._text(PAGE, "text/html")),
                web.get("/style.css", self._text("h1 { color: rgb(1, 2, 3); }", "text/css")),
                web.get("/script.js", self._text(SCRIPT, "text/javascript")),
                web.get("/dot.svg", self._text(DOT, "image/svg+xml")),
                web.get("/worker.js", self._text("self.onfetch = () => {};", "text/javascript")),
                web.get("/socket", self._socket),
                web.get("/headers", self._headers),
                web.post("/echo", self._echo),
                web.put("/hash", self._hash),
            ]
        )
        if directory is not None:
            self._app.router.add_static("/files", directory)
        self._thread = threading.Thread(target=self._run, args=(host, unix), daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the web server did not start")

    def _run(self, host: str, unix: Path | None) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=0.5)
        self._loop.run_until_complete(runner.setup())
        site = web.UnixSite(runner, str(unix)) if unix else web.TCPSite(runner, host, 0)
        self._loop.run_until_complete(site.start())
        if unix is None:
            self.port = runner.addresses[0][1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _text(self, text: str, kind: str):
        async def answer(request: web.Request) -> web.Response:
            self.seen.append(dict(request.headers))
            return web.Response(text=text, content_type=kind)

        return answer

    async def _headers(self, request: web.Request) -> web.Response:
        return web.json_response(dict(request.headers))

    async def _echo(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def _hash(self, request: web.Request) -> web.Response:
        digest = hashlib.sha256()
        async for chunk in request.content.iter_chunked(1 << 20):
            digest.update(chunk)
        return web.Response(text=digest.hexdigest())

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(f"{message.data} polo")
        return socket


@contextlib.contextmanager
def web_server(directory: Path | None = None, **options) -> Iterator[WebServer]:
    server = WebServer(directory, **options)
    try:
        yield server
    finally:
        server.close()
