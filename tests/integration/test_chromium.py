"""A real browser: a page with a stylesheet, an image, a script and a WebSocket, by SOCKS and by the PAC URL."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, sync_playwright

pytestmark = pytest.mark.needs("chromium")

FLAGS = ["--no-sandbox", "--disable-component-update", "--disable-background-networking", "--disable-sync"]


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


def launch(playwright, *flags: str, proxy: str | None = None, program: str = "/usr/bin/chromium") -> Browser:
    return playwright.chromium.launch(
        executable_path=program,
        args=[*FLAGS, *flags],
        proxy={"server": proxy} if proxy else None,
    )


def test_a_page_with_all_its_resources_opens_through_the_socks_setting(world):
    with sync_playwright() as playwright:
        browser = launch(playwright, proxy=f"socks5://{world.bob.listens('proxy')}")
        open_page(browser, world.url())
        browser.close()


def test_the_same_page_opens_through_the_pac_url(world):
    with sync_playwright() as playwright:
        pac = f"http://{world.bob.listens('dashboard')}/proxy.pac"
        browser = launch(playwright, f"--proxy-pac-url={pac}")
        open_page(browser, world.url())
        browser.close()


def test_the_same_page_opens_through_the_http_proxy_setting(world):
    with sync_playwright() as playwright:
        browser = launch(playwright, proxy=f"http://{world.bob.listens('proxy')}")
        open_page(browser, world.url())
        browser.close()


def test_what_cannot_be_opened_is_a_page_a_person_can_read(world):
    with sync_playwright() as playwright:
        browser = launch(playwright, proxy=f"http://{world.bob.listens('proxy')}")
        page = browser.new_page()
        response = page.goto("http://nobody.overlay/", timeout=30_000)
        assert response is not None
        assert response.status == 404
        assert "nobody" in page.locator("body").inner_text()
        browser.close()
