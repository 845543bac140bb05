"""The gateway's unit put in place, taken away and looked at where systemd runs; elsewhere only told. ⚡"""

from __future__ import annotations

import getpass
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError, StateError, UsageError
from gateway.service_files import Kind, Plan, Service, launchd_plan, shell, systemd_plan, windows_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RUNNING: Final = Path("/run/systemd/system")
"""It is there while systemd is the init of this machine (sd_booted(3))."""
_SYSTEM_UNITS: Final = Path("/etc/systemd/system")
_LINGER: Final = Path("/var/lib/systemd/linger")
_HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ProtectHome= hides."""
_SECONDS: Final = 90.0
"""How long a command of systemd may take: it waits until the gateway listens."""


@dataclass(frozen=True, slots=True)
class Found:
    """How the service is now."""

    installed: bool
    current: bool
    """Whether the file is what would be written now."""
    enabled: str = ""
    """As `systemctl is-enabled` says; empty where it cannot be asked."""
    active: str = ""
    pid: int | None = None
    says: str = ""
    """What it told systemd of itself last."""
    lingers: bool | None = None
    """Whether it goes on when its user logs out; None where that does not matter."""


def kind_here() -> Kind:
    """What runs services on this machine."""
    return {"darwin": "launchd", "win32": "windows"}.get(sys.platform, "systemd")  # type: ignore[return-value]


def own_program() -> tuple[str, ...]:
    """What `overlay` is here: the command beside this Python, or one on the path."""
    beside = Path(sys.executable).with_name("overlay.exe" if sys.platform == "win32" else "overlay")
    if beside.exists():
        return (str(beside),)
    found = shutil.which("overlay")
    return (
        (os.path.abspath(found),) if found else (sys.executable, "-c", "from gateway.cli import main; main()")
    )


def service_here(name: str, home: str, *, is_system: bool) -> Service:
    """This installation as a service."""
    program = own_program()
    in_homes = any(Path(path).is_relative_to(one) for path in _needed(program) for one in _HOMES)
    return Service(program, name, home, is_system, in_homes, getpass.getuser())


def plan_for(service: Service, kind: Kind, environ: Mapping[str, str]) -> Plan:
    """What would be written and run."""
    match kind:
        case "launchd":
            return launchd_plan(service, Path.home())
        case "windows":
            return windows_plan(service)
        case "systemd":
            config = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
            directory = _SYSTEM_UNITS if service.is_system else Path(config) / "systemd" / "user"
            return systemd_plan(service, directory)


def check(service: Service) -> None:
    """Raise what stands in the way of installing or removing it here; nothing is changed."""
    if not _RUNNING.is_dir():
        raise GatewayError(
            "service: systemd does not run this machine; `overlay service install --dry-run` shows the file for another "
            "one, and `overlay up` is what any other supervisor would run"
        )
    if service.is_system and os.geteuid() != 0:
        raise UsageError(
            "service: --system needs root; run it by sudo, or without --system for yourself alone"
        )


def check_reachable(service: Service) -> None:
    """UsageError if the user that a system's unit runs as could not read the program."""
    for path in _needed(service.program):
        closed = next((one for one in (path, *path.parents) if not _is_open(one)), None)
        if closed is not None:
            raise UsageError(
                f"service: {closed} is closed to others, so the service's own user cannot run {path}; install overlay for all "
                "first: python3 -m venv /opt/overlay && /opt/overlay/bin/pip install overlay-gateway"
            )


def install(plan: Plan) -> bool:
    """Put it in place and start it, anew if it runs; whether the file is another one than before."""
    file = Path(plan.file)
    is_new = _read(file) != plan.text
    if is_new:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            beside = file.with_name(f".{file.name}.new")
            beside.write_bytes(plan.text)
            beside.replace(file)
        except OSError as error:
            raise StateError(f"service: {file} cannot be written: {error.strerror}") from None
    for command in plan.install:
        if is_new or command[-2] != "restart":
            _run(command)
        else:
            _run((*command[:-2], "start", command[-1]))  # as it is, it need not be disturbed
    return is_new


def remove(plan: Plan) -> bool:
    """Stop it and take it away; whether there was anything."""
    file = Path(plan.file)
    if not file.exists():
        return False
    for command in plan.remove:
        _run(command)
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"service: {file} cannot be removed: {error.strerror}") from None
    for command in plan.removed:
        _run(command)
    return True


def look(service: Service, plan: Plan) -> Found:
    """How it is now."""
    text = _read(Path(plan.file))
    lingers = None if service.is_system else (_LINGER / service.user).exists()
    if not _RUNNING.is_dir():
        return Found(text is not None, text == plan.text, lingers=lingers)
    systemctl = ("systemctl",) if service.is_system else ("systemctl", "--user")
    names = "UnitFileState,ActiveState,MainPID,StatusText"
    done = _run((*systemctl, "show", "--property", names, f"{service.name}.service"))
    told = dict(line.split("=", 1) for line in done.splitlines() if "=" in line)
    return Found(
        installed=text is not None,
        current=text == plan.text,
        enabled=told.get("UnitFileState", ""),
        active=told.get("ActiveState", ""),
        pid=int(told.get("MainPID", "0")) or None,
        says=told.get("StatusText", ""),
        lingers=lingers,
    )


def _run(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except FileNotFoundError:
        raise GatewayError(f"service: there is no command {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise GatewayError(
            f"service: `{shell(command)}` takes too long; see what it does by itself"
        ) from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise GatewayError(f"service: `{shell(command)}` failed: {said}")
    return done.stdout


def _needed(program: Iterable[str]) -> tuple[Path, ...]:
    """What has to be read to run us: the command, this Python, and our own modules."""
    first = next(iter(program))
    places = (first, os.path.realpath(sys.executable), sys.prefix, sys.base_prefix, os.path.dirname(__file__))
    return tuple(dict.fromkeys(Path(os.path.realpath(place)) for place in places))


def _is_open(path: Path) -> bool:
    """Whether others may read a file, or look into a directory."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & (stat.S_IXOTH if path.is_dir() else stat.S_IROTH))


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
