"""`make soak`: a week in miniature. Two real gateways connect, transfer, roam, lose their beacon and idle, round after round;
in the end their memory, descriptors, tasks and threads must be where they began.

As root the gateways live in homes of their own, network namespaces behind NATs, with a beacon between them; otherwise, or
with --loopback, both are on 127.0.0.1, and nothing roams. Tells how it goes on stderr, prints a table, and writes soak.json.
The exit code is 1 if something grew, or anything that was sent did not come back.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import struct
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.config.settings import ServiceSettings
from gateway.control.names import PingRequest
from gateway.control.services import ExposeRequest
from tests.lab.echoes import Tunnel, echo
from tests.lab.gateways import GatewayProcess, introduce, running, wait_until
from tests.lab.meetings import two_homes
from tests.lab.netns import Namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

MEGABYTE: Final = 1 << 20
WARM_UP: Final = 2
WARM_UP_PART: Final = 0.2
"""Rounds, and the part of the time, before the beginning is measured: code is loaded, pools of threads are filled, traces, caches
and pools of memory grow to their bounds. Between homes that takes some 25 rounds and 7 MB, the most of it at first."""
QUIET_SECONDS: Final = 30.0
"""For what a round opened to be gone: the slowest is a connection that was reset, and told so by a probe."""
ECHO_PORT: Final = 9001

ALLOWED: Final = {
    "descriptors": 3,  # a database opens a file beside it for a moment, and a beacon is being connected
    "tasks": 6,  # a round of probing, a save and a connection to a beacon each are some, and they come and go
    "threads": 2,  # the pool for file work grows by one now and then, up to cores + 4
}
"""By how much each may be more in the end than in the beginning, in numbers."""
RSS_ALLOWED: Final = 8 * MEGABYTE
"""The same in bytes: freed memory is given back only where whole pages are free, so that rounds differ by some megabytes."""
RSS_ALLOWED_PART: Final = 0.05
"""Or this part of what it was, if that is more."""


class Figures(NamedTuple):
    """What a gateway uses when nothing goes on."""

    rss: int
    descriptors: int
    tasks: int
    threads: int


@dataclass(frozen=True)
class Sample:
    """Both gateways after a round."""

    seconds: float
    alice: Figures
    bob: Figures


@dataclass(frozen=True)
class Verdict:
    """One figure of one gateway."""

    gateway: str
    what: str
    began: int
    ended: int
    allowed: int

    @property
    def is_well(self) -> bool:
        return self.ended - self.began <= self.allowed


def judge(samples: Sequence[Sample]) -> list[Verdict]:
    """The beginning, which is the best of the first samples after the warm-up, against the best of the last ones.

    The best, because each figure is never less than what is held for good, and often more for a moment.
    """
    whole = samples[-1].seconds
    kept = [each for each in samples[WARM_UP:] if each.seconds >= whole * WARM_UP_PART] or samples
    some = max(1, len(kept) // 4)
    verdicts = []
    for gateway in ("alice", "bob"):
        first = [getattr(sample, gateway) for sample in kept[:some]]
        last = [getattr(sample, gateway) for sample in kept[-some:]]
        for what in Figures._fields:
            began = min(getattr(figures, what) for figures in first)
            ended = min(getattr(figures, what) for figures in last)
            allowed = ALLOWED.get(what) or max(RSS_ALLOWED, int(began * RSS_ALLOWED_PART))
            verdicts.append(Verdict(gateway, what, began, ended, allowed))
    return verdicts


class World:
    """Two gateways that know each other, and what can be done to them."""

    def __init__(self, alice: GatewayProcess, bob: GatewayProcess, port: int) -> None:
        self.alice, self.bob, self._echo = alice, bob, port
        self.connections = self.moved = 0
        self.events: list[Callable[[], None]] = []
        """What happens to the networks, one in each round."""
        settings = ServiceSettings(
            target=f"127.0.0.1:{port}", port=ECHO_PORT, protocols=("tcp", "udp"), allow=("bob",)
        )
        alice.control.expose(ExposeRequest(name="echo", settings=settings))

    def on_bobs(self) -> AbstractContextManager[None]:
        return self.bob.namespace.entered() if self.bob.namespace is not None else contextlib.nullcontext()

    def tunnel(self) -> Tunnel:
        self.connections += 1
        with self.on_bobs():
            return Tunnel(self.bob, "echo.alice.overlay", ECHO_PORT, seconds=30)

    # --- what a round does ------------------------------------------------------------------------------

    def round(self, number: int) -> None:
        """Some of everything."""
        self.connect(40)
        self.transfer(8 * MEGABYTE)
        self.datagrams(4, 10)
        if self.events:
            steady = self.tunnel()
            self.events[number % len(self.events)]()
            self._says_back(steady, os.urandom(MEGABYTE))
            steady.close()
        self.connect(10)
        self.alice.control.status()
        self.bob.control.ping(PingRequest(name="alice"))

    def connect(self, count: int) -> None:
        """Connections that are used and closed, and some that are reset."""
        tunnels = [self.tunnel() for _ in range(count)]
        for tunnel in tunnels:
            self._says_back(tunnel, b"x" * 1000)
        for number, tunnel in enumerate(tunnels):
            if number % 4 == 0:
                tunnel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            tunnel.close()

    def transfer(self, size: int) -> None:
        """There and back, and once more to be given up in the middle."""
        tunnel, piece = self.tunnel(), os.urandom(MEGABYTE)
        for _ in range(size // len(piece)):
            self._says_back(tunnel, piece)
        tunnel.close()
        tunnel = self.tunnel()
        tunnel.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):
                tunnel.socket.send(piece)
        tunnel.close()

    def datagrams(self, associations: int, each: int) -> None:
        """UDP flows by SOCKS5, with small datagrams and some that take a stream."""
        name = b"echo.alice.overlay"
        header = b"\0\0\0\3" + bytes([len(name)]) + name + ECHO_PORT.to_bytes(2)
        for _ in range(associations):
            with self.on_bobs():
                control = socket.create_connection(("127.0.0.1", self.bob.port("proxy")), 20)
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with control, client:
                control.sendall(b"\5\1\0" + b"\5\3\0\1\0\0\0\0\0\0")
                reply = b""
                while len(reply) < 12:
                    reply += control.recv(12 - len(reply))
                place = str(IPv4Address(reply[6:10])), int.from_bytes(reply[10:12])
                client.settimeout(0.5)
                for number in range(each):
                    self._ask(client, header + os.urandom(5000 if number % 5 == 0 else 200), place)

    def _ask(self, client: socket.socket, data: bytes, place: tuple[str, int]) -> None:
        """UDP may lose a datagram: ask until it comes back."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            client.sendto(data, place)
            with contextlib.suppress(TimeoutError):
                while True:
                    if client.recv(65536)[-200:] == data[-200:]:
                        self.moved += 2 * len(data)
                        return
        raise AssertionError("a datagram was sent for 20 s, and never came back")

    def _says_back(self, tunnel: Tunnel, data: bytes) -> None:
        if not tunnel.says_back(data):
            raise AssertionError("what was sent did not come back")
        self.moved += 2 * len(data)

    # --- what is measured -------------------------------------------------------------------------------

    def is_quiet(self) -> bool:
        live = [gateway.control.live() for gateway in (self.alice, self.bob)]
        return not any(each.streams or each.flows for each in live)

    def sample(self, began: float) -> Sample:
        wait_until(self.is_quiet, QUIET_SECONDS, "no stream and no flow is left")
        time.sleep(1.0)  # what is told of a moment later, and written
        return Sample(time.monotonic() - began, _figures(self.alice), _figures(self.bob))


