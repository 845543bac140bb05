"""`overlay service` shows what it would do, and says why it does nothing; a gateway started by the unit's own line says that it is up."""

from __future__ import annotations

import configparser
import json
import shlex
import socket
import subprocess
from typing import TYPE_CHECKING

from gateway import service_manager
from tests.lab.gateways import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.gateway.cli.conftest import Alone


def test_a_dry_run_shows_the_file_and_the_commands(alone: Alone, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    done = alone("service", "install", "--dry-run")
    file = tmp_path / "config" / "systemd" / "user" / "overlay.service"
    assert done.out.startswith(f"# {file}\n")
    assert "systemctl --user enable overlay.service" in done.out
    assert not file.exists()
    told = alone("service", "install", "--dry-run", "--system", "--json").json
    assert told["file"] == "/etc/systemd/system/overlay.service"
    assert "DynamicUser=yes" in told["text"]
    removing = alone("service", "remove", "--dry-run").out
    assert removing.splitlines()[1] == "systemctl --user disable --now overlay.service"
    for kind in ("launchd", "windows"):
        shown = alone("service", "install", "--for", kind)
        assert shown.code == 0
        assert "nothing was changed" in shown.err


def test_without_systemd_it_says_so(alone: Alone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_manager, "_RUNNING", tmp_path / "nothing")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    done = alone("service", "install")
    assert done.code == 1
    assert "--dry-run" in done.err
    assert alone("service", "status").out.startswith("There is no service overlay; ")
    assert alone("service", "status", "--json").json["installed"] is False
    done = alone("service", "remove")
    assert (done.code, done.out) == (0, "There is no service overlay.\n")
    assert alone("service", "install", "--name", "a/b").code == 2


def test_the_units_line_starts_a_gateway_that_says_when_it_is_up(alone: Alone, tmp_path: Path) -> None:
    text = alone("service", "install", "--dry-run", "--json").json["text"]
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)
    (alone.home.path / "gateway.toml").write_text(
        '[dht]\nenabled = "off"\n[proxy]\nport = 0\n[dns]\nport = 0\n[dashboard]\nport = 0\n[tunnels]\nbind = ["127.0.0.1"]\n'
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        place = tmp_path / "notify"
        manager.bind(str(place))
        manager.settimeout(30)
        environment = clean_environment() | {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "200000"}
        process = subprocess.Popen(
            shlex.split(parser["Service"]["ExecStart"]), env=environment, stdout=subprocess.DEVNULL
        )
        try:
            assert manager.recv(1000).startswith(b"READY=1\n")
            assert manager.recv(1000) == b"WATCHDOG=1"
            status = alone("status", "--json")
            assert json.loads(status.out)["pid"] == process.pid
            process.terminate()
            while (said := manager.recv(1000)) == b"WATCHDOG=1":
                pass
            assert said.startswith(b"STOPPING=1")
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait(10)
