"""Facts about requests with long-term credentials: when they are sent again, signed, and answered."""

from __future__ import annotations

import hashlib
from random import Random

import pytest

from tunnels.nat import limits, stun
from tunnels.nat.stun import Class, Method
from tunnels.nat.transactions import Transactions

KEY = hashlib.md5(b"bob:realm:secret").digest()
CHALLENGE = {"REALM": "realm", "NONCE": b"n1"}


class Asking:
    """Transactions, and what their requests came to."""

    def __init__(self) -> None:
        self.transactions = Transactions("bob", "secret", Random(1).randbytes)
        self.answers = []

    def begin(self, now: float = 0.0, unsigned=()) -> None:
        self.transactions.begin(
            *(Method.REFRESH, {"LIFETIME": 1}, lambda answer, _: self.answers.append(answer), now),
            unsigned=unsigned,
        )

    def sent(self, now: float = 0.0):
        """The one message that is due."""
        [datagram] = self.transactions.datagrams_to_send(now)
        return stun.decode(datagram)

    def answer(
        self, request, attributes=None, *, code=None, key=None, method=Method.REFRESH, txid=None
    ) -> bool:
        """Give an answer to a request: a response, or the error with that code; whether it was taken."""
        kind = Class.RESPONSE if code is None else Class.ERROR
        attributes = {**({} if code is None else {"ERROR-CODE": (code, "")}), **(attributes or {})}
        wire = stun.encode(method, kind, txid or request.transaction_id, attributes, key=key)
        return self.transactions.receive(stun.decode(wire), 1.0)


@pytest.fixture
def asking() -> Asking:
    asking = Asking()
    asking.begin()
    return asking


def test_the_first_request_is_unsigned_and_its_answer_ends_it(asking):
    request = asking.sent()
    assert request.attributes == {"LIFETIME": 1}
    assert asking.answer(request)
    assert [answer.kind for answer in asking.answers] == [Class.RESPONSE]
    assert not asking.answer(request), "it is answered once"
    assert asking.transactions.datagrams_to_send(1e9) == []
    assert asking.transactions.get_timer() == float("inf")


def test_a_challenge_is_met_by_signing_with_what_it_says(asking):
    first = asking.sent()
    assert asking.answer(first, CHALLENGE, code=401)
    second = asking.sent(1.0)
    assert second.transaction_id != first.transaction_id
    assert second.is_signed_with(KEY)
    assert (second.attributes["USERNAME"], second.attributes["REALM"], second.attributes["NONCE"]) == (
        "bob",
        "realm",
        b"n1",
    )
    assert asking.answer(second, key=KEY)
    asking.begin()
    assert asking.sent(1.0).is_signed_with(KEY), "the next request knows at once"
    assert len(asking.answers) == 1


def test_a_stale_nonce_is_replaced(asking):
    asking.answer(asking.sent(), CHALLENGE, code=401)
    asking.answer(asking.sent(1.0), {"NONCE": b"n2"}, code=438)
    third = asking.sent(1.0)
    assert third.attributes["NONCE"] == b"n2"
    assert third.is_signed_with(KEY)


def test_credentials_that_are_no_good_are_not_tried_again(asking):
    asking.answer(asking.sent(), CHALLENGE, code=401)
    asking.answer(asking.sent(1.0), CHALLENGE, code=401)
    assert [answer.error_code for answer in asking.answers] == [401]


def test_a_server_that_is_never_content_is_given_up(asking):
    requests = 0
    asking.answer(asking.sent(), CHALLENGE, code=401)
    while not asking.answers:
        requests += 1
        asking.answer(asking.sent(1.0), {"NONCE": b"n%d" % requests}, code=438)
    assert requests == limits.TURN_CHALLENGES


@pytest.mark.parametrize("code", [401, 438])
def test_a_challenge_that_does_not_say_how_is_an_answer(asking, code):
    asking.answer(asking.sent(), code=code)
    assert [answer.error_code for answer in asking.answers] == [code]


@pytest.mark.parametrize("how", ["unsigned", "other key", "error", "method", "transaction"])
def test_an_answer_of_somebody_else_is_passed_over_and_the_right_one_still_counts(asking, how):
    asking.answer(asking.sent(), CHALLENGE, code=401)
    request = asking.sent(1.0)
    forged = {
        "unsigned": {},
        "other key": {"key": b"k"},
        "error": {"code": 437},
        "method": {"key": KEY, "method": Method.ALLOCATE},
        "transaction": {"key": KEY, "txid": bytes(12)},
    }[how]
    assert not asking.answer(request, **forged)
    assert asking.answers == []
    assert asking.answer(request, key=KEY)
    assert len(asking.answers) == 1


def test_a_request_or_an_indication_is_no_answer(asking):
    request = asking.sent()
    assert not asking.transactions.receive(request, 0.0)
    assert asking.answers == []


def test_it_is_sent_again_in_pauses_that_double_and_then_fails(asking):
    now, times = 0.0, []
    while not asking.answers:
        now = asking.transactions.get_timer()
        times += [now] * len(asking.transactions.datagrams_to_send(now))
    assert times == pytest.approx([0.0, 0.25, 0.75, 1.75, 3.75])
    assert len(times) == limits.TURN_SENDS
    assert now == pytest.approx(7.75)
    assert asking.answers == [None]


def test_what_one_gives_up_when_it_fails_does_not_fail_too(asking):
    asking.transactions.give_up()
    transactions = asking.transactions
    for _ in range(2):
        transactions.begin(
            Method.REFRESH, {}, lambda answer, _: (asking.answers.append(answer), transactions.give_up()), 0.0
        )
    while transactions.get_timer() < float("inf"):
        transactions.datagrams_to_send(transactions.get_timer())
    assert asking.answers == [None]


@pytest.mark.parametrize("code", [437, 441])
def test_errors_that_are_signed_by_nobody_are_believed_only_where_it_was_said_so(asking, code):
    asking.answer(asking.sent(), CHALLENGE, code=401)
    request = asking.sent(1.0)
    assert not asking.answer(request, code=code, key=b"another")
    assert asking.answers == []
    assert asking.answer(request, key=KEY)
    asking.begin(1.0, unsigned=(437, 441))
    request = asking.sent(1.0)
    assert not asking.answer(request, code=500, key=b"another")
    assert not asking.answer(request, key=b"another"), "a response has to be signed"
    assert asking.answer(request, code=code, key=b"another")
    assert [answer.error_code for answer in asking.answers] == [None, code]


def test_other_credentials_sign_from_then_on(asking):
    asking.answer(asking.sent(), CHALLENGE, code=401)
    assert asking.sent(1.0).is_signed_with(KEY)
    asking.transactions.give_up()
    asking.transactions.set_credentials("alice", "hers")
    assert asking.transactions.credentials == ("alice", "hers")
    asking.begin(1.0)
    request = asking.sent(1.0)
    assert request.attributes["USERNAME"] == "alice"
    assert request.is_signed_with(hashlib.md5(b"alice:realm:hers").digest())
