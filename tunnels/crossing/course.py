"""One connection's way up the ladder: which strategy is tried now, and how both ends keep step. Sans-IO.

The client of the connection leads. It goes up the ladder, rung after rung, on top of whatever path works; the server
follows, or refuses. Both tell each other how their end stands (`Cross`), again and again until it is heard, so that it
does not matter which messages are lost:

::

    client                                       server
      | ---- attempt 7, predict ----------------> |   begins to prepare, as the client does
      | <--- attempt 7, ready 1 ----------------- |
      | ---- attempt 7, ready 1, 1 was heard ---> |   each executes once it has the other's
      | <--- attempt 7, ready 1, 1 was heard ---- |
      |                    ...                    |
      | ---- attempt 7, OVER -------------------> |   a direct path works, or time is up

What a strategy sends goes through here: to the peer's word alone go a few datagrams, and more only to an ip that our own
beacon's STUN server attests (`tunnels.nat.attested`), within the budget of the process.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import IntFlag
from math import inf
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from tunnels import limits as tunnel_limits
from tunnels.bucket import Bucket
from tunnels.crossing import limits
from tunnels.crossing.description import NetworkClass, Pair
from tunnels.crossing.ladder import ladder, taken_for
from tunnels.crossing.proofs import OwnProof, PeerProof
from tunnels.crossing.registry import LATER, STRATEGIES
from tunnels.crossing.strategy import OWN, Ask, ConnectTcp, Setting, Shot
from tunnels.errors import ProtocolViolation
from tunnels.nat.reflector import ATTESTATION_BYTES
from tunnels.paths.candidates import is_private, is_sane
from tunnels.paths.checks import Cross

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from random import Random

    from tunnels.addresses import Address
    from tunnels.crossing.budget import Budget, Lease
    from tunnels.crossing.history import History
    from tunnels.crossing.ladder import Rung
    from tunnels.crossing.strategy import Action, Attempt, Strategy

    Ip = IPv4Address | IPv6Address


class Flags(IntFlag):
    """What a message says of its sender's end."""

    REFUSED = 1
    """Not now, or not at all."""
    OVER = 2
    """It does no more for this attempt."""
    ASKS = 4
    """Answer, so that it knows that you heard."""


class _Word(msgspec.Struct, frozen=True, array_like=True):
    """The payload of a message."""

    version: Annotated[int, Meta(ge=0, le=limits.READY_CHANGES)] = 0
    """How often its sender's `Attempt.ready` changed; 0 until it is prepared."""
    heard: Annotated[int, Meta(ge=0, le=limits.READY_CHANGES)] = 0
    """The newest version of the receiver's that the sender has."""
    ready: Annotated[bytes, Meta(max_length=limits.READY_BYTES)] = b""
    attestation: Annotated[bytes, Meta(max_length=ATTESTATION_BYTES)] = b""
    """Of the sender's outside ip, over the receiver's challenge; empty while there is none."""
    wait: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    """Seconds until a refused attempt may be allowed."""


_decoder: Final = msgspec.msgpack.Decoder(_Word)


@dataclass(frozen=True, slots=True)
class View:
    """What the rest of the gateway knows of the connection now."""

    pair: Pair = field(default_factory=Pair)
    is_direct: bool = False
    """Whether data goes by a direct path, or may not."""
    is_by_tcp: bool = False
    """Whether it goes by a direct path of a lesser kind, which is no reason not to look for a better one."""
    is_active: bool = True
    """Whether data flowed of late, so that a better path is worth an effort."""
    targets: tuple[Address, ...] = ()
    servers: tuple[Address, ...] = ()
    round_trip: float = 0.2


# --- what is to be done -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tell:
    """Send this to the peer, by whatever works."""

    cross: Cross


@dataclass(frozen=True, slots=True)
class Attest:
    """Have our outside ip attested for the peer; `Course.attested` gets what comes."""

    server: Address
    challenge: bytes


@dataclass(frozen=True, slots=True)
class Release:
    """The sockets of that attempt are not needed any more, but for those that a path goes by."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Do:
    """A strategy's action; sockets are those of that attempt."""

    attempt: int
    action: Action


@dataclass(frozen=True, slots=True)
class Cramped:
    """An attempt found that our router has no room for more mappings."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is known of our network has not led to a direct path: it may be wrong, or old."""


Deed = Tell | Attest | Release | Do | Cramped | Doubt


