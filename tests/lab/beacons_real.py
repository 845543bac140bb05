"""Real beacons on machines of their own: `overlay beacon` as a process, and the redis and coturn that stand beside it."""

from __future__ import annotations

import contextlib
import re
import selectors
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Self

from tests.lab import warm
from tests.lab.gateways import OVERLAY, START_SECONDS, clean_environment, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.networks import Machine

REDIS_PORT = 6379
TURN_PORT = 3478
TURN_SECRET = "secret-of-this-test"
_URL = re.compile(r"https?://[^\s\"';,]+")


class BeaconFailed(AssertionError):
    """A beacon did not start or stop as it should; the text is what it said."""


class BeaconProcess:
    """One beacon at port 443 of a machine; its key and what it keeps outlive `kill`, `stop` and `start`."""

    def __init__(self, place: Path, machine: Machine, *, sections: str = "") -> None:
        self.place, self.machine = place, machine
        place.mkdir(parents=True, exist_ok=True)
        (place / "beacon.toml").write_text(
            f'[beacon]\nport = 443\nurls = ["https://{machine.address}"]\n{sections}\n'
        )
        (place / "beacon.toml").chmod(0o600)  # sections may hold a secret
        self.process: warm.WarmProcess | subprocess.Popen[str] | None = None
        self.url = ""
        """With `#id`, as gateways want it."""

    def start(self) -> BeaconProcess:
        """Start it; it returns when the beacon says where it is."""
        with (self.place / "output.txt").open("a") as output:
            self.process = warm.start(
                self.machine.command(
                    OVERLAY, "--home", str(self.place), "beacon", "--config", str(self.place / "beacon.toml")
                ),
                stdout=subprocess.PIPE,
                stderr=output,
                env=clean_environment(),
            )
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while selector.select(START_SECONDS) and (line := self.process.stdout.readline()):
                if found := _URL.search(line):
                    self.url = found[0]
                    return self
        self.kill()
        raise BeaconFailed(f"{self.machine.label} did not start: {self.said()}")

    def said(self) -> str:
        return (self.place / "output.txt").read_text()

    def metrics(self) -> dict[str, float]:
        """Its counters, by name and labels."""
        done = self.machine.run("curl", "-sSk", "--max-time", "5", "https://127.0.0.1/metrics")
        lines = [line.rpartition(" ") for line in done.stdout.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def kill(self) -> None:
        """As kill -9 does it."""
        if self.process is not None:
            self.process.kill()
            self._wait()

    def stop(self) -> None:
        """Stop it as systemd does; what it says on the way out is checked."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BeaconFailed(f"{self.machine.label} did not stop: {self.said()}") from None
        self._wait()
        if "Traceback" in self.said():
            raise BeaconFailed(f"{self.machine.label} said: {self.said()}")

    def _wait(self) -> None:
        if self.process is not None:
            self.process.wait(20)
            if self.process.stdout is not None:
                self.process.stdout.close()
        self.process = None


@contextlib.contextmanager
def beacon(place: Path, machine: Machine, **options: str) -> Iterator[BeaconProcess]:
    """A running beacon; it is stopped at the end, and must stop well."""
    running = BeaconProcess(place, machine, **options)
    try:
        yield running.start()
        running.stop()
    finally:
        running.kill()


class ServerProcess:
    """Somebody else's server on a machine; it is killed at the end."""

    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        raise NotImplementedError

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
        self.process = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        try:
            yield self.start()
        finally:
            self.kill()


class RedisProcess(ServerProcess):
    """A Redis on a machine, which keeps nothing on disk: started anew, it is empty."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @property
    def section(self) -> str:
        """What stands in the beacon.toml of a node that uses it."""
        return f'[redis]\nurl = "redis://{self.machine.address}:{REDIS_PORT}/0"\n'

    def start(self) -> Self:
        self.process = subprocess.Popen(
            self.machine.command(
                *("redis-server", "--bind", self.machine.address, "--port", str(REDIS_PORT)),
                *("--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", "/"),
            ),
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, what="redis answers")
        return self

    def _answers(self) -> bool:
        with self.machine.socket(socket.SOCK_STREAM) as sock:
            if sock.connect_ex((self.machine.address, REDIS_PORT)):
                return False
            sock.sendall(b"PING\r\n")
            return sock.recv(100) == b"+PONG\r\n"


def redis(machine: Machine) -> contextlib.AbstractContextManager[RedisProcess]:
    return RedisProcess(machine).running()


class TurnProcess(ServerProcess):
    """A coturn on a machine; started anew, it knows no allocation any more."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @property
    def section(self) -> str:
        """What stands in the beacon.toml of a beacon that gives credentials for it."""
        return f'[turn]\nservers = ["{self.machine.address}:{TURN_PORT}"]\nsecret = "{TURN_SECRET}"\n'

    def start(self) -> Self:
        address = self.machine.address
        self.process = subprocess.Popen(
            self.machine.command(
                *("turnserver", "-n", "--use-auth-secret", f"--static-auth-secret={TURN_SECRET}"),
                *(f"--listening-ip={address}", f"--relay-ip={address}", f"--listening-port={TURN_PORT}"),
                *("--realm=overlay", "--no-tls", "--no-dtls", "--no-cli"),
                *("--log-file=stdout", "--pidfile=/dev/null"),
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: _listens(self.machine, TURN_PORT), what="coturn listens")
        return self


def coturn(machine: Machine) -> contextlib.AbstractContextManager[TurnProcess]:
    return TurnProcess(machine).running()


def _listens(machine: Machine, port: int) -> bool:
    with machine.socket(socket.SOCK_STREAM) as sock:
        return sock.connect_ex((machine.address, port)) == 0
