"""What an issuer knows of its invites: those it made, who took them, and the grants that follow. Sans-IO.

A change is made on a copy of the ledger, which the shell saves before it counts; so nothing is granted that is not on
disk, and a crash gives nobody a second use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.errors import UsageError
from gateway.invites.errors import InviteNotForYou, InviteRevoked, InviteTampered, InviteUnknown, InviteUsed
from gateway.invites.limits import INVITE_REDEMPTIONS, INVITES_ISSUED
from tunnels.identity import EndpointId, zbase32_encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.invites.capability import Chain, Terms

_FORMAT: Final = 1

_id_of: Final = lru_cache(INVITE_REDEMPTIONS)(EndpointId.parse)
"""All grants are gone through at each change; to read 4096 ids takes a quarter of a second."""


class Issued(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One invite that was made here."""

    serial: str
    services: tuple[str, ...]
    issued: int
    expires: int
    until: int
    uses: int
    depth: int = 0
    petname: str = ""
    holder: str = ""
    revoked: int = 0
    """When it was taken back, unix seconds; 0: it was not."""
    revoked_links: tuple[str, ...] = ()
    """Serials of what others made of it that were taken back."""


class Redemption(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One endpoint took an invite, and what it may do since."""

    serials: tuple[str, ...]
    """Of the chain's links, the one that was made here first."""
    endpoint_id: str
    services: tuple[str, ...]
    until: int
    taken: int
    """Unix seconds."""
    petname: str = ""
    """What it is called here since; empty while it is no contact yet."""
    wanted: str = ""
    """What it was to be called."""
    delegators: tuple[str, ...] = ()
    """Ids of those by whom the invite came, the first first."""
    ended: bool = False
    """It was taken back, for this endpoint alone."""


class _Saved(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: int = _FORMAT
    issued: list[Issued] = []
    redemptions: list[Redemption] = []


@dataclass(frozen=True, slots=True)
class Grant:
    """What one endpoint may use, until when, from which invite."""

    endpoint_id: EndpointId
    services: tuple[str, ...]
    until: int
    serial: str
    """Of the last link of the invite."""


class Ledger:
    """The tables. Times are unix seconds by the issuer's clock."""

    def __init__(self, saved: _Saved | None = None) -> None:
        saved = saved or _Saved()
        self.issued: dict[str, Issued] = {invite.serial: invite for invite in saved.issued}
        self.redemptions: list[Redemption] = list(saved.redemptions)

    @classmethod
    def from_json(cls, saved: object) -> Ledger:
        """Read what `to_json` gave; ValueError names the place that is wrong."""
        book = msgspec.convert(saved, _Saved)
        if book.version != _FORMAT:
            raise ValueError(f"it has version {book.version}, and this overlay reads {_FORMAT}: upgrade")
        for redemption in book.redemptions:
            EndpointId.parse(redemption.endpoint_id)
            if not redemption.serials:
                raise ValueError("somebody took no invite")
        return cls(book)

    def to_json(self) -> object:
        """What `from_json` reads."""
        return msgspec.to_builtins(_Saved(issued=list(self.issued.values()), redemptions=self.redemptions))

    def copy(self) -> Ledger:
        """Another one with the same entries, to be changed."""
        return Ledger(
            _Saved(
                issued=[msgspec.structs.replace(invite) for invite in self.issued.values()],
                redemptions=[msgspec.structs.replace(redemption) for redemption in self.redemptions],
            )
        )

    # --- making and taking back -------------------------------------------------------------------------------

    def add(self, serial: bytes, terms: Terms, now: float) -> Issued:
        """An invite was made here; UsageError if there are too many."""
        if len(self.issued) >= INVITES_ISSUED:
            self._forget(now)
        if len(self.issued) >= INVITES_ISSUED:
            self._forget(now, also_revoked=True)
        if len(self.issued) >= INVITES_ISSUED:
            raise UsageError(
                f"invite: {INVITES_ISSUED} invites are open, the most there may be; "
                "revoke some: overlay invites ls, overlay invites revoke SERIAL"
            )
        invite = Issued(
            serial=zbase32_encode(serial),
            services=terms.services,
            issued=terms.issued,
            expires=terms.expires,
            until=terms.until,
            uses=terms.uses,
            depth=terms.depth,
            petname=terms.petname,
            holder="" if terms.holder is None else str(terms.holder),
        )
        self.issued[invite.serial] = invite
        return invite

    def find(self, text: str) -> tuple[Issued, str]:
        """The invite, and which of its links, whose serial begins so; UsageError if that is none or several."""
        text = text.strip().lower().removesuffix("…")
        found = {serial: invite for serial, invite in self.issued.items() if serial.startswith(text)}
        for redemption in self.redemptions:
            for serial in redemption.serials[1:]:
                if serial.startswith(text) and redemption.serials[0] in self.issued:
                    found.setdefault(serial, self.issued[redemption.serials[0]])
        if not text or not found:
            raise UsageError(f"invites: none has a serial that begins with {text!r}; see: overlay invites ls")
        if len(found) > 1:
            raise UsageError(f"invites: {len(found)} have a serial that begins with {text}; give more of it")
        return next((invite, serial) for serial, invite in found.items())

    def revoke(self, invite: Issued, serial: str, now: float) -> tuple[Redemption, ...]:
        """Take an invite back, or one that others made of it; those whose grants that ends."""
        ended = tuple(
            redemption
            for redemption in self.redemptions
            if serial in redemption.serials and self.is_in_force(redemption, now)
        )
        if serial == invite.serial:
            invite.revoked = invite.revoked or int(now)
        else:
            invite.revoked_links = tuple(dict.fromkeys((*invite.revoked_links, serial)))
        return ended

    def drop(self, endpoint_id: EndpointId) -> bool:
        """End every grant of an endpoint; whether there was one."""
        found = False
        for redemption in self.redemptions:
            if redemption.endpoint_id == str(endpoint_id) and not redemption.ended:
                redemption.ended = found = True
        return found

    # --- redeeming --------------------------------------------------------------------------------------------

    def redeem(
        self, chain: Chain, taker: EndpointId, now: float, *, wanted: str = ""
    ) -> tuple[Redemption, bool]:
        """A taker that proved to hold the chain takes it: the entry, and whether that is new.

        InviteError says why not, and nothing has changed. The same endpoint again uses nothing up. `wanted` is what the
        taker calls itself.
        """
        serials = tuple(zbase32_encode(link.serial) for link in chain.links)
        if chain.holders and taker not in chain.holders:
            raise InviteNotForYou("this invite is for another endpoint; ask its issuer for one of your own")
        invite = self.issued.get(serials[0])
        revoked = invite is not None and (invite.revoked or set(invite.revoked_links) & set(serials))
        if revoked:
            raise InviteRevoked(
                "this invite was taken back by its issuer; ask for a new one if that is a mistake"
            )
        known = self._taken(serials, taker)
        if known is not None and not known.ended and now < known.until:
            return known, False
        chain.check_times(now)
        if invite is None:
            raise InviteUnknown(
                "its issuer does not know this invite: it was made on another installation, its list of invites was lost, "
                "or it was taken back and forgotten; ask for a new one"
            )
        if known is not None:
            raise InviteRevoked("what this invite granted you was taken back; ask its issuer for a new one")
        self._check_serials(serials)
        for serial, link in zip(serials, chain.links, strict=True):
            if sum(serial in other.serials for other in self.redemptions) >= link.terms.uses:
                raise InviteUsed(
                    f"this invite was good for {link.terms.uses} and is used up; ask for a new one"
                    if link.terms.uses > 1
                    else "this invite was good once, and somebody has taken it; ask for a new one"
                )
        if len(self.redemptions) >= INVITE_REDEMPTIONS:
            self._forget(now)
        if len(self.redemptions) >= INVITE_REDEMPTIONS:
            self._forget(now, also_revoked=True)
        if len(self.redemptions) >= INVITE_REDEMPTIONS:
            raise InviteUsed("its issuer keeps as many grants as it may; ask for some to be taken back")
        redemption = Redemption(
            serials=serials,
            endpoint_id=str(taker),
            services=chain.terms.services,
            until=chain.terms.until,
            taken=int(now),
            wanted=chain.terms.petname or wanted,
            delegators=tuple(str(link.delegator) for link in chain.links[1:]),
        )
        self.redemptions.append(redemption)
        return redemption, True

    def _check_serials(self, serials: tuple[str, ...]) -> None:
        """InviteTampered where a link has the serial of another one.

        Whoever passes an invite on chooses it, and links are counted, found and revoked by it: somebody else's would be
        used up, or could not be revoked any more.
        """
        for at, serial in enumerate(serials[1:], 1):
            until = serials[: at + 1]
            if (
                serial in self.issued
                or serial in serials[:at]
                or any(
                    serial in other.serials and other.serials[: at + 1] != until for other in self.redemptions
                )
            ):
                raise InviteTampered(
                    "whoever passed this invite on gave it the serial of another one; ask its issuer for one"
                )

    def _taken(self, serials: tuple[str, ...], taker: EndpointId) -> Redemption | None:
        return next(
            (
                redemption
                for redemption in self.redemptions
                if redemption.serials == serials and redemption.endpoint_id == str(taker)
            ),
            None,
        )

    def uses_of(self, serial: str) -> int:
        """How often an invite, or one that was made of it, was taken."""
        return sum(serial in redemption.serials for redemption in self.redemptions)

    # --- grants -----------------------------------------------------------------------------------------------

    def is_in_force(self, redemption: Redemption, now: float) -> bool:
        """Whether what it grants holds now."""
        invite = self.issued.get(redemption.serials[0])
        return (
            not redemption.ended
            and now < redemption.until
            and invite is not None
            and not invite.revoked
            and not set(invite.revoked_links) & set(redemption.serials)
        )

    def grants(self, now: float) -> Iterable[Grant]:
        """All that hold now."""
        for redemption in self.redemptions:
            if self.is_in_force(redemption, now):
                yield Grant(
                    _id_of(redemption.endpoint_id),
                    redemption.services,
                    redemption.until,
                    redemption.serials[-1],
                )

    def _forget(self, now: float, *, also_revoked: bool = False) -> None:
        """Drop what is over and cannot come back: invites that expired, once nothing they granted holds any more.

        Those that were taken back stay until they expire, so that whoever shows one is told; the tables' room matters more,
        and who shows one that we do not know gets nothing either.
        """

        def is_open(invite: Issued) -> bool:
            return now < invite.expires and not (also_revoked and invite.revoked)

        self.redemptions = [
            redemption
            for redemption in self.redemptions
            if self.is_in_force(redemption, now)
            or ((invite := self.issued.get(redemption.serials[0])) is not None and is_open(invite))
        ]
        used = {redemption.serials[0] for redemption in self.redemptions}
        self.issued = {
            serial: invite for serial, invite in self.issued.items() if is_open(invite) or serial in used
        }
