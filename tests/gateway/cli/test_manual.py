"""The man page and the reference say what the commands say, and tools that read them find nothing wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from gateway.cli import manual
from gateway.cli.app import COMMANDS
from tests.gateway.cli.test_manner import commands

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Alone

ROOT = Path(__file__).parents[3]


def test_both_files_are_what_the_commands_say_now():
    found = list(manual.described())
    assert manual.MAN_PAGE.read_text() == manual.man_page(found), "run `make man`"
    assert (ROOT / manual.REFERENCE).read_text() == manual.reference(found), "run `make man`"


def test_every_command_is_in_it_and_says_something():
    found = {one.path: one for one in manual.described()}
    assert {f"overlay {name}" for name in COMMANDS} <= found.keys()
    assert "overlay contacts group add" in found
    for path, one in found.items():
        assert one.paragraphs, path


def test_every_option_says_what_it_is_for():
    for path, command in commands():
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.help, f"{path} {option.opts}"


@pytest.mark.needs("mandoc")
def test_mandoc_finds_nothing_wrong():
    done = subprocess.run(
        ["mandoc", "-Tlint", str(manual.MAN_PAGE)], capture_output=True, text=True, check=False, timeout=30
    )
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []


@pytest.mark.needs("man")
def test_man_shows_it_without_a_warning():
    done = subprocess.run(
        ["man", "--warnings", "-l", str(manual.MAN_PAGE)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
    )
    assert done.stderr == ""
    assert "EXIT CODES" in done.stdout
    assert "overlay contacts add" in done.stdout


def test_overlay_man_prints_it_in_a_pipe_and_where_it_is(alone: Alone):
    assert alone("man").out == manual.MAN_PAGE.read_text()
    assert alone("man", "--path").out == f"{manual.MAN_PAGE}\n"


def test_text_that_roff_would_take_for_a_request_is_text():
    one = manual.Described(
        "overlay", "overlay", ((True, ".SH x\n'y\n-z\\n"),), (("--a", ".b"),), is_group=False
    )
    page = manual.man_page([one])
    assert r"\&.SH x" in page
    assert r"\&'y" in page
    assert r"\-z\en" in page
    assert r"\&.b" in page
