"""A unit is put in place once, started, told of and taken away, by the commands that systemd has; none runs here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway import service_manager
from gateway.errors import GatewayError, UsageError
from gateway.service_files import Service, systemd_plan

if TYPE_CHECKING:
    from gateway.service_files import Plan

SERVICE = Service(("/bin/true",), user="nobody-of-this-name")


class Systemd:
    """A `systemctl` that writes down what it is asked."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "asked"
        self.fails = directory / "fails"
        program = directory / "systemctl"
        program.write_text(
            f'#!/bin/sh\necho "$*" >>{self._log}\n[ -e {self.fails} ] && {{ echo "no bus" >&2; exit 1; }}\n'
            'case "$*" in *show*) printf "UnitFileState=enabled\\nActiveState=active\\nMainPID=7\\nStatusText=x=y\\n";; esac\n'
        )
        program.chmod(0o755)

    def asked(self) -> list[str]:
        """Since the last time."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(service_manager, "_RUNNING", tmp_path)
    return Systemd(tmp_path)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return systemd_plan(SERVICE, tmp_path / "units" / "user")


def test_what_is_there_already_is_not_disturbed(systemd: Systemd, plan: Plan) -> None:
    assert service_manager.install(plan)
    assert Path(plan.file).read_bytes() == plan.text
    unit = "overlay.service"
    assert systemd.asked() == ["--user daemon-reload", f"--user enable {unit}", f"--user restart {unit}"]
    assert not service_manager.install(plan)
    assert systemd.asked()[-1] == f"--user start {unit}"
    Path(plan.file).write_text("[Service]\n")
    assert not service_manager.look(SERVICE, plan).current
    assert service_manager.install(plan)
    found = service_manager.look(SERVICE, plan)
    assert (found.current, found.enabled, found.active, found.pid, found.says) == (
        True, "enabled", "active", 7, "x=y",
    )  # fmt: skip
    assert found.lingers is False


def test_it_is_taken_away_once(systemd: Systemd, plan: Plan) -> None:
    assert not service_manager.remove(plan)
    service_manager.install(plan)
    systemd.asked()
    assert service_manager.remove(plan)
    assert not Path(plan.file).exists()
    assert systemd.asked() == ["--user disable --now overlay.service", "--user daemon-reload"]
    assert not service_manager.remove(plan)


def test_what_systemd_objects_to_is_told_in_a_line(systemd: Systemd, plan: Plan) -> None:
    systemd.fails.touch()
    with pytest.raises(GatewayError, match="`systemctl --user daemon-reload` failed: no bus"):
        service_manager.install(plan)


def test_where_systemd_does_not_run_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Plan
) -> None:
    monkeypatch.setattr(service_manager, "_RUNNING", tmp_path / "nothing")
    with pytest.raises(GatewayError, match="systemd does not run this machine"):
        service_manager.check(SERVICE)
    assert not service_manager.look(SERVICE, plan).installed


@pytest.mark.usefixtures("systemd")
def test_the_machines_service_is_roots_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="needs root"):
        service_manager.check(Service(("/bin/true",), is_system=True))


def test_a_program_that_is_closed_to_others_is_no_service_of_the_machine(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "overlay"
    program.touch(mode=0o755)
    with pytest.raises(UsageError, match="closed to others"):
        service_manager.check_reachable(Service((str(program),), is_system=True))
