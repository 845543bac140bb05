"""What a taker knows of the invites it took: to be redeemed, redeemed, or refused; and what it passed on. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.errors import UsageError
from gateway.invites.errors import (
    ERRORS,
    InviteClockSkew,
    InviteError,
    InviteExpired,
)
from gateway.invites.limits import (
    INVITE_RETRY_LONGEST,
    INVITE_RETRY_SECONDS,
    INVITE_SKEW_SECONDS,
    INVITES_HELD,
)
from gateway.invites.texts import read_invite
from resolver.times import utc_text
from tunnels.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.invites.capability import Invite
    from gateway.invites.messages import RedeemReply
    from tunnels.identity import EndpointId

WAITING: Final = "waiting"
"""To be redeemed when its issuer is there."""
REDEEMED: Final = "redeemed"
BUSY: Final = "busy"
"""An answer after which it is tried again."""


class SavedInvite(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One that we took, as it is on disk."""

    invite: str
    state: str = WAITING
    """`waiting`, `redeemed`, or the code of the InviteError that its issuer answered with."""
    reason: str = ""
    """Why it is not redeemed, for people."""
    services: tuple[str, ...] = ()
    until: float = 0.0
    known_as: str = ""
    """What its issuer calls us."""
    passed_on: tuple[str, ...] = ()
    """Serials of what we made of it for others."""


@dataclass(slots=True)
class HeldInvite:
    """One that we took."""

    invite: Invite
    saved: SavedInvite
    backoff: Backoff

    @property
    def is_waiting(self) -> bool:
        """Whether it is still to be redeemed."""
        return self.saved.state == WAITING


class Wallet:
    """All of them by serial. Times are unix seconds by our clock, but for `next_attempt`, on any clock that only grows."""

    def __init__(self, saved: list[SavedInvite] | None = None) -> None:
        """InviteError for one that cannot be read."""
        self._held: dict[bytes, HeldInvite] = {}
        for entry in saved or []:
            invite = read_invite(entry.invite)
            self._held[invite.serial] = HeldInvite(invite, entry, _backoff())

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[HeldInvite]:
        """In the order in which they were taken."""
        return iter(tuple(self._held.values()))

    def to_json(self) -> list[SavedInvite]:
        """What the constructor takes."""
        return [held.saved for held in self._held.values()]

    def add(self, invite: Invite, text: str, now: float) -> HeldInvite:
        """Keep one, or find it again, to be shown to its issuer anew, who may think otherwise now. UsageError if there are too many."""
        held = self._held.get(invite.serial)
        if held is not None:
            held.saved.state, held.saved.reason = WAITING, ""
            held.backoff.reset()
            return held
        if len(self._held) >= INVITES_HELD:
            self._make_room(now)
        held = HeldInvite(invite, SavedInvite(invite=text), _backoff())
        self._held[invite.serial] = held
        return held

    def waiting_for(self, issuer: EndpointId) -> tuple[HeldInvite, ...]:
        """Those that this issuer is to be shown."""
        return tuple(held for held in self if held.is_waiting and held.invite.issuer == issuer)

    def of(self, issuer: EndpointId) -> HeldInvite | None:
        """The newest that this issuer gave us, if there is one."""
        return next((held for held in reversed(tuple(self)) if held.invite.issuer == issuer), None)

    def forget(self, issuer: EndpointId) -> bool:
        """Its contact was removed: none of its invites is to be redeemed any more; whether there was one."""
        gone = [serial for serial, held in self._held.items() if held.invite.issuer == issuer]
        for serial in gone:
            del self._held[serial]
        return bool(gone)

    def next_attempt(self) -> float | None:
        """When one is to be tried next; None if none is waiting."""
        return min((held.backoff.next_attempt for held in self if held.is_waiting), default=None)

    def expire(self, now: float) -> bool:
        """Give up those that nobody takes any more; whether there was one."""
        over = False
        for held in self:
            if held.is_waiting and held.invite.terms.expires + INVITE_SKEW_SECONDS <= now:
                held.saved.state = InviteExpired.code
                held.saved.reason = f"it expired on {utc_text(held.invite.terms.expires)} before its issuer could be reached; ask for a new one"
                over = True
        return over

    def answered(self, held: HeldInvite, reply: RedeemReply, now: float, tick: float, chance: float) -> None:
        """The issuer answered; InviteError says why it does not take it. `tick` is on the clock of `next_attempt`."""
        saved = held.saved
        if reply.code == BUSY:
            saved.reason = reply.reason
            held.backoff.failed(tick, chance)
            return
        if not reply.code:
            saved.state, saved.reason = REDEEMED, ""
            saved.services, saved.until, saved.known_as = reply.services, reply.until, reply.petname
            return
        error = refusal(reply, held.invite, now)
        saved.state, saved.reason = error.code, str(error)
        raise error

    def _make_room(self, now: float) -> None:
        for serial, held in self._held.items():
            over = held.saved.until <= now if held.saved.state == REDEEMED else not held.is_waiting
            if over:
                del self._held[serial]
                return
        raise UsageError(
            f"join: {INVITES_HELD} invites are kept, the most there may be; see: overlay invites ls"
        )


def refusal(reply: RedeemReply, invite: Invite, now: float) -> InviteError:
    """The error that an issuer's answer tells of; where it is the clocks' fault, that is told."""
    issuer = invite.record.nickname or f"{invite.issuer.short}…"
    apart = reply.now - now
    if reply.code == InviteExpired.code and invite.terms.expires > now and apart > 0:
        return InviteClockSkew(
            f"the invite has expired by the clock of {issuer}, which is {_span(apart)} ahead of this one "
            f"({utc_text(int(reply.now))} there); set this clock if it is wrong, and ask for a new invite"
        )
    kind = next((kind for kind in ERRORS if kind.code == reply.code), InviteError)
    words = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in reply.reason)
    return kind(f"{issuer} says: {words or 'it does not take this invite'}")


def _span(seconds: float) -> str:
    minutes = round(abs(seconds) / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def _backoff() -> Backoff:
    return Backoff(INVITE_RETRY_SECONDS, INVITE_RETRY_LONGEST)
