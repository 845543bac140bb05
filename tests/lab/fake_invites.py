"""What a fake gateway says of invites: one of its own that carol took, one of alice's that waits, and codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.control.contacts import ContactReport
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
from gateway.control.services import LoopbackReport, OfferReport
from gateway.errors import UsageError
from gateway.invites.errors import CodeUnknown, InviteUsed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.control.base import Request

TEXT = "overlay:i1abc"
SERIAL = "omtrpdsrhon6ybm6yk9edzuj5r"
ISSUER = "yryyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
GIVEN = InviteReport(
    serial=SERIAL,
    issuer_id=ISSUER,
    issuer="alice",
    services=("web",),
    issued=1e9,
    expires=1e9 + 86400,
    until=1e9 + 86400,
    petname="bob",
)
TAKEN = TakenReport(
    endpoint_id=ISSUER,
    petname="carol-2",
    wanted="carol",
    serial="gxq7ih8zp9yozot53r6y9jx5ay",
    services=("web",),
    until=None,
    taken=1e9,
    in_force=True,
    delegators=("bob",),
)


class FakeInvites:
    """Part of `tests.lab.control.FakeGateway`."""

    asked: list[Request]
    """What was asked about invites, and about zones."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.invites_are_none = False
        self.is_used = False
        """The invite was taken by somebody else."""
        self.answers_late = False
        self.news: Iterator[CodeReport] = iter(())
        """What becomes of a code."""
        self.cancelled: list[str] = []

    async def invite(self, request: InviteRequest) -> InviteReport:
        self.asked.append(request)
        if "ssh" in request.services:
            raise UsageError(
                "invite: no service is called ssh; exposed are: web; first: overlay expose ssh TARGET"
            )
        return msgspec.structs.replace(
            GIVEN,
            invite=TEXT,
            services=request.services,
            uses=request.uses,
            depth=request.depth,
            holder=request.holder,
            until=None if request.lasts == "forever" else 2e9,
            command=f"overlay join {TEXT}",
            undo=f"overlay invites revoke {SERIAL[:8]}",
        )

    async def invites(self) -> InvitesReport:
        if self.invites_are_none:
            return InvitesReport()
        return InvitesReport(
            issued=(
                IssuedReport(
                    invite=msgspec.structs.replace(GIVEN, issuer="me", uses=2),
                    state="open",
                    used=1,
                    taken=(TAKEN,),
                ),
            ),
            held=(
                HeldReport(
                    invite=msgspec.structs.replace(GIVEN, serial="fhpy", delegators=("carol",)),
                    contact="alice",
                    state="waiting",
                    reason="alice does not answer",
                    passed_on=("9xyz",),
                ),
            ),
        )

    async def revoke_invite(self, serial: str) -> RevokeReport:
        if not SERIAL.startswith(serial):
            raise UsageError(
                f"invites: none has a serial that begins with {serial!r}; see: overlay invites ls"
            )
        return RevokeReport(serial=SERIAL, whole=True, ended=(TAKEN,))

    async def take_invite(self, request: TakeInviteRequest) -> TakeInviteReport:
        self.asked.append(request)
        report = TakeInviteReport(
            invite=GIVEN,
            contact=ContactReport(petname=request.petname or "alice", endpoint_id=ISSUER),
            learns=("your endpoint id", "your nickname me"),
        )
        if request.preview:
            return report
        if self.is_used:
            raise InviteUsed(
                "alice says: this invite was good once, and somebody has taken it; ask for a new one"
            )
        return msgspec.structs.replace(
            report,
            state="waiting" if self.answers_late else "redeemed",
            reason="it does not answer" if self.answers_late else "",
            known_as="bob",
            urls=("http://web.alice.overlay/",),
            loopback=(
                LoopbackReport(
                    name="web.alice.overlay",
                    ip="127.80.3.1",
                    offers=(OfferReport(service="web", protocol="tcp", port=80, offered=8080),),
                ),
            ),
        )

    async def offer_code(self, request: CodeRequest) -> CodeReport:
        self.asked.append(request)
        return code_report("waiting")

    async def code(self, code: str) -> CodeReport:
        return next(self.news)

    async def cancel_code(self, code: str) -> CodeReport:
        self.cancelled.append(code)
        return code_report("failed")

    async def say_code(self, request: SayCodeRequest) -> SaidCodeReport:
        self.asked.append(request)
        if request.code != "7-guitar-elbow":
            raise CodeUnknown("join: no code 8-… waits at eu1.example: it was used; ask for a new one")
        return SaidCodeReport(invite=TEXT)


def code_report(state: str, **more: str) -> CodeReport:
    """A code of ours, as it is then."""
    report = CodeReport(
        code="7-guitar-elbow", state="waiting", beacon="https://eu1.example", expires=1e9 + 600
    )
    return msgspec.structs.replace(report, state=state, **more)
