"""`overlay dash` gives a link that lets one browser in."""

from __future__ import annotations

import json
import webbrowser
from typing import TYPE_CHECKING

import pytest

from gateway.cli import dashboard

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay

URL = "http://127.0.0.1:7399/#login=secret"


async def test_the_link_is_all_that_is_on_stdout(overlay: Overlay) -> None:
    for option in ("--print", "--no-open"):
        done = await overlay("dash", option)
        assert (done.code, done.out) == (0, f"{URL}\n")
    assert "within 1 min; it works once" in done.err


async def test_json_says_how_long_it_is_good(overlay: Overlay) -> None:
    done = await overlay("dash", "--json")
    assert json.loads(done.out) == {"url": URL, "seconds": 60.0, "note": ""}


async def test_where_others_could_read_the_link_it_is_given_to_no_program(overlay: Overlay, opened) -> None:
    overlay.gateway.dashboard_note = (
        "this system does not tell which of its users connects, so all of them are let in"
    )
    done = await overlay("dash")
    assert "all of them are let in; open the link yourself" in done.err
    assert not opened


async def test_a_browser_is_opened_where_there_is_a_screen(overlay: Overlay, opened) -> None:
    done = await overlay("dash")
    assert opened == [URL]
    assert "Opened in a browser" in done.err


async def test_a_browser_that_does_not_start_is_no_error(overlay: Overlay, opened, monkeypatch) -> None:
    def fail(url: str) -> bool:
        raise webbrowser.Error("none")

    monkeypatch.setattr(webbrowser, "open", fail)
    done = await overlay("dash")
    assert done.code == 0
    assert "Open this in a browser" in done.err


def test_without_a_screen_or_a_terminal_there_is_no_browser(monkeypatch) -> None:
    monkeypatch.setattr(dashboard.sys, "platform", "linux")
    monkeypatch.setattr(dashboard.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not dashboard._has_browser()
    monkeypatch.setenv("DISPLAY", ":0")
    assert dashboard._has_browser()
    monkeypatch.setattr(dashboard.sys.stdout, "isatty", lambda: False, raising=False)
    assert not dashboard._has_browser()


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """What a browser was opened with, on a machine with a screen."""
    urls: list[str] = []
    monkeypatch.setattr(dashboard, "_has_browser", lambda: True)
    monkeypatch.setattr(webbrowser, "open", lambda url: urls.append(url) or True)
    return urls
