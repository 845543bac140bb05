"""Everything that is measured, started on two hosts or on one, and ended by process id: servers, proxies, gateways, OpenSSH."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.hosts import Hosts

OVERLAY = str(Path(sys.executable).with_name("overlay"))
HERE = Path(__file__).parent
START_SECONDS = 30.0
SERVICE = "bench.alice.overlay"
PROC_TELLS = Path("/proc/self/stat").exists()
"""Whether this system tells the CPU time and memory of processes as Linux does."""


class Unavailable(Exception):
    """A way cannot be had or failed, in one line; its rows say so and the others go on."""


@dataclass(frozen=True)
class Way:
    """One way to the target: where a client connects, and the processes that carry it (both ends left out)."""

    place: str
    pids: tuple[int, ...] = ()
    socks: str = ""
    """The service to ask of the SOCKS5 proxy at `place`."""
    udp: str = ""
    dns: str = ""


class Processes:
    """Child processes, in sessions of their own so that Ctrl+C reaches only us; all ended in `close`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._running: list[subprocess.Popen[str]] = []
        kept = {key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY")}
        self.environment = {key: value for key, value in kept.items() if not key.startswith("OVERLAY_")}

    def start(
        self,
        name: str,
        *command: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        namespace: str = "",
    ) -> subprocess.Popen[str]:
        """Start one, in a network namespace if it is named; `ip` becomes the command, so that its id is the same."""
        if namespace:
            command = ("ip", "netns", "exec", namespace, *command)
        with (self.directory / f"{name}.log").open("a") as log:
            try:
                process = subprocess.Popen(
                    command, stdin=stdin, stdout=stdout, stderr=log, text=True,
                    env=self.environment, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise Unavailable(f"{name} cannot be started: {error}") from None
        self._running.append(process)
        return process

    def python(
        self, name: str, *arguments: str, stdin: int = subprocess.DEVNULL, namespace: str = ""
    ) -> subprocess.Popen[str]:
        """One of the scripts beside this one."""
        command = sys.executable, str(HERE / f"{name}.py"), *arguments
        return self.start(name, *command, stdin=stdin, namespace=namespace)

    def first_line(self, process: subprocess.Popen[str], name: str, seconds: float = START_SECONDS) -> str:
        """What it prints once it is ready."""
        stdout: IO[str] | None = process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(stdout or sys.stdin, selectors.EVENT_READ)
            line = stdout.readline() if stdout and selector.select(max(seconds, 0.1)) else ""
        if not line:
            said = (self.directory / f"{name}.log").read_text().strip().splitlines()
            raise Unavailable(f"{name}: {said[-1] if said else f'nothing came within {seconds:.0f} s'}")
        return line.strip()

    def end(self, process: subprocess.Popen[str]) -> None:
        """End one process; what does not end by itself is killed."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        if process in self._running:
            self._running.remove(process)

    def close(self) -> None:
        for process in reversed(self._running):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in reversed(self._running[:]):
            self.end(process)


class Gateway:
    """One `overlay up` with a home of its own."""

    def __init__(self, processes: Processes, name: str, home: Path, *flags: str, namespace: str = "") -> None:
        self.processes, self.name, self.home, self.flags = processes, name, home, flags
        self.namespace = namespace
        self.status: dict[str, Any] = {}

    def start(self) -> None:
        self.begin()
        self.look()

    def begin(self) -> None:
        """Until it is up."""
        flags = ["up", "--nickname", self.name, "--dht", "off", *self.flags]
        for door in ("proxy", "dns", "dashboard", "front-door", "https"):
            flags += [f"--{door}-port", "0"]
        command = OVERLAY, "--home", str(self.home), *flags
        self.process = self.processes.start(self.name, *command, namespace=self.namespace)
        self.processes.first_line(self.process, self.name)

    def look(self) -> None:
        self.status = self.json("status")

    def begin_json(self, *arguments: str) -> subprocess.Popen[str]:
        """A command whose output nobody reads."""
        command = OVERLAY, "--home", str(self.home), *arguments, "--json"
        return self.processes.start(f"{self.name}-command", *command, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self.processes.end(self.process)

    def run(self, *arguments: str) -> str:
        command = [OVERLAY, "--home", str(self.home), *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=START_SECONDS, check=False,
                env=self.processes.environment,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"overlay {arguments[0]}: {error}") from None
        if done.returncode:
            raise Unavailable(f"overlay {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def listens(self, door: str) -> str:
        return next(str(entry["addresses"][0]) for entry in self.status["listeners"] if entry["name"] == door)


NARROW = {"rtt": 0.04, "loss": 0.0, "rate": 5e6, "queue": 200_000, "mtu": 1472, "down": False}
LINKS = {"narrow": NARROW, "long": NARROW | {"rtt": 0.2, "rate": 100e6, "queue": 20_000_000}}
"""What lies between the gateways of a purpose from the first handshake on."""


class Link:
    """A path to a place that can be made long, narrow, lossy or broken while it is used: link.py."""

    def __init__(self, processes: Processes, place: str, settings: dict[str, float]) -> None:
        self._processes = processes
        self._process = processes.python("link", place, stdin=subprocess.PIPE)
        self.place = f"127.0.0.1:{processes.first_line(self._process, 'link')}"
        self.set(**settings)

    def set(self, **settings: float) -> dict[str, dict[str, int]]:
        """Change some of the settings of link.py from now on; what became of the datagrams until now."""
        stdin: IO[str] | None = self._process.stdin
        if stdin is not None:
            print(json.dumps(settings), file=stdin, flush=True)
        became: dict[str, dict[str, int]] = json.loads(self._processes.first_line(self._process, "link"))
        return became


class Pair:
    """alice, who exposes the target, and bob, who has joined her, or knows her at the other end of a link only."""

    def __init__(
        self,
        processes: Processes,
        hosts: Hosts,
        home: Path,
        engine: str,
        port: int,
        link: dict[str, float] | None = None,
        beacon: str = "",
    ) -> None:
        """`beacon` is the URL of the only one that they may meet by."""
        flags: tuple[str, ...] = "--quic-engine", engine, "--bind"
        if beacon:
            flags = "--beacon", beacon, *flags
            for name in ("alice", "bob"):
                (home / name).mkdir(0o700)
                (home / name / "gateway.toml").write_text('[tunnels]\npath_policy = "relay-only"\n')
        # On one machine her own listeners would take the addresses that bob's gateway gives the same names.
        self.alice = Gateway(
            processes,
            "alice",
            home / "alice",
            *flags,
            hosts.alice,
            "--no-loopback",
            namespace=hosts.namespace,
        )
        self.bob = Gateway(processes, "bob", home / "bob", *flags, hosts.bob)
        alice, bob = self.alice, self.bob
        self.start()
        alice.run("contacts", "add", "bob", bob.status["endpoint_id"])
        alice.run("expose", "bench", f"{hosts.alice}:{port}/tcp+udp", "--allow", "bob")
        self.link = Link(processes, alice.listens("tunnels"), link) if link else None
        if self.link is None:
            bob.run("join", alice.json("ticket")["ticket"], "--name", "alice")
        else:
            bob.run("contacts", "add", "alice", alice.status["endpoint_id"], "--address", self.link.place)
        self.port = port
        deadline = time.monotonic() + START_SECONDS
        while len((resolved := bob.json("resolve", SERVICE.removesuffix(".overlay")))["offers"]) < 2:
            if time.monotonic() > deadline:
                raise Unavailable("bob's gateway does not offer the service")
        self.offers = {
            entry["protocol"]: f"{resolved['ip']}:{entry['offered']}" for entry in resolved["offers"]
        }

    def start(self) -> None:
        self.alice.start()
        self.bob.start()

    def restart(self) -> None:
        """Both gateways anew: they know each other and are not connected."""
        self.bob.stop()
        self.alice.stop()
        self.start()

    def way(self, *, socks: bool) -> Way:
        pids = self.bob.status["pid"], self.alice.status["pid"]
        dns = self.bob.listens("dns")
        if socks:
            return Way(self.bob.listens("proxy"), pids, f"{SERVICE}:{self.port}", dns=dns)
        return Way(self.offers["tcp"], pids, udp=self.offers["udp"], dns=dns)


class Ssh:
    """An sshd of our own and its client, with keys made for the occasion."""

    def __init__(self, processes: Processes, hosts: Hosts, directory: Path, port: int) -> None:
        search = f"{os.environ.get('PATH', '')}:/usr/sbin"
        tools = {name: shutil.which(name, path=search) or "" for name in ("ssh", "sshd", "ssh-keygen")}
        if missing := [name for name, path in tools.items() if not path]:
            raise Unavailable(f"{' and '.join(missing)} not installed")
        self.processes, self.directory, self.target, self.ssh = processes, directory, port, tools["ssh"]
        self.server = hosts.alice
        for name in ("host", "user"):
            keygen = [tools["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
            if subprocess.run(keygen, check=False, capture_output=True).returncode:
                raise Unavailable("ssh-keygen failed")
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):  # sshd as root insists on it, and says so if it is not there
                Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.port = free_port()
        (directory / "config").write_text(
            f"Port {self.port}\nListenAddress {self.server}\nHostKey {directory}/host\n"
            f"AuthorizedKeysFile {directory}/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nAllowTcpForwarding yes\n"
        )
        command = tools["sshd"], "-D", "-e", "-f", str(directory / "config")
        self.sshd = processes.start("sshd", *command, namespace=hosts.namespace)
        wait_for(self.server, self.port, self.sshd, "sshd")

    def forward(self) -> tuple[subprocess.Popen[str], Way]:
        """`ssh -L` to the target, as soon as it listens."""
        port = free_port()
        options = [
            "IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes",
            "LogLevel=ERROR", "ExitOnForwardFailure=yes",
        ]  # fmt: skip
        command = [self.ssh, "-F", "none", "-N", "-i", str(self.directory / "user")]
        command += [part for option in options for part in ("-o", option)]
        command += ["-L", f"127.0.0.1:{port}:{self.server}:{self.target}", "-p", str(self.port)]
        user = pwd.getpwuid(os.geteuid()).pw_name
        process = self.processes.start("ssh", *command, f"{user}@{self.server}")
        wait_for("127.0.0.1", port, process, "ssh -L")
        pids = (process.pid, self.sshd.pid, *descendants(self.sshd.pid))
        return process, Way(f"127.0.0.1:{port}", pids)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(ip: str, port: int, process: subprocess.Popen[str], name: str) -> None:
    """Until the process listens at its port."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((ip, port)) == 0:
                return
        time.sleep(0.005)
    raise Unavailable(f"{name} did not start")


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and theirs, where /proc tells."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [grandchild for child in found for grandchild in descendants(child)]


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """CPU time the processes have used."""
    ticks = 0
    for pid in pids:
        fields = _proc(pid, "stat").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pids: tuple[int, ...]) -> int:
    """Memory the processes hold in RAM; pages they share are counted in each."""
    return sum(int(_proc(pid, "statm").split()[1]) for pid in pids) * os.sysconf("SC_PAGESIZE")


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        raise Unavailable("/proc does not tell") from None
