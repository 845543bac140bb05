"""`overlay limits` lists, sets and unsets, and prints the command that undoes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.quantities import UNLIMITED

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Alone, Overlay


def undo(printed: str) -> str:
    return next(line for line in printed.splitlines() if "undo" in line).partition("limits ")[2]


async def test_limits_are_listed_with_what_is_used(overlay: Overlay) -> None:
    done = await overlay("limits")
    rows = [line.split() for line in done.out.splitlines()]
    assert ["each", "contact", "8", "MB/s", "gateway.toml"] in rows
    assert ["bob", "1", "MB/s", "10", "GB", "2.5", "GB", "(25", "%)", "3", "of", "32", "4", "command"] in rows
    assert ["service", "web", "unlimited", "100", "B", "?", "of", "9", "both"] in rows
    assert "120.0 MB of 1.0 GB" in done.out
    assert "1000 of 1024: short, new connections are refused" in done.out
    assert "5.0 GB free" in done.out
    for words in (("limits", "--json"), ("limits", "ls", "--json")):
        assert len((await overlay(*words)).json["terms"]) == 3


async def test_setting_merges_with_what_was_set_and_its_undo_brings_that_back(overlay: Overlay) -> None:
    done = await overlay("limits", "set", "bob", "--rate", "1MB/s", "--quota", "10GB")
    assert "bob: rate 1 MB/s, quota 10 GB." in done.out
    assert undo(done.out) == "unset bob"
    done = await overlay(
        "limits", "set", "bob", "--rate", "unlimited", "--connections", "32", "--quota", "default"
    )
    assert overlay.gateway.asked_limits.rate == UNLIMITED
    assert "bob: rate unlimited, connections 32." in done.out
    assert undo(done.out) == "set bob --rate 1MB/s --quota 10GB --connections default"
    done = await overlay(*("limits " + undo(done.out)).split())
    assert "bob: rate 1 MB/s, quota 10 GB." in done.out
    done = await overlay("limits", "unset", "bob")
    assert "bob: no limits." in done.out
    assert undo(done.out) == "set bob --rate 1MB/s --quota 10GB"


@pytest.mark.parametrize(
    ("words", "kind", "name"),
    [
        (("--service", "web"), "service", "web"),
        (("--group", "family"), "group", "family"),
        (("--strangers",), "strangers", None),
        (("--default",), "default", None),
    ],
)
async def test_whoever_can_be_limited_can_be_named(
    overlay: Overlay, words: tuple[str, ...], kind: str, name: str | None
) -> None:
    done = await overlay("limits", "set", *words, "--weight", "4")
    asked = overlay.gateway.asked_limits
    assert (asked.kind, asked.name, asked.weight) == (kind, name, 4)
    assert undo(done.out) == " ".join(("unset", *words))


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("bob",),
        ("--rate", "1MB/s"),
        ("bob", "--strangers", "--rate", "1MB/s"),
        ("bob", "--rate", "1MB"),
        ("bob", "--quota", "1MB/s"),
        ("bob", "--connections", "0"),
        ("bob", "--connections", "٣"),
        ("bob", "--connections", "9" * 5000),
        ("bob", "--weight", "unlimited"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line_before_anything_is_asked(
    alone: Alone, words: tuple[str, ...]
) -> None:
    done = alone("limits", "set", *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
