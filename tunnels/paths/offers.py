"""Telling the peer where we may be reached, and what our network is like, until it says that it heard; and what it told us. Sans-IO."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from tunnels import limits
from tunnels.paths.checks import Offer

if TYPE_CHECKING:
    from tunnels.paths.candidates import Candidate


class Offers:
    """Both directions, of one connection."""

    __slots__ = ("_newest", "_round", "_tries", "description", "due", "own", "their_description", "theirs")

    def __init__(self) -> None:
        self.due = inf
        """When `next` gives an offer; never, once the last one was answered."""
        self.own: tuple[Candidate, ...] = ()
        """Our candidates, as last set."""
        self.theirs: tuple[Candidate, ...] = ()
        """The peer's, as it last told."""
        self.description = b""
        """Of our network, as last set (`tunnels.crossing.description`)."""
        self.their_description = b""
        """Of the peer's, as it last told; empty if it did not."""
        self._round = 0
        self._tries = 0
        self._newest = -1  # the sequence number of the newest offer of the peer's

    def set_own(self, own: tuple[Candidate, ...], now: float) -> bool:
        """Our candidates are these; False if they are as they were."""
        if own == self.own:
            return False
        self.own = own
        self.renew(now)
        return True

    def describe(self, description: bytes, now: float) -> bool:
        """Our network is like that; False if it was so before."""
        if description == self.description:
            return False
        self.description = description
        self.renew(now)
        return True

    def renew(self, now: float) -> None:
        """Offer anew, changed or not: the peer may not have heard, or have forgotten."""
        self._round += 1
        self._tries = 0
        self.due = now

    def next(self, now: float) -> Offer:
        """The offer that is due; it is due again later, unless it is answered."""
        wait = min(limits.OFFER_RETRY * 2**self._tries, limits.OFFER_RETRY_MAX)
        self._tries += 1
        self.due = now + wait if self._tries < limits.OFFER_TRIES else inf
        return self._offer(self._round, is_answer=False)

    def received(self, offer: Offer, sequence: int) -> Offer | None:
        """The peer told its candidates; what to answer. Of two offers that overtook each other the newer one counts."""
        if offer.is_answer and offer.round == self._round & 0xFFFFFFFF:
            self.due = inf
        if sequence > self._newest:
            self._newest = sequence
            self.theirs = offer.candidates
            self.their_description = offer.description
        return None if offer.is_answer else self._offer(offer.round, is_answer=True)

    def _offer(self, number: int, *, is_answer: bool) -> Offer:
        return Offer(number, is_answer=is_answer, candidates=self.own, description=self.description)
