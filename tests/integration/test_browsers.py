"""Debian's Chromium and Firefox do on alice's page what people do, by each road to the name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from tests.integration.test_chromium import launch
from tests.lab.firefox import Firefox
from tests.lab.trial_page import check_trial, put_trial
from tests.lab.worlds import World, alice_and_bob

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

ROADS = ["SOCKS", "PAC"]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("trial")
    with alice_and_bob(place) as world:
        put_trial(place / "files")
        yield world


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("road", ROADS)
def test_chromium_does_all_of_it(road, trial):
    proxy = f"socks5://{trial.bob.listens('proxy')}" if road == "SOCKS" else None
    flags = ["--autoplay-policy=no-user-gesture-required"]
    if road == "PAC":
        flags.append(f"--proxy-pac-url=http://{trial.bob.listens('dashboard')}/proxy.pac")
    with sync_playwright() as playwright:
        browser = launch(playwright, *flags, proxy=proxy)
        page = browser.new_page()
        page.goto(trial.url("/files/trial.html"), timeout=30_000)
        check_trial(json.loads(page.evaluate("window.trial")))
        browser.close()


@pytest.mark.needs("firefox-esr")
@pytest.mark.parametrize("road", ROADS)
def test_firefox_does_all_of_it(road, trial, tmp_path):
    host, port = trial.bob.listens("proxy").split(":")
    settings: dict[str, bool | int | str] = (
        {
            "network.proxy.type": 1,
            "network.proxy.socks": host,
            "network.proxy.socks_port": int(port),
            "network.proxy.socks_version": 5,
            "network.proxy.socks5_remote_dns": True,
        }
        if road == "SOCKS"
        else {
            "network.proxy.type": 2,
            "network.proxy.autoconfig_url": f"http://{trial.bob.listens('dashboard')}/proxy.pac",
        }
    )
    with Firefox(tmp_path / "profile", settings) as firefox:
        check_trial(json.loads(firefox.ask(trial.url("/files/trial.html"), "window.trial")))
