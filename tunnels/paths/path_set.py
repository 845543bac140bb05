"""The paths of one connection: which addresses its datagrams go to now, and everything done to find better ones. Sans-IO.

QUIC above sees one constant pseudo-address; here are the real ones.

* Until something came back, each datagram goes to every candidate: the first that works wins.
* Then it goes to the selected path. Once the connection is authenticated, both ends ping each other's candidates with
  sealed checks (`checks`), and the best path that answers is selected (`selection`).
* While the selected path is not trusted, data goes by the relay, or whatever else works, as well: QUIC takes the first
  copy of each packet. Distrust comes from pings without answers, from QUIC's probe timeouts, or from the peer, which says
  in its pings that it hears nothing; so both ends notice a path that is dead in one direction only.
* A datagram from an unknown address moves nothing. It may be the peer behind a NAT that changed its mapping, so that
  address is pinged, rarely, and nobody but the peer can answer. Nor does a ping move anything: data goes only where a ping
  of our own was answered.

A peer that does not know checks is served by what is heard: a path that fell silent gives way to a candidate that is heard.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import (
    Address,
    BeaconUrl,
    PathAddress,
    RelayAddress,
    SocketAddress,
    TcpAddress,
    TurnAddress,
)
from tunnels.bucket import Bucket
from tunnels.paths.attention import Attention
from tunnels.paths.candidates import (
    Candidate,
    CandidateKind,
    PathPolicy,
    Tier,
    allowed,
    bounded,
    is_sane,
    may_send,
)
from tunnels.paths.checks import Cross, Offer, Ping, Pong, Sealer
from tunnels.paths.exchange import Exchange, Strangers
from tunnels.paths.offers import Offers
from tunnels.paths.path import Path, PathState
from tunnels.paths.reports import (
    Crossed,
    Doubted,
    Healed,
    Moved,
    Offered,
    PathEvent,
    PathReport,
    Switched,
    Woken,
)
from tunnels.paths.selection import Choice, Selector
from tunnels.paths.suspicion import Suspicion
from tunnels.paths.table import PathTable, source
from tunnels.paths.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable


class PathSet:
    """All paths to one peer. `now` is the event loop's clock in seconds; `chance` gives so many random bytes."""

    def __init__(
        self,
        candidates: Iterable[Candidate],
        *,
        now: float,
        chance: Callable[[int], bytes],
        policy: PathPolicy = PathPolicy.AUTO,
        confirmed: PathAddress | None = None,
    ) -> None:
        """A client starts with candidates; a server with the address its client was heard at, confirmed."""
        self.trace = Trace()
        self.exchange = Exchange(chance)
        self._table = PathTable(candidates, policy, now)
        self._attention = Attention(self._table, self.trace, chance)
        self._selector = Selector()
        self._offers = Offers()
        self._news = Bucket(1 / limits.OFFERS_NEWS_EVERY, limits.OFFERS_NEWS)
        self._own: tuple[Candidate, ...] = ()  # also those that the policy keeps from the peer
        self._suspicion = Suspicion()
        self._strangers = Strangers()
        self._early: list[tuple[bytes, PathAddress]] = []  # checks of a client that has proved nothing yet
        self._events: list[PathEvent] = []
        self._last_heard: Path | None = None
        self._selected_heard_at = now
        self._sent_beside_at = -inf  # when data last went by another path than the selected one
        self._answers_everywhere = confirmed is not None  # a server, during the handshake
        self._due = inf
        self._destinations: tuple[PathAddress, ...] = ()
        self._destinations_until = -inf
        path = None if confirmed is None else self._table.add(source(confirmed))
        if path is not None:
            path.heard(0, now)
            self._table.select(path, now)

    def __repr__(self) -> str:
        return f"<PathSet of {len(self._table)} paths, by {self.confirmed}>"

    @property
    def confirmed(self) -> PathAddress | None:
        """The selected path; None until something came back."""
        selected = self._table.selected
        return None if selected is None else selected.address

    @property
    def is_open(self) -> bool:
        """Whether there are checks: the peer is authenticated."""
        return self.exchange.sealer is not None

    @property
    def policy(self) -> PathPolicy:
        """Which paths may be used."""
        return self._table.policy

    @property
    def own_candidates(self) -> tuple[Candidate, ...]:
        """Where the peer is told that we may be reached."""
        return self._offers.own

    @property
    def peer_candidates(self) -> tuple[Candidate, ...]:
        """Where the peer says that it may be reached."""
        return self._offers.theirs

    @property
    def peer_description(self) -> bytes:
        """What the peer says of its network; empty if it said nothing."""
        return self._offers.their_description

    @property
    def addresses(self) -> tuple[PathAddress, ...]:
        """Where the paths lead."""
        return tuple(path.address for path in self._table)

    def has(self, address: PathAddress) -> bool:
        """Whether one of them leads there."""
        return address in self._table

    @property
    def relays(self) -> tuple[RelayAddress, ...]:
        """The peer's relays among them."""
        return tuple(address for address in self.addresses if isinstance(address, RelayAddress))

    def is_direct(self, now: float) -> bool:
        """Whether data goes by nobody else's machine, on a path whose pings are answered."""
        selected = self._table.selected
        return selected is not None and selected.candidate.tier <= Tier.TCP and selected.has_consent(now)

    @property
    def is_by_tcp(self) -> bool:
        """Whether data goes by a path over TCP, which gives way to a better one."""
        selected = self._table.selected
        return selected is not None and selected.candidate.tier is Tier.TCP

    def is_active(self, now: float) -> bool:
        """Whether data flowed of late."""
        return self._attention.is_active(now)

    def is_hopeless(self, now: float) -> bool:
        """Whether there are relays only, and each has just failed."""
        return all(isinstance(path.address, RelayAddress) and path.held_until > now for path in self._table)

    # --- data -------------------------------------------------------------------------------------------

    def destinations(self, now: float) -> tuple[PathAddress, ...]:
        """Where a flight of the connection's datagrams goes now; asked for each."""
        if now >= self._destinations_until:
            self._destinations, self._destinations_until = self._find_destinations(now)
        return self._destinations

    def _find_destinations(self, now: float) -> tuple[tuple[PathAddress, ...], float]:
        """The addresses, and until when they are right if nothing happens."""
        selected = self._table.selected
        if selected is None:
            return self._table.unanswered(now), now + limits.ROUND_EVERY
        if self._answers_everywhere:
            return self._table.heard(), now
        if not self._attention.is_heard:
            return (selected.address,), inf
        if now < self._suspicion.deceived_until:
            return self._table.spread(now), now + limits.DOUBT_LOOK_EVERY
        if selected.is_trusted(now):
            return (selected.address,), selected.trusted_until
        if not (self._attention.is_active(now) or selected.is_doubted) and selected.has_consent(now):
            return (selected.address,), selected.answered_at + limits.PATH_CONSENT  # QUIC's keepalives
        return self._table.doubtful(now), now + limits.DOUBT_LOOK_EVERY

    def allows(self, address: PathAddress) -> bool:
        """Whether anything may be sent there."""
        return may_send(self._table.policy, self._source(address))

    def _source(self, address: PathAddress) -> Candidate:
        """The address that a datagram came from, as what the peer says that it is."""
        relayed = Candidate(address, CandidateKind.RELAYED)
        return relayed if relayed in self._offers.theirs else source(address)

    def sent(self, address: PathAddress, size: int, now: float) -> None:
        """Datagrams of so many bytes were sent there."""
        path = self._table.selected
        if path is None or path.address is not address:
            path = self._table.get(address)
            self._sent_beside_at = now
        if path is not None:
            path.sent(size, now)

    def acknowledged(self, sent_at: float, now: float) -> None:
        """The peer acknowledged a keepalive of the connection that was sent then; by which path, if by one only, is known."""
        selected = self._table.selected
        if (
            selected is not None
            and self._attention.is_heard
            and sent_at > max(self._sent_beside_at, self._table.selected_at)
        ):
            selected.acknowledged(sent_at, now)
            self._attention.acknowledged(now)
            self._plan(now)

    def used(self, now: float) -> None:
        """Data flows: the paths are looked after more often for a while, and at once if they were not lately."""
        if self._attention.used(now):
            self._events.append(Woken())
            self._plan(now)

    def heard(self, address: PathAddress, now: float, size: int = 0) -> None:
        """Datagrams of this connection came from there, in all of so many bytes; who sent them is not known."""
        path = self._last_heard
        if path is None or path.address is not address:
            path = self._last_heard = self._table.get(address)
            if path is None:
                self._stranger(address, now)
                return
        path.heard(size, now)
        self._attention.flow_at = now
        selected = self._table.selected
        if path is selected:
            self._selected_heard_at = now
        elif not (self._attention.is_heard or self._answers_everywhere) and (
            selected is None or now - self._selected_heard_at > limits.PATH_SILENT_AFTER
        ):
            self._switch(
                path, "it is heard" if selected is None else "it is heard, and the other one is not", now
            )

    def _stranger(self, address: PathAddress, now: float) -> None:
        """Somebody sent to the connection from an address that nobody named."""
        path = (
            self._strangers.ask(self._source(address), now)
            if self.exchange.is_open and self.allows(address)
            else None
        )
        if path is not None:
            self.trace.add(now, "asked an unknown address", "datagrams of the connection come from there")
            self._ping(path, now)

    # --- what is known elsewhere ------------------------------------------------------------------------

    def open(self, sealer: Sealer, now: float) -> None:
        """The peer is authenticated: from now on, checks."""
        self.exchange.sealer = sealer
        self._answers_everywhere = False
        latest = max(self._table, key=lambda path: path.heard_at, default=None)
        if latest is not None and latest.heard_at > -inf and latest is not self._table.selected:
            self._switch(latest, "the handshake ended on it", now)
        self._offers.renew(now)
        self._attention.opened(now)
        early, self._early = self._early, []
        for datagram, address in early:
            self.check_received(datagram, address, now)
        self._act(now)

    def suspect(self, now: float, probe_timeouts: int, *, is_awaited: bool) -> None:
        """So many of QUIC's probes in a row went unanswered; 0 once one is answered.

        `is_awaited`: somebody waits for the peer, so that a path that heals must be noticed at once.
        """
        has_grown = self._suspicion.counted(probe_timeouts)
        if not probe_timeouts or not is_awaited:
            self._attention.relax()
        if not has_grown or self.exchange.sealer is None:
            return
        if probe_timeouts < limits.DISTRUST_PROBES:
            self._attention.ask_usable(now)
        else:
            self._suspicion.tell(now)
            was_trusted = self._distrust(now, "QUIC hears nothing")
            if is_awaited and self._attention.suspect(now) and not was_trusted:
                self._attention.ask_all(now, "QUIC hears nothing")
        self._act(now)

    def closed(self, sockets: Collection[int]) -> None:
        """These extra sockets are closed: no path goes by them any more."""
        for address in self.addresses:
            if isinstance(address, SocketAddress) and address.socket in sockets:
                self._table.remove(address)
        self.exchange.forget_knocks(sockets)
        self._last_heard = None

    def failed(self, address: PathAddress, now: float) -> None:
        """The transport says that it cannot send there: the relay is gone, or the peer is not at it, or the connection ended."""
        path = self._table.get(address)
        if path is None:
            return
        path.close(now)
        path.distrust(now)
        path.round.end()
        path.held_until = max(path.held_until, now + limits.ROUND_EVERY)
        self.trace.add(now, f"{address} failed", "its transport cannot send there")
        if path is self._table.selected and self.exchange.sealer is not None:
            self._attention.look_soon(now)
            self._change(self._selector.looked(self._table, path, now), now)
        if isinstance(address, TcpAddress):  # that connection does not come back
            self._last_heard = None
            self._table.remove(address)
        self._plan(now)

    def beacon_changed(self, beacon: BeaconUrl, now: float, *, is_up: bool) -> None:
        """A beacon's relay can be used now, or cannot any more."""
        for path in tuple(self._table):
            address = path.address
            if not isinstance(address, RelayAddress) or address.beacon != beacon:
                continue
            if not is_up:
                self.failed(address, now)
            elif self.exchange.sealer is not None:
                path.forgive()
                path.round.begin(now)
                self._act(now)

    def network_changed(self, now: float) -> None:
        """This machine's addresses or routes are others, or it slept: nothing that was known is trusted."""
        for path in self._table:
            path.distrust(now)
            path.forgive()
        if self.exchange.sealer is None:
            return
        self._suspicion.tell(now)
        self._offers.renew(now)
        self._attention.ask_all(now, "the network changed")
        self._act(now)

    def set_own_candidates(self, own: Iterable[Candidate], now: float) -> None:
        """We may be reached here now; the peer is told what the policy lets it know."""
        self._own = tuple(own)
        told = bounded(allowed(self.policy, self._own))
        if self._offers.set_own(told, now) and self.exchange.sealer is not None:
            self._attention.ask_all(now, "our candidates changed")
            self._act(now)

    def describe(self, description: bytes, now: float) -> None:
        """Our network is like that (`tunnels.crossing.description`); the peer is told."""
        if self._offers.describe(description, now) and self.exchange.sealer is not None:
            self._act(now)

    def peer_ports_vary(self, *, vary: bool) -> None:
        """Whether the peer's NAT gives each destination another port: it is hardly asked then where only servers see it."""
        self._table.ports_vary = vary
        for path in self._table:
            path.round.limit(self._table.pings(path))

    def tell(self, cross: Cross, now: float) -> None:
        """Tell the peer how an attempt to cross our NATs stands here, by whatever works now."""
        self.exchange.send(cross, self.destinations(now))

    def add_candidates(self, candidates: Iterable[Candidate], now: float) -> None:
        """The peer may be here, too; a path that does not work now is asked again."""
        named = frozenset(candidate.address for candidate in self._offers.theirs)
        for candidate in candidates:
            path = self._table.add(candidate, named)
            if path is not None and path.state is not PathState.USABLE and not path.round.is_under_way:
                path.held_until = min(path.held_until, now)
                path.round.begin(now, self._table.pings(path))
        self._act(now)

    def set_policy(self, policy: PathPolicy, now: float) -> None:
        """Use only such paths from now on: those that the peer told of and the policy forbade till now are there again."""
        if policy is self.policy:
            return
        self._table.set_policy(policy)
        self._last_heard = None
        self._strangers.clear()
        self._offers.set_own(bounded(allowed(policy, self._own)), now)
        self.add_candidates(self._sane_theirs(), now)
        if self.exchange.sealer is not None:
            self._attention.ask_all(now, f"the policy is {policy.value}")
        self._act(now)

    # --- checks in --------------------------------------------------------------------------------------

    def check_received(self, datagram: bytes, address: PathAddress, now: float) -> None:
        """A check came, from whoever it may be."""
        sealer = self.exchange.sealer
        if sealer is None and self._answers_everywhere and len(self._early) < limits.EARLY_CHECKS:
            self._early.append((datagram, address))  # it may have overtaken what proves whose it is
        opened = sealer.open(datagram) if sealer is not None and self.allows(address) else None
        if opened is None:
            return
        check, sequence = opened
        if not self._attention.is_heard:
            self._attention.is_heard = True
            self._attention.ask_all(now, "the peer knows checks", anew=False)
        path = self._table.get(address) or self._adopt(address, now)
        if path is not None:
            path.heard(len(datagram), now)
        match check:
            case Ping():
                self._pinged(check, sequence, address, path, now)
            case Pong():
                self._ponged(check, sequence, now)
            case Offer():
                self._offered(check, sequence, now)
            case Cross():
                self._events.append(Crossed(check))
        self._act(now)

    def _adopt(self, address: PathAddress, now: float) -> Path | None:
        """The peer is where nobody said it was: a peer-reflexive candidate (RFC 8445 §7.3.1.3)."""
        named = frozenset(candidate.address for candidate in self._offers.theirs)
        path = self._table.add(self._source(address), named, self._strangers.take(address))
        if path is not None:
            self.trace.add(now, f"found {path.candidate}", "the peer was heard from there")
        return path

    def _pinged(self, ping: Ping, sequence: int, address: PathAddress, path: Path | None, now: float) -> None:
        is_doubted = path is None or path.is_doubted
        if self.exchange.may_answer(now):
            back = {address: None}
            if is_doubted and self._table.selected is not None:  # our direction there may be dead
                back |= dict.fromkeys(self.destinations(now))
            self.exchange.send(Pong(ping.transaction_id, _observed(address)), back)
        if path is not None and is_doubted and not path.round.is_under_way:
            path.round.begin(now)  # a triggered check (RFC 8445 §7.3.1.4)
        if ping.is_suspect and self._suspicion.is_news(sequence):
            self._distrust(now, "the peer hears nothing of what goes by it")

    def _ponged(self, pong: Pong, sequence: int, now: float) -> None:
        found = self.exchange.ping_of(pong) or self._knocked(pong, now)
        if found is None:
            return
        path, sent_at = found
        was_stranger = path.address in self._strangers
        if was_stranger:
            self._adopt(path.address, now)
        if self._table.get(path.address) is not path:
            return
        is_news = path.answered_at == -inf or path.is_failing(now)
        path.answered(sent_at, pong.observed, now)
        path.round.answered()
        if is_news:
            self.trace.add(now, f"{path.address} works", f"answered after {(now - sent_at) * 1000:.0f} ms")
        if was_stranger:
            self._distrust(now, f"the peer is heard from {path.address}")
        self._suspicion.answered(sent_at)
        if path.is_trusted(now) and self._suspicion.heals():
            self._events.append(Healed(path.address))
        self._change(self._selector.answered(self._table, self._table.selected, now), now)
        if path is self._table.selected and path.is_trusted(now):
            self._suspicion.proved(sequence)

    def _knocked(self, pong: Pong, now: float) -> tuple[Path, float] | None:
        """The path that a knock of ours went by, if that is what the pong answers: it got there, and so would a ping."""
        knock = self.exchange.knock_of(pong, now)
        if knock is None or not self.allows(knock[0]):
            return None
        address, sent_at = knock
        path = self._table.get(address) or self._adopt(address, now)
        if path is None:
            return None
        if path.sent_at < sent_at:  # that was its first ping
            path.open(sent_at)
            path.ping_sent(sent_at)
        return path, sent_at

    def _offered(self, offer: Offer, sequence: int, now: float) -> None:
        before, was_described = self._offers.theirs, self._offers.their_description
        is_news = (offer.candidates, offer.description) != (before, was_described)
        if is_news and not self._news.take(now):
            return  # it gets no answer, so the peer tells again
        answer = self._offers.received(offer, sequence)
        if answer is not None and self.exchange.may_answer(now):
            self.exchange.send(answer, self.destinations(now))
        if self._offers.their_description != was_described:
            self._events.append(Offered())
        if self._offers.theirs == before:
            return
        sane = self._sane_theirs()
        self.trace.add(now, "the peer may be reached at", ", ".join(map(str, sane)) or "nothing we may ask")
        named = {candidate.address for candidate in sane}
        self._last_heard = None  # it may be one that the policy forbids, now that we know what it is
        self._table.withdraw(known.address for known in before if known.address not in named)
        self.add_candidates(sane, now)
        self._events.append(Offered())

    def _sane_theirs(self) -> list[Candidate]:
        """Where the peer may be reached, as it last told, without what nobody may be asked at."""
        ours = (
            *(path.address for path in self._table),
            *(candidate.address for candidate in self._offers.own),
        )
        local_ip = any(isinstance(address, Address) and address.ip.is_loopback for address in ours)
        local_relay = any(isinstance(address, RelayAddress) and address.beacon.is_local for address in ours)
        return [
            candidate
            for candidate in bounded(self._offers.theirs)
            if is_sane(
                candidate.address,
                with_loopback=local_relay if isinstance(candidate.address, RelayAddress) else local_ip,
            )
        ]

    # --- time -------------------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        """When `handle_timer` is due; None when nothing is."""
        return self._due if self._due < inf and self.exchange.is_open else None

    def handle_timer(self, now: float) -> None:
        """Let what is due at `now` happen."""
        if now < self._due or not self.exchange.is_open:
            return
        self.exchange.expire(now)
        for path in self._table:
            path.look(now)
        self._table.forget(frozenset(candidate.address for candidate in self._offers.theirs), now)
        selected = self._table.selected
        if selected is not None and selected.is_failing(now):
            self._distrust(now, "its pings go unanswered")
        elif (
            selected is not None
            and now >= selected.answer_due(limits.PING_PATIENCE)
            and not selected.round.is_under_way
        ):
            selected.round.begin(now)
        self._attention.handle_timer(now)
        self._change(self._selector.looked(self._table, selected, now), now)
        self._act(now)

    def checks_to_send(self) -> list[tuple[bytes, PathAddress]]:
        """Checks to put on the wire at once, each with where to."""
        return self.exchange.take()

    def take_events(self) -> list[PathEvent]:
        """What happened since the last call."""
        if not self._events:
            return []
        events, self._events = self._events, []
        return events

    def report(self, now: float) -> tuple[PathReport, ...]:
        """Every path, the selected one first, then the best."""
        return self._table.report(now)

    def moved(self) -> dict[Tier, Moved]:
        """What went by paths of each kind so far."""
        return self._table.moved()

    # --- what is done -----------------------------------------------------------------------------------

    def _distrust(self, now: float, why: str) -> bool:
        """The selected path may be dead in our direction: until a later ping is answered, it is not alone.

        False if it was not trusted anyway.
        """
        selected = self._table.selected
        if selected is None or not selected.is_trusted(now):
            return False
        selected.distrust(now)
        if self._suspicion.disappointed(now):
            self.trace.add(
                now, "data goes by several paths", "pings are answered, and data is lost all the same"
            )
        self._events.append(Doubted(selected.address))
        self._attention.ask_all(now, f"{selected.address} is not trusted: {why}")
        return True

    def _change(self, choice: Choice | None, now: float) -> None:
        if choice is None:
            return
        old = self._table.selected
        if old is not None and not old.is_trusted(now):
            old.died(now)
        self._switch(choice.path, choice.why, now)
        self._selector.changed(now)
        self._attention.look_soon(now)

    def _switch(self, path: Path, why: str, now: float) -> None:
        old = self.confirmed
        self._table.select(path, now)
        self._selected_heard_at = now
        self._destinations_until = -inf
        self._events.append(Switched(old, path.address, why))
        self.trace.add(now, f"changed to {path.address}", why)

    def _act(self, now: float) -> None:
        """Send what is due, and know when the next thing is."""
        if self.exchange.is_open:
            for path in self._table:
                if path.round.due <= now:
                    self._ping(path, now)
            if self._offers.due <= now:
                self.exchange.send(self._offers.next(now), self.destinations(now))
        self._plan(now)

    def _ping(self, path: Path, now: float) -> None:
        self.exchange.ping(path, now, is_suspect=self._suspicion.tells)

    def _plan(self, now: float) -> None:
        self._destinations_until = -inf
        due = min(self._offers.due, self._attention.due)
        for path in self._table:
            due = min(due, path.round.due)
        selected = self._table.selected
        if selected is not None and selected.awaited_since < inf:
            for patience in (limits.PING_PATIENCE, limits.PATH_FAILS_AFTER):
                at = selected.answer_due(patience)
                due = min(due, at if at > now else inf)
        self._due = due


def _observed(address: PathAddress) -> Address | None:
    """What a peer's ping was seen to come from."""
    match address:
        case Address():
            return address
        case TurnAddress() | SocketAddress() | TcpAddress():
            return address.peer
        case RelayAddress():
            return None
