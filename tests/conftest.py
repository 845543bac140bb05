"""What holds for every test: blocking the event loop is an error, and a skip on CI is a failure."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDS = {
    "root": (lambda: os.geteuid() == 0, "needs root: network namespaces are made"),
    "tun": (
        lambda: Path("/dev/net/tun").exists(),
        "needs /dev/net/tun: `modprobe tun`, or --device /dev/net/tun",
    ),
    "resolvers": (
        lambda: (Path(__file__).parents[1] / "build" / "debian" / "done").exists(),
        "needs resolvers that are not installed: `make packages` as root unpacks them",
    ),
    **{
        program: (
            lambda program=program: (
                shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin:/usr/games") is not None
            ),
            f"needs the program {program}: `make packages` as root installs it",
        )
        for program in (
            "curl",
            "dig",
            "ssh",
            "sshd",
            "nc",
            "dnsmasq",
            "ip",
            "chromium",
            "certutil",
            "update-ca-certificates",
            "firefox-esr",
            "nft",
            "conntrack",
            "turnserver",
            "redis-server",
            "tinyproxy",
            "miniupnpd",
            "tayga",
            "zbarimg",
            "avahi-daemon",
            "avahi-browse",
            "git",
            "apt-get",
            "node",
            "npm",
            "bash",
            "zsh",
            "fish",
            "man",
            "mandoc",
            "promtool",
            "systemd-analyze",
        )
    },
}


settings.register_profile("untimed", deadline=None)  # how busy the machine is, is no fault of the code
settings.load_profile("untimed")

FIGURE = "figure"
"""The property of a report that holds what its test measured; see `tests/integration/conftest.py`."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*what): skip, saying why, unless the machine has all of these")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(
        config, "workerinput"
    ):  # of several processes, which take a file each: long ones first, so that none ends late
        items.sort(key=lambda item: "/integration/" not in item.nodeid)
    for item in items:
        for mark in item.iter_markers("needs"):
            for what in mark.args:
                has, reason = NEEDS[what]
                if not has():
                    item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.skipped and os.environ.get("OVERLAY_TESTS_REQUIRE_ALL"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """A blocking call of ours on the event loop raises BlockingError."""
    with blockbuster_ctx(scanned_modules=["gateway", "overlay", "resolver", "tunnels"]):
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    kept = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == FIGURE
    ]
    if kept:
        terminalreporter.section("measured, in seconds")
    for each in kept:
        late = "" if each["seconds"] <= each["aim"] else "  <- later than aimed at"
        terminalreporter.write_line(f"{each['seconds']:8.3f}  (aim {each['aim']:g})  {each['what']}{late}")
