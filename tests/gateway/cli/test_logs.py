"""`overlay logs` works though the gateway is gone."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

from tests.lab.gateways import OVERLAY, clean_environment

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Alone


def test_the_last_lines_are_printed(alone: Alone) -> None:
    alone.home.log_file.write_text("".join(f"{number}\n" for number in range(100)))
    assert alone("logs", "-n", "2").out == "98\n99\n"
    assert len(alone("logs").out.splitlines()) == 50


def test_control_characters_of_a_log_do_not_reach_the_terminal(alone: Alone) -> None:
    alone.home.log_file.write_bytes(b"\x1b[2J\n")
    assert alone("logs").out == "\\x1b[2J\n"


def test_no_log_yet_is_told(alone: Alone) -> None:
    done = alone("logs")
    assert done.code == 4
    assert "up` begins it" in done.err


def test_lines_are_chosen_by_level_and_age_and_told_as_json(alone: Alone) -> None:
    lines = [
        "2026-01-01 12:00:00 info    gateway.daemon: up endpoint=abcd",
        "2026-01-02 12:00:00 error   gateway.x: it crashed",
        "    Traceback",
        '{"time": "2026-01-03T12:00:00+00:00", "level": "warning", "logger": "y", "message": "z", "host": "h"}',
    ]
    alone.home.log_file.write_text("\n".join(lines) + "\n")
    done = alone("logs", "--level", "warning", "--since", "2026-01-01")
    assert done.out.splitlines()[:2] == lines[1:3]
    assert done.out.splitlines()[2].endswith("warning y: z host=h")
    told = [json.loads(line) for line in alone("logs", "--json").out.splitlines()]
    assert [one["message"] for one in told] == ["up", "it crashed", "z"]
    assert told[0]["endpoint"] == "abcd"
    assert told[1]["traceback"] == "Traceback"
    assert alone("logs", "--level", "error", "-n", "1").out.splitlines() == lines[1:3]
    assert alone("logs", "--since", "1d").out == ""


def test_a_time_that_makes_no_sense_is_the_persons_mistake(alone: Alone) -> None:
    alone.home.log_file.write_text("x\n")
    done = alone("logs", "--since", "yesterday")
    assert done.code == 2
    assert "neither an age such as 10min" in done.err


def test_a_followed_log_goes_on_across_a_rotation(alone: Alone) -> None:
    log = alone.home.log_file
    log.write_text("one\n")
    command = [OVERLAY, "--home", str(alone.home.path), "logs", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment()) as following:
        assert following.stdout is not None
        try:
            assert following.stdout.readline() == "one\n"
            with log.open("a") as file:
                file.write("two\n")
                log.rename(f"{log}.1")
                file.write("three\n")
            log.write_text("four\n")
            assert [following.stdout.readline() for _ in range(3)] == ["two\n", "three\n", "four\n"]
        finally:
            following.send_signal(signal.SIGINT)
        assert following.wait(10) == 130
