"""A child of the warm process is as a program that was just started: its own words, environment, place, network and end."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.lab import warm
from tests.lab.gateways import clean_environment
from tests.lab.netns import Namespace, new_tag


def test_it_is_the_command_with_its_output_and_exit_code(tmp_path):
    for words in (["--version"], ["nonsense"], ["--home", str(tmp_path), "status"]):
        command = [warm.OVERLAY, *words]
        done = warm.run(command, timeout=20, env=clean_environment())
        cold = subprocess.run(command, capture_output=True, text=True, timeout=20, env=clean_environment())
        assert (done.returncode, done.stdout, done.stderr) == (cold.returncode, cold.stdout, cold.stderr)


def test_its_environment_and_directory_are_those_of_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = {**clean_environment(), "OVERLAY_HOME": "here", "OVERLAY_GATEWAY_NICKNAME": "carol"}
    assert (
        f"{tmp_path}/here has no identity"
        in warm.run([warm.OVERLAY, "id"], timeout=20, env=environment).stderr
    )
    assert "carol" in warm.run([warm.OVERLAY, "config", "show"], timeout=20, env=environment).stdout
    assert (
        "carol" not in warm.run([warm.OVERLAY, "config", "show"], timeout=20, env=clean_environment()).stdout
    )


def _up(home) -> list[str]:
    doors = [f"--{door}-port=0" for door in ("proxy", "dns", "dashboard", "front-door", "https")]
    return [warm.OVERLAY, "--home", str(home), "up", "--dht", "off", *doors]


def test_it_is_waited_for_signalled_and_has_nothing_open_but_its_own(tmp_path):
    first = warm.start(_up(tmp_path / "a"), stdout=subprocess.PIPE, env=clean_environment())
    second = warm.start(_up(tmp_path / "b"), stdout=subprocess.PIPE, env=clean_environment())
    assert first.stdout is not None
    assert second.stdout is not None
    try:
        assert first.stdout.readline()
        assert second.stdout.readline()
        assert first.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(0.01)
        first.kill()
        assert first.wait(20) == -9
        first.stdout.read()  # it ends: the other does not hold it open
        second.terminate()
        assert second.wait(20) == 0
    finally:
        for each in (first, second):
            each.kill()
            each.wait(20)
            each.stdout.close()


@pytest.mark.needs("root", "ip")
def test_it_is_in_the_namespace_it_is_put_into(tmp_path):
    namespace = Namespace(new_tag())
    namespace.create()
    try:
        command = namespace.command(*_up(tmp_path))
        with warm.start(command, stdout=subprocess.PIPE, env=clean_environment()) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline()
                there = os.stat(f"/proc/{process.pid}/ns/net")
                assert os.path.samestat(there, os.stat(f"/run/netns/{namespace.name}"))
                assert sorted(os.listdir(f"/proc/{process.pid}/root/sys/class/net")) == ["lo"]
            finally:
                process.kill()
    finally:
        namespace.remove()