def _figures(gateway: GatewayProcess) -> Figures:
    use = gateway.control.live().process
    assert use.rss is not None
    assert use.descriptors is not None
    return Figures(use.rss, use.descriptors, use.tasks, use.threads)


@contextlib.contextmanager
def on_loopback(place: Path) -> Iterator[World]:
    """Both on 127.0.0.1; what happens is that bob's tunnel is forgotten, because he restarts it."""
    alice, bob = (GatewayProcess(place / name, nickname=name) for name in ("alice", "bob"))
    with echo() as port, running(alice, bob):
        introduce(alice, bob)
        yield World(alice, bob, port)


@contextlib.contextmanager
def in_homes(place: Path) -> Iterator[World]:
    """Each in a home behind a NAT, and a beacon on the internet."""
    with two_homes(place) as (meeting, alice_home, bob_home), contextlib.ExitStack() as stack:
        machine = meeting.alice.namespace
        assert isinstance(machine, Namespace)
        with machine.entered():
            port = stack.enter_context(echo())
        world = World(meeting.alice, meeting.bob, port)

        def restart_beacon() -> None:
            (beacon,) = meeting.beacons
            beacon.kill()
            beacon.start()

        bobs = meeting.bob.namespace
        world.events = [
            lambda: bob_home.change_address(bobs),  # type: ignore[arg-type]
            restart_beacon,
            alice_home.flush_mapping,
            lambda: time.sleep(5),
        ]
        yield world


