"""What moved is counted by endpoint, service and direction, within bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.traffic import ledger as ledger_module
from gateway.traffic.ledger import OTHER, Ledger, UsageKey
from gateway.traffic.limits import LEDGER_ROWS, LEDGER_SERVICES, LEDGER_STRANGERS
from tunnels.identity import EndpointId

BOB = EndpointId(b"b" * 32)
CAROL = EndpointId(b"c" * 32)


def stranger(number: int) -> EndpointId:
    return EndpointId(number.to_bytes(32))


def test_each_row_adds_up_by_itself():
    ledger = Ledger(lambda _: True)
    ledger.count(BOB, "web", "sent", 5)
    ledger.count(BOB, "web", "sent", 7)
    ledger.count(BOB, "web", "received", 1)
    ledger.count(BOB, "web", "sent", 3, "used")
    ledger.count(BOB, "web", "sent", 0)
    assert ledger.totals() == {
        UsageKey(BOB, "web", "sent"): 12,
        UsageKey(BOB, "web", "received"): 1,
        UsageKey(BOB, "web", "sent", "used"): 3,
    }


def test_whoever_counts_seldom_is_asked_before_totals_are_told():
    ledger = Ledger(lambda _: True)
    ledger.on_read = lambda: ledger.count(BOB, "web", "sent", 9)
    assert ledger.totals() == {UsageKey(BOB, "web", "sent"): 9}


def test_a_month_begins_with_what_it_has_used():
    ledger = Ledger(lambda who: who == BOB)
    begun = []
    ledger.on_month = lambda: begun.append(ledger.month_of_endpoint(BOB))
    ledger.count(BOB, "web", "sent", 1000)
    used = {
        UsageKey(BOB, "web", "sent"): 10,
        UsageKey(BOB, "web", "received", "used"): 5,
        UsageKey(CAROL, "web", "sent"): 3,
        UsageKey(None, "web", "sent"): 4,
    }
    ledger.begin_month(used)
    assert begun == [15]
    ledger.count(BOB, "ssh", "sent", 1)
    assert ledger.month_of_endpoint(BOB) == 16
    assert ledger.month_of_strangers() == 7
    assert ledger.month_of_service("web") == 17  # what we use of others' is none of ours
    assert ledger.totals()[UsageKey(BOB, "web", "sent")] == 1000


def test_strangers_beyond_the_bound_are_one():
    ledger = Ledger(lambda who: who == BOB)
    for number in range(LEDGER_STRANGERS + 500):
        ledger.count(stranger(number), "web", "sent", 1)
    assert len(ledger) == LEDGER_STRANGERS + 1
    assert ledger.totals()[UsageKey(None, "web", "sent")] == 500
    ledger.count(BOB, "web", "sent", 1)
    assert ledger.totals()[UsageKey(BOB, "web", "sent")] == 1
    assert ledger.month_of_strangers() == LEDGER_STRANGERS + 500


def test_services_beyond_the_bound_are_one():
    ledger = Ledger(lambda _: True)
    for number in range(LEDGER_SERVICES + 50):
        ledger.count(BOB, f"s{number}", "sent", 1, "used")
    assert len(ledger) == LEDGER_SERVICES + 1
    assert ledger.totals()[UsageKey(BOB, OTHER, "sent", "used")] == 50


def test_there_are_never_more_rows_than_the_bound(monkeypatch):
    assert LEDGER_ROWS >= 4 * LEDGER_STRANGERS
    monkeypatch.setattr(ledger_module, "LEDGER_ROWS", 100)
    ledger = Ledger(lambda _: True)
    for number in range(300):
        ledger.count(stranger(number), "web", "sent", 1)
        ledger.count(stranger(number), "web", "received", 1)
    assert len(ledger) <= 102
    assert sum(ledger.totals().values()) == 600
    assert ledger.totals()[UsageKey(None, OTHER, "sent")] == 250


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40), st.integers(0, 8), st.sampled_from(["sent", "received"]), st.integers(0, 1000)
        )
    )
)
def test_no_octet_is_lost_or_counted_twice(moves):
    ledger = Ledger(lambda who: who.key[31] % 2 == 0)
    for who, service, direction, octets in moves:
        ledger.count(stranger(who), f"s{service}", direction, octets)
    assert sum(ledger.totals().values()) == sum(move[3] for move in moves)
    assert sum(ledger.month_of_service(f"s{number}") for number in range(9)) == sum(m[3] for m in moves)