@dataclass(slots=True, eq=False)
class _Run:
    """One attempt, at our end."""

    number: int
    strategy: Strategy
    attempt: Attempt
    lease: Lease
    deadline: float
    tell_at: float
    told: bytes | None = None
    """What the peer is told as ready, which is of this version."""
    version: int = 0
    heard: int = 0
    """The version that it has."""
    theirs: int = 0
    """The newest version of its that we have."""
    sockets: set[int] = field(default_factory=set)
    """Its own that were named."""
    has_shot: bool = False
    """Whether it sent anything to the peer."""
    is_cramped: bool = False
    """Whether it was told that our router has no room for it."""
    unproven: int = 0
    """Datagrams that went to ips that nobody attests."""
    strangers: set[Ip] = field(default_factory=set)
    """Those ips."""


class Course:
    """Told of what is known by `look`, of what comes by the others; `take` gives what is to be done."""

    def __init__(
        self,
        *,
        is_client: bool,
        budget: Budget,
        history: History,
        random: Random,
        prove: Callable[[bytes, Ip], bool],
        note: Callable[[float, str, str], None],
        local_port: Callable[[int, int], int] = lambda _attempt, _socket: 0,
        strategies: Sequence[Strategy] = STRATEGIES,
    ) -> None:
        """`prove` says whether an attestation is good for an ip; `note` takes what people may want to know;
        `local_port` gives the port of an attempt's socket."""
        self.due = inf
        """When `handle_timer` has something to do."""
        self._is_client = is_client
        self._budget = budget
        self._history = history
        self._strategies = strategies
        self._random = random
        self._note = note
        self._local_port = local_port
        self._view = View(is_direct=True)
        self._rungs: list[Rung] = []
        self._rung: Rung | None = None  # the last one that was tried
        self._next_at = inf  # when the next rung is tried
        self._waits_for_use = False
        self._failures = 0
        self._refusals = 0
        self._doubts, self._doubt_at = 0, inf
        self._run: _Run | None = None
        self._number = 0
        self._times: Counter[int] = Counter()  # how often each strategy was tried, by its code
        self._may_begin = Bucket(1 / limits.CROSS_ATTEMPT_EVERY, limits.CROSS_ATTEMPTS)
        self._own_proof, self._peer_proof = OwnProof(budget), PeerProof(prove)
        self._noted: set[bytes] = set()
        """Labels of the peer's networks of which something was noted."""
        self._deeds: list[Deed] = []

    def __repr__(self) -> str:
        doing = self._run.strategy.name if self._run is not None else "nothing"
        return f"<Course trying {doing}>"

    @property
    def trying(self) -> str:
        """The strategy that is tried now, for people; empty if none is."""
        return self._run.strategy.name if self._run is not None else ""

    # --- what is known ----------------------------------------------------------------------------------

    def look(self, view: View, now: float) -> None:
        """This is how things stand."""
        before, self._view = self._view, view
        self._have_attested(now)
        if before.is_direct and not view.is_direct:
            self._doubt_later(now)
        if view.is_direct:
            if self._run is not None:
                self._end_run(now, worked=True)
            self._rungs, self._next_at, self._failures = [], inf, 0
            self._doubts, self._doubt_at = 0, inf
        elif view.is_by_tcp and self._run is not None and self._run.strategy.code in LATER:
            self._end_run(now, worked=True)
        elif self._is_client and self._run is None:
            if before.is_direct or before.pair != view.pair:
                self._begin(now)
            elif view.is_active and self._waits_for_use:
                self._next_at, self._waits_for_use = now, False
        self._plan()

    def network_changed(self, now: float) -> None:
        """What was tried was tried elsewhere."""
        self._failures = self._doubts = 0
        self._own_proof.forget()
        if not self._view.is_direct:
            self._doubt_later(now)
        if self._run is not None:
            self._end_run(now, worked=None)
        if self._is_client and not self._view.is_direct:
            self._begin(now)
        self._plan()

    def close(self, now: float) -> None:
        """The connection is over."""
        if self._run is not None:
            self._end_run(now, worked=None)
        self._next_at = self._doubt_at = inf
        self._plan()

    # --- what comes -------------------------------------------------------------------------------------

    def told(self, cross: Cross, now: float) -> None:
        """The peer says how its end stands. ProtocolViolation for what makes no sense."""
        try:
            word = _decoder.decode(cross.payload) if cross.payload else _Word()
        except (ValueError, RecursionError):
            raise ProtocolViolation("a message about crossing NATs that makes no sense") from None
        flags = Flags(cross.flags & 0x07)
        self._peer_proof.told(word.attestation, self._peer_ips(), now)
        if not self._is_client and cross.attempt > self._number and not flags & Flags.OVER:
            self._follow(cross, now)
        run = self._run
        if run is None or cross.attempt != run.number:
            return
        if flags & (Flags.REFUSED | Flags.OVER):
            if flags & Flags.REFUSED:
                self._refused(run, word.wait, now)
            else:
                self._end_run(now, worked=None)
        else:
            self._heard(run, flags, word, now)
        self._plan()

    def _heard(self, run: _Run, flags: Flags, word: _Word, now: float) -> None:
        run.heard = max(run.heard, min(word.heard, run.version))
        if word.version > run.theirs:
            run.theirs = word.version
            run.attempt.peer_ready(word.ready, now)
            self._collect(run, now)
        if flags & Flags.ASKS:
            self._tell(run, now, asks=False)
        self._settle(run)

    def seen(self, attempt: int, socket: int, server: Address, address: Address, now: float) -> None:
        """A STUN server saw a socket of that attempt there."""
        run = self._run
        if run is not None and run.number == attempt:
            run.attempt.seen(socket, server, address, now)
            self._collect(run, now)
            self._plan()

    def tcp_seen(
        self, attempt: int, socket: int, address: Address | None, local_port: int, now: float
    ) -> None:
        """Our beacon saw a TCP socket of that attempt there, or did not tell."""
        run = self._run
        if run is not None and run.number == attempt:
            run.attempt.tcp_seen(socket, address, local_port, now)
            self._collect(run, now)
            self._plan()

    def attested(self, attestation: bytes, now: float) -> None:
        """Our outside ip is attested for the peer."""
        self._own_proof.attested(attestation, now)
        run = self._run
        if run is not None:
            self._collect(run, now)
            if self._run is run:
                self._tell(run, now)
        self._plan()

    def handle_timer(self, now: float) -> None:
        """Let what is due at `now` happen."""
        run = self._run
        if run is not None:
            if now >= run.attempt.due:
                run.attempt.handle_timer(now)
                self._collect(run, now)
            if self._run is run and now >= run.tell_at:
                self._tell(run, now)
            if now >= run.deadline:
                self._end_run(now, worked=False)
        if now >= self._own_proof.due:
            self._ask_attestation(now)
            if self._run is not None:
                self._collect(self._run, now)
        if self._run is None and now >= self._doubt_at:
            self._doubt(now)
        if self._run is None and now >= self._next_at:
            self._try_next(now)
        self._plan()

    def take(self) -> list[Deed]:
        """What is to be done now, in order."""
        deeds, self._deeds = self._deeds, []
        return deeds

    # --- up the ladder ----------------------------------------------------------------------------------

    def _begin(self, now: float) -> None:
        """From the lowest rung. What needs no attempt is under way already, and gets its time if it may succeed.

        So does what is not known of the two networks yet: an attempt on a guess would keep the right one waiting."""
        rungs = ladder(self._view.pair, self._history, self._strategies)
        self._rungs = self._worth(rungs)
        hopeful = any(not rung.needs_attempt and rung.is_direct for rung in rungs)
        patience = limits.CROSS_PATIENCE + limits.CROSS_PATIENCE_TRIPS * self._view.round_trip
        is_known = NetworkClass.UNKNOWN not in self._view.pair.classes
        self._next_at = now + patience if hopeful or not is_known else now
        self._refusals = 0
        if not hopeful and not self._rungs:
            self._note(now, "no direct path is tried", _why_none(self._view.pair))

    def _try_next(self, now: float) -> None:
        if not self._view.is_active:
            self._next_at, self._waits_for_use = inf, True
            return
        self._rungs = self._worth(self._rungs)
        if not self._rungs:
            self._rungs = self._climb_again()
            last = len(limits.CROSS_BACKOFF) - 1
            pause = limits.CROSS_BACKOFF[min(self._failures, last)]
            self._next_at = now + pause if self._rungs else inf
            self._failures += 1
            return
        waits = {rung.strategy.code: self._budget.wait(rung.cost, now) for rung in self._rungs}
        rung = min(
            self._rungs, key=lambda one: waits[one.strategy.code]
        )  # the first of those that may begin now
        wait = waits[rung.strategy.code]
        if not wait and not self._may_begin.take(now):
            wait = limits.CROSS_ATTEMPT_EVERY
        lease = None if wait else self._budget.begin(rung.cost, now)
        if lease is None:
            self._next_at = now + min(max(wait, limits.CROSS_RETELL), limits.CROSS_BACKOFF[-1])
            return
        self._rungs.remove(rung)
        self._rung = rung
        self._next_at = now
        self._number += 1
        self._note(now, f"trying {rung.strategy.name}", rung.why)
        self._start(self._number, rung.strategy, rung.pair, lease, now)

    def _doubt(self, now: float) -> None:
        if self._view.is_active:
            self._deeds.append(Doubt())
            self._doubts += 1
        self._doubt_later(now)

    def _doubt_later(self, now: float) -> None:
        self._doubt_at = now + limits.CROSS_DOUBTS[min(self._doubts, len(limits.CROSS_DOUBTS) - 1)]

    def _climb_again(self) -> list[Rung]:
        return self._worth(ladder(self._view.pair, self._history, self._strategies))

    def _worth(self, rungs: Iterable[Rung]) -> list[Rung]:
        """Those for which something is to be done, and that may make a better path than there is."""
        return [
            rung
            for rung in rungs
            if rung.needs_attempt and not (self._view.is_by_tcp and rung.strategy.code in LATER)
        ]

    def _follow(self, cross: Cross, now: float) -> None:
        """The client begins an attempt."""
        if self._run is not None:
            self._end_run(now, worked=None)
        self._number = cross.attempt
        strategy = next((one for one in self._strategies if one.code == cross.strategy), None)
        taken = None if strategy is None else taken_for(strategy, self._view.pair)
        wait = 0.0
        if strategy is not None and taken is not None and not self._view.is_direct:
            cost = strategy.cost(taken)
            may_begin = self._may_begin.take(now)
            lease = self._budget.begin(cost, now) if may_begin else None
            if lease is not None:
                self._note(now, f"trying {strategy.name}", "the peer asks for it")
                self._start(cross.attempt, strategy, taken, lease, now)
                return
            wait = 0.0 if may_begin else limits.CROSS_ATTEMPT_EVERY
            wait = min(max(wait, self._budget.wait(cost, now)), limits.CROSS_WAIT_MOST)
        payload = msgspec.msgpack.encode(_Word(wait=wait))
        self._deeds.append(Tell(Cross(cross.attempt, cross.strategy, Flags.REFUSED, payload)))

    def _start(self, number: int, strategy: Strategy, pair: Pair, lease: Lease, now: float) -> None:
        """`pair` is what the two networks are taken for."""
        view = self._view
        attempt = strategy.attempt(
            Setting(
                pair=pair,
                targets=view.targets,
                servers=view.servers,
                round_trip=view.round_trip,
                random=self._random,
                is_client=self._is_client,
                local_port=lambda socket: self._local_port(number, socket),
                times=self._times[strategy.code],
                room=lease.room,
            )
        )
        if attempt is None:  # pings do it
            lease.end(now)
            return
        self._times[strategy.code] += 1
        seconds = strategy.cost(pair).seconds + limits.CROSS_PREPARE
        run = self._run = _Run(number, strategy, attempt, lease, now + seconds, now)
        self._peer_proof.look(self._peer_ips())
        self._own_proof.renew(now)
        self._have_attested(now)
        attempt.begin(now)
        self._collect(run, now)
        if self._run is run:
            self._tell(run, now)

    def _refused(self, run: _Run, wait: float, now: float) -> None:
        """The peer cannot, or not now: once it says when, we come again then."""
        self._note(now, f"the peer refuses {run.strategy.name}", f"for {wait:.0f} s" if wait else "")
        self._end_run(now, worked=None)
        self._refusals += 1
        if not wait or self._refusals > limits.CROSS_REFUSALS:
            return
        if wait <= limits.CROSS_WAIT_SHORT and self._rung is not None:
            self._rungs.insert(0, self._rung)
            self._next_at = now + wait
        elif not self._rungs:
            self._rungs = self._climb_again()
            self._next_at = now + min(wait, limits.CROSS_WAIT_MOST)

    def _end_run(self, now: float, *, worked: bool | None) -> None:
        """`worked` None: nobody knows whether it would have."""
        run = self._run
        if run is None:
            return
        self._run = None
        run.lease.end(now, has_guessed=run.has_shot)
        self._deeds.append(Release(run.number))
        if not self._is_client:
            return
        self._deeds.append(Tell(Cross(run.number, run.strategy.code, Flags.OVER)))
        if worked is not None:
            pair = self._view.pair
            if pair.theirs.network in self._noted or len(self._noted) < limits.CROSS_NETWORKS:
                self._noted.add(pair.theirs.network)
                self._history.note(pair.mine.network, pair.theirs.network, run.strategy.code, worked=worked)
            self._note(now, f"{run.strategy.name} {'worked' if worked else 'did not work'}", "")

    # --- one attempt ------------------------------------------------------------------------------------

    def _collect(self, run: _Run, now: float) -> None:
        """Pass on what the strategy wants done, within bounds."""
        for action in run.attempt.take():
            if not self._may_use(run, action.socket):
                continue
            if isinstance(action, Shot | ConnectTcp) and not self._may_send(run, action, now):
                continue
            if isinstance(action, Ask) and not (
                action.server in self._view.servers
                and run.lease.may_send(action.server, now, socket=action.socket)
            ):
                continue
            run.has_shot |= isinstance(action, Shot)
            self._deeds.append(Do(run.number, action))
        if run.attempt.is_cramped and not run.is_cramped:
            run.is_cramped = True
            self._note(now, "our router has no room for more", "")
            self._deeds.append(Cramped())
        if run.attempt.is_over:
            self._end_run(now, worked=False)
        elif run.attempt.ready != run.told and run.version < limits.READY_CHANGES and not self._is_early(run):
            run.told = run.attempt.ready
            run.version += 1
            self._tell(run, now)

    def _is_early(self, run: _Run) -> bool:
        """Whether the peer had better wait: it sends us more than a few only where we are attested to be."""
        return run.lease.cost.guesses and self._own_proof.is_awaited

    def _may_use(self, run: _Run, socket: int) -> bool:
        if socket != OWN and socket not in run.sockets:
            if not run.lease.may_open():
                return False
            run.sockets.add(socket)
        return True

    def _peer_ips(self) -> tuple[Ip, ...]:
        """Where the peer says that it is seen."""
        told = (*self._view.pair.theirs.behavior.external_ips, *(to.ip for to in self._view.targets))
        return tuple(dict.fromkeys(told))[: tunnel_limits.MAX_CANDIDATES]

    def _may_send(self, run: _Run, action: Shot | ConnectTcp, now: float) -> bool:
        to, socket = action.to, action.socket
        if not is_sane(to, with_loopback=False):
            return False
        if to.ip in self._peer_proof:
            return run.lease.may_send(to, now, socket=socket)
        if (
            is_private(to)  # somebody of our own network, as likely as not
            or run.unproven >= limits.CROSS_UNPROVEN
            or len(run.strangers | {to.ip}) > limits.CROSS_UNPROVEN_IPS
            or not run.lease.may_send(to, now, socket=socket, is_proven=False)
        ):
            return False
        run.unproven += 1
        run.strangers.add(to.ip)
        return True

    def _tell(self, run: _Run, now: float, *, asks: bool = True) -> None:
        flags = Flags.ASKS if asks else Flags(0)
        word = _Word(run.version, run.theirs, run.told or b"", self._own_proof.attestation)
        payload = msgspec.msgpack.encode(word)
        self._deeds.append(Tell(Cross(run.number, run.strategy.code, flags, payload)))
        if asks:
            run.tell_at = now + limits.CROSS_RETELL
            self._settle(run)

    def _settle(self, run: _Run) -> None:
        """Nothing is told again once both have all of it."""
        if run.version == run.heard and run.theirs and not self._own_proof.is_awaited:
            run.tell_at = inf

    # --- our ip, attested -------------------------------------------------------------------------------

    def _have_attested(self, now: float) -> None:
        """Once some attempt may want it, or is under way."""
        if not self._view.is_direct and self._own_proof.wants(self._view.pair.theirs, now):
            self._ask_attestation(now)

    def _ask_attestation(self, now: float) -> None:
        question = self._own_proof.ask(self._view.servers, now)
        if question is not None:
            self._deeds.append(Attest(*question))

    def _plan(self) -> None:
        due = self._own_proof.due
        if self._run is None:
            due = min(due, self._next_at, self._doubt_at)
        else:
            due = min(due, self._run.deadline, self._run.tell_at, self._run.attempt.due)
        self.due = due


def _why_none(pair: Pair) -> str:
    if pair.is_behind_one_address:
        return "both networks are seen at one address"
    mine, theirs = pair.classes
    return f"no way is known from this network ({mine}) to the peer's ({theirs})"
