"""Units, property lists and tasks are what their systems read; systemd itself has nothing to object to."""

from __future__ import annotations

import configparser
import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import pytest

from gateway.errors import UsageError
from gateway.service_files import Service, launchd_plan, shell, systemd_plan, windows_plan
from tests.lab.gateways import OVERLAY

ODD = '/tmp/a b%c$d"e\\f'
PROGRAM = (OVERLAY,)


def sections(text: bytes) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text.decode())
    return parser


@pytest.mark.parametrize(("is_system", "most"), [(True, 2.0), (False, 6.5)])
@pytest.mark.needs("systemd-analyze")
def test_systemd_takes_the_unit_and_finds_little_exposed(
    tmp_path: Path, is_system: bool, most: float
) -> None:
    plan = systemd_plan(Service(PROGRAM, is_system=is_system), tmp_path)
    file = Path(plan.file)
    file.write_bytes(plan.text)
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_PAGER": ""}
    manager = "--system" if is_system else "--user"
    verified = subprocess.run(
        ["systemd-analyze", manager, "--man=no", "verify", str(file)],
        capture_output=True, text=True, check=False, timeout=60, env=environment,
    )  # fmt: skip
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "--offline=true", "--no-pager", "security", str(file)],
        capture_output=True, text=True, check=True, timeout=60, env=environment,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", judged.stdout)
    assert found is not None, judged.stdout[-500:]
    assert float(found[1]) <= most, judged.stdout


@pytest.mark.needs("systemd-analyze")
def test_a_path_with_everything_odd_in_it_is_one_word_for_systemd(tmp_path: Path) -> None:
    program = tmp_path / "a b"  # systemd allows no more in a program's name
    shutil.copy("/bin/true", program)
    plan = systemd_plan(Service((str(program),), home=ODD), tmp_path)
    Path(plan.file).write_bytes(plan.text)
    verified = subprocess.run(
        ["systemd-analyze", "--user", "--man=no", "verify", str(plan.file)],
        capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert verified.stderr == "", "it is found, so every character of it is right"
    line = sections(plan.text)["Service"]["ExecStart"]
    assert line.endswith(r' --home "/tmp/a b%%c$$d\"e\\f" up')


@pytest.mark.parametrize(
    "home", ["/srv/a\nExecStartPre=+/bin/sh /tmp/evil", "/srv/a\rb", "/srv/\x1b[2J", "/srv/a\u2028b"]
)
def test_a_path_that_would_begin_another_line_is_refused(home: str) -> None:
    for is_system in (True, False):
        with pytest.raises(UsageError, match="cannot stand in a unit") as refused:
            systemd_plan(Service(PROGRAM, home=home, is_system=is_system), PurePosixPath("/x"))
        assert str(refused.value).isprintable()


def test_a_dollar_is_doubled_in_command_lines_only() -> None:
    unit = sections(systemd_plan(Service(PROGRAM, home="/srv/a$b", is_system=True), PurePosixPath("/x")).text)
    assert unit["Service"]["ReadWritePaths"] == "/srv/a$b"
    assert unit["Service"]["ExecStart"].endswith("/srv/a$$b up")


def test_the_systems_unit_has_a_user_and_a_directory_of_its_own() -> None:
    unit = sections(systemd_plan(Service(PROGRAM, "gate", is_system=True), PurePosixPath("/x")).text)[
        "Service"
    ]
    assert unit["DynamicUser"] == "yes"
    assert unit["StateDirectory"] == "gate"
    assert unit["Environment"] == "OVERLAY_HOME=%S/gate"
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert unit["ProtectHome"] == "yes"
    at_home = Service(PROGRAM, is_system=True, needs_home=True, home="/srv/gate")
    unit = sections(systemd_plan(at_home, PurePosixPath("/x")).text)["Service"]
    assert unit["ProtectHome"] == "read-only"
    assert unit["ReadWritePaths"] == "/srv/gate"
    assert unit["ExecStart"] == f"{OVERLAY} --home /srv/gate up"


def test_a_users_unit_asks_for_no_mount_namespace() -> None:
    unit = sections(systemd_plan(Service(PROGRAM), PurePosixPath("/x")).text)["Service"]
    assert not [name for name in unit if name.startswith(("Protect", "Private", "ReadWrite", "Dynamic"))]
    assert unit["Type"] == "notify"
    assert unit["RestartPreventExitStatus"] == "2 3"


@pytest.mark.parametrize("is_system", [False, True])
def test_launchd_gets_a_property_list(is_system: bool) -> None:
    service = Service(PROGRAM, home="/Users/a/x y", is_system=is_system, user="ann")
    plan = launchd_plan(service, PurePosixPath("/Users/ann"))
    values = plistlib.loads(plan.text)
    assert values["ProgramArguments"] == [OVERLAY, "--home", "/Users/a/x y", "up"]
    assert values["Label"] == "net.overlay.overlay"
    assert values.get("UserName") == ("ann" if is_system else None)
    directory = "/Library/LaunchDaemons" if is_system else "/Users/ann/Library/LaunchAgents"
    assert str(plan.file) == f"{directory}/net.overlay.overlay.plist"
    assert shell(plan.remove[0]).endswith(
        "launchctl bootout " + ("system" if is_system else "gui/$UID") + "/net.overlay.overlay"
    )


@pytest.mark.parametrize("is_system", [False, True])
def test_windows_gets_a_task(is_system: bool) -> None:
    program = ("C:\\Program Files\\overlay.exe",)
    plan = windows_plan(Service(program, home="C:\\a b\\", is_system=is_system, user="PC\\ann"))
    task = ElementTree.fromstring(plan.text)
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    assert task.findtext(f".//{space}Command") == program[0]
    assert task.findtext(f".//{space}Arguments") == '--home "C:\\a b\\\\" up'
    assert (task.find(f".//{space}BootTrigger") is not None) == is_system
    assert task.findtext(f".//{space}Principal/{space}UserId") == ("S-1-5-19" if is_system else "PC\\ann")
    assert task.findtext(f".//{space}ExecutionTimeLimit") == "PT0S"
