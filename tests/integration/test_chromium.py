"""A real browser: a page with a stylesheet, an image, a script and a WebSocket, by SOCKS and by the PAC URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.chromium import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.needs("chromium")


def open_page(browser: Browser, url: str) -> None:
    page = browser.new_page()
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(f"{request.url}: {request.failure}"))
    page.goto(url, timeout=30_000)
    page.get_by_text("marco polo").wait_for(timeout=15_000)
    assert page.title() == "Alice"
    assert page.locator("h1").evaluate("e => getComputedStyle(e).color") == "rgb(1, 2, 3)"
    assert page.locator("#dot").evaluate("e => e.complete && e.naturalWidth > 0")
    assert page.locator("#script").text_content() == "script ran"
    assert not failed


def test_a_page_with_all_its_resources_opens_through_the_socks_setting(world, tmp_path):
    with chromium(tmp_path, proxy=f"socks5://{world.bob.listens('proxy')}") as browser:
        open_page(browser, world.url())


def test_the_same_page_opens_through_the_pac_url(world, tmp_path):
    pac = f"http://{world.bob.listens('dashboard')}/proxy.pac"
    with chromium(tmp_path, f"--proxy-pac-url={pac}") as browser:
        open_page(browser, world.url())


def test_the_same_page_opens_through_the_http_proxy_setting(world, tmp_path):
    with chromium(tmp_path, proxy=f"http://{world.bob.listens('proxy')}") as browser:
        open_page(browser, world.url())


def test_what_cannot_be_opened_is_a_page_a_person_can_read(world, tmp_path):
    with chromium(tmp_path, proxy=f"http://{world.bob.listens('proxy')}") as browser:
        page = browser.new_page()
        response = page.goto("http://nobody.overlay/", timeout=30_000)
        assert response is not None
        assert response.status == 404
        assert "nobody" in page.locator("body").inner_text()
