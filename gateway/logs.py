"""What the gateway says of itself: to its terminal, and to a bounded file that `overlay logs` reads.

Code logs with the standard library: `logger.info("tunnel is up", extra={"endpoint": …})`. The names of such fields
are fixed, so that they can be searched for; a field of any other name is not written:

    endpoint   the id of another endpoint, short          petname    our name for it
    address    ip:port                                    service    the name of a service
    host       a name somebody asked for                  stream     number of a stream
    task       a supervised task                          reason     why
    duration   seconds                                    bytes      an amount

Secrets given to `set_up` are replaced wherever they appear. Writing happens in a thread of its own, so that a slow
disk or a stopped terminal never holds up a tunnel; when it can't keep up, lines are dropped and counted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import queue
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TextIO, cast

from gateway.limits import LOG_CLOSE_SECONDS, LOG_FILE_BYTES, LOG_FILES, LOG_LINE_CHARACTERS, LOG_QUEUE

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable
    from pathlib import Path

FIELDS: Final = (
    "endpoint",
    "petname",
    "address",
    "service",
    "host",
    "stream",
    "task",
    "reason",
    "duration",
    "bytes",
)
"""The names a log line's fields may have, in the order they are written."""

_COLOURS: Final = {"debug": "2", "warning": "33", "error": "31", "critical": "31;1"}
"""SGR codes; info has none, because most lines are."""

_LOGGERS: Final = ("gateway", "resolver", "tunnels")
"""Our packages log at the level asked for; everybody else only warnings."""


