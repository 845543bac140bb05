"""A taker's table: what waits for its issuer, what came of it, and in whose clock the fault lies."""

from __future__ import annotations

import pytest

from gateway.errors import UsageError
from gateway.invites import wallet as module
from gateway.invites.errors import (
    ERRORS,
    InviteClockSkew,
    InviteError,
    InviteExpired,
    InviteUsed,
)
from gateway.invites.limits import INVITE_RETRY_LONGEST, INVITE_SKEW_SECONDS
from gateway.invites.messages import RedeemReply
from gateway.invites.texts import write_invite
from gateway.invites.wallet import BUSY, REDEEMED, Wallet, refusal
from tests.lab.invites import ALICE, BOB, DAY, invite
from tests.lab.resolver_keys import NOW

A = ALICE.endpoint_id


def holding(*invites):
    wallet = Wallet()
    return wallet, *(wallet.add(one, write_invite(one), NOW) for one in invites)


def answered(wallet, held, code="", reason="", now=NOW, **rest):
    wallet.answered(held, RedeemReply(code, reason, now, **rest), NOW, 100.0, 0.5)


def test_what_is_taken_waits_until_its_issuer_grants_it() -> None:
    wallet, held = holding(invite("web"))
    assert wallet.waiting_for(A) == (held,)
    assert wallet.waiting_for(BOB.endpoint_id) == ()
    answered(wallet, held, services=("web",), until=2e9, petname="bob")
    assert wallet.waiting_for(A) == ()
    assert (held.saved.state, held.saved.known_as, held.saved.until) == (REDEEMED, "bob", 2e9)
    assert wallet.of(A) is held


def test_a_refusal_is_kept_with_its_reason_and_tried_again_when_somebody_wants_that() -> None:
    wallet, held = holding(made := invite("web"))
    with pytest.raises(InviteUsed, match="alice says: somebody has taken it"):
        answered(wallet, held, InviteUsed.code, "somebody has taken it")
    assert (held.saved.state, held.is_waiting) == (InviteUsed.code, False)
    assert wallet.add(made, write_invite(made), NOW) is held
    assert held.is_waiting


def test_an_issuer_that_cannot_now_is_asked_later_and_less_often() -> None:
    wallet, held = holding(invite("web"))
    assert wallet.next_attempt() == 0.0
    answered(wallet, held, BUSY, "its disk is full")
    assert held.is_waiting
    assert held.saved.reason == "its disk is full"
    assert 100 < (wallet.next_attempt() or 0) <= 102
    for _ in range(20):
        answered(wallet, held, BUSY, "its disk is full")
    assert held.backoff.next_attempt - 100 <= INVITE_RETRY_LONGEST


def test_what_nobody_takes_any_more_is_given_up() -> None:
    wallet, held = holding(invite("web"))
    assert not wallet.expire(NOW + DAY + INVITE_SKEW_SECONDS - 1)
    assert wallet.expire(NOW + DAY + INVITE_SKEW_SECONDS)
    assert held.saved.state == InviteExpired.code
    assert "before its issuer could be reached" in held.saved.reason
    assert wallet.next_attempt() is None


@pytest.mark.parametrize("kind", ERRORS)
def test_each_error_of_an_issuer_is_the_same_error_here(kind: type[InviteError]) -> None:
    error = refusal(RedeemReply(kind.code, "because\x1b[31m", NOW), invite("web"), NOW + DAY + 1)
    assert type(error) is kind
    assert str(error) == "alice says: because\N{REPLACEMENT CHARACTER}[31m"


def test_a_code_of_a_newer_issuer_is_told_in_its_words() -> None:
    assert type(refusal(RedeemReply("invite-odd", "odd", NOW), invite("web"), NOW)) is InviteError


def test_an_invite_that_has_expired_there_and_not_here_is_the_clocks_fault() -> None:
    made = invite("web")
    error = refusal(RedeemReply(InviteExpired.code, "it expired", NOW + DAY + 60), made, NOW + DAY - 600)
    assert isinstance(error, InviteClockSkew)
    assert "11 min ahead of this one" in str(error)
    assert "set this clock if it is wrong" in str(error)
    honest = refusal(RedeemReply(InviteExpired.code, "it expired", NOW + DAY + 60), made, NOW + DAY + 58)
    assert type(honest) is InviteExpired


def test_a_wallet_reads_back() -> None:
    wallet, first, _ = holding(invite("web"), invite("ssh", number=2))
    answered(wallet, first, services=("web",), until=2e9)
    again = Wallet(wallet.to_json())
    assert [held.saved for held in again] == wallet.to_json()
    assert [held.is_waiting for held in again] == [False, True]
    assert again.forget(A)
    assert not again.forget(A)
    assert len(again) == 0


def test_a_wallet_is_bounded_and_what_is_over_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INVITES_HELD", 2)
    wallet, first, second = holding(invite("web"), invite("web", number=2))
    third = invite("web", number=3)
    with pytest.raises(UsageError, match="2 invites are kept, the most there may be"):
        wallet.add(third, write_invite(third), NOW)
    answered(wallet, first, services=("web",), until=NOW + 5)
    with pytest.raises(UsageError):
        wallet.add(third, write_invite(third), NOW)
    wallet.add(third, write_invite(third), NOW + 6)
    assert first not in tuple(wallet)
    assert second in tuple(wallet)
