"""Alice and bob as real gateways in networks of their own, who know each other and a beacon; bob downloads from alice."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any, Literal

from gateway.config.settings import ServiceSettings
from gateway.control.services import ExposeRequest
from tests.lab.beacons_real import BeaconProcess, beacon
from tests.lab.gateways import GatewayProcess, clean_environment, introduce, running, wait_until
from tests.lab.internet import an_internet
from tests.lab.transfers import MEGABYTE, Source, Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.lab.internet import Internet
    from tests.lab.networks import Home, Machine, Nat

Kind = Literal["LAN", "direct", "TCP", "TURN", "peer relay", "relay", "none"]
Side = Literal["alice", "bob"]
_VIA = re.compile(r"\bvia (?:((?:peer )?relay) (\S+)|(\S+) \((LAN|direct|TCP|TURN)\b[^)]*\))")
DELAY = 0.01
"""Seconds that a packet takes from any machine to any other: a round trip of 20 ms directly, 40 ms by a relay."""


def path_in(line: str) -> tuple[Kind, str] | None:
    """The kind and the place in a line of `overlay ping`: `via relay eu1.example`, `via 192.0.2.1:7 (direct)`."""
    found = _VIA.search(line)
    return None if found is None else ((found[1] or found[4]), (found[2] or found[3]))  # type: ignore[return-value]


def _put_on(
    machine: Machine, home: Path, *flags: str, nickname: str, beacons: Sequence[str] = (), **options: Any
) -> GatewayProcess:
    urls = [word for url in beacons for word in ("--beacon", url)]
    return GatewayProcess(home, *urls, *flags, nickname=nickname, namespace=machine, bind=(), **options)


@contextlib.contextmanager
def put_on(machine: Machine, home: Path, *flags: str, **options: Any) -> Iterator[GatewayProcess]:
    """A gateway on that machine, listening for tunnels on all its addresses."""
    with running(_put_on(machine, home, *flags, **options)) as (started,):
        yield started


def home_of(gateway: GatewayProcess) -> str:
    """The URL of the beacon where the gateway is at home, without the id; empty if it is at none."""
    for each in gateway.json("status")["beacons"]:
        if each["home"] and each["state"] == "connected":
            return each["url"].partition("#")[0]
    return ""


class Meeting:
    """Alice, who offers `web`, and bob, who may use it."""

    def __init__(self, internet: Internet, place: Path, stack: contextlib.ExitStack) -> None:
        self.internet, self.place, self._stack = internet, place, stack
        self.beacons: list[BeaconProcess] = []
        self.alice: GatewayProcess
        self.bob: GatewayProcess
        self.source: Source

    def start(
        self,
        alice: Machine,
        bob: Machine,
        *,
        alice_beacons: Sequence[str] | None = None,
        bob_beacons: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        """Start both gateways and the service; beacons are those in `beacons` unless told otherwise."""
        urls = [each.url for each in self.beacons]
        both = [
            _put_on(
                machine, self.place / name, nickname=name, beacons=urls if own is None else own, **options
            )
            for name, machine, own in (("alice", alice, alice_beacons), ("bob", bob, bob_beacons))
        ]
        self.alice, self.bob = self._stack.enter_context(running(*both))
        if alice_beacons or bob_beacons or urls:  # a ticket that is made too early tells of no home
            for each in (self.alice, self.bob):
                wait_until(lambda each=each: home_of(each), what=f"{each.nickname} is at home at a beacon")
        self.source = Source(alice)
        self._stack.callback(self.source.close)
        settings = ServiceSettings(target=f"127.0.0.1:{self.source.port}", allow=("bob",))
        web = ExposeRequest(name="web", settings=settings)
        introduce(self.alice, self.bob, lambda: self.alice.control.expose(web))

    def restart_bob(self) -> None:
        """Bob has no tunnel, and is at home again where he was."""
        was_home = home_of(self.bob)
        self.bob.stop()
        self.bob.start()
        if was_home:
            wait_until(lambda: home_of(self.bob), what="bob is at home at a beacon")

    def add_beacon(self, machine: Machine, sections: str = "") -> BeaconProcess:
        started = beacon(self.place / machine.label, machine, sections=sections)
        self.beacons.append(self._stack.enter_context(started))
        return self.beacons[-1]

    def download(self, target: str) -> Transfer:
        """Bob begins to download from alice's web service."""
        transfer = Transfer(self.bob, f"http://web.alice.overlay/{target}")
        self._stack.callback(transfer.close)
        return transfer

    def first_byte(self, most: float = 30.0) -> float:
        """Bob asks for a page; the seconds until its first byte, as curl measures them."""
        done = subprocess.run(
            self.bob.namespace.command(
                *("curl", "-sS", "--max-time", str(most), "-o", "-", "-w", "\n%{time_starttransfer}"),
                *("--proxy", f"socks5h://{self.bob.listens('proxy')}", "http://web.alice.overlay/"),
            ),
            capture_output=True,
            text=True,
            timeout=most + 10,
            check=False,
            env=clean_environment(),
        )
        assert done.returncode == 0, done.stderr + self.bob.said()[-3000:]
        page, _, seconds = done.stdout.rpartition("\n")
        assert page.encode() == Source.HELLO
        return float(seconds)

    def path(self, whose: Side = "bob") -> tuple[Kind, str]:
        """How and where bob's data goes to alice now, or alice's to bob; ("none", "") if no tunnel is up."""
        gateway, to = (self.bob, "alice") if whose == "bob" else (self.alice, "bob")
        for tunnel in gateway.json("status")["tunnels"]:
            if tunnel["petname"] == to:
                return tunnel["path"], tunnel["address"].removeprefix("relay ")
        return "none", ""

    def wait_for_path(self, *kinds: Kind, seconds: float = 15.0, whose: Side = "bob") -> float:
        """Until that side sends so to the other; the seconds it took."""
        begun = time.monotonic()
        last: list[tuple[Kind, str]] = []
        while not last or last[-1][0] not in kinds:
            last.append(self.path(whose))
            spent = time.monotonic() - begun
            time.sleep(0.02)
            assert spent < seconds, f"the path is not {' or '.join(kinds)}: {last}\n{self.explained()}"
        return time.monotonic() - begun

    def explained(self) -> str:
        """What `overlay ping --explain` says of the paths to alice."""
        return self.bob.run("ping", "alice", "--explain", "--count", "1", check=False).stdout