class LineFormatter(logging.Formatter):
    """A record as one line (and its traceback, indented): text for people, or a JSON object."""

    def __init__(
        self, form: Literal["text", "json"], *, colour: bool = False, secrets: Iterable[str] = ()
    ) -> None:
        super().__init__()
        self._form = form
        self._colour = colour
        self._secrets = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        text = self._as_json(record) if self._form == "json" else self._as_text(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _as_text(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        when = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        fields = "".join(f" {name}={_visible(str(value))}" for name, value in _fields(record))
        line = f"{when} {level:7} {record.name}: {_visible(record.getMessage())}{fields}"
        code = _COLOURS.get(level) if self._colour else None
        if code:
            line = f"\x1b[{code}m{line}\x1b[0m"
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line += "".join(f"\n    {_visible(part)}" for part in trace.splitlines())
        return line

    def _as_json(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:LOG_LINE_CHARACTERS],
            **{
                name: value if isinstance(value, int | float) else str(value)
                for name, value in _fields(record)
            },
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class Logs:
    """The log set-up of this process, to be closed at the end."""

    def __init__(self, handlers: list[logging.Handler]) -> None:
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(LOG_QUEUE)
        self._entry = _Entry(self._lines)
        self._handlers = handlers
        self._writer = threading.Thread(target=_write, args=(self._lines, handlers), name="logs", daemon=True)
        self._writer.start()
        logging.getLogger().addHandler(self._entry)
        logging.getLogger("aiohttp.server").addFilter(_is_ours)

    def set_level(self, level: Literal["debug", "info", "warning", "error"]) -> None:
        """What our packages log from now on."""
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(level.upper())

    def close(self) -> None:
        """Write what is waiting and stop; idempotent."""
        logging.getLogger().removeHandler(self._entry)
        logging.getLogger("aiohttp.server").removeFilter(_is_ours)
        with contextlib.suppress(queue.Full):  # a terminal that is stopped must not hold up our end
            self._lines.put(None, timeout=LOG_CLOSE_SECONDS)
            self._writer.join(LOG_CLOSE_SECONDS)
        if not self._writer.is_alive():
            for handler in self._handlers:
                handler.close()


def _write(lines: queue.Queue[logging.LogRecord | None], handlers: list[logging.Handler]) -> None:
    """The writing thread: until None comes."""
    while (record := lines.get()) is not None:
        for handler in handlers:
            handler.handle(record)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a line of the web server is about a fault of ours, and not about what a client made of HTTP."""
    error = record.exc_info[1] if record.exc_info else None
    return error is None or type(error).__module__ != "aiohttp.http_exceptions"


def set_up(
    *,
    level: Literal["debug", "info", "warning", "error"],
    form: Literal["text", "json"],
    file: Path | None,
    stream: TextIO | None = None,
    colour: bool = False,
    secrets: Iterable[str] = (),
) -> Logs:
    """Log to `stream` (stderr when None) in `form`, and to `file` in the same form without colours.

    `file` rotates at LOG_FILE_BYTES, LOG_FILES old ones stay. A file that cannot be written is told of once, on
    `stream`, and logging there goes on.
    """
    secrets = tuple(secrets)
    terminal = _Stream(stream or sys.stderr)
    terminal.setFormatter(LineFormatter(form, colour=colour, secrets=secrets))
    handlers: list[logging.Handler] = [terminal]
    if file is not None:
        rotating = _File(file, terminal)
        rotating.setFormatter(LineFormatter(form, secrets=secrets))
        handlers.append(rotating)
    logs = Logs(handlers)
    logs.set_level(level)
    return logs


class LogTail:
    """Reads the end of a log file, and then what is added to it, across rotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.BufferedReader | None = None
        self._partial = b""

    def last(self, count: int) -> list[str]:
        """The last `count` lines of the newest file and the one before it; `added` goes on from there."""
        lines: deque[bytes] = deque(maxlen=count)
        older = self._path.with_name(f"{self._path.name}.1")
        try:
            with older.open("rb") as file:
                lines.extend(file)
        except OSError:
            pass  # most often there is none yet
        lines.extend(self._read())
        return [_text(line) for line in lines]

    def added(self) -> list[str]:
        """The lines written since the last call."""
        lines = self._read()
        if self._file is not None and self._rotated(self._file):
            self._file.close()
            self._file = None
            lines += self._read()
        return [_text(line) for line in lines]

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> list[bytes]:
        """Whole lines that are there now; the start of an unfinished one waits for its end."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except OSError:
                return []
        *lines, self._partial = (self._partial + self._file.read(LOG_FILE_BYTES * 2)).split(b"\n")
        return lines

    def _rotated(self, file: io.BufferedReader) -> bool:
        try:
            there = self._path.stat()
        except OSError:
            return False
        return there.st_ino != os.fstat(file.fileno()).st_ino


class _Entry(logging.handlers.QueueHandler):
    """Takes a record in the thread it was made in; drops it when the writer is too far behind."""

    def __init__(self, lines: queue.Queue[logging.LogRecord | None]) -> None:
        super().__init__(lines)
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Fix the message now, because its arguments may change; keep the traceback for the formatter."""
        record.msg = record.getMessage()
        record.args = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Hand the record over, or count it."""
        try:
            if self._dropped:
                record.msg = f"{record.msg} ({self._dropped} earlier lines were dropped)"
            self.queue.put_nowait(record)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1


class _Stream(logging.StreamHandler[TextIO]):
    """Writes to a terminal or pipe; when nobody reads it any more there is nobody to tell."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing."""


class _File(logging.handlers.RotatingFileHandler):
    """Writes to the bounded file; tells once on the terminal when that fails."""

    def __init__(self, path: Path, terminal: logging.Handler) -> None:
        super().__init__(path, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True)
        self._terminal = terminal
        self._failed = False

    def _open(self) -> io.TextIOWrapper:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return cast(
            "io.TextIOWrapper", open(self.baseFilename, self.mode, encoding=self.encoding, opener=private)
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Tell of the failure once; the next line tries the file again from the start, the disk may have room then."""
        if not self._failed:
            self._failed = True
            error = sys.exc_info()[1]
            text = f"the log file {self.baseFilename} cannot be written ({error}); logging goes on here only"
            self._terminal.handle(logging.LogRecord(__name__, logging.WARNING, "", 0, text, None, None))
        self.close()

    def close(self) -> None:
        """Let the file go, with what could not be written to it."""
        with contextlib.suppress(OSError):
            super().close()


def _fields(record: logging.LogRecord) -> list[tuple[str, object]]:
    return [(name, record.__dict__[name]) for name in FIELDS if name in record.__dict__]


def _visible(text: str) -> str:
    """Text that stays on its line and cannot command a terminal, cut to the length of a line."""
    shown = text[:LOG_LINE_CHARACTERS]
    return shown if shown.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").rstrip("\n")
