"""People who follow a document: each has a machine on one local network, a home directory and an /etc of its own.

Commands run as they stand, with the ports and directories that a person has, because nothing of the machine that runs the
tests can be seen or touched there but its programs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.consoles import fill_in, is_as_expected
from tests.lab.gateways import clean_environment, wait_until
from tests.lab.lans import a_lan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.consoles import Step
    from tests.lab.lans import Lan, LanMachine

COMMAND_SECONDS = 60
_OWN = r'hostname "$USER" && mount --bind "$0" /etc && mount -t tmpfs tmpfs /run && mkdir -p "$XDG_RUNTIME_DIR" "$HOME" \
 && mount --bind "$1" "$HOME" && mount --bind "$2" "$XDG_RUNTIME_DIR" \
 && { [ ! -d /usr/local/share/ca-certificates ] || mount --bind /etc/own-authorities /usr/local/share/ca-certificates; } && cd && shift 2 && exec "$@"'
"""Before each command: /etc is the person's, with the authorities that its system trusts, and so are the home, /run and the hostname; `ip netns exec` gives each command its own mounts."""
_QUIET_SECONDS = 1.5
"""What goes on is taken for ready when it has printed something, or after this long."""


class Person:
    """One machine with somebody at it."""

    def __init__(self, name: str, machine: LanMachine, place: Path) -> None:
        self.name, self.machine = name, machine
        self._home, self._runtime = place / "home", place / "runtime"
        self._home.mkdir()
        self._runtime.mkdir(mode=0o700)
        self._etc = place / "etc"
        shutil.copytree("/etc", self._etc, symlinks=True, ignore=_unreadable)
        (self._etc / "hostname").write_text(f"{name}\n")
        (self._etc / "own-authorities").mkdir()
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.place = place
        self.variables: dict[str, str] = {}
        """What else is in the environment of the commands."""
        self.closing = contextlib.ExitStack()
        """What is ended when the person leaves."""

    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in clean_environment().items()
            if not name.startswith(("XDG_", "OVERLAY_"))
        }
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin:/usr/games"
        return kept | {
            "HOME": f"/run/{self.name}",
            "PATH": programs,
            "USER": self.name,
            "XDG_RUNTIME_DIR": "/run/user",
            "PYTHONUNBUFFERED": "1",
            **self.variables,
        }

    def _command(self, command: str) -> list[str]:
        own = self._etc, self._home, self._runtime
        shell = ["bash", "-c", f"set -o pipefail; {command}"]
        return self.machine.command("unshare", "--uts", "sh", "-c", _OWN, *map(str, own), *shell)

    def types(self, command: str, answer: str = "") -> str:
        """Run a command to its end; what it printed. AssertionError when it fails. With an `answer`, it has a terminal."""
        terminal, other_end = os.openpty() if answer else (None, None)
        process = subprocess.Popen(
            self._command(command),
            stdin=subprocess.DEVNULL if other_end is None else other_end,
            stdout=subprocess.PIPE if other_end is None else other_end,
            stderr=subprocess.STDOUT,
            env=self.environment() | {"NO_COLOR": "1", "TERM": "dumb"},
            start_new_session=True,
        )
        try:
            if terminal is None or other_end is None:
                said = process.communicate(timeout=COMMAND_SECONDS)[0]
            else:
                os.close(other_end)
                os.write(terminal, f"{answer}\n".encode())
                said = _all_of(terminal)
                process.wait(COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said = b"".join([process.communicate()[0] or b"", b"\n(does not end)"])
        output = said.decode(errors="replace").replace("\r\n", "\n")
        assert process.returncode == 0, (
            f"{self.name}$ {command} → {process.returncode}\n{output}\n{self.said()}"
        )
        return output

    def leaves_running(self, command: str) -> Path:
        """Start a command that goes on; where its output is."""
        output = self.place / f"{len(self._running)}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                self._command(command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=self.environment(),
                start_new_session=True,
            )
        self._running.append((process, output))
        if re.match(r"overlay\b.* up\b", command):
            wait_until(
                lambda: process.poll() is not None or "proxy" in output.read_text(), 30, "the gateway is up"
            )
        else:
            since = time.monotonic()
            while process.poll() is None and time.monotonic() < since + _QUIET_SECONDS:
                time.sleep(0.05)
        assert process.poll() in (None, 0), f"{self.name}$ {command} ended:\n{output.read_text()}"
        return output

    def said(self) -> str:
        """The ends of what runs beside."""
        return "\n".join(output.read_text(errors="replace")[-2000:] for _, output in self._running)

    def leave(self) -> None:
        """End what still runs."""
        for process, _ in reversed(self._running):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process, _ in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        self.closing.close()


class Company:
    """Everybody in one document, who comes when first named."""

    def __init__(self, lan: Lan, place: Path) -> None:
        self._lan, self._place = lan, place
        self._people: dict[str, Person] = {}
        self._printed: list[Path | str] = []
        self._last = ""

    def person(self, name: str) -> Person:
        if name not in self._people:
            place = self._place / name
            place.mkdir()
            self._people[name] = Person(name, self._lan.machine(), place)
        return self._people[name]

    def follow(self, step: Step) -> None:
        """Type one command and compare what it prints; `root#` is typed on the machine of the command before."""
        name = self._last if step.who == "root" and self._last else step.who
        self._last = name
        person = self.person(name)
        printed = [each if isinstance(each, str) else each.read_text() for each in self._printed]
        command = fill_in(step.command, self._ids(step.command), printed)
        if step.stays:
            self._printed.append(person.leaves_running(command))
            return
        output = person.types(command, step.answer)
        self._printed.append(output)
        wanted = "\n".join(step.expected)
        assert is_as_expected(step.expected, output), (
            f"line {step.line}: {name}$ {command}\nshould print\n{wanted}\nand prints\n{output}"
        )

    def _ids(self, command: str) -> dict[str, str]:
        named = [name for name in self._people if f"{name.upper()}-ID" in command]
        return {name: self._people[name].types("overlay id").split()[0] for name in named}

    def leave(self) -> None:
        for person in self._people.values():
            person.leave()


@contextlib.contextmanager
def company(place: Path) -> Iterator[Company]:
    """People on one local network, gone at the end with everything they started."""
    with a_lan() as lan:
        everybody = Company(lan, place)
        try:
            yield everybody
        finally:
            everybody.leave()


def _all_of(terminal: int) -> bytes:
    """Everything written to it until its other end is closed, which Linux tells as an error."""
    parts = []
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            parts.append(data)
    os.close(terminal)
    return b"".join(parts)


def _unreadable(directory: str, names: list[str]) -> list[str]:
    """Sockets and the like are not copied."""
    return [
        name
        for name in names
        if not (path := Path(directory) / name).is_symlink() and not path.is_file() and not path.is_dir()
    ]
