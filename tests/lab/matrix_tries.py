"""One pair of kinds, measured: real gateways in homes that have never been used, an internet and a beacon of its own.

    for tried in measure(place, ("port-restricted", "symmetric-random"), Terms(tries=3)):
        print(tried.direct)

What both gateways know beforehand is the other's name, and of the one that is called where it is at home; each has measured
its network, as it does after a start anyway. The clock starts when the request is sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import math
import secrets
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from gateway.control.client import ControlClient
from gateway.control.contacts import AddContactRequest
from gateway.control.netcheck import NetcheckRequest
from gateway.control.tickets import TicketRequest
from gateway.errors import GatewayError
from gateway.home import Home
from tests.lab.beacons_real import beacon
from tests.lab.gateways import GatewayProcess, wait_until
from tests.lab.internet import an_internet_of_links
from tests.lab.kinds import KINDS, MORE_KINDS
from tests.lab.matrix_pairs import MAPPED, is_feasible
from tests.lab.matrix_results import DIRECT_WORDS, Side, Try
from tests.lab.transfers import Source
from tunnels.identity import SecretKey
from tunnels.keyfile import save_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.lab.internet import Internet
    from tests.lab.kinds import Kind
    from tests.lab.matrix_pairs import Pair

ALL_KINDS = KINDS | MORE_KINDS
LOOK_SECONDS = 0.01
"""Between two looks at both gateways; the times themselves are told by the gateways and are more exact."""
HOST = "web.alice.overlay"
PAGE_BYTES = 256 * 1024
REQUEST_SECONDS = 20.0
MAPPING_SECONDS = 15.0
MEASURED_LATELY = 600.0
ADDRESSES_SKIPPED = 100
"""At most, of the 240 that an internet has; a try needs four of them at most."""


@dataclass(frozen=True)
class Terms:
    """How a pair is measured."""

    tries: int = 3
    delay: float = 0.02
    """Seconds on the link of each home and of the beacon: a packet from home to home crosses two links."""
    loss: float = 0.0
    """The share of 1 of packets that each of these links loses."""
    give_up: float = 60.0
    """Seconds after which a path that is feasible counts as not direct."""
    give_up_infeasible: float = 5.0

    def patience(self, pair: Pair) -> float:
        return self.give_up if is_feasible(*pair) else self.give_up_infeasible


class Party:
    """One of the two gateways: its machine in a home of its kind, started and asked by way of its control socket."""

    def __init__(self, kind: Kind, place: Path, nickname: str) -> None:
        self.kind, self.place, self.nickname = kind, place, nickname
        self.network = ""
        self.direct_at: float | None = None
        self.counted: dict[str, int] = {}
        self.decisions: tuple[str, ...] = ()
        self.path, self.address = "none", ""

    def settle(self, internet: Internet, name: str) -> None:
        """In a home that nobody was in before."""
        self.place.mkdir(parents=True)
        self.machine = self.kind.build(internet, name, self.place)

    def prepare(self, key: SecretKey, config: str, url: str) -> None:
        """The gateway as a person set it up, before its first start."""
        home = self.place / "gateway"
        self.gateway = GatewayProcess(
            home,
            *("--beacon", url),
            nickname=self.nickname,
            namespace=self.machine,
            bind=(),
            config=config,
        )
        home.chmod(0o700)
        save_key(home / "identity.key", key)
        self.control = ControlClient(Home(home))

    def start(self) -> None:
        """Until it is at home at the beacon."""
        self.gateway.start()
        wait_until(self._is_at_home, what=f"{self.nickname} is at home at the beacon")

    def _is_at_home(self) -> bool:
        return any(each.home and each.state == "connected" for each in self.control.status().beacons)

    def stop(self) -> None:
        """As a person stops it; what it says on the way out is checked."""
        self.gateway.stop()

    def measure_network(self) -> None:
        """Let the gateway know its network, and have its port mapping where the router gives one."""
        try:
            report = self.control.netcheck(NetcheckRequest(max_age=MEASURED_LATELY))
        except GatewayError as error:
            self.network = str(error)
        else:
            ipv4 = report.ipv4
            self.network = (
                "UDP blocked" if report.udp_blocked else f"{ipv4.mapping}/{ipv4.filtering}/{ipv4.allocation}"
            )
        if self.kind.name in MAPPED:
            wait_until(
                self._has_mapping, MAPPING_SECONDS, f"the router of {self.nickname} maps a port that works"
            )

    def _has_mapping(self) -> bool:
        mapping = self.control.status().port_mapping
        return mapping is not None and mapping.state == "verified"

    def look(self, peer: str) -> bool:
        """Whether it sends directly to that peer now; since when is kept in `direct_at`."""
        before = time.monotonic()
        tunnels = self.control.status().tunnels
        now = (before + time.monotonic()) / 2
        found = next((each for each in tunnels if each.petname == peer), None)
        was_direct = self.path in DIRECT_WORDS
        self.path, self.address = ("none", "") if found is None else (found.path, found.address)
        if self.path not in DIRECT_WORDS:
            self.direct_at = None
            return False
        if not was_direct:
            assert found is not None
            self.direct_at = now - (found.path_seconds or 0.0)
        return True

    def start_counting(self) -> None:
        """What the router counted until now has nothing to do with the meeting."""
        self._before = self._counters()

    def stop_counting(self) -> None:
        now, before = self._counters(), self._before
        self.counted = {
            name: count if name.startswith("most_") else count - before[name] for name, count in now.items()
        }

    def _counters(self) -> dict[str, int]:
        """Of its router, where that counts."""
        counters = self.machine.network.counters()
        return {} if counters is None else asdict(counters)

    def tell(self, peer: str, since: float) -> None:
        """Have it say what it decided about its paths to that peer."""
        told = self.control.paths(peer).decisions
        now = time.monotonic()
        self.decisions = tuple(
            f"{now - each.ago - since:.3f} {each.what}{each.why and ': '}{each.why}"
            + (f" ({each.times} times)" if each.times > 1 else "")
            for each in told
        )

    def side(self, since: float) -> Side:
        return Side(
            kind=self.kind.name,
            direct=None if self.direct_at is None else self.direct_at - since,
            path=self.path,
            address=self.address,
            network=self.network,
            router=self.counted or None,
            decisions=self.decisions,
        )


def measure(place: Path, pair: Pair, terms: Terms) -> Iterator[Try]:
    """Each try as it is made; the side that dials alternates."""
    with contextlib.ExitStack() as stack:
        internet = stack.enter_context(an_internet_of_links(terms.delay, terms.loss))
        machine = internet.server("beacon")
        internet.plug(machine, "eth1")
        stun = ", ".join(f'"{link.address}"' for link in machine.links.values())
        running = beacon(place / "beacon", machine, sections=f"[stun]\nbind = [{stun}]\n")
        url = stack.enter_context(running).url
        for _ in range(
            secrets.randbelow(ADDRESSES_SKIPPED)
        ):  # NATs draw ports by their address, and luck shall vary
            internet.new_address()
        keys = tuple(SecretKey(secrets.token_bytes(32)) for _ in range(2))
        for number in range(terms.tries):
            kinds = pair if number % 2 == 0 else pair[::-1]
            meeting = FirstMeeting(place / f"try{number}", pair, kinds)
            yield meeting.run(internet, f"{number}", url, keys, terms.patience(pair))


class FirstMeeting:
    """One try: bob, in a home of the first kind, asks for a page of alice's, in a home of the second."""

    def __init__(self, place: Path, pair: Pair, kinds: Pair) -> None:
        self.pair = pair
        self.bob, self.alice = (
            Party(ALL_KINDS[kind], place / name, name)
            for kind, name in zip(kinds, ("bob", "alice"), strict=True)
        )
        self._sent = self._first_byte = self._page = self._direct = math.nan

    @property
    def _both(self) -> tuple[Party, Party]:
        return self.bob, self.alice

    def run(
        self, internet: Internet, label: str, url: str, keys: tuple[SecretKey, ...], patience: float
    ) -> Try:
        """From new homes to gateways that have ended; whatever fails is told as the try's problem."""
        begun = time.monotonic()
        problem = ""
        try:
            with contextlib.ExitStack() as stack:
                self._settle(stack, internet, label, url, keys)
                self._meet(patience)
                _at_once(Party.stop, self._both)
        except (
            AssertionError,
            GatewayError,
            OSError,
            http.client.HTTPException,
            subprocess.SubprocessError,
        ) as error:
            problem = f"{type(error).__name__}: {error}"
        return Try(
            pair=self.pair,
            dialling=self.bob.side(self._sent),
            answering=self.alice.side(self._sent),
            first_byte=_known(self._first_byte),
            direct=_known(self._direct),
            page=_known(self._page),
            problem=problem,
            seconds=time.monotonic() - begun,
        )

    def _settle(
        self,
        stack: contextlib.ExitStack,
        internet: Internet,
        label: str,
        url: str,
        keys: tuple[SecretKey, ...],
    ) -> None:
        """Both run, are at home, and know each other and their networks."""
        for party in self._both:
            party.settle(internet, f"{party.nickname}{label}")
        self._source = Source(self.alice.machine)
        stack.callback(self._source.close)
        service = f'[services.web]\ntarget = "127.0.0.1:{self._source.port}"\nport = 80\nallow = ["bob"]\n'
        self.bob.prepare(keys[0], "", url)
        self.alice.prepare(keys[1], f'{service}[contacts.bob]\nid = "{keys[0].endpoint_id}"\n', url)
        for party in self._both:
            stack.callback(party.gateway.kill)
        _at_once(Party.start, self._both)
        ticket = self.alice.control.ticket(TicketRequest()).ticket
        self.bob.control.add_contact(AddContactRequest(petname="alice", id_or_ticket=ticket))
        _at_once(Party.measure_network, self._both)

    def _meet(self, patience: float) -> None:
        """From the request until both send directly, or do not; and a page over what they have by then."""
        for party in self._both:
            party.start_counting()
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(self._ask_for_first_byte)
            deadline = time.monotonic() + patience
            while not (directly := self._look()) and time.monotonic() < deadline:
                if asked.done():
                    asked.result()  # nothing follows a request that failed
                time.sleep(LOOK_SECONDS)
            asked.result()
        if directly:
            self._direct = max(party.direct_at for party in self._both if party.direct_at) - self._sent
        self._page = self._ask_for_page()
        self._look()
        for party in self._both:
            party.stop_counting()
        self.bob.tell("alice", self._sent)
        self.alice.tell("bob", self._sent)

    def _look(self) -> bool:
        """Whether both send directly now."""
        return all([self.bob.look("alice"), self.alice.look("bob")])

    def _ask_for_first_byte(self) -> None:
        with self._asked("/") as (sent, answer):
            self._sent, self._first_byte = sent, time.monotonic() - sent
            assert answer.read() == Source.HELLO, "another page came than was sent"

    def _ask_for_page(self) -> float:
        target = f"/bulk?bytes={PAGE_BYTES}"
        with self._asked(target) as (sent, answer):
            digest = hashlib.sha256(answer.read()).hexdigest()
            spent = time.monotonic() - sent
        wait_until(lambda: target in self._source.digests, what="the page was sent")
        assert digest == self._source.digests[target], "another page came than was sent"
        return spent

    @contextlib.contextmanager
    def _asked(self, target: str) -> Iterator[tuple[float, http.client.HTTPResponse]]:
        """When bob asked his proxy for it, and the answer, of which the first line has come."""
        host, _, port = self.bob.gateway.listens("proxy").rpartition(":")
        with self.bob.machine.socket(socket.SOCK_STREAM) as sock:
            sock.settimeout(REQUEST_SECONDS)
            sent = time.monotonic()
            sock.connect((host, int(port)))
            sock.sendall(
                f"GET http://{HOST}{target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
            )
            with contextlib.closing(http.client.HTTPResponse(sock, method="GET")) as answer:
                answer.begin()
                assert answer.status == 200, f"the proxy answered {answer.status}: {answer.read(2000)!r}"
                yield sent, answer


def _at_once(act: Callable[[Party], None], parties: Sequence[Party]) -> None:
    with ThreadPoolExecutor(len(parties)) as threads:
        list(threads.map(act, parties))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
