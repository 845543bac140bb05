"""`overlay beacon` as a process: its URL, its mistakes, its end."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.lab.gateways import OVERLAY, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    settings = tmp_path / "home" / "beacon" / "beacon.toml"
    settings.parent.mkdir(mode=0o700, parents=True)
    settings.parent.parent.chmod(0o700)
    settings.write_text("[stun]\nports = [0]\n")  # another beacon on this machine may have the usual ones
    return [OVERLAY, "--home", str(tmp_path / "home"), "beacon", "--bind", "127.0.0.1", "--port", "0"]


@pytest.fixture
def process(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    ) as started:
        yield started
        started.kill()


def run(command: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=30, env=clean_environment()
    )


def test_it_prints_its_url_serves_and_leaves_on_sigterm(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    first = process.stdout.readline()
    url = re.search(r"(http://127\.0\.0\.1:\d+)#[a-z0-9]{52}", first)
    assert url is not None, first
    assert url[0] in "".join(process.stdout.readline() for _ in range(4)), "the line for gateway.toml"
    with urllib.request.urlopen(f"{url[1]}/readyz", timeout=5) as answer:
        assert answer.read() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "leaving" in log
    assert "127.0.0.1" not in log, "no addresses in the log"


def test_its_key_stays_and_another_beacon_on_the_same_home_is_refused(
    command: list[str], process: subprocess.Popen[str]
) -> None:
    assert process.stdout is not None
    first = process.stdout.readline()
    second = run(command)
    assert second.returncode == 4
    assert "runs on it" in second.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as again:
        assert again.stdout is not None
        line = again.stdout.readline()
        again.kill()
    assert line.split("#")[1] == first.split("#")[1]


def test_its_file_is_checked_and_every_mistake_told(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "b.toml"
    file.write_text("[relay]\nsession = 1\n[beacons]\n")
    done = run(command, "--config", str(file), "--check")
    assert done.returncode == 3
    assert "did you mean `sessions`?" in done.stderr
    assert "did you mean [beacon]?" in done.stderr
    assert run(command, "--config", str(file)).returncode == 3
    file.write_text("[relay]\nsessions = 1\n")
    assert run(command, "--config", str(file), "--check").stdout == "ok\n"


def test_a_file_that_was_named_must_be_there(command: list[str], tmp_path: Path) -> None:
    done = run(command, "--config", str(tmp_path / "absent.toml"), "--check")
    assert done.returncode == 2
    assert "absent.toml" in done.stderr
