"""What is told and asked of invites: making, passing on, taking, taking back."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from gateway.answers.base import time_now
from gateway.answers.contacts import ContactAnswers
from gateway.control.invites import (
    CodeReport,
    CodeRequest,
    HeldReport,
    InviteReport,
    InviteRequest,
    InvitesReport,
    IssuedReport,
    RevokeReport,
    SaidCodeReport,
    SayCodeRequest,
    TakeInviteReport,
    TakeInviteRequest,
    TakenReport,
)
from gateway.dialing import DialError
from gateway.errors import UsageError
from gateway.invites.capability import FOR_EVER, SEED_BYTES, SERIAL_BYTES, Terms
from gateway.invites.errors import InviteError
from gateway.invites.limits import CODE_POLL_SECONDS
from gateway.invites.texts import FORM, read_invite, serial_text, write_invite
from gateway.own_record import TICKET_LIFETIME
from resolver.contacts import Contact
from resolver.errors import InvalidName, RecordError
from resolver.names import check_petname
from tunnels.addresses import BeaconUrl
from tunnels.identity import ID_CHARACTERS, EndpointId

if TYPE_CHECKING:
    from gateway.control.contacts import ContactReport
    from gateway.invites.capability import Invite
    from gateway.invites.ledger import Issued, Redemption
    from gateway.invites.passing import Offer
    from gateway.invites.wallet import HeldInvite
    from gateway.inviting import Inviting
    from resolver.names import Petname
    from resolver.signed_packets import SignedPacket

_WEEK: Final = 7 * 86400.0


class InviteAnswers(ContactAnswers):
    """Invites: make, pass on, list, revoke, take."""

    # --- making -----------------------------------------------------------------------------------------------

    async def invite(self, request: InviteRequest) -> InviteReport:
        if request.source:
            return await self._pass_on(request)
        return self._made(await self.make_invite(request))

    async def make_invite(self, request: InviteRequest, holder: EndpointId | None = None) -> Invite:
        """One of our own, for `holder` alone if one is given; UsageError says what is wrong with the request."""
        self.check_services(request.services)
        now = time_now()
        expires = now + (request.expires_in or _WEEK)
        terms = self._terms(request, request.services, now, expires, holder)
        return await self._inviting.issued.make(terms, self._record_until(terms.expires, now))

    def check_services(self, names: tuple[str, ...]) -> None:
        """UsageError for one that is not exposed: it may be a slip of the finger."""
        unknown = [name for name in names if self.parts.exposed.book.get(name.lower()) is None]
        if unknown:
            known = ", ".join(service.name for service in self.parts.exposed.book) or "nothing yet"
            raise UsageError(
                f"invite: no service is called {unknown[0]}; exposed are: {known}; "
                f"first: overlay expose {unknown[0]} TARGET"
            )

    async def _pass_on(self, request: InviteRequest) -> InviteReport:
        held, given = self._given(request.source)
        now, wider = time_now(), given.terms
        given.check(self.parts.secret_key.endpoint_id, now)
        expires = min(now + (request.expires_in or _WEEK), wider.expires)
        terms = self._terms(request, request.services or wider.services, now, expires, None)
        if request.lasts is None and wider.until > wider.expires:
            terms = replace(terms, until=wider.until)
        invite = given.delegated(
            self.parts.secret_key,
            terms,
            serial=secrets.token_bytes(SERIAL_BYTES),
            seed=secrets.token_bytes(SEED_BYTES),
        )
        if held is not None:
            await self._inviting.held.passed_on(held, serial_text(invite.serial))
        return self._made(invite)

    def _given(self, source: str) -> tuple[HeldInvite | None, Invite]:
        """The invite to pass on: what was pasted, or what a contact gave us."""
        wallet = self._inviting.held.wallet
        if FORM.claims(source):
            invite = read_invite(source)
            known = next((held for held in wallet if held.invite.serial == invite.serial), None)
            return known, invite
        contact = self.parts.contacts.book.find(source)
        held = wallet.of(contact.endpoint_id) if contact is not None else None
        if held is None:
            raise UsageError(
                f"invite: nothing to pass on from {source}: it is no contact that gave you an invite; see: overlay invites ls"
            )
        return held, held.invite

    def _terms(
        self,
        request: InviteRequest,
        services: tuple[str, ...],
        now: float,
        expires: float,
        holder: EndpointId | None,
    ) -> Terms:
        match request.lasts:
            case None:
                until = expires
            case "forever":
                until = float(FOR_EVER)
            case seconds:
                until = max(expires, now + float(seconds))
        try:
            return Terms(
                tuple(dict.fromkeys(name.lower() for name in services)),
                issued=int(now),
                expires=int(expires),
                until=int(until),
                uses=request.uses,
                depth=request.depth,
                petname=check_petname(request.name) if request.name else "",
                holder=holder or self._holder(request.holder),
            )
        except (InvalidName, ValueError) as error:
            raise UsageError(f"invite: {error}") from None

    def _holder(self, text: str) -> EndpointId | None:
        if not text:
            return None
        known = self.parts.contacts.id_of(text)
        if known is not None:
            return known
        try:
            return EndpointId.parse(text)
        except ValueError as error:
            why = str(error) if len(text) == ID_CHARACTERS else "no contact is called that; give its id"
            raise UsageError(f"invite: --for {text}: {why}") from None

    def _record_until(self, expires: int, now: float) -> SignedPacket:
        """Our record, good for at least as long as an invite that carries it."""
        return self._own_record(max(TICKET_LIFETIME, expires - now + 1))[1]

    # --- listing, taking back ---------------------------------------------------------------------------------

    async def invites(self) -> InvitesReport:
        inviting = self._inviting
        return InvitesReport(
            issued=tuple(map(self._issued, inviting.issued.ledger.issued.values())),
            held=tuple(map(self._held, inviting.held.wallet)),
        )

    async def revoke_invite(self, serial: str) -> RevokeReport:
        passed = [
            (held, made)
            for held in self._inviting.held.wallet
            for made in held.saved.passed_on
            if serial and made.startswith(serial.lower())
        ]
        if passed:
            held, made = passed[0]
            issuer = self._name_of(held.invite.issuer)
            raise UsageError(
                f"invites: {made[:8]}… was made of an invite of {issuer}, who alone can take it back once it is taken, "
                f"with: overlay invites revoke {made[:8]}"
            )
        invite, whole, ended = await self._inviting.issued.revoke(serial)
        return RevokeReport(serial=whole, whole=whole == invite.serial, ended=tuple(map(self._taken, ended)))

    def _issued(self, issued: Issued) -> IssuedReport:
        ledger, now = self._inviting.issued.ledger, time_now()
        used = ledger.uses_of(issued.serial)
        state: Literal["open", "used", "expired", "revoked"] = "open"
        if issued.revoked:
            state = "revoked"
        elif used >= issued.uses:
            state = "used"
        elif issued.expires <= now:
            state = "expired"
        return IssuedReport(
            invite=InviteReport(
                serial=issued.serial,
                issuer_id=str(self.parts.secret_key.endpoint_id),
                issuer=self.parts.nickname,
                services=issued.services,
                issued=float(issued.issued),
                expires=float(issued.expires),
                until=_until(issued.until),
                uses=issued.uses,
                depth=issued.depth,
                petname=issued.petname,
                holder=issued.holder,
                undo=f"overlay invites revoke {issued.serial[:8]}",
            ),
            state=state,
            used=used,
            taken=tuple(
                self._taken(entry) for entry in ledger.redemptions if entry.serials[0] == issued.serial
            ),
        )

    def _taken(self, entry: Redemption) -> TakenReport:
        contact = self.parts.contacts.book.find_id(EndpointId.parse(entry.endpoint_id))
        petname = contact.petname if contact is not None else ""
        return TakenReport(
            endpoint_id=entry.endpoint_id,
            petname=petname,
            wanted=entry.wanted if entry.wanted.lower() != petname else "",
            serial=entry.serials[-1],
            services=entry.services,
            until=_until(entry.until),
            taken=float(entry.taken),
            in_force=self._inviting.issued.ledger.is_in_force(entry, time_now()),
            delegators=tuple(self._name_of(EndpointId.parse(text)) for text in entry.delegators),
        )

    def _held(self, held: HeldInvite) -> HeldReport:
        contact = self.parts.contacts.book.find_id(held.invite.issuer)
        saved = held.saved
        return HeldReport(
            invite=self._told(held.invite),
            contact=contact.petname if contact is not None else "",
            state=saved.state,
            reason=saved.reason,
            services=saved.services,
            until=_until(saved.until),
            known_as=saved.known_as,
            passed_on=saved.passed_on,
        )

    # --- taking -----------------------------------------------------------------------------------------------

    async def take_invite(self, request: TakeInviteRequest) -> TakeInviteReport:
        parts = self.parts
        invite = read_invite(request.invite)
        known = parts.contacts.book.find_id(invite.issuer)
        invite.check(parts.secret_key.endpoint_id, time_now())
        petname = self._called(request.petname, known, invite)
        if request.preview:
            return self._preview(invite, petname, is_known=known is not None)
        added = await self._add(petname, invite.issuer, (), self._fresh_packet(invite), "join")
        held = await self._inviting.held.add(invite)
        reason = ""
        try:
            await self._inviting.held.redeem(held)
        except DialError as error:
            reason = str(error)
        except InviteError:
            if known is None:
                await self.remove_contact(petname)
            raise
        else:  # what it lets us use is more than a moment ago
            await parts.directory.greet(invite.issuer)
        contact = parts.contacts.book.find_id(invite.issuer)
        told = self._contact(contact) if contact is not None else self._stranger(invite, petname)
        return TakeInviteReport(
            invite=self._told(invite),
            contact=msgspec.structs.replace(told, warnings=added.warnings),
            known=known is not None,
            learns=self._learns(),
            state="waiting" if held.is_waiting else "redeemed",
            reason=reason or held.saved.reason,
            known_as=held.saved.known_as,
            urls=parts.directory.urls(invite.issuer),
            loopback=parts.directory.loopback(invite.issuer),
            undo=f"overlay contacts rm {petname}",
        )

    def _called(self, wanted: str, known: Contact | None, invite: Invite) -> Petname:
        """What we call the issuer; ChooseName where that is for the person to decide."""
        try:
            if wanted:
                self._refuse_taken(check_petname(wanted), invite.issuer, "join")
                return check_petname(wanted)
            if known is not None:
                return known.petname
            return self._suggested(invite.record.nickname, invite.issuer)
        except InvalidName as error:
            raise UsageError(f"join: {error}") from None

    @staticmethod
    def _fresh_packet(invite: Invite) -> SignedPacket | None:
        """The issuer's record, if it can still be used: it may have expired by our clock, which may be wrong."""
        with contextlib.suppress(RecordError):
            invite.record.check_fresh(time_now())
            return invite.packet
        return None

    def _preview(self, invite: Invite, petname: Petname, *, is_known: bool) -> TakeInviteReport:
        return TakeInviteReport(
            invite=self._told(invite),
            contact=self._stranger(invite, petname),
            known=is_known,
            learns=self._learns(),
        )

    def _learns(self) -> tuple[str, ...]:
        nickname = self.parts.nickname
        return (
            "your endpoint id",
            *((f"your nickname {nickname}",) if nickname else ()),
            "where this machine can be reached",
        )

    async def admit(self, wanted: str, endpoint_id: EndpointId, packet: SignedPacket | None) -> str:
        """Make who took an invite a contact, under the name wanted if it is free; what it is called. UsageError if it cannot be."""
        parts = self.parts
        known = parts.contacts.book.find_id(endpoint_id)
        petname = known.petname if known is not None else parts.contacts.book.suggest(wanted)
        if known is not None and petname in parts.contacts.configured:
            return petname
        await self._add(petname, endpoint_id, (), packet, "invites")
        return petname

    def about_us(self) -> tuple[str, bytes]:
        """What an issuer is told of us when we redeem its invite: our nickname and our record."""
        now = time_now()
        return self.parts.nickname, self._record_until(int(now), now).to_bytes()

    # --- spoken codes -----------------------------------------------------------------------------------------

    async def offer_code(self, request: CodeRequest) -> CodeReport:
        asked = request.invite
        if asked.source or asked.holder:
            raise UsageError(
                "invite: --code makes an invite of your own, for whoever says it: leave out --from and --for"
            )
        if asked.uses != 1:
            raise UsageError("invite: a code is said once; leave out --uses, or give the invite itself")
        self.check_services(asked.services)
        offer = await self._inviting.codes.offer(lambda taker: self.make_invite(asked, taker))
        return self._code(offer)

    async def code(self, code: str) -> CodeReport:
        offer = self._inviting.codes.find(code)
        before, changed = offer.state, offer.changed
        if not offer.is_over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CODE_POLL_SECONDS):
                    while offer.state is before:
                        await changed.wait()
        return self._code(offer)

    async def cancel_code(self, code: str) -> CodeReport:
        return self._code(self._inviting.codes.cancel(code))

    async def say_code(self, request: SayCodeRequest) -> SaidCodeReport:
        invite = await self._inviting.codes.say(request.code, self._beacon(request.beacon))
        return SaidCodeReport(invite=write_invite(invite))

    @staticmethod
    def _beacon(text: str) -> BeaconUrl | None:
        try:
            return BeaconUrl.parse(text) if text else None
        except ValueError as error:
            raise UsageError(f"--beacon: {error}") from None

    @staticmethod
    def _code(offer: Offer) -> CodeReport:
        return CodeReport(
            code=str(offer.code),
            state=offer.state.value,
            beacon=offer.beacon.origin,
            expires=offer.expires,
            reason=offer.reason,
            taker="" if offer.taker is None else str(offer.taker),
            serial="" if offer.invite is None else serial_text(offer.invite.serial),
        )

    # --- reports ----------------------------------------------------------------------------------------------

    @property
    def _inviting(self) -> Inviting:
        return self.parts.inviting

    def _made(self, invite: Invite) -> InviteReport:
        text, report = write_invite(invite), self._told(invite)
        is_own = invite.issuer == self.parts.secret_key.endpoint_id
        named = "" if invite.record.nickname else " --name NAME"
        undo = f"overlay invites revoke {report.serial[:8]}" if is_own else ""
        return msgspec.structs.replace(report, invite=text, command=f"overlay join {text}{named}", undo=undo)

    def _told(self, invite: Invite) -> InviteReport:
        terms = invite.terms
        return InviteReport(
            serial=serial_text(invite.serial),
            issuer_id=str(invite.issuer),
            issuer=invite.record.nickname or "",
            services=terms.services,
            issued=float(terms.issued),
            expires=float(terms.expires),
            until=_until(terms.until),
            uses=terms.uses,
            depth=terms.depth,
            petname=terms.petname,
            holder="" if terms.holder is None else str(terms.holder),
            delegators=tuple(
                self._name_of(link.delegator) for link in invite.chain.links if link.delegator is not None
            ),
        )

    def _stranger(self, invite: Invite, petname: Petname) -> ContactReport:
        return self._contact(Contact(petname, invite.issuer, packet=self._fresh_packet(invite)))


def _until(until: float) -> float | None:
    return None if until >= FOR_EVER or not until else float(until)
