"""A program's side of its connections to the gateway, without an event loop: for commands, and for `overlay.sync`."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.control.errors import ErrorReply, error_of
from gateway.errors import GatewayError
from gateway.programs.messages import (
    Abort,
    Accept,
    Attached,
    Call,
    Done,
    Ending,
    EndingReport,
    Forwarding,
    LineReader,
    Offered,
    Trouble,
    read_line,
    write_request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.home import Home
    from gateway.programs.messages import Asked, Connect, Forward, Offer, OpenFlow

T = TypeVar("T")
U = TypeVar("U")

_ANSWER_SECONDS = 60.0
"""How long the gateway may take to open something: an endpoint is dialled for less than that."""
_BUFFER = 4 * 1024 * 1024  # what the kernel keeps of a stream, if it may: fewer turns between two processes


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection to a service, or to who called one of ours."""

    sock: socket.socket
    """Carries the stream; nothing was read of it."""
    attached: Attached


class HungUp(GatewayError, ConnectionError):
    """The gateway ended, or gave the connection up."""


class ProgramClient:
    """Opens connections to the gateway on one home. Each method may raise NotRunning, or the gateway's own error."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = home.control_socket()

    def connect(
        self, asked: Connect | OpenFlow | Accept, *, timeout: float | None = _ANSWER_SECONDS
    ) -> Opened:
        """Open a stream or a flow, or take a caller; blocking afterwards. TimeoutError after `timeout` seconds."""
        sock, lines = self._asked(asked, timeout)
        try:
            attached = _answer(sock, lines, Attached)
        except BaseException:
            sock.close()
            raise
        sock.settimeout(None)
        return Opened(sock, attached)

    def accept(self, call: Call, *, strict: bool = False) -> Opened:
        """Take a caller; UsageError if it did not wait."""
        opened = self.connect(Accept(stream=call.stream, strict=strict))
        return Opened(
            opened.sock, Attached(stream=call.stream, endpoint_id=call.endpoint_id, petname=call.petname)
        )

    def offer(self, asked: Offer) -> tuple[Offered, Lines[Call]]:
        """Be a service until the lines, which tell of callers, are closed."""
        return self._held(asked, Offered, Call)

    def forward(self, asked: Forward) -> tuple[Forwarding, Lines[Trouble]]:
        """Have ports opened until the lines, which tell of what fails, are closed."""
        return self._held(asked, Forwarding, Trouble)

    def ending(self, stream: str) -> EndingReport:
        """How the other side of a stream ended."""
        return self._report(Ending(stream=stream))

    def done(self, stream: str) -> EndingReport:
        """All was sent on a strict stream."""
        return self._report(Done(stream=stream))

    def abort(self, stream: str) -> EndingReport:
        """Cut a stream off."""
        return self._report(Abort(stream=stream))

    def _report(self, asked: Ending | Done | Abort) -> EndingReport:
        sock, lines = self._asked(asked, _ANSWER_SECONDS)
        with sock:
            return _answer(sock, lines, EndingReport)

    def _held(self, asked: Offer | Forward, kind: type[T], told: type[U]) -> tuple[T, Lines[U]]:
        sock, lines = self._asked(asked, _ANSWER_SECONDS)
        try:
            answer = _answer(sock, lines, kind)
        except BaseException:
            sock.close()
            raise
        sock.settimeout(None)
        return answer, Lines(sock, told)

    def _asked(self, asked: Asked, timeout: float | None) -> tuple[socket.socket, LineReader]:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            sock.connect(os.fspath(self._path))
            sock.sendall(write_request(asked))
        except OSError as error:
            sock.close()
            raise connecting_error(error, self._home, os.fspath(self._path)) from None
        return sock, LineReader()


class Lines(Generic[T]):
    """What the gateway tells on a connection that is held; iterate over it. HungUp when the gateway is gone."""

    def __init__(self, sock: socket.socket, kind: type[T]) -> None:
        self._sock = sock
        self._early = b""
        self._kind = kind

    def next(self, timeout: float | None = None) -> T:
        """The next one; TimeoutError if there is none within `timeout` seconds."""
        reader = LineReader()
        early, self._early = self._early, b""
        line = reader.feed(early)
        try:
            with _hung_up():
                self._sock.settimeout(timeout)
            while line is None:
                line = reader.feed(_received(self._sock))
        except TimeoutError:
            self._early = reader.partial
            raise
        self._early = reader.rest
        told = read_line(line, self._kind)
        if isinstance(told, ErrorReply):
            raise error_of(told)
        return told

    def __iter__(self) -> Iterator[T]:
        while True:
            yield self.next()

    def close(self) -> None:
        """What was asked for ends; whoever waits for a line is told so by HungUp. Idempotent."""
        with contextlib.suppress(OSError):  # it is closed, or the gateway is gone
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()


def connecting_error(error: OSError, home: Home, path: str) -> GatewayError:
    """What it means that a gateway cannot be reached, with the remedy."""
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR):
        return home.not_running()
    if isinstance(error, PermissionError):
        return GatewayError(f"control: {path} is another user's; name your own gateway with --home")
    return GatewayError(f"control: the daemon does not answer ({error}); see `overlay logs`")


def _answer(sock: socket.socket, lines: LineReader, kind: type[T]) -> T:
    """The first line; what comes behind it is left for whoever gets the socket."""
    line = None
    while line is None:
        seen = _received(sock, socket.MSG_PEEK)
        line = lines.feed(_received(sock, 0, (seen.find(b"\n") + 1) or len(seen)))
    answer = read_line(line, kind)
    if isinstance(answer, ErrorReply):
        raise error_of(answer)
    return answer


def _received(sock: socket.socket, flags: int = 0, most: int = 65536) -> bytes:
    with _hung_up():
        data = sock.recv(most, flags)
    if not data:
        raise HungUp("control: the gateway hung up; see `overlay logs`")
    return data


@contextlib.contextmanager
def _hung_up() -> Iterator[None]:
    """An error of the socket, but for one of time, is that the gateway, or we, closed it."""
    try:
        yield
    except TimeoutError:
        raise
    except OSError as error:
        raise HungUp(f"control: the gateway hung up ({error}); see `overlay logs`") from None
