"""`overlay ticket` and `overlay join` pass on where an endpoint is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from gateway.cli.app import overlay as command
from gateway.cli.tickets import ticket_command

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay


async def test_a_ticket_is_the_only_thing_on_stdout(overlay: Overlay) -> None:
    done = await overlay("ticket")
    assert (done.out, done.err) == ("overlay1abc\n", "")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("30d", 2592000), ("4w", 2419200)]
)
async def test_a_lifetime_has_a_unit(overlay: Overlay, text: str, seconds: int) -> None:
    assert (await overlay("ticket", "--expires", text, "--json")).json["expires"] == 1e9 + seconds


@pytest.mark.parametrize("text", ["", "d", "1", "1y", "-1d", "0d", "1.5d", "²d", "9999999999d", "367d"])
def test_other_lifetimes_are_refused(text: str) -> None:
    from click.testing import CliRunner

    assert CliRunner().invoke(command, ["ticket", "--expires", text]).exit_code == 2
    assert ticket_command.name == "ticket"


async def test_joining_makes_a_contact_and_tells_how_to_undo_it(overlay: Overlay) -> None:
    done = await overlay("join", "overlay1abc", "--name", "carol2")
    assert "is now called carol2." in done.out
    assert "http://web.carol.overlay/" in done.out
    assert f"overlay --home {overlay.home.path} contacts rm carol2" in done.out
    assert "carol2" in overlay.gateway.book


async def test_a_preview_changes_nothing(overlay: Overlay) -> None:
    done = await overlay("join", "--preview", "overlay1abc")
    assert "would be called carol." in done.out
    assert "undo" not in done.out
    assert "carol" not in overlay.gateway.book


async def test_a_ticket_may_come_from_stdin(overlay: Overlay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("  overlay1abc\n"))
    assert (await overlay("join", "-", "--json")).json["contact"]["petname"] == "carol"
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "this ticket is empty" in (await overlay("join", "-")).err


async def test_a_bad_ticket_is_told(overlay: Overlay) -> None:
    done = await overlay("join", "nonsense")
    assert (done.code, done.err) == (2, "overlay: join: this ticket is cut short; ask for it again\n")
    done = await overlay("join", "x" * 5000)
    assert done.code == 2
    assert done.err.count("\n") == 1
