"""Real gateways: `overlay up` as processes of their own, each with its home, ended even when a test fails."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.control.client import ControlClient
from gateway.control.contacts import AddContactRequest
from gateway.control.tickets import JoinRequest, TicketRequest
from gateway.home import Home
from tests.lab import warm
from tests.lab.warm import OVERLAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.lab.netns import Namespace

START_SECONDS = 30


class GatewayFailed(AssertionError):
    """A gateway or one of its commands did not do what the test needs; the text is what it said."""


class GatewayProcess:
    """One gateway: started at once, stopped by `stop`; commands are run against its home."""

    def __init__(
        self,
        home: Path,
        *flags: str,
        nickname: str,
        bind: tuple[str, ...] = ("127.0.0.1",),
        namespace: Namespace | None = None,
        config: str = "",
        program: Sequence[str] = (OVERLAY,),
        **ports: int,
    ) -> None:
        """`program` runs the gateway itself: see `tests.lab.altered`."""
        self.home, self.nickname, self.namespace = home, nickname, namespace
        home.mkdir(parents=True, exist_ok=True)
        if config:
            (home / "gateway.toml").write_text(config)
        self._program = program
        self._flags = ["up", "--nickname", nickname, *flags]
        if "--dht" not in flags:
            self._flags += ["--dht", "off"]  # no test asks the Internet
        for ip in bind:
            self._flags += ["--bind", ip]
        for door in ("proxy", "dns", "dashboard", "front-door", "https"):
            self._flags += [f"--{door}-port", str(ports.get(door, 0))]
        self.process: warm.WarmProcess | subprocess.Popen[str] | None = None
        self._is_asked_to_stop = False
        self.status: dict[str, Any] = {}

    def start(self) -> GatewayProcess:
        self.begin()
        return self.wait_for_start()

    def begin(self) -> None:
        """Start it without waiting: several get ready at once."""
        self._is_asked_to_stop = False
        self._output = (self.home / "output.txt").open("a+")
        self.process = warm.start(
            self._command(*self._flags, program=self._program),
            stdout=subprocess.PIPE,
            stderr=self._output,
            env=clean_environment(),
        )

    def wait_for_start(self) -> GatewayProcess:
        """Until it listens, once begun."""
        assert self.process is not None
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(START_SECONDS) or not self.process.stdout.readline():
                self.kill()
                raise GatewayFailed(f"{self.nickname} did not start: {self.said()}")
        self.status = self.json("status")
        return self

    def _command(self, *arguments: str, program: Sequence[str] = (OVERLAY,)) -> list[str]:
        command = [*program, "--home", str(self.home), *arguments]
        return self.namespace.command(*command) if self.namespace else command

    def command(self, *arguments: str) -> list[str]:
        """`overlay …` on this gateway's home, for who runs it himself."""
        return self._command(*arguments)

    def run(
        self, *arguments: str, check: bool = True, timeout: float = 30
    ) -> subprocess.CompletedProcess[str]:
        """Run `overlay …` on this gateway's home."""
        done = warm.run(self._command(*arguments), timeout=timeout, env=clean_environment())
        if check and done.returncode:
            raise GatewayFailed(
                f"overlay {' '.join(arguments)} → {done.returncode}: {done.stderr}{done.stdout}"
            )
        return done

    @contextlib.contextmanager
    def saying(self, *arguments: str) -> Iterator[Iterator[str]]:
        """The lines that `overlay …` prints, each as soon as it does; it must succeed."""
        with warm.start(
            self._command(*arguments),
            stdout=subprocess.PIPE,
            env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
        ) as process:
            assert process.stdout is not None
            try:
                yield iter(process.stdout)
                code = process.wait(30)
            finally:
                process.kill()
        if code:
            raise GatewayFailed(f"overlay {' '.join(arguments)} → {code}")

    @property
    def control(self) -> ControlClient:
        """What commands ask it through, for what is only a step to what a test is about: a command takes its time to start."""
        return ControlClient(Home(self.home))

    def json(self, *arguments: str) -> Any:
        """What `overlay … --json` says; of the status as the command would ask for it, without starting one each time."""
        if arguments == ("status",):
            return json.loads(msgspec.json.encode(self.control.status()))
        return json.loads(self.run(*arguments, "--json").stdout)

    def resolved(self, name: str) -> Any:
        """What `overlay resolve` says of a service, once it is seen: what its owner told before is kept for a while."""

        def seen() -> Any:
            done = self.run("resolve", name, "--json", check=False)
            answer = json.loads(done.stdout) if done.returncode == 0 else {}
            return answer if answer.get("offers") else None

        return wait_until(seen, what=f"{self.nickname} sees {name}")

    def said(self) -> str:
        """What it wrote to stderr."""
        return (self.home / "output.txt").read_text()

    def listens(self, door: str) -> str:
        """`ip:port` of the proxy, dns, dashboard or tunnels."""
        return next(entry["addresses"][0] for entry in self.status["listeners"] if entry["name"] == door)

    def port(self, door: str) -> int:
        return int(self.listens(door).rpartition(":")[2])

    @property
    def id(self) -> str:
        return self.status["endpoint_id"]

    @property
    def memory(self) -> int:
        """Resident bytes of the process."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self._daemon_pid()}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self._daemon_pid()}/fd").iterdir()))

    def _daemon_pid(self) -> int:
        return self.status["pid"]

    def signal(self, number: int) -> None:
        os.kill(self._daemon_pid(), number)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, KeyError):
                os.kill(self._daemon_pid(), 9)
            self.process.kill()
        self._wait()

    def ask_to_stop(self) -> None:
        """As a person would, without waiting."""
        if self.process is not None and self.process.poll() is None and not self._is_asked_to_stop:
            self._is_asked_to_stop = True
            self.process.terminate()

    def stop(self) -> None:
        """Stop it as a person would; what it says on the way out is checked."""
        if self.process is None:
            return
        self.ask_to_stop()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise GatewayFailed(f"{self.nickname} did not stop: {self.said()}") from None
        self._wait()
        if "Traceback" in self.said():
            raise GatewayFailed(f"{self.nickname} said: {self.said()}")

    def _wait(self) -> None:
        if self.process is not None:
            self.process.wait(20)
            if self.process.stdout is not None:
                self.process.stdout.close()
            self._output.close()
        self.process = None


def clean_environment() -> dict[str, str]:
    """Ours without anything that would configure a gateway or a client behind the test's back."""
    kept = {key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY")}
    return {key: value for key, value in kept.items() if not key.startswith(("OVERLAY_", "COV_"))}


@contextlib.contextmanager
def gateway(home: Path, *flags: str, nickname: str, **options: Any) -> Iterator[GatewayProcess]:
    with running(GatewayProcess(home, *flags, nickname=nickname, **options)) as (started,):
        yield started


@contextlib.contextmanager
def running(*gateways: GatewayProcess) -> Iterator[tuple[GatewayProcess, ...]]:
    """All of them, started and in the end stopped at once; each must stop well."""
    try:
        for each in gateways:
            each.begin()
        for each in gateways:
            each.wait_for_start()
        yield gateways
        for each in gateways:
            each.ask_to_stop()
        for each in gateways:
            each.stop()
    finally:
        for each in gateways:
            each.kill()


def introduce(alice: GatewayProcess, bob: GatewayProcess, offer: Callable[[], object] = lambda: None) -> None:
    """Bob joins with alice's ticket; alice knows bob by his id. What she is to `offer` him is there before he asks for it the
    first time: he keeps the answer for a while."""
    alice.control.add_contact(AddContactRequest(petname="bob", id_or_ticket=bob.id))
    offer()
    ticket = alice.control.ticket(TicketRequest()).ticket
    bob.control.join(JoinRequest(ticket=ticket, petname="alice"))


def wait_until(condition: Any, seconds: float = 10.0, what: str = "") -> Any:
    """Poll a condition of another process until it holds; there is no event of ours to wait for."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what or condition}")
        time.sleep(0.02)
    return value


def free_port() -> int:
    """A UDP port of loopback that nobody has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
