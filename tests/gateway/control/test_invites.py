"""What is asked and told of invites survives the wire, and absurd requests are refused."""

from __future__ import annotations

import msgspec
import pytest

from gateway.control.invites import (
    CodeReport,
    InviteReport,
    InviteRequest,
    InvitesReport,
    RevokeReport,
    SayCodeRequest,
    TakeInviteReport,
    TakeInviteRequest,
)
from gateway.invites.limits import INVITE_LINKS, INVITE_USES
from tests.lab.control import FakeGateway
from tests.lab.fake_invites import SERIAL, code_report


async def test_reports_survive_the_wire() -> None:
    gateway = FakeGateway()
    for report, kind in (
        (await gateway.invite(InviteRequest(services=("web",), lasts="forever")), InviteReport),
        (await gateway.invites(), InvitesReport),
        (await gateway.revoke_invite(SERIAL), RevokeReport),
        (await gateway.take_invite(TakeInviteRequest(invite="overlay:i1")), TakeInviteReport),
        (code_report("guessed", reason="somebody"), CodeReport),
    ):
        assert msgspec.json.decode(msgspec.json.encode(report), type=kind) == report


@pytest.mark.parametrize(
    "asked",
    [
        '{"uses": 0}',
        f'{{"uses": {INVITE_USES + 1}}}',
        '{"expires_in": 0}',
        '{"expires_in": 1e9}',
        '{"lasts": "long"}',
        '{"lasts": -1}',
        f'{{"depth": {INVITE_LINKS}}}',
        '{"what": 1}',
        '{"services": ["' + "x" * 64 + '"]}',
    ],
)
def test_absurd_invites_are_refused(asked: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(asked, type=InviteRequest)


def test_nothing_is_no_invite_and_no_code() -> None:
    for kind, field in ((TakeInviteRequest, "invite"), (SayCodeRequest, "code")):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({field: ""}, kind)
