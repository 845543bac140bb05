"""Copies standard input to a socket and the socket to standard output, each in a thread, until both have ended.

On Linux what comes from a pipe or goes into one is moved by the kernel (splice(2)) and not read and written here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.programs.messages import EndingReport

_CHUNK: Final = 1024 * 1024
_PIPE_BYTES: Final = 1024 * 1024  # pipes get as much room as anybody may give them, so that both ends work on
_NO_SPLICE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ESPIPE})
_F_SETPIPE_SZ: Final = 1031


class Copied:
    """How much went each way, for whoever shows it."""

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0


class Cut(GatewayError):
    """The stream was cut off: what was copied is not all."""


class Copying:
    """Both directions of one stream."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        source: int | None,
        sink: int,
        ending: Callable[[], EndingReport],
        done: Callable[[], object],
        half_close: bool = True,
    ) -> None:
        """`source` and `sink` are descriptors, None to send nothing; `half_close` tells the other side when the input ends.

        `ending` tells how the other side ended; `done` is called when all was sent, before the end is.
        """
        sock.setblocking(False)
        self.copied = Copied()
        self._sock = sock
        self._ending, self._done = ending, done
        self._half_close = half_close
        self._source, self._sink = source, sink
        self._sending_error: Exception | None = None
        self._sent_all = threading.Event()

    def run(self, on_progress: Callable[[Copied], None] | None = None) -> None:
        """Copy until the other side has ended, and our own input has, too, unless a person types it.

        Cut when that was not all; OSError when our output is closed. `on_progress` is called now and then.
        """
        sender = threading.Thread(target=self._send, daemon=True, name="input")
        sender.start()
        done = threading.Event()
        if on_progress is not None:
            threading.Thread(target=_report, args=(self.copied, on_progress, done), daemon=True).start()
        try:
            # A reset: the gateway closed before it had read all of ours. All of theirs has come.
            with contextlib.suppress(ConnectionResetError):
                self._move(self._sock.fileno(), self._sink, self._count_received)
            try:
                ending = self._ending()
            except GatewayError as error:
                raise Cut(f"the stream was cut off, for the gateway ended ({error})") from None
            if ending.state == "cut":
                raise Cut(f"the stream was cut off: {ending.reason}; what came is not all")
            self._end_output()
            if self._source is None or not os.isatty(self._source):
                self._sent_all.wait()
            if not (self._half_close and self._sent_all.is_set()):
                self._end()
            if self._sending_error is not None:
                raise Cut("the other side took no more; what was sent is not all that was to be sent")
        finally:
            done.set()

    def _end_output(self) -> None:
        """Whoever reads our output hears of its end, though we may have more to send."""
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), self._sink)

    def _send(self) -> None:
        try:
            if self._source is not None:
                self._move(self._source, self._sock.fileno(), self._count_sent)
            if self._half_close:
                self._end()
        except (OSError, GatewayError) as error:
            self._sending_error = error
        finally:
            self._sent_all.set()

    def _end(self) -> None:
        """Our end is said, so that nobody takes it for a crash."""
        self._done()
        with contextlib.suppress(OSError):  # the connection is gone already
            self._sock.shutdown(socket.SHUT_WR)

    def _count_sent(self, count: int) -> None:
        self.copied.sent += count

    def _count_received(self, count: int) -> None:
        self.copied.received += count

    @staticmethod
    def _move(source: int, sink: int, count: Callable[[int], None]) -> None:
        """All of `source` into `sink`; the socket among them does not block, and whoever needs it waits for it."""
        if _widen(source) or _widen(sink):
            try:
                while True:
                    # A splice that waited would hold the pipe's lock: who reads or writes its other end could do neither.
                    _wait(source, select.POLLIN)
                    _wait(sink, select.POLLOUT)
                    with contextlib.suppress(BlockingIOError):
                        moved = os.splice(source, sink, _CHUNK)
                        if not moved:
                            return
                        count(moved)
            except BrokenPipeError:
                if os.read(source, 1):
                    raise
                return  # who reads knew the end, as tar does, and is gone before it was said: all has come
            except OSError as error:
                if error.errno not in _NO_SPLICE:
                    raise
        while True:
            _wait(source, select.POLLIN)
            try:
                data = os.read(source, _CHUNK)
            except BlockingIOError:
                continue
            if not data:
                return
            _write(sink, data)
            count(len(data))


def _wait(descriptor: int, event: int) -> None:
    """Until it can be read, or written."""
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()


def _widen(descriptor: int) -> bool:
    """Give a pipe much room; whether it is one that the kernel moves bytes of."""
    if not hasattr(os, "splice") or not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return False
    import fcntl

    with contextlib.suppress(OSError):  # the user has many pipes already; it works as it is
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_BYTES)
    return True


def _write(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(sink, view) :]
        except BlockingIOError:
            _wait(sink, select.POLLOUT)
        except ConnectionResetError as error:  # the same to us as a pipe that nobody reads
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error


def _report(copied: Copied, on_progress: Callable[[Copied], None], done: threading.Event) -> None:
    while not done.wait(0.5):
        on_progress(copied)


class Progress:
    """A line on the terminal that tells how much has gone by, and how fast."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._is_shown = False

    @staticmethod
    def wanted() -> bool:
        """Whether a person looks, and sees nothing else there."""
        return sys.stderr.isatty() and not sys.stdout.isatty()

    def show(self, copied: Copied) -> None:
        """Write the line anew."""
        from gateway.cli.output import amount

        seconds = max(time.monotonic() - self._began, 0.001)
        total = copied.sent + copied.received
        sys.stderr.write(f"\r\x1b[K{amount(total)}  {amount(int(total / seconds))}/s")
        sys.stderr.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
