"""`overlay` as a process of its own, without the second of imports that each one begins with: a child of a warm process.

Each has its own memory, descriptors, environment, directory and network namespace, runs the `main` of the command with the
words it is given, and ends as any process does. `tests/integration/test_demo.py`, `test_beacon.py`, `test_state.py` and
others start the installed command as people do. A command line of another program is run as it is.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.lab.warm_parent import MAX_REQUEST, NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OVERLAY = str(Path(sys.executable).with_name("overlay"))
_ROOT = Path(__file__).parents[2]
_ENTERING = ["ip", "netns", "exec"]


class WarmProcess:
    """What tests need of `subprocess.Popen`, of a child of the warm process."""

    def __init__(self, pid: int, told: int, stdout: IO[str] | None) -> None:
        self.pid, self.stdout = pid, stdout
        self._told = told
        self.returncode: int | None = None

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.stdout is not None:
            self.stdout.close()
        self.wait()

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self._read_end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self._read_end()
        assert self.returncode is not None
        return self.returncode

    def _read_end(self) -> None:
        self.returncode = os.waitstatus_to_exitcode(_number(self._told))
        os.close(self._told)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(15)

    def kill(self) -> None:
        self.send_signal(9)


class _Parent:
    """The warm process: started by the first that needs it, ended with this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None

    def start(
        self, words: Sequence[str], namespace: str, environment: Mapping[str, str], standard: Sequence[int]
    ) -> tuple[int, int]:
        """The process id, and where its end is told."""
        request = {
            "words": words,
            "namespace": namespace,
            "environment": dict(environment),
            "directory": str(Path.cwd()),
        }
        message = json.dumps(request).encode()
        assert len(message) < MAX_REQUEST
        told, telling = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._connected(), [message], [*standard, telling])
        finally:
            os.close(telling)
        return _number(told), told

    def _connected(self) -> socket.socket:
        if self._requests is None:
            self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            kept = {
                name: value for name, value in os.environ.items() if not name.startswith(("OVERLAY_", "COV_"))
            }
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.lab.warm_parent"],
                    stdin=theirs,
                    stdout=subprocess.DEVNULL,
                    cwd=_ROOT,
                    env=kept,
                )
            atexit.register(self._end, process)
        return self._requests

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        assert self._requests is not None
        self._requests.close()
        process.wait(20)


_parent = _Parent()


def _number(told: int) -> int:
    data = os.read(told, NUMBER.size)
    if len(data) != NUMBER.size:
        raise AssertionError("the warm process ended")
    (number,) = NUMBER.unpack(data)
    return number


def _wanted(command: Sequence[str]) -> tuple[str, list[str]] | None:
    """The namespace and the words of a command line that a child of the warm process can be, or None."""
    namespace, words = "", list(command)
    if words[:3] == _ENTERING:
        namespace, words = words[3], words[4:]
    if words[0] == OVERLAY:
        return namespace, ["gateway.cli", *words]
    if words[:3] == [sys.executable, "-m", "tests.lab.altered"]:
        return namespace, [words[2], *words[2:]]
    return None


def start(
    command: Sequence[str],
    *,
    stdout: int | IO[str],
    stderr: int | IO[str] | None = None,
    env: Mapping[str, str],
) -> WarmProcess | subprocess.Popen[str]:
    """As `subprocess.Popen(…, text=True)`; `stdout` is a file or a PIPE, `stderr` a file, DEVNULL or ours."""
    wanted = _wanted(command)
    if wanted is None:
        return subprocess.Popen(command, stdout=stdout, stderr=stderr, text=True, env=env)
    namespace, words = wanted
    ours = None
    with open(os.devnull, "r+b") as nothing:
        numbers = {subprocess.DEVNULL: nothing.fileno(), None: 2}
        if stdout == subprocess.PIPE:
            reading, writing = os.pipe()
            ours = os.fdopen(reading)
            numbers[subprocess.PIPE] = writing
        standard = [each.fileno() if hasattr(each, "fileno") else numbers[each] for each in (stdout, stderr)]
        try:
            pid, told = _parent.start(words, namespace, env, [nothing.fileno(), *standard])
        finally:
            if stdout == subprocess.PIPE:
                os.close(writing)
    return WarmProcess(pid, told, ours)


def run(
    command: Sequence[str], *, timeout: float, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run(…, capture_output=True, text=True)`."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = start(command, stdout=out, stderr=err, env=env)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
            process.wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, code, out.read(), err.read())
