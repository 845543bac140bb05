"""Whether a mapped port really lets strangers in: a beacon is asked to send a datagram there. Sans-IO.

The beacon sends it from a socket that nobody ever sends anything to, so that no NAT lets it in but by the mapping. It is a
STUN indication (RFC 8489 §5) with our nonce as its transaction id: 20 bytes, which nothing answers.
"""

from __future__ import annotations

import hmac
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from tunnels.errors import ProtocolViolation
from tunnels.nat import limits, stun
from tunnels.nat.stun import TRANSACTION_ID_BYTES, Class, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from tunnels.addresses import Address

NONCE_BYTES = TRANSACTION_ID_BYTES


class Verdict(Enum):
    """What is known of a mapping."""

    UNKNOWN = "unverified"
    """Nobody can try it."""
    TRYING = "being verified"
    VERIFIED = "verified"
    DEAD = "dead"
    """It was tried, and lets nothing in."""


def knock(nonce: bytes) -> bytes:
    """The datagram that a beacon sends."""
    return stun.encode(Method.BINDING, Class.INDICATION, nonce, {})


class DialBack:
    """Tries one mapping after the other, each with several datagrams, and again later."""

    def __init__(self, chance: Callable[[int], bytes]) -> None:
        self._chance = chance
        self._external: Address | None = None
        self._can_ask = False
        self._nonce = b""
        self._tries = 0
        self._at = inf
        self._replaced = 0
        self._changed = False
        self.verdict = Verdict.UNKNOWN

    def __repr__(self) -> str:
        return f"<DialBack to {self._external}: {self.verdict.value}>"

    def set_target(self, external: Address | None, now: float, *, can_ask: bool) -> None:
        """Try this from now on; `can_ask`: there is a beacon that sees us at its ip, and dials back."""
        if external == self._external and can_ask == self._can_ask:
            return
        is_other = external != self._external
        self._external, self._can_ask = external, can_ask
        if external is None or not can_ask:
            self._nonce, self._at = b"", inf
            if is_other or self.verdict is Verdict.TRYING:
                self._judge(Verdict.UNKNOWN)
        else:
            self._begin(now)
            if is_other or self.verdict is Verdict.UNKNOWN:
                self._judge(Verdict.TRYING)

    def network_changed(self) -> None:
        """What was found out is of another network."""
        self._replaced = 0
        self._external, self._nonce, self._at = None, b"", inf
        self._judge(Verdict.UNKNOWN)

    def to_ask(self, now: float) -> tuple[int, bytes] | None:
        """The port and the nonce that the beacon is to be asked with now; None if there is nothing to ask."""
        if now < self._at or self._external is None:
            return None
        if self._tries == limits.DIAL_BACK_TRIES:
            self._nonce, self._at = b"", now + limits.DIAL_BACK_AGAIN
            self._tries = 0
            self._judge(Verdict.DEAD)
            return None
        if not self._nonce:
            self._nonce = self._chance(NONCE_BYTES)
        self._tries += 1
        self._at = now + limits.DIAL_BACK_WAIT * self._tries
        return self._external.port, self._nonce

    def refused(self, now: float) -> None:
        """The beacon did not send anything: nothing is known by that."""
        self._nonce, self._tries, self._at = b"", 0, now + limits.DIAL_BACK_AGAIN
        if self.verdict is Verdict.TRYING:
            self._judge(Verdict.UNKNOWN)

    def receive(self, datagram: bytes, now: float) -> bool:
        """Whether it is the beacon's datagram, which only the mapping can have let in."""
        if not self._nonce or len(datagram) != stun.HEADER_BYTES:
            return False
        try:
            message = stun.decode(datagram)
        except ProtocolViolation:
            return False
        if message.kind is not Class.INDICATION or not hmac.compare_digest(
            message.transaction_id, self._nonce
        ):
            return False
        self._nonce, self._tries, self._at = b"", 0, now + limits.DIAL_BACK_AGAIN
        self._replaced = 0
        self._judge(Verdict.VERIFIED)
        return True

    def should_replace(self) -> bool:
        """Whether the dead mapping is worth another one; asked once for each death."""
        if self.verdict is not Verdict.DEAD or self._replaced == limits.DIAL_BACK_REPLACE:
            return False
        self._replaced += 1
        return True

    def get_timer(self) -> float | None:
        """When `to_ask` is to be called next."""
        return None if self._at == inf else self._at

    def take_changed(self) -> bool:
        """Whether the verdict is another one since this was asked, or was found again."""
        changed, self._changed = self._changed, False
        return changed

    def _begin(self, now: float) -> None:
        self._nonce, self._tries, self._at = b"", 0, now

    def _judge(self, verdict: Verdict) -> None:
        self._changed |= verdict is not self.verdict or verdict is Verdict.DEAD
        self.verdict = verdict
