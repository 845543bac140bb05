"""Debian's Chromium and Firefox do on alice's page what people do, by each road to the name."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.lab.chromium import PROGRAM, chromium
from tests.lab.firefox import Firefox
from tests.lab.system_worlds import SystemWorld, system_world
from tests.lab.trial_page import check_trial, put_trial
from tests.lab.worlds import World, alice_and_bob

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

ROADS = ["SOCKS", "PAC"]
PAGE = "/files/trial.html"
CHROMIUM_FLAGS = ["--autoplay-policy=no-user-gesture-required"]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("trial")
    with alice_and_bob(place) as world:
        put_trial(place / "files")
        yield world


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("road", ROADS)
def test_chromium_does_all_of_it(road, trial, tmp_path):
    proxy = f"socks5://{trial.bob.listens('proxy')}" if road == "SOCKS" else ""
    flags = list(CHROMIUM_FLAGS)
    if road == "PAC":
        flags.append(f"--proxy-pac-url=http://{trial.bob.listens('dashboard')}/proxy.pac")
    with chromium(tmp_path, *flags, proxy=proxy) as browser:
        page = browser.new_page()
        page.goto(trial.url(PAGE), timeout=30_000)
        check_trial(json.loads(page.evaluate("window.trial")))


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
        check_trial(json.loads(firefox.ask(trial.url(PAGE), "window.trial")))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemWorld]:
    place = tmp_path_factory.mktemp("system")
    with system_world(place) as world:
        put_trial(place / "files")
        with world.told("systemd-resolved"):
            yield world


@pytest.mark.needs("root", "ip", "resolvers", "chromium")
def test_chromium_does_all_of_it_by_the_systems_own_dns(system, tmp_path):
    inside = tmp_path / "chromium"
    inside.write_text(f'#!/bin/sh\nexec {shlex.join(system.machine.command(PROGRAM))} "$@"\n')
    inside.chmod(0o755)
    with chromium(tmp_path, "--no-proxy-server", *CHROMIUM_FLAGS, program=str(inside)) as browser:
        page = browser.new_page()
        page.goto(f"http://web.alice.overlay{PAGE}", timeout=30_000)
        check_trial(json.loads(page.evaluate("window.trial")))


@pytest.mark.needs("root", "ip", "resolvers", "firefox-esr")
def test_firefox_does_all_of_it_by_the_systems_own_dns(system, tmp_path):
    prefix = system.machine.command()
    with (
        Firefox(tmp_path / "profile", {"network.proxy.type": 0}, prefix) as firefox,
        system.machine.entered(),
    ):
        check_trial(json.loads(firefox.ask(f"http://web.alice.overlay{PAGE}", "window.trial")))