def soak(world: World, minutes: float, say: Callable[[str], None]) -> list[Sample]:
    """Rounds for so long, and what both gateways used after each."""
    began, samples = time.monotonic(), []
    while not samples or len(samples) <= WARM_UP or time.monotonic() - began < minutes * 60:
        world.round(len(samples))
        samples.append(world.sample(began))
        last = samples[-1]
        say(
            f"round {len(samples)}, {last.seconds:.0f} s, {world.connections} connections, {world.moved / 1e6:.0f} MB: "
            + "; ".join(f"{name} {_said(getattr(last, name))}" for name in ("alice", "bob"))
        )
    return samples


def _said(figures: Figures) -> str:
    return (
        f"{figures.rss / 1e6:.1f} MB, {figures.descriptors} descriptors, {figures.tasks} tasks, "
        f"{figures.threads} threads"
    )


def table(verdicts: Sequence[Verdict]) -> str:
    """For people."""
    lines = ["| gateway | what | began | ended | may grow by | |", "|---|---|---|---|---|---|"]
    for each in verdicts:
        unit = (lambda number: f"{number / 1e6:.1f} MB") if each.what == "rss" else str
        lines.append(
            f"| {each.gateway} | {each.what} | {unit(each.began)} | {unit(each.ended)} | {unit(each.allowed)} | "
            f"{'ok' if each.is_well else 'GREW'} |"
        )
    return "\n".join(lines)


def main() -> int:
    options = _options()
    place = on_loopback if options.loopback or os.geteuid() else in_homes
    with tempfile.TemporaryDirectory(prefix="overlay-soak-") as directory:
        with place(Path(directory)) as world:
            samples = soak(world, options.minutes, lambda text: print(text, file=sys.stderr, flush=True))
    verdicts = judge(samples)
    print(table(verdicts))
    last = samples[-1]
    print(
        f"\n{len(samples)} rounds in {last.seconds / 60:.1f} minutes, {world.connections} connections and "
        f"{world.moved / 1e6:.0f} MB, {'in homes' if place is in_homes else 'on loopback'}; "
        f"the first {max(WARM_UP, int(WARM_UP_PART * len(samples)))} rounds are the warm-up."
    )
    result = {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "where": "homes" if place is in_homes else "loopback",
        "connections": world.connections,
        "bytes": world.moved,
        "verdicts": [asdict(each) | {"ok": each.is_well} for each in verdicts],
        "samples": [
            {"seconds": each.seconds, "alice": each.alice._asdict(), "bob": each.bob._asdict()}
            for each in samples
        ],
    }
    options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if all(each.is_well for each in verdicts) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    parser.add_argument("--loopback", action="store_true", help="without network namespaces")
    parser.add_argument("--json", type=Path, default=Path("soak.json"), help="where figures go (soak.json)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
