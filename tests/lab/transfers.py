"""Downloads that last as long as a test wants, whose every byte and every silence is known."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from tests.lab.gateways import clean_environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.gateways import GatewayProcess
    from tests.lab.netns import Namespace

MEGABYTE = 1 << 20
_CHUNK = 1 << 16
_UNLIKE = 251
"""So many different chunks follow each other, so that one that is lost, doubled or swapped changes the digest."""


class Source:
    """A web server on 127.0.0.1 of a machine.

    GET /steady?rate=R sends R bytes a second until `end`, GET /steady without a rate as many as go; GET /bulk?bytes=N sends
    N as fast as they go; GET / says hello.
    """

    HELLO = b"hello from the other side\n"

    def __init__(self, machine: Namespace) -> None:
        self.digests: dict[str, str] = {}
        """What was sent, by the request's target, once it is sent."""
        self._ended = threading.Event()
        block = os.urandom(_CHUNK)
        self._chunks = [bytes([number]) + block[1:] for number in range(_UNLIKE)]
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        with machine.entered():
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            self._server.daemon_threads = True
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
            self._thread.start()
        self.port = self._server.server_port

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        asked = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        request.send_response(200)
        if parts.path == "/":
            request.send_header("Content-Length", str(len(self.HELLO)))
            request.end_headers()
            request.wfile.write(self.HELLO)
            return
        if most := asked.get("bytes", 0):
            request.send_header("Content-Length", str(most))
        request.end_headers()
        digest = hashlib.sha256()
        with contextlib.suppress(ConnectionError):
            for piece in self._pieces(most, asked.get("rate", 0)):
                digest.update(piece)
                request.wfile.write(piece)
            self.digests[request.path] = digest.hexdigest()

    def _pieces(self, most: int, rate: int) -> Iterator[bytes]:
        sent = number = 0
        while not self._ended.is_set() and (not most or sent < most):
            piece = self._chunks[number % _UNLIKE][: most - sent if most else _CHUNK]
            yield piece
            sent += len(piece)
            number += 1
            if rate:
                self._ended.wait(_CHUNK / rate)

    def end(self) -> None:
        """Endless answers end here, with the digest of what was sent."""
        self._ended.set()

    def close(self) -> None:
        self.end()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class Transfer:
    """curl on a machine, downloading by way of a gateway's proxy; `gap` is the longest silence since `mark`."""

    def __init__(self, gateway: GatewayProcess, url: str) -> None:
        assert gateway.namespace is not None
        self.received = 0
        self.digest = ""
        self._target = url.partition("://")[2].partition("/")[2]
        self._last = self._marked = time.monotonic()
        self._gap = 0.0
        self._curl = subprocess.Popen(
            gateway.namespace.command(
                *("curl", "-sS", "-N", "--proxy", f"socks5h://{gateway.listens('proxy')}", url)
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._curl.stdout is not None
        digest = hashlib.sha256()
        data = b"?"
        while data:
            data = os.read(self._curl.stdout.fileno(), MEGABYTE)
            now = time.monotonic()
            self._gap = max(self._gap, now - max(self._last, self._marked))
            self._last = now
            digest.update(data)
            self.received += len(data)
        self.digest = digest.hexdigest()

    def mark(self) -> None:
        """Silences count from now on."""
        self._marked = time.monotonic()
        self._gap = 0.0

    @property
    def gap(self) -> float:
        """Seconds of the longest silence since the mark, with the one that lasts."""
        lasting = time.monotonic() - max(self._last, self._marked) if self._thread.is_alive() else 0.0
        return max(self._gap, lasting)

    def wait_for(self, more: int, seconds: float) -> None:
        """Until so many more bytes have come."""
        enough = self.received + more
        wait_until(
            lambda: self.received >= enough or not self._thread.is_alive(), seconds, f"{more} more bytes came"
        )
        assert self.received >= enough, f"the download ended: {self._error()}"

    def finish(self, source: Source, seconds: float = 60.0) -> None:
        """To its end; everything came, and nothing else."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"the download does not end, after {self.received} bytes"
        assert self._curl.wait(10) == 0, self._error()
        wait_until(lambda: f"/{self._target}" in source.digests, what="the source has sent everything")
        assert self.digest == source.digests[f"/{self._target}"], "what came is not what was sent"

    def _error(self) -> str:
        assert self._curl.stderr is not None
        return self._curl.stderr.read().decode() if self._curl.poll() is not None else "curl runs"

    def close(self) -> None:
        self._curl.kill()
        self._curl.wait(10)
        self._thread.join(10)
        for pipe in (self._curl.stdout, self._curl.stderr):
            assert pipe is not None
            pipe.close()
