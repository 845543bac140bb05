"""Which nodes of the DHT to ask, and when to stop: one search as BEP 5 describes it, against nodes that may lie.

A liar can answer with anything that its owner did not sign, or signed long ago, and name nodes that do not exist. So
no place of the search is filled by an answer under another id than the one we were told; each address is asked once,
and on the Internet one of each neighbourhood is; of the nodes that somebody named one is asked, more when it answered,
and if it did not, the others only when there is nobody else to ask; and the search goes on beyond the closest nodes,
further while nothing was found. Sans-IO.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from resolver.discovery.krpc import Node, distance
from resolver.limits import (
    DHT_CANDIDATES,
    DHT_COPIES,
    DHT_PARALLEL,
    DHT_PUTS,
    DHT_QUERIES,
    DHT_QUICK_SECONDS,
    DHT_SLOW_SECONDS,
    DHT_TELLERS,
    DHT_WIDEST,
    DHT_WIDTH,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resolver.discovery.krpc import Answer
    from tunnels.addresses import Address


def is_public(address: Address) -> bool:
    """Whether it is on the Internet: nobody makes us send to machines of a home network, or to a group."""
    return address.ip.is_global and not address.ip.is_multicast


class _Trust(Enum):
    """Whether a node is asked because of who named it."""

    GOOD = "good"
    BUSY = "busy"
    """Not now: others that were named by the same are being asked."""
    BAD = "bad"
    """Only if there is nobody else."""


_TRUSTS: Final = (_Trust.GOOD, _Trust.BUSY, _Trust.BAD)


class _State(Enum):
    NAMED = "named"
    ASKED = "asked"
    SLOW = "slow"
    """Asked, and silent for so long that others are asked instead; its answer still counts."""
    ANSWERED = "answered"
    FAILED = "failed"


@dataclass(slots=True)
class _Teller:
    """Somebody who named nodes, and how those turned out."""

    good: int = 0
    bad: int = 0
    """Of the nodes that it named, how many answered as named, and how many did not."""
    asked: int = 0
    """How many were not heard of yet."""

    @property
    def trust(self) -> _Trust:
        """One at a time is asked of those it named, one more for each that was good, while none was bad."""
        more = int(self.good > 2 * self.bad) if self.bad else 1 + self.good
        return _Trust.GOOD if self.asked < more else _Trust.BUSY if more else _Trust.BAD

    def heard(self, *, was_slow: bool, is_good: bool) -> None:
        """A node that it named answered, rightly or not, or was silent for long."""
        if not was_slow:
            self.asked -= 1
        elif is_good:
            self.bad -= 1  # the silence was counted
        self.good += is_good
        self.bad += not is_good and not was_slow


@dataclass(slots=True)
class _Candidate:
    node: Node
    distance: int
    """-1 where the id is not known: such nodes are asked first, for they are how a search begins."""
    tellers: list[_Teller]
    """Who named it, the first few; nobody where we knew it."""
    state: _State = _State.NAMED
    asked_at: float = 0.0
    token: bytes | None = None

    @property
    def trust(self) -> _Trust:
        """Whether those who named it are to be believed: one of them is enough."""
        return min((teller.trust for teller in self.tellers), key=_TRUSTS.index, default=_Trust.GOOD)

    def ask(self, now: float) -> None:
        self.state = _State.ASKED
        self.asked_at = now
        for teller in self.tellers:
            teller.asked += 1

    def hear(self, state: _State) -> None:
        """It answered, or did not."""
        for teller in self.tellers:
            teller.heard(was_slow=self.state is _State.SLOW, is_good=state is _State.ANSWERED)
        self.state = state


class Search:
    """The search for one target in one family of addresses."""

    def __init__(
        self,
        target: bytes,
        seeds: Iterable[Node],
        *,
        version: int,
        private: bool = False,
        hurries: bool = False,
    ) -> None:
        """`seeds` are nodes we know, `version` the family, 4 or 6; who `hurries` does not wait for slow answers.

        `private` is for a DHT of one's own: nodes on loopback and home networks, and many at one address, are good.
        """
        self.target = target
        self._version = version
        self._private = private
        self._hurries = hurries
        self._candidates: dict[Address, _Candidate] = {}
        self._neighbourhoods: set[int] = set()
        self._queries = 0
        self._patience = DHT_SLOW_SECONDS
        self._slowest = 0.0
        self.found = False
        """To be set when a valid item was found: the search need not go as far then."""
        for node in seeds:
            self._add(node, None)

    def __repr__(self) -> str:
        return f"<Search for {self.target.hex()[:8]}…, {self._queries} asked>"

    @property
    def answered(self) -> int:
        """How many nodes answered."""
        return sum(candidate.state is _State.ANSWERED for candidate in self._candidates.values())

    def next_queries(self, now: float) -> list[Node]:
        """Whom to ask now; they count as asked."""
        chosen = []
        in_flight = 0
        for candidate in self._candidates.values():
            if candidate.state is _State.ASKED:
                if now >= candidate.asked_at + self._patience:
                    candidate.hear(_State.SLOW)
                else:
                    in_flight += 1
        is_idle = not in_flight
        while in_flight < DHT_PARALLEL and (best := self._next(is_idle=is_idle)) is not None:
            is_idle = is_idle and best.trust is _Trust.BAD
            best.ask(now)
            in_flight += 1
            self._queries += 1
            chosen.append(best.node)
        return chosen

    def due(self, now: float) -> float | None:
        """When to ask again without an answer; None when the search is over."""
        asked = [c.asked_at for c in self._candidates.values() if c.state is _State.ASKED]
        if asked or self._hurries:
            return min(asked) + self._patience if asked else None
        slow = [c.asked_at for c in self._candidates.values() if c.state is _State.SLOW]
        return max(slow) + DHT_SLOW_SECONDS if slow and max(slow) + DHT_SLOW_SECONDS > now else None

    def answer(self, node: Node, answer: Answer, now: float) -> bool:
        """`node` answered; False if it is not the node that we were told of, and its answer is worth nothing."""
        candidate = self._candidates.get(node.address)
        if candidate is None or candidate.state not in (_State.ASKED, _State.SLOW):
            return False
        if node.id is not None and answer.node_id != node.id:
            candidate.hear(_State.FAILED)
            return False
        candidate.hear(_State.ANSWERED)
        self._slowest = max(self._slowest, now - candidate.asked_at)
        self._patience = min(DHT_SLOW_SECONDS, max(DHT_QUICK_SECONDS, 4 * self._slowest))
        candidate.node = Node(node.address, answer.node_id)
        candidate.distance = distance(answer.node_id, self.target)
        candidate.token = answer.token
        teller = _Teller()
        for named in answer.nodes:
            self._add(named, teller)
        return True

    def fail(self, node: Node) -> None:
        """`node` refused, or answered with what is no message."""
        candidate = self._candidates.get(node.address)
        if candidate is not None and candidate.state in (_State.ASKED, _State.SLOW):
            candidate.hear(_State.FAILED)

    def closest(self) -> list[tuple[Node, bytes]]:
        """Nodes that answered and gave a token, the closest first."""
        ready = [c for c in self._candidates.values() if c.state is _State.ANSWERED and c.token]
        ready.sort(key=lambda candidate: candidate.distance)
        return [(candidate.node, candidate.token or b"") for candidate in ready]

    def _add(self, node: Node, teller: _Teller | None) -> None:
        """Somebody named a node, or we know it."""
        ip = node.address.ip
        known = self._candidates.get(node.address)
        if known is not None:
            if teller is not None and known.tellers and known.node.id == node.id:
                known.tellers += [teller][: DHT_TELLERS - len(known.tellers)]
            return
        if ip.version != self._version or len(self._candidates) >= DHT_CANDIDATES:
            return
        if not self._private and teller is not None:
            if not is_public(node.address):
                return
            neighbourhood = int(ip) >> (8 if isinstance(ip, IPv4Address) else 64)
            if neighbourhood in self._neighbourhoods:
                return
            self._neighbourhoods.add(neighbourhood)
        far = -1 if node.id is None else distance(node.id, self.target)
        self._candidates[node.address] = _Candidate(node, far, [] if teller is None else [teller])

    def _next(self, *, is_idle: bool) -> _Candidate | None:
        """The best node to ask now; None if none would change anything, or those asked are to be heard first."""
        if self._queries >= DHT_QUERIES:
            return None
        answered = sorted(c.distance for c in self._candidates.values() if c.state is _State.ANSWERED)
        width = DHT_WIDTH if self.found else DHT_WIDEST
        far = answered[width - 1] if len(answered) >= width else None
        best: dict[_Trust, _Candidate] = {}
        for candidate in self._candidates.values():
            if candidate.state is _State.NAMED and (far is None or candidate.distance < far):
                trust = candidate.trust
                if trust not in best or candidate.distance < best[trust].distance:
                    best[trust] = candidate
        enough = DHT_COPIES if self.found else DHT_WIDTH
        is_lost = is_idle and _Trust.BUSY not in best and len(answered) < enough
        return best.get(_Trust.GOOD) or (best.get(_Trust.BAD) if is_lost else None)


@dataclass(slots=True)
class Storing:
    """Having a record kept by the closest nodes that do."""

    closest: list[tuple[Node, bytes]]
    """Nodes and their tokens, the best first."""
    stored: int = 0
    """Nodes that keep it."""
    refusals: dict[int, int] = field(default_factory=dict)
    """How many refused, by the number of the error."""
    _asked: dict[Address, float] = field(default_factory=dict)
    _tries: int = 0

    def next_puts(self, now: float) -> list[tuple[Node, bytes]]:
        """Whom to ask now; they count as asked."""
        waited = [address for address, since in self._asked.items() if now < since + DHT_SLOW_SECONDS]
        wanted = DHT_COPIES - self.stored - len(waited)
        chosen = self.closest[self._tries : min(self._tries + max(wanted, 0), DHT_PUTS)]
        self._tries += len(chosen)
        for node, _ in chosen:
            self._asked[node.address] = now
        return chosen

    def due(self, now: float) -> float | None:
        """When to ask again without an answer; None when it is over."""
        ends = [since + DHT_SLOW_SECONDS for since in self._asked.values()]
        return min((end for end in ends if end > now), default=None)

    def answer(self, node: Node) -> None:
        """`node` keeps it."""
        if self._asked.pop(node.address, None) is not None:
            self.stored += 1

    def refuse(self, node: Node, code: int) -> None:
        """`node` does not."""
        if self._asked.pop(node.address, None) is not None:
            self.refusals[code] = self.refusals.get(code, 0) + 1
