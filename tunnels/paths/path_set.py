"""The paths of one connection: which addresses its datagrams go to now, and everything done to find better ones. Sans-IO.

QUIC above sees one constant pseudo-address; here are the real ones.

* Until something came back, each datagram goes to every candidate: the first that works wins.
* Then it goes to the selected path. Once the connection is authenticated, both ends ping each other's candidates with
  sealed checks (`checks`), and the best path that answers is selected (`selection`); data never goes by a path whose
  own ping was not answered.
* While the selected path is not trusted, data goes by the relay, or whatever else works, as well: QUIC takes the first
  copy of each packet. Distrust comes from silence, from QUIC's probe timeouts, or from the peer, which says in its pings
  that it hears nothing; so either end notices a path that is dead in one direction only.
* A datagram from an unknown address moves nothing. It may be the peer behind a NAT that changed its mind, so that address
  is pinged, rarely, and only the peer can answer.

A peer that does not know checks is served by what is heard: a path that fell silent gives way to a candidate that is heard.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import Address, PathAddress, RelayAddress, TurnAddress
from tunnels.paths.candidates import (
    Candidate,
    CandidateKind,
    PathPolicy,
    Tier,
    allowed,
    bounded,
    is_allowed,
    is_sane,
    tier_of,
)
from tunnels.paths.checks import TRANSACTION_ID_BYTES, Check, Offer, Ping, Pong, Sealer
from tunnels.paths.offers import Offers
from tunnels.paths.path import Path, PathState
from tunnels.paths.probing import Bucket, Outstanding
from tunnels.paths.reports import Healed, PathEvent, PathReport, Switched
from tunnels.paths.selection import Choice, Selector, rank
from tunnels.paths.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


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
        self.policy = policy
        self.peer_connection_id = b""
        """Where checks go; empty until the peer's packets can be sent to."""
        self._chance = chance
        self._sealer: Sealer | None = None
        self._paths: dict[PathAddress, Path] = {}
        self._selected: Path | None = None
        self._selected_at = now
        self._selector = Selector()
        self._offers = Offers()
        self._outstanding = Outstanding()
        self._pings = Bucket(limits.PINGS_PER_SECOND)
        self._pongs = Bucket(limits.PONGS_PER_SECOND)
        self._strangers = Bucket(limits.UNPROVEN_PINGS_PER_SECOND)
        self._queue: list[tuple[bytes, PathAddress]] = []
        self._events: list[PathEvent] = []
        self._last_heard: Path | None = None
        self._heard_at = now  # datagrams on the selected path
        self._flow_at = -inf  # datagrams on any
        self._maintained_at = -inf
        self._has_healed = False
        self._used_at = -inf
        self._is_heard = False  # whether the peer has sent a check
        self._answers_everywhere = confirmed is not None  # a server, during the handshake
        self._probe_timeouts = 0
        self._is_awaited = False
        self._tell_suspicion = False
        self._proof_sequence = -1  # the peer's, with the pong that last proved the selected path
        self._rounds = 0
        self._round_wait = limits.ROUND_EVERY
        self._round_at = self._maintain_at = self._suspect_at = self._look_at = inf
        self._due = inf
        self._destinations: tuple[PathAddress, ...] = ()
        self._destinations_until = -inf
        for candidate in bounded(allowed(policy, candidates)):
            self._paths[candidate.address] = Path(candidate)
        if confirmed is not None:
            self._selected = self._path_to(confirmed, now)
            if self._selected is not None:
                self._selected.heard(0, now)

    def __repr__(self) -> str:
        return f"<PathSet of {len(self._paths)} paths, by {self.confirmed}>"

    @property
    def confirmed(self) -> PathAddress | None:
        """The selected path; None until something came back."""
        return None if self._selected is None else self._selected.address

    @property
    def relays(self) -> tuple[RelayAddress, ...]:
        """The peer's relays that we know."""
        return tuple(address for address in self._paths if isinstance(address, RelayAddress))

    @property
    def offered(self) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
        """The candidates that we told the peer, and those it told us."""
        return self._offers.own, self._offers.theirs

    # --- where datagrams go -----------------------------------------------------------------------------

    def destinations(self, now: float) -> tuple[PathAddress, ...]:
        """Where a flight of the connection's datagrams goes now; asked for each."""
        if now >= self._destinations_until:
            self._destinations, self._destinations_until = self._find_destinations(now)
        return self._destinations

    def _find_destinations(self, now: float) -> tuple[tuple[PathAddress, ...], float]:
        """The addresses, and until when they are right if nothing happens."""
        selected, paths = self._selected, self._paths.values()
        if selected is None:
            working = [path.address for path in paths if path.held_until <= now]
            return tuple(working or self._paths), now + limits.ROUND_EVERY
        if self._answers_everywhere:
            others = [path for path in paths if path.heard_at > -inf and path is not selected]
            return _addresses([selected, *others]), inf
        if not self._is_heard:
            return (selected.address,), inf
        if selected.is_trusted(now):
            return (selected.address,), selected.trusted_until
        beside = [path for path in paths if path is not selected and path.state is PathState.USABLE]
        trusted = [path for path in beside if path.is_trusted(now)]
        best = min(trusted, key=rank, default=None)
        relay = self._standby(now)
        found = [path for path in (selected, relay, best) if path is not None]
        if best is None:  # whatever worked lately, the latest first
            found += sorted(
                (path for path in paths if path.answered_at > -inf), key=lambda path: -path.answered_at
            )
        if len(found) > 1 and selected.state is PathState.CLOSED:
            found.remove(selected)
        return _addresses(found), now + limits.TIMER_RESOLUTION * 100

    def _standby(self, now: float) -> Path | None:
        """The relay that data goes by beside a path that is not trusted."""
        relays = [
            path
            for path in self._paths.values()
            if path.candidate.tier is Tier.RELAY and path is not self._selected and path.has_consent(now)
        ]
        return min(relays, key=rank, default=None)

    def sent(self, address: PathAddress, size: int, now: float) -> None:
        """Datagrams of so many bytes were sent there."""
        path = self._selected
        if path is None or path.address is not address:
            path = self._paths.get(address)
        if path is not None:
            path.sent(size, now)

    def used(self, now: float) -> None:
        """Data flows: the paths are looked after more often for a while, and at once if they were not lately."""
        was_idle = now - self._used_at > limits.ACTIVE_FOR
        self._used_at = now
        if was_idle and self._sealer is not None:
            self._maintain_at = now
            self._plan(now)

    def heard(self, address: PathAddress, now: float, size: int = 0) -> None:
        """Datagrams of this connection came from there, in all of so many bytes; who sent them is not known."""
        path = self._last_heard
        if path is None or path.address is not address:
            path = self._last_heard = self._paths.get(address)
            if path is None:
                self._stranger(address, now)
                return
        path.heard(size, now)
        self._flow_at = now
        if path is self._selected:
            self._heard_at = now
        elif not self._is_heard and (
            self._selected is None or now - self._heard_at > limits.PATH_SILENT_AFTER
        ):
            self._heard_at = now
            self._switch(
                path, "the first that is heard" if self._selected is None else "the other one is silent", now
            )

    def _stranger(self, address: PathAddress, now: float) -> None:
        """Somebody sent to the connection from an address we do not know: the peer's NAT may have changed its mapping."""
        if self._sealer is None or not self._strangers.take(now):
            return
        unproven = [
            path for path in self._paths.values() if path.candidate.kind is CandidateKind.PEER_REFLEXIVE
        ]
        if sum(path.answered_at == -inf for path in unproven) < limits.MAX_UNPROVEN_SOURCES:
            path = self._path_to(address, now)
            if path is not None:
                path.round.begin(now, 1)
                self._act(now)

    # --- what the connection tells ----------------------------------------------------------------------

    def open(self, sealer: Sealer, now: float) -> None:
        """The peer is authenticated: from now on, checks."""
        self._sealer = sealer
        self._answers_everywhere = False
        heard = [path for path in self._paths.values() if path.heard_at > -inf]
        if heard:
            latest = max(heard, key=lambda path: path.heard_at)
            if latest is not self._selected:
                self._switch(latest, "the one the handshake ended on", now)
        self._maintain_at = now + limits.PING_ACTIVE
        self._offers.renew(now)
        self._begin_rounds(now, "the connection is open")
        self._act(now)

    def suspect(self, now: float, probe_timeouts: int, *, is_awaited: bool) -> None:
        """So many of QUIC's probes in a row went unanswered, 0 when one was answered.

        `is_awaited`: somebody waits for the peer, so that a path that heals must be noticed at once.
        """
        before, self._probe_timeouts, self._is_awaited = self._probe_timeouts, probe_timeouts, is_awaited
        self._has_healed &= probe_timeouts == before
        if not probe_timeouts:
            self._tell_suspicion = False
            self._suspect_at = inf
            return
        if self._sealer is None or probe_timeouts == before:
            return
        if probe_timeouts < limits.DISTRUST_PROBES:
            for path in self._paths.values():
                if path is self._selected or path.state is PathState.USABLE:
                    path.round.once(now)
        else:
            self._tell_suspicion = True
            self._distrust(now, "QUIC hears nothing")
            if self._suspect_at == inf:
                self._suspect_at = now + limits.SUSPECT_PING_EVERY
                self._begin_rounds(now, "QUIC hears nothing")
        self._act(now)

    def failed(self, address: PathAddress, now: float) -> None:
        """The transport says that it cannot send there: the relay is gone, or the peer is not at it."""
        path = self._paths.get(address)
        if path is None:
            return
        path.close(now)
        path.distrust(now)
        path.round.end()
        path.held_until = max(path.held_until, now + limits.ROUND_EVERY)
        self.trace.add(now, f"{address} failed", "its transport cannot send there")
        self._act(now)

    def works_again(self, address: PathAddress, now: float) -> None:
        """The transport can send there again: ask at once."""
        path = self._paths.get(address)
        if path is not None:
            path.forgive()
            if self._sealer is not None:
                path.round.begin(now)
                self._act(now)

    def network_changed(self, now: float) -> None:
        """This machine's addresses or routes are others, or it slept: nothing that was known is trusted."""
        self.trace.add(now, "everything is asked anew", "the network changed")
        for path in self._paths.values():
            path.distrust(now)
            path.forgive()
        if self._sealer is None:
            return
        self._tell_suspicion = True
        self._offers.renew(now)
        self._begin_rounds(now)
        self._act(now)

    # --- candidates -------------------------------------------------------------------------------------

    def set_own_candidates(self, own: Iterable[Candidate], now: float) -> None:
        """We may be reached here now; the peer is told what the policy lets it know."""
        if self._offers.set_own(bounded(allowed(self.policy, own)), now) and self._sealer is not None:
            self._begin_rounds(now, "our candidates changed")
            self._act(now)

    def add_candidates(self, candidates: Iterable[Candidate], now: float) -> None:
        """The peer may be here, too."""
        found = [
            path
            for candidate in allowed(self.policy, candidates)
            if candidate.address not in self._paths
            and (path := self._path_to(candidate.address, now, candidate.kind))
        ]
        if found:
            self._destinations_until = -inf
        if found and self._sealer is not None:
            for path in found:
                path.round.begin(now)
            self._act(now)

    def set_policy(self, policy: PathPolicy, now: float) -> None:
        """Use only such paths from now on."""
        if policy is self.policy:
            return
        self.policy = policy
        self.trace.add(now, f"path policy {policy.value}")
        for path in list(self._paths.values()):
            if not is_allowed(policy, path.candidate.tier):
                del self._paths[path.address]
        if self._selected is not None and self._selected.address not in self._paths:
            self._selected = self._last_heard = None
        self._offers.set_own(allowed(policy, self._offers.own), now)
        if self._sealer is not None:
            self._begin_rounds(now)
            self._act(now)

    def _path_to(
        self, address: PathAddress, now: float, kind: CandidateKind = CandidateKind.PEER_REFLEXIVE
    ) -> Path | None:
        """The path to an address, made if need be; None where the policy or the bounds say no."""
        path = self._paths.get(address)
        if path is not None:
            return path
        candidate = Candidate(address, CandidateKind.RELAY if isinstance(address, RelayAddress) else kind)
        if not is_allowed(self.policy, candidate.tier):
            return None
        if len(self._paths) >= limits.MAX_PATHS:
            theirs = {offered.address for offered in self._offers.theirs}
            useless = [
                path
                for path in self._paths.values()
                if path is not self._selected
                and path.state is not PathState.USABLE
                and path.address not in theirs
            ]
            if not useless:
                return None
            del self._paths[useless[0].address]
        path = self._paths[address] = Path(candidate)
        return path

    # --- checks in --------------------------------------------------------------------------------------

    def check_received(self, datagram: bytes, address: PathAddress, now: float) -> None:
        """A check came, from whoever it may be."""
        opened = None if self._sealer is None else self._sealer.open(datagram)
        if opened is None or not is_allowed(self.policy, tier_of(address)):
            return
        check, sequence = opened
        if not self._is_heard:
            self._is_heard = True
            self._begin_rounds(now, "the peer speaks checks")
        path = self._path_to(address, now)
        if path is not None:
            path.heard(len(datagram), now)
        match check:
            case Ping():
                self._pinged(check, sequence, address, path, now)
            case Pong():
                self._ponged(check, sequence, now)
            case Offer():
                self._offered(check, sequence, now)
        self._act(now)

    def _pinged(self, ping: Ping, sequence: int, address: PathAddress, path: Path | None, now: float) -> None:
        is_trusted = path is not None and path.is_trusted(now)
        if self._pongs.take(now):
            pong = Pong(ping.transaction_id, _observed(address))
            self._send(pong, address)
            if not is_trusted:  # our direction there may be dead, and theirs not
                for other in self.destinations(now) if self._selected else ():
                    if other != address:
                        self._send(pong, other)
        if path is not None and not is_trusted and not path.round.is_under_way:
            path.round.begin(now)  # a triggered check (RFC 8445 §7.3.1.4)
        if ping.is_suspect and sequence > self._proof_sequence:
            self._distrust(now, "the peer hears nothing of what goes by it")

    def _ponged(self, pong: Pong, sequence: int, now: float) -> None:
        found = self._outstanding.take(pong.transaction_id)
        if found is None:
            return
        path, sent_at = found
        if path.address not in self._paths:
            return
        was_usable = path.state is PathState.USABLE
        path.answered(sent_at, pong.observed, now)
        path.round.answered()
        self._tell_suspicion = False  # the peer has heard it, if it was told
        if not was_usable:
            self.trace.add(now, f"{path.address} works", f"its ping was answered after {path.rtt or 0:.3f} s")
        if path is self._selected and path.is_trusted(now):
            self._proof_sequence = sequence
        if self._probe_timeouts >= limits.DISTRUST_PROBES and not self._has_healed and path.is_trusted(now):
            self._has_healed = True
            self._events.append(Healed(path.address))
        self._change(self._selector.answered(self._paths.values(), self._selected, now), now)

    def _offered(self, offer: Offer, sequence: int, now: float) -> None:
        before = self._offers.theirs
        answer = self._offers.received(offer, sequence)
        if answer is not None:
            for address in self.destinations(now):
                self._send(answer, address)
        if self._offers.theirs == before:
            return
        with_loopback = any(
            isinstance(known, Address) and known.ip.is_loopback
            for known in (*self._paths, *(candidate.address for candidate in self._offers.own))
        )
        sane = [
            candidate
            for candidate in bounded(self._offers.theirs)
            if is_sane(candidate.address, with_loopback=with_loopback)
        ]
        self.trace.add(now, f"the peer offers {', '.join(map(str, sane)) or 'nothing'}")
        self.add_candidates(sane, now)
        for path in self._paths.values():
            if not path.is_trusted(now):
                path.round.once(now)

    # --- time -------------------------------------------------------------------------------------------

    def get_timer(self) -> float | None:
        """When `handle_timer` is due; None when nothing is."""
        return self._due if self._due < inf and self._sealer is not None and self.peer_connection_id else None

    def handle_timer(self, now: float) -> None:
        """Let what is due at `now` happen."""
        if self._sealer is None or not self.peer_connection_id or now < self._due:
            return
        self._outstanding.expire(now)
        selected = self._selected
        for path in self._paths.values():
            path.look(now)
        if selected is not None:
            if selected.is_failing(now):
                self._distrust(now, "its pings go unanswered")
            elif (
                now - selected.awaited_since > max(limits.PING_PATIENCE, 3 * (selected.rtt or 0.0))
                and not selected.round.is_under_way
            ):
                selected.round.begin(now)
        if now >= self._round_at:
            self._next_round(now)
        if now >= self._maintain_at:
            self._maintain(now)
        if now >= self._suspect_at:
            self._suspect_at = now + limits.SUSPECT_PING_EVERY if self._is_awaited else inf
            for path in self._paths.values():
                path.round.once(now)
        self._change(self._selector.looked(self._paths.values(), selected, now), now)
        self._act(now)

    def checks_to_send(self, now: float) -> list[tuple[bytes, PathAddress]]:
        """Checks to put on the wire, each with where to; urgent ones, all of them."""
        if not self._queue:
            return []
        queue, self._queue = self._queue, []
        return queue

    def take_events(self) -> list[PathEvent]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    def _begin_rounds(self, now: float, why: str = "") -> None:
        """Ask about every path, and soon again while nothing direct works."""
        if why:
            self.trace.add(now, f"all {len(self._paths)} paths are asked", why)
        for path in self._paths.values():
            path.round.begin(now)
        self._round_wait = limits.ROUND_EVERY
        self._round_at = now + self._round_wait

    def _next_round(self, now: float) -> None:
        """Look for something better: all over while nothing direct works, else now and then."""
        self._rounds += 1
        if not self._is_heard and self._rounds >= limits.ROUNDS_UNHEARD:
            self.trace.add(now, "no more checks are sent", "the peer does not answer any")
            self._round_at = self._maintain_at = inf
            return
        selected = self._selected
        if selected is None or selected.candidate.tier > Tier.DIRECT or not selected.has_consent(now):
            for path in self._paths.values():
                path.round.begin(now, limits.ROUND_PINGS if self._is_active(now) else limits.SCAN_PINGS)
            self._round_wait = min(2 * self._round_wait, limits.ROUND_EVERY_MAX)
        else:
            self._round_wait = limits.SCAN_EVERY
            for path in self._paths.values() if selected.min_rtt > limits.SCAN_GOOD_ENOUGH else ():
                if path is not selected:
                    path.round.begin(now, limits.SCAN_PINGS)
        self._round_at = now + self._round_wait

    def _is_active(self, now: float) -> bool:
        return now - self._used_at <= limits.ACTIVE_FOR

    def _maintain(self, now: float) -> None:
        """Ping the selected path and the relay beside it, at intervals, and when a flow of data has just stopped."""
        is_active = self._is_active(now)
        interval = limits.PING_ACTIVE if is_active else limits.PING_IDLE
        has_stopped = self._maintained_at < self._flow_at <= now - limits.PING_WHEN_QUIET
        if has_stopped or now - self._maintained_at >= interval:
            self._maintained_at = now
            for path in (self._selected, self._standby(now)):
                if path is not None:
                    path.round.once(now)
        spread = 1 - limits.PING_JITTER + 2 * limits.PING_JITTER * self._chance(1)[0] / 255
        self._maintain_at = now + (limits.PING_WHEN_QUIET if is_active else interval * spread)

    def _distrust(self, now: float, why: str) -> None:
        """The selected path may be dead in our direction: until a later ping of ours is answered, it is not alone."""
        selected = self._selected
        if selected is not None and selected.is_trusted(now):
            selected.distrust(now)
            self._begin_rounds(now)
            self.trace.add(now, f"{selected.address} is not trusted", why)

    def _change(self, choice: Choice | None, now: float) -> None:
        if choice is None:
            return
        old = self._selected
        if old is not None and not old.is_trusted(now):
            old.died(now)
        self._switch(choice.path, choice.why, now)
        self._selector.changed(now)
        self._round_wait = limits.ROUND_EVERY
        self._round_at = min(self._round_at, now + self._round_wait)

    def _switch(self, path: Path, why: str, now: float) -> None:
        old, self._selected = self._selected, path
        self._selected_at = now
        self._destinations_until = -inf
        self._events.append(Switched(None if old is None else old.address, path.address, why))
        self.trace.add(now, f"{path.address} is used", why)

    def _act(self, now: float) -> None:
        """Send what is due, and know when the next thing is."""
        self._destinations_until = -inf
        if self._sealer is None or not self.peer_connection_id:
            self._due = now
            return
        for path in self._paths.values():
            if path.round.due <= now:
                self._ping(path, now)
        if self._offers.due <= now:
            offer = self._offers.next(now)
            for address in self.destinations(now):
                self._send(offer, address)
        self._plan(now)

    def _ping(self, path: Path, now: float) -> None:
        if not self._pings.take(now):
            path.round.due = now + limits.SUSPECT_PING_EVERY
            return
        if path.state is PathState.CLOSED:
            path.open(now)
        transaction_id = self._chance(TRANSACTION_ID_BYTES)
        self._send(Ping(transaction_id, is_suspect=self._tell_suspicion), path.address)
        self._outstanding.add(transaction_id, path, now)
        path.ping_sent(now)
        path.round.sent(now)

    def _send(self, check: Check, address: PathAddress) -> None:
        assert self._sealer is not None  # noqa: S101 - nobody calls this before `open`
        self._queue.append((self._sealer.seal(check, self.peer_connection_id), address))

    def _plan(self, now: float) -> None:
        due = min(self._offers.due, self._round_at, self._maintain_at, self._suspect_at)
        for path in self._paths.values():
            due = min(due, path.round.due)
        selected = self._selected
        if selected is not None:
            if selected.awaited_since < inf:
                for patience in (limits.PING_PATIENCE, limits.PATH_FAILS_AFTER):
                    at = selected.awaited_since + max(patience, 3 * (selected.rtt or 0.0))
                    if at > now:
                        due = min(due, at)
            if self._is_active(now):
                due = min(due, selected.trusted_until if selected.trusted_until > now else inf)
        self._due = due

    def report(self, now: float) -> tuple[PathReport, ...]:
        """Every path, the selected one first, then the best."""
        paths = sorted(self._paths.values(), key=lambda path: (path is not self._selected, *rank(path)))
        return tuple(self._report_of(path, now) for path in paths)

    def _report_of(self, path: Path, now: float) -> PathReport:
        is_selected = path is self._selected
        return PathReport(
            address=path.address,
            kind=path.candidate.kind,
            tier=path.candidate.tier,
            state=path.state,
            is_selected=is_selected,
            is_trusted=path.is_trusted(now),
            rtt=path.rtt,
            min_rtt=path.min_rtt if path.min_rtt < inf else None,
            is_lossy=path.is_lossy,
            observed=path.observed,
            bytes_sent=path.bytes_sent,
            bytes_received=path.bytes_received,
            in_state_for=_since(path.since, now),
            selected_for=now - self._selected_at if is_selected else None,
            answered_ago=_since(path.answered_at, now),
            heard_ago=_since(path.heard_at, now),
        )


def _since(then: float, now: float) -> float | None:
    return now - then if then > -inf else None


def _addresses(paths: Iterable[Path]) -> tuple[PathAddress, ...]:
    """Each once, in order, no more than data may be multiplied by."""
    return tuple(dict.fromkeys(path.address for path in paths))[: limits.STANDBY_PATHS]


def _observed(address: PathAddress) -> Address | None:
    """What a peer's ping was seen to come from."""
    match address:
        case Address():
            return address
        case TurnAddress():
            return address.peer
        case RelayAddress():
            return None
