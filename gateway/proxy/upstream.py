"""An outside proxy for hosts that are not under .overlay: `upstream = "socks5://user:pw@host:port"` or `http://…`.

SOCKS is left to pproxy's client. pproxy is imported only when an upstream is set, because importing it changes
asyncio's stream classes for the whole process. Its HTTP client takes every answer for success, so CONNECT is our own.
"""

from __future__ import annotations

import asyncio
import os
import socket
from base64 import b64encode
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Literal, cast
from urllib.parse import unquote, urlsplit

from gateway.dialing import DialError, Failure, OpenedStream
from gateway.errors import ConfigurationError
from gateway.http.heads import find_end, parse_response
from gateway.http.problems import HttpError
from gateway.limits import HTTP_HEAD_BYTES
from gateway.splice import Held, as_transport, reset

_EXPECTED: Final = (
    "write it socks5://host:port, socks5://user:password@host:port, socks4://host:port or http://host:port"
)

Scheme = Literal["socks5", "socks4", "http"]


@dataclass(frozen=True, slots=True)
class UpstreamProxy:
    """Where the outside proxy is and how it is spoken to."""

    scheme: Scheme
    host: str
    port: int
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, uri: str) -> UpstreamProxy:
        """Read the setting; ConfigurationError says what is expected, not what was given: it may hold a password."""
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError:
            raise ConfigurationError(f"proxy.upstream is not understood; {_EXPECTED}") from None
        scheme = "socks5" if parts.scheme == "socks5h" else parts.scheme
        if (
            scheme not in ("socks5", "socks4", "http")
            or not parts.hostname
            or not port
            or parts.path.strip("/")
        ):
            raise ConfigurationError(f"proxy.upstream is not understood; {_EXPECTED}")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(cast("Scheme", scheme), parts.hostname, port, user, password)

    def __repr__(self) -> str:
        return f"UpstreamProxy({self.scheme}://{self.host}:{self.port})"

    async def open_stream(self, host: str, port: int) -> OpenedStream:
        """Open `host:port` through the proxy; raises DialError. How long it may take is the caller's to limit."""
        try:
            if self.scheme == "http":
                return await self._connect_http(host, port)
            return await self._connect_socks(host, port)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            message = f"{host}:{port} cannot be reached: the outside proxy {self.host}:{self.port} does not answer ({why})"
            raise DialError(Failure.TARGET_UNREACHABLE, message) from None

    async def _connect_http(self, host: str, port: int) -> OpenedStream:
        loop = asyncio.get_running_loop()
        transport, opening = await loop.create_connection(_Connecting, self.host, self.port)
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
        if self.user:
            token = b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
            lines.append(f"Proxy-Authorization: Basic {token}")
        try:
            transport.write("\r\n".join([*lines, "", ""]).encode("utf-8"))
            head, early = await opening.answered
            status = parse_response(head).status
        except HttpError:
            status = 0
        finally:
            if not opening.answered.done() or opening.answered.cancelled():
                reset(transport)
        if not 200 <= status < 300:
            reset(transport)
            answer = f"answered {status}" if status else "does not answer as an HTTP proxy does"
            message = f"{place} cannot be reached: the outside proxy {self.host}:{self.port} {answer}"
            raise DialError(Failure.TARGET_UNREACHABLE, message)
        return OpenedStream(transport, early)

    async def _connect_socks(self, host: str, port: int) -> OpenedStream:
        loop = asyncio.get_running_loop()
        pproxy = await loop.run_in_executor(None, import_module, "pproxy")  # it reads files
        where = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        login = f"#{self.user}:{self.password}" if self.user else ""
        connection = pproxy.Connection(f"{self.scheme}://{where}/{login}")
        try:
            reader, writer = await connection.tcp_connect(host, port)
        except OSError:
            raise
        except Exception as error:  # pproxy raises AssertionError and bare Exception for a refusal
            why = f"the outside proxy {self.host}:{self.port} refused it"
            raise DialError(Failure.TARGET_UNREACHABLE, f"{host}:{port} cannot be reached: {why}") from error
        return await _take_over(reader, writer)


class _Connecting(asyncio.Protocol):
    """Waits for the answer to CONNECT; `answered` gives its head and what came behind it."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = as_transport(transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = find_end(self._buffer)
        if end < 0 and len(self._buffer) <= HTTP_HEAD_BYTES:
            return
        if self._transport is not None and not self.answered.done():
            self._transport.pause_reading()
            self.answered.set_result((self._buffer[: max(end, 0)], self._buffer[max(end, 0) :]))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(ConnectionResetError("it closed the connection"))


async def _take_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> OpenedStream:
    """A transport of our own from pproxy's streams, with what they have read already.

    The socket is duplicated, because a StreamWriter closes its transport when it is collected.
    """
    as_transport(writer.transport).pause_reading()
    early = b""
    try:
        async with asyncio.timeout(0):  # what is buffered is given without waiting
            early = await reader.read(HTTP_HEAD_BYTES)
    except TimeoutError:
        pass
    duplicate = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
    writer.close()
    duplicate.setblocking(False)
    transport, held = await asyncio.get_running_loop().create_connection(Held, sock=duplicate)
    transport.pause_reading()
    return OpenedStream(transport, early + held.early)
