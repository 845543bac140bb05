"""A log is read back as it was written, in either form, and no line of it stops the reader."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.log_lines import as_json, as_text, entries, is_wanted, moment, read
from gateway.logs import LineFormatter

NOW = 1_800_000_000.0


def record(message: str, level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("gateway.x", level, "", 0, message, None, None)
    made.created, made.msecs = NOW, 0.0
    made.__dict__.update(fields)
    return made


def crash() -> logging.LogRecord:
    made = record("it crashed", logging.ERROR, task="dial")
    try:
        {}["there"]
    except KeyError:
        made.exc_info = sys.exc_info()
    return made


def written(form: str, *records: logging.LogRecord) -> list[str]:
    return [line for each in records for line in LineFormatter(form).format(each).splitlines()]


@pytest.mark.parametrize("form", ["text", "json"])
def test_both_forms_are_read_back_and_told_in_either(form: str) -> None:
    records = record("a tunnel is up", endpoint="abcd", reason="somebody wants it"), crash()
    told = list(entries(written(form, *records)))
    assert [entry.time for entry in told] == [NOW, NOW]
    assert [line for entry in told for line in as_text(entry)] == written("text", *records)
    for entry, each in zip(told, records, strict=True):
        assert json.loads(as_json(entry)) == json.loads(written("json", each)[0])


def test_what_is_no_line_of_ours_is_told_as_it_is() -> None:
    (entry,) = entries(["Killed", "by somebody"])
    assert as_text(entry) == ["Killed", "by somebody"]
    assert json.loads(as_json(entry)) == {"message": "Killed\nby somebody"}
    assert is_wanted(entry, None, None)
    assert not is_wanted(entry, "info", None)


def test_lines_are_wanted_by_level_and_time() -> None:
    (entry,) = entries(written("json", record("x", logging.WARNING)))
    assert is_wanted(entry, "warning", NOW)
    assert is_wanted(entry, "debug", None)
    assert not is_wanted(entry, "error", None)
    assert not is_wanted(entry, None, NOW + 1)


@pytest.mark.parametrize(
    ("text", "ago"), [("10s", 10), ("10min", 600), ("2h", 7200), ("1.5d", 129600), ("5m", 300)]
)
def test_ages_are_read(text: str, ago: float) -> None:
    assert moment(text, NOW) == NOW - ago


def test_times_are_read() -> None:
    assert moment("2027-01-15T08:00:00+00:00", 0) == NOW
    assert moment("2027-01-15", 0) == pytest.approx(NOW, abs=86400 * 2)
    with pytest.raises(ValueError, match="neither an age"):
        moment("yesterday", NOW)


@given(st.text() | st.text().map(lambda text: "{" + text) | st.dictionaries(
    st.sampled_from(["time", "level", "logger", "message", "endpoint", "traceback"]),
    st.none() | st.integers() | st.text() | st.just("2026-01-01T00:00:00") | st.lists(st.integers()),
).map(json.dumps))  # fmt: skip
def test_any_line_is_read_and_told(line: str) -> None:
    entry = read(line)
    assert as_text(entry)
    json.loads(as_json(entry))
    is_wanted(entry, "error", NOW)
