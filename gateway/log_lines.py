"""Lines of a log file read back, whichever form they have: to be filtered by level and time, and shown in the other form.

A line in words is read as `gateway.logs` writes it; its fields are looked for from its end, so a message that looks like
a field may be told as one. What is no line of ours, as the lines of a traceback, belongs to the line before.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.logs import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEVELS: Final = ("debug", "info", "warning", "error", "critical")

_TEXT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (debug|info|warning|error|critical) *(\S+): (.*)"
)
_FIELDS: Final = re.compile(rf" ({'|'.join(FIELDS)})=")
_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d)")
_UNITS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(slots=True)
class LogLine:
    """One thing that happened."""

    raw: str
    """As it stands in the file."""
    time: float | None = None
    """Unix seconds; None for what is no line of ours."""
    level: str = ""
    logger: str = ""
    message: str = ""
    fields: dict[str, object] = field(default_factory=dict)
    is_json: bool = False
    more: list[str] = field(default_factory=list)
    """The lines below it: a traceback."""


def read(line: str) -> LogLine:
    """One line of the file."""
    if line.startswith("{"):
        return _read_json(line)
    match = _TEXT.fullmatch(line)
    if match is None:
        return LogLine(line)
    try:
        when = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        return LogLine(line)
    message, *fields = _FIELDS.split(match[4])
    found = dict(zip(fields[::2], fields[1::2], strict=True))
    return LogLine(line, when, match[2], match[3], message, dict(found))


def _read_json(line: str) -> LogLine:
    try:
        told = json.loads(line)
        when = datetime.fromisoformat(told["time"]).timestamp()
        level, logger, message = (str(told[key]) for key in ("level", "logger", "message"))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        return LogLine(line)
    more = [f"    {part}" for part in str(told.get("traceback", "")).splitlines()]
    fields = {name: told[name] for name in FIELDS if name in told}
    return LogLine(line, when, level, logger, message, fields, is_json=True, more=more)


def entries(lines: Iterable[str]) -> Iterator[LogLine]:
    """The lines, those that belong to the one before joined to it."""
    current: LogLine | None = None
    for line in lines:
        entry = read(line)
        if entry.time is None and current is not None and not current.is_json:
            current.more.append(line)
            continue
        if current is not None:
            yield current
        current = entry
    if current is not None:
        yield current


def as_text(entry: LogLine) -> list[str]:
    """In words, on one line or, with a traceback, on several."""
    if entry.time is None or not entry.is_json:
        return [entry.raw, *entry.more]
    when = datetime.fromtimestamp(entry.time, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    fields = "".join(f" {name}={value}" for name, value in entry.fields.items())
    return [f"{when} {entry.level:7} {entry.logger}: {entry.message}{fields}", *entry.more]


def as_json(entry: LogLine) -> str:
    """As an object on one line; of what is no line of ours only `message` is there."""
    if entry.time is None:
        return json.dumps({"message": "\n".join([entry.raw, *entry.more])})
    if entry.is_json:
        return json.dumps(json.loads(entry.raw))
    told: dict[str, object] = {
        "time": datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="milliseconds"),
        "level": entry.level,
        "logger": entry.logger,
        "message": entry.message,
        **entry.fields,
    }
    if entry.more:
        told["traceback"] = "\n".join(line.removeprefix("    ") for line in entry.more)
    return json.dumps(told)


def is_wanted(entry: LogLine, level: str | None, since: float | None) -> bool:
    """Whether it is of this level or worse, and not older; what has no time is wanted only if all is."""
    if entry.time is None:
        return level is None and since is None
    if since is not None and entry.time < since:
        return False
    return level is None or entry.level not in LEVELS or LEVELS.index(entry.level) >= LEVELS.index(level)


def moment(text: str, now: float) -> float:
    """Unix seconds of `10min` ago, `2h`, `1d`, or of a date or time such as `2026-01-31 12:00`; ValueError."""
    if match := _AGE.fullmatch(text.strip()):
        return now - float(match[1]) * _UNITS[match[2]]
    try:
        when = datetime.fromisoformat(text.strip())
        return when.timestamp() if when.tzinfo is not None else when.astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{text!r} is neither an age such as 10min, 2h or 1d nor a time such as 2026-01-31T12:00"
        ) from None
