"""Log lines have one form, hold no secrets, and never hold anybody up."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
from typing import TYPE_CHECKING

from gateway import limits, logs
from gateway.logs import LineFormatter, LogTail, set_up
from tests.lab.disks import no_growing_files

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

logger = logging.getLogger("gateway.test")


def record(message: str, *args: object, level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("gateway.test", level, "", 0, message, args, None)
    made.__dict__.update(fields)
    return made


def test_a_text_line_holds_time_level_place_message_and_known_fields() -> None:
    line = LineFormatter("text").format(record("tunnel is %s", "up", endpoint="ab", unknown=1, bytes=5))
    assert line[20:] == "info    gateway.test: tunnel is up endpoint=ab bytes=5"


def test_a_json_line_is_one_object() -> None:
    line = LineFormatter("json").format(record("x\ny\x9b", endpoint="ab", bytes=5))
    assert "\n" not in line
    assert line.isascii()
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {
        "level": "info",
        "logger": "gateway.test",
        "message": "x\ny\x9b",
        "endpoint": "ab",
        "bytes": 5,
    }


def test_strangers_cannot_forge_lines_or_command_a_terminal() -> None:
    line = LineFormatter("text").format(record("host %s", "a\n2026 error\x1b[2J", host="b\r\x9bc"))
    assert line.isprintable()


def test_a_line_is_cut_to_its_bound() -> None:
    for form in ("text", "json"):
        assert len(LineFormatter(form).format(record("x" * 100_000))) < limits.LOG_LINE_CHARACTERS + 200  # type: ignore[arg-type]


def test_secrets_are_replaced_wherever_they_appear() -> None:
    for form in ("text", "json"):
        line = LineFormatter(form, secrets=("hunter2", "")).format(
            record("login %s", "hunter2", reason="hunter2")
        )  # type: ignore[arg-type]
        assert "hunter2" not in line
        assert line.count("***") == 2


def test_warnings_have_a_colour_only_when_asked_for() -> None:
    warning = record("careful", level=logging.WARNING)
    assert "\x1b[33m" in LineFormatter("text", colour=True).format(warning)
    assert "\x1b" not in LineFormatter("text").format(warning)
    assert "\x1b" not in LineFormatter("text", colour=True).format(record("fine"))


def test_a_traceback_is_indented_below_its_line() -> None:
    stream = io.StringIO()
    log = set_up(level="info", form="text", file=None, stream=stream)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logger.exception("crashed")
    log.close()
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("crashed")
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1].strip() == "ZeroDivisionError: division by zero"


def test_lines_go_to_the_stream_and_to_a_private_file(tmp_path: Path) -> None:
    stream, file = io.StringIO(), tmp_path / "gateway.log"
    log = set_up(level="info", form="text", file=file, stream=stream, colour=True)
    logger.debug("not this")
    logger.warning("this %s", "one")
    log.set_level("debug")
    logger.debug("and this")
    log.close()
    log.close()
    logger.warning("after the end")
    assert [line.rpartition(": ")[2] for line in file.read_text().splitlines()] == ["this one", "and this"]
    assert "\x1b" in stream.getvalue()
    assert "\x1b" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_other_libraries_tell_only_warnings() -> None:
    stream = io.StringIO()
    log = set_up(level="debug", form="text", file=None, stream=stream)
    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("trouble")
    log.close()
    assert "chatter" not in stream.getvalue()
    assert "trouble" in stream.getvalue()


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_FILE_BYTES", 2000)
    log = set_up(level="info", form="text", file=tmp_path / "gateway.log", stream=io.StringIO())
    for number in range(500):
        logger.info("line %d", number)
    log.close()
    sizes = [entry.stat().st_size for entry in tmp_path.iterdir()]
    assert len(sizes) == limits.LOG_FILES + 1
    assert max(sizes) <= 2000


def test_a_file_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = set_up(level="info", form="text", file=tmp_path / "missing" / "gateway.log", stream=stream)
    logger.info("one")
    logger.info("two")
    log.close()
    assert stream.getvalue().count("cannot be written") == 1
    assert stream.getvalue().count("one\n") == 1
    assert stream.getvalue().count("two\n") == 1


def test_a_full_disk_does_not_stop_the_terminal(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = set_up(level="info", form="text", file=tmp_path / "gateway.log", stream=stream)
    with no_growing_files():
        logger.info("one")
        logger.info("two")
        log.close()
    assert stream.getvalue().count("cannot be written") == 1
    assert "two" in stream.getvalue()


def test_a_terminal_that_is_stopped_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_QUEUE", 10)
    monkeypatch.setattr(logs, "LOG_CLOSE_SECONDS", 0.1)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w", buffering=1) as pipe:
        log = set_up(level="info", form="text", file=None, stream=pipe)
        for _ in range(200):
            logger.info("x" * 1500)
        log.close()
        os.set_blocking(reading, False)
        while reader.read(65536):
            pass


def tail_of(file: Path, count: int) -> tuple[LogTail, list[str]]:
    tail = LogTail(file)
    return tail, tail.last(count)


def test_the_tail_holds_the_last_lines_across_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "gateway.log"
    (tmp_path / "gateway.log.1").write_text("1\n2\n3\n")
    file.write_text("4\n5\n")
    for count, expected in ((0, []), (1, ["5"]), (4, ["2", "3", "4", "5"]), (99, ["1", "2", "3", "4", "5"])):
        tail, found = tail_of(file, count)
        assert found == expected
        tail.close()


def test_added_lines_are_told_when_they_are_whole_and_across_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "gateway.log"
    tail, found = tail_of(file, 10)
    assert found == []
    with file.open("w") as writer:
        writer.write("1\n2")
        writer.flush()
        assert tail.added() == ["1"]
        writer.write("\n3\n")
    file.rename(tmp_path / "gateway.log.1")
    file.write_text("4\n")
    assert tail.added() == ["2", "3", "4"]
    assert tail.added() == []
    tail.close()


def test_a_log_that_is_no_text_is_told_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "gateway.log"
    file.write_bytes(b"\xff\0\n")
    tail, found = tail_of(file, 1)
    assert found == ["\ufffd\0"]
    tail.close()