@contextlib.contextmanager
def a_meeting(place: Path, *, delay: float = DELAY) -> Iterator[Meeting]:
    """An internet with nobody in it yet."""
    with contextlib.ExitStack() as stack:
        internet = stack.enter_context(an_internet(delay))
        yield Meeting(internet, place, stack)


@contextlib.contextmanager
def two_homes(
    place: Path, *, nat: Nat = "port-restricted", beacons: int = 1, delay: float = DELAY
) -> Iterator[tuple[Meeting, Home, Home]]:
    """Alice and bob in homes with such NATs, and so many beacons that know nothing of each other."""
    with a_meeting(place, delay=delay) as meeting:
        for number in range(beacons):
            meeting.add_beacon(meeting.internet.server(f"beacon{number}"))
        homes = meeting.internet.home("alice", nat), meeting.internet.home("bob", nat)
        meeting.start(*(home.host("laptop") for home in homes))
        yield meeting, *homes


STEADY = "steady?rate=8000000"
MOST_SECONDS = 10.0
"""The longest silence that any event may cause; what is aimed at is written beside each figure."""


@contextlib.contextmanager
def steady_download(meeting: Meeting, *kinds: Kind) -> Iterator[Transfer]:
    """Bob downloads 8 MB a second, on such a path; afterwards the download flows again, ends, and has lost nothing."""
    transfer = meeting.download(STEADY)
    transfer.wait_for(MEGABYTE, 20)
    meeting.wait_for_path(*kinds)
    transfer.wait_for(MEGABYTE, 20)
    transfer.mark()
    yield transfer
    settled = time.monotonic() + 2.0  # what was under way has come, and what the event does is felt
    wait_until(lambda: time.monotonic() > settled, 5)
    transfer.wait_for(4 * MEGABYTE, MOST_SECONDS + 5)
    meeting.source.end()
    transfer.finish(meeting.source)
