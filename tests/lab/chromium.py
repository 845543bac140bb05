"""A real Chromium, headless, driven by Playwright, with a home of its own: nothing of whoever runs the tests is read or written.

Tested by who uses it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

from tests.lab.gateways import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

PROGRAM: Final = "/usr/bin/chromium"
FLAGS: Final = (
    "--no-sandbox",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-sync",
)


@contextlib.contextmanager
def chromium(home: Path, *flags: str, proxy: str = "", program: str = PROGRAM) -> Iterator[Browser]:
    """A browser with the authorities of that home; closed at the end. `proxy` is a URL of its settings."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[*FLAGS, *flags],
            proxy={"server": proxy} if proxy else None,
            env=environment(home),
        )
        try:
            yield browser
        finally:
            browser.close()


def environment(home: Path) -> dict[str, str | float | bool]:
    """Where it keeps authorities, settings and reports of crashes; for who starts it otherwise."""
    ours = clean_environment().items()
    return {name: value for name, value in ours if not name.startswith("XDG_")} | {"HOME": str(home)}
