"""The paths to one peer: which there are, which one is selected, and what data goes by beside it. Sans-IO."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.addresses import PathAddress, RelayAddress
from tunnels.paths.candidates import Candidate, CandidateKind, PathPolicy, Tier, bounded, may_send
from tunnels.paths.path import Path, PathState
from tunnels.paths.reports import Moved, PathReport, all_moved
from tunnels.paths.selection import rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class PathTable:
    """Bounded: what is neither usable nor named by the peer makes room."""

    __slots__ = ("_moved_before", "_paths", "policy", "ports_vary", "selected", "selected_at")

    def __init__(self, candidates: Iterable[Candidate], policy: PathPolicy, now: float) -> None:
        """As many of the candidates as the policy and the bounds allow."""
        self.policy = policy
        self.ports_vary = False
        """Whether the peer's NAT gives each destination another port, so that where servers see it says little."""
        self._paths: dict[PathAddress, Path] = {
            candidate.address: Path(candidate)
            for candidate in bounded(one for one in candidates if may_send(policy, one))
        }
        self._moved_before: dict[Tier, Moved] = {}  # by paths that are forgotten
        self.selected: Path | None = None
        self.selected_at = now

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Path]:
        return iter(self._paths.values())

    def __contains__(self, address: PathAddress) -> bool:
        return address in self._paths

    def pings(self, path: Path, usual: int = limits.ROUND_PINGS, *, vain: int = 0) -> int:
        """How many a round on that path has; `vain` where servers see a peer whose ports vary, unless it was heard from there."""
        is_vain = self.ports_vary and path.candidate.kind is CandidateKind.SERVER_REFLEXIVE
        return min(usual, vain) if is_vain and path.heard_at == -inf else usual

    def get(self, address: PathAddress) -> Path | None:
        """The path to an address, if there is one."""
        return self._paths.get(address)

    def add(
        self, candidate: Candidate, named: frozenset[PathAddress] = frozenset(), path: Path | None = None
    ) -> Path | None:
        """The path to a candidate, made if need be, or taken as it is; None where the policy or the bounds say no.

        `named`: the addresses that the peer calls its own; none of them makes room.
        """
        known = self._paths.get(candidate.address)
        if known is not None:
            return self._known_as(known, candidate)
        if not may_send(self.policy, candidate):
            return None
        if len(self._paths) >= limits.MAX_PATHS and not self._make_room(named):
            return None
        made = self._paths[candidate.address] = path or Path(candidate)
        return made

    def _known_as(self, path: Path, candidate: Candidate) -> Path | None:
        """The path, of which the peer may say now that it is by way of its TURN server; None if that forbids it."""
        if candidate.kind is CandidateKind.RELAYED:
            path.candidate = candidate
            if not may_send(self.policy, candidate):
                self._keep_allowed()
                return None
        return path

    def _make_room(self, named: frozenset[PathAddress]) -> bool:
        for path in self:
            if (
                path is not self.selected
                and path.state is not PathState.USABLE
                and path.address not in named
                and path.candidate.tier is not Tier.RELAY
            ):
                self._drop(path)
                return True
        return False

    def withdraw(self, addresses: Iterable[PathAddress]) -> None:
        """The peer is not there any more, as it says; what works all the same is kept."""
        for address in addresses:
            path = self._paths.get(address)
            if path is not None and path is not self.selected and path.state is not PathState.USABLE:
                self._drop(path)

    def forget(self, named: frozenset[PathAddress], now: float) -> None:
        """Where the peer was once heard and is not any more, and nobody says that it is there."""
        for path in tuple(self):
            if (
                path.candidate.kind is CandidateKind.PEER_REFLEXIVE
                and path is not self.selected
                and path.address not in named
                and now - max(path.heard_at, path.answered_at) > limits.PATH_FORGOTTEN
            ):
                self._drop(path)

    def remove(self, address: PathAddress) -> None:
        """Nothing can be sent there any more; if data goes there, it does until another path is selected."""
        path = self._paths.get(address)
        if path is not None and path is not self.selected:
            self._drop(path)

    def set_policy(self, policy: PathPolicy) -> None:
        """Forget what it forbids."""
        self.policy = policy
        self._keep_allowed()

    def _keep_allowed(self) -> None:
        for path in tuple(self):
            if not may_send(self.policy, path.candidate):
                self._drop(path)
        if self.selected is not None and self.selected.address not in self._paths:
            self.selected = None

    def _drop(self, path: Path) -> None:
        del self._paths[path.address]
        self._moved_before = all_moved([self._moved_before, _moved(path)])

    def moved(self) -> dict[Tier, Moved]:
        """What went by paths of each kind so far, those that are forgotten included."""
        return all_moved([self._moved_before, *map(_moved, self)])

    def select(self, path: Path, now: float) -> None:
        """Data goes by this one from now on."""
        self.selected = path
        self.selected_at = now

    # --- where data goes --------------------------------------------------------------------------------

    def unanswered(self, now: float) -> tuple[PathAddress, ...]:
        """Before anything came back: every path whose transport did not say that it is in vain."""
        return tuple(path.address for path in self if path.held_until <= now) or tuple(self._paths)

    def heard(self) -> tuple[PathAddress, ...]:
        """Wherever something came from, the selected path first, which is QUIC's to bound; the others as RFC 9000 §8.1 does.

        Until the client is known, any address may be forged, and its owner is not to get more than a little.
        """
        others = (
            path
            for path in self
            if path.heard_at > -inf and path.bytes_sent < limits.AMPLIFICATION * path.bytes_received
        )
        return _addresses(self.selected, *others)

    def doubtful(self, now: float) -> tuple[PathAddress, ...]:
        """While the selected path is not trusted: it, the relay, and the best that is; or all that worked lately."""
        selected = self.selected
        trusted = [path for path in self if path.is_trusted(now)]
        best = min(trusted, key=rank, default=None)
        found: list[Path | None] = [selected, self.standby(now), best]
        if best is None:
            worked = [path for path in self if path.answered_at > -inf]
            worked.sort(key=lambda path: path.answered_at, reverse=True)
            found += worked
        addresses = _addresses(*found)
        if selected is not None and selected.state is PathState.CLOSED:
            addresses = addresses[1:] or addresses
        return addresses

    def spread(self, now: float) -> tuple[PathAddress, ...]:
        """While answered pings are no proof for data: the selected path, the relay, and the best of all others."""
        others = sorted((path for path in self if path.is_trusted(now)), key=rank)
        return _addresses(self.selected, self.standby(now), *others)

    def standby(self, now: float) -> Path | None:
        """The relay beside the selected path."""
        relays = [
            path
            for path in self
            if path.candidate.tier is Tier.RELAY and path is not self.selected and path.has_consent(now)
        ]
        return min(relays, key=rank, default=None)

    # --- for people -------------------------------------------------------------------------------------

    def report(self, now: float) -> tuple[PathReport, ...]:
        """Every path, the selected one first, then the best."""
        paths = sorted(self, key=lambda path: (path is not self.selected, *rank(path)))
        return tuple(self._report_of(path, now) for path in paths)

    def _report_of(self, path: Path, now: float) -> PathReport:
        is_selected = path is self.selected
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
            selected_for=now - self.selected_at if is_selected else None,
            answered_ago=_since(path.answered_at, now),
            heard_ago=_since(path.heard_at, now),
        )


def _moved(path: Path) -> dict[Tier, Moved]:
    if not (path.bytes_sent or path.bytes_received):
        return {}
    return {path.candidate.tier: Moved(path.bytes_sent, path.bytes_received)}


def source(address: PathAddress) -> Candidate:
    """What the address that a datagram came from is a candidate as."""
    is_relay = isinstance(address, RelayAddress)
    return Candidate(address, CandidateKind.RELAY if is_relay else CandidateKind.PEER_REFLEXIVE)


def _addresses(*paths: Path | None) -> tuple[PathAddress, ...]:
    """Each once, in order, no more than data may be multiplied by."""
    return tuple(dict.fromkeys(path.address for path in paths if path is not None))[: limits.STANDBY_PATHS]


def _since(then: float, now: float) -> float | None:
    return now - then if then > -inf else None
