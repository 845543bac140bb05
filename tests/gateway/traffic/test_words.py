"""At a limit it is said who, which limit, and until when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.traffic.account import Account
from gateway.traffic.terms import Terms
from gateway.traffic.words import next_month, told, too_many, used_up
from tunnels.identity import EndpointId

BOB = EndpointId(b"b" * 32)
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()


def account(**terms: int) -> Account:
    account = Account()
    account.apply(Terms(**terms), 0.0)
    return account


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ((2026, 11, 28), "2026-12-01 (UTC)"),
        ((2026, 12, 31, 23, 59), "2027-01-01 (UTC)"),
        ((2027, 1, 1), "2027-02-01 (UTC)"),
    ],
)
def test_a_month_ends_with_the_calendars(moment, day):
    assert next_month(datetime(*moment, tzinfo=UTC).timestamp()) == day


def test_a_quota():
    quota = account(quota=10_000_000_000)
    assert (
        used_up("bob", quota, NOW) == "bob has used the 10 GB of this month; on 2026-12-01 (UTC) it goes on"
    )
    assert used_up("you", quota, NOW).startswith("you have used the 10 GB")


def test_connections():
    text = too_many("strangers", account(connections=32))
    assert text == "strangers have 32 connections open, which is the limit; close some and try again"


def test_nobody_else_is_told_a_petname():
    assert told(BOB, "bobby", "served") == "you"
    assert told("services.web", "service web", "served") == "service web"
    assert told(BOB, "bobby", "used") == "bobby (by a limit of your own gateway)"
