"""A path: the direction in which we send to one address, its states and actions, and what was measured of it. Sans-IO.

A usable connection has one path each way, not necessarily between the same two addresses. What is *heard* on an
address is the peer's path to us; it is noted here (`heard_at`, `bytes_received`), and decides nothing about ours: only
a pong says that what we send arrives.

::

              open             sent             answered
    CLOSED ---------> OPENING ------> OPEN ----------------> USABLE
      ^                  ^             |                      |  ^
      |                  +- - open - - | silent        silent |  | answered
      |                                v                      v  |
      +------------- expired, close ---+------------------- STALE
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.paths.probing import Round
from tunnels.recent_minimum import RecentMinimum

if TYPE_CHECKING:
    from tunnels.addresses import Address, PathAddress
    from tunnels.paths.candidates import Candidate


class PathState(Enum):
    """Where a path stands."""

    CLOSED = "closed"
    """Nothing was sent of late, or it failed: nobody keeps a NAT open for it."""
    OPENING = "opening"
    """A first datagram is on its way out."""
    OPEN = "open"
    """Something was sent, so what is between accepts answers for a while; whether it arrived is not known."""
    USABLE = "usable"
    """A pong said that what we send arrives, and not long ago."""
    STALE = "stale"
    """It was usable, and pings go unanswered now."""


class PathInput(Enum):
    """What moves a path to another state: actions of ours, and what happens to it."""

    OPEN = "open"
    """We want to know whether it works."""
    SENT = "sent"
    """A datagram went out: opening it, or maintaining what is open."""
    ANSWERED = "answered"
    """A pong came for a ping on it."""
    SILENT = "silent"
    """Its pings went unanswered for `limits.PATH_DEAD_AFTER`."""
    EXPIRED = "expired"
    """Nothing was sent or answered for so long that what is between has forgotten it."""
    CLOSE = "close"
    """We do not want it any more, or the transport says that it cannot be."""


_S, _I = PathState, PathInput
TRANSITIONS: Final[dict[tuple[PathState, PathInput], PathState]] = {
    (_S.CLOSED, _I.OPEN): _S.OPENING,
    (_S.CLOSED, _I.ANSWERED): _S.USABLE,  # a late pong
    (_S.OPENING, _I.SENT): _S.OPEN,
    (_S.OPENING, _I.ANSWERED): _S.USABLE,
    (_S.OPENING, _I.CLOSE): _S.CLOSED,
    (_S.OPEN, _I.ANSWERED): _S.USABLE,
    (_S.OPEN, _I.EXPIRED): _S.CLOSED,
    (_S.OPEN, _I.CLOSE): _S.CLOSED,
    (_S.USABLE, _I.SILENT): _S.STALE,
    (_S.USABLE, _I.EXPIRED): _S.CLOSED,
    (_S.USABLE, _I.CLOSE): _S.CLOSED,
    (_S.STALE, _I.ANSWERED): _S.USABLE,
    (_S.STALE, _I.EXPIRED): _S.CLOSED,
    (_S.STALE, _I.CLOSE): _S.CLOSED,
}
"""An event that has no row for a state changes nothing in it."""


class Path:
    """Our direction to one address; `now` is the event loop's clock, in seconds, as everywhere."""

    __slots__ = (
        "_awaited",
        "_deaths",
        "_distrusted_at",
        "_last_death",
        "_min_rtt",
        "_outcomes",
        "answered_at",
        "bytes_received",
        "bytes_sent",
        "candidate",
        "heard_at",
        "held_until",
        "observed",
        "proven_at",
        "round",
        "rtt",
        "sent_at",
        "since",
        "state",
    )

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.state = PathState.CLOSED
        self.since = -inf
        """When it got into its state."""
        self.sent_at = -inf
        self.heard_at = -inf
        """When something of the connection last came from there, authentic or not: their direction."""
        self.answered_at = -inf
        """When the last pong came."""
        self.proven_at = -inf
        """When the newest ping that was answered had been sent: until then, at least, it worked."""
        self.rtt: float | None = None
        """Smoothed (RFC 6298 §2), with the peer's way back."""
        self.observed: Address | None = None
        """What the peer saw our pings come from."""
        self.held_until = -inf
        """Until when it is not chosen again, because it died."""
        self.round = Round()
        """Its pings that are still to come."""
        self.bytes_sent = 0
        self.bytes_received = 0
        self._min_rtt = RecentMinimum(limits.PATH_RTT_PERIOD)
        self._outcomes = 1  # of the last pings: a bit each, 1 for a lost one, below a bit that marks the end
        self._awaited: deque[float] = deque(maxlen=limits.PATH_FAILS_PINGS)  # when unanswered pings were sent
        self._distrusted_at = -inf
        self._deaths = 0
        self._last_death = -inf

    def __repr__(self) -> str:
        return f"<Path {self.candidate.address} {self.state.value}>"

    @property
    def address(self) -> PathAddress:
        """Where it leads."""
        return self.candidate.address

    @property
    def min_rtt(self) -> float:
        """The shortest round trip of late; infinite before the first."""
        return self._min_rtt.value

    @property
    def is_lossy(self) -> bool:
        """Whether more than `limits.PATH_LOSS` of the last pings were lost, once there were enough to say."""
        count = self._outcomes.bit_length() - 1
        return (
            count >= limits.PATH_LOSS_PINGS
            and self._outcomes.bit_count() - 1 > limits.PATH_LOSS * limits.PATH_LOSS_PINGS
        )

    def is_trusted(self, now: float) -> bool:
        """Whether data may go by this path alone: its ping was answered of late, and nobody complained since."""
        return now < self.trusted_until

    @property
    def is_doubted(self) -> bool:
        """Whether there is a reason not to trust it, other than that it was not asked of late."""
        return self.state is not PathState.USABLE or self.proven_at <= self._distrusted_at

    @property
    def trusted_until(self) -> float:
        """When trust ends if no other pong comes."""
        return -inf if self.is_doubted else self.answered_at + limits.PATH_TRUST

    @property
    def awaited_since(self) -> float:
        """When the first ping was sent that is not answered yet; infinite if there is none."""
        return self._awaited[0] if self._awaited else inf

    def has_consent(self, now: float) -> bool:
        """Whether the peer lately said that it wants what we send there (RFC 7675 §5.1)."""
        return now - self.answered_at < limits.PATH_CONSENT

    def is_failing(self, now: float) -> bool:
        """Whether several pings in a row went unanswered for longer than a round trip explains."""
        awaited = self._awaited
        return (
            len(awaited) == awaited.maxlen
            and now >= self.answer_due(limits.PATH_FAILS_AFTER)
            and now >= awaited[-1] + 3 * (self.rtt or 0.0)
        )

    def answer_due(self, patience: float) -> float:
        """When the first unanswered ping should have been answered: in so many seconds, or three round trips."""
        return self.awaited_since + max(patience, 3 * (self.rtt or 0.0))

    # --- actions ----------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Begin to find out whether it works."""
        self._move(PathInput.OPEN, now)

    def ping_sent(self, now: float) -> None:
        """A ping went out: the path is opened, or maintained."""
        if len(self._awaited) < limits.PATH_FAILS_PINGS:  # the first ones say how long it has been silent
            self._awaited.append(now)
        self.sent_at = now
        self._move(PathInput.SENT, now)

    def sent(self, size: int, now: float) -> None:
        """Datagrams of so many bytes went out."""
        self.bytes_sent += size
        self.sent_at = now

    def close(self, now: float) -> None:
        """Do not use it until it is opened anew."""
        self._move(PathInput.CLOSE, now)

    # --- what happens -----------------------------------------------------------------------------------

    def heard(self, size: int, now: float) -> None:
        """So many bytes of the connection came from there."""
        self.bytes_received += size
        self.heard_at = now

    def answered(self, ping_sent_at: float, observed: Address | None, now: float) -> None:
        """The pong came for a ping sent at that time."""
        took = now - ping_sent_at
        self._min_rtt.add(took, now)
        self.rtt = took if self.rtt is None else 0.875 * self.rtt + 0.125 * took
        if ping_sent_at >= self.proven_at:
            self.proven_at = ping_sent_at
            self.observed = observed
        while self._awaited and self._awaited[0] <= ping_sent_at:
            self._awaited.popleft()
        self.answered_at = now
        self._note(0)
        self._move(PathInput.ANSWERED, now)

    def acknowledged(self, sent_at: float, now: float) -> None:
        """The peer acknowledged a datagram sent then, by this path alone: as good as a pong, but that it ends no doubt."""
        if self.is_doubted:
            return
        self.proven_at = max(self.proven_at, sent_at)
        self.answered_at = now
        while self._awaited and self._awaited[0] <= sent_at:
            self._awaited.popleft()

    def lost(self) -> None:
        """A ping of its got no answer in all the time there was; it counts if any ever got one."""
        if self.answered_at > -inf:
            self._note(1)

    def _note(self, lost: int) -> None:
        mark = 1 << limits.PATH_LOSS_PINGS
        self._outcomes = self._outcomes << 1 | lost
        if self._outcomes >= 2 * mark:
            self._outcomes = self._outcomes & mark - 1 | mark

    def distrust(self, now: float) -> None:
        """Trust it no more until a ping that is sent after now is answered."""
        self._distrusted_at = now

    def died(self, now: float) -> None:
        """It was given up while in use: it must not come back at once, and less soon each time."""
        if now - self._last_death > limits.PATH_DEATHS_FORGOTTEN:
            self._deaths = 0
        wait = limits.PATH_HOLD_DOWN * 2**self._deaths
        self.held_until = now + min(wait, limits.PATH_HOLD_DOWN_MAX)
        self._deaths = min(self._deaths + 1, 16)
        self._last_death = now

    def forgive(self) -> None:
        """The network is another one: what happened on the last says nothing."""
        self._deaths = 0
        self.held_until = -inf
        self._outcomes = 1
        self._min_rtt = RecentMinimum(limits.PATH_RTT_PERIOD)

    def look(self, now: float) -> None:
        """Let time pass: silence and forgetfulness of what is between."""
        if now - self.awaited_since >= limits.PATH_DEAD_AFTER:
            self._move(PathInput.SILENT, now)
        if now - self.sent_at >= limits.PATH_OPEN_FOR or (
            self.state is PathState.STALE and not self.has_consent(now)
        ):
            self._move(PathInput.EXPIRED, now)

    def _move(self, event: PathInput, now: float) -> None:
        state = TRANSITIONS.get((self.state, event))
        if state is not None:
            self.state = state
            self.since = now
