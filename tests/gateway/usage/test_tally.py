"""What is new in the ledger is put down to a month, a row and a kind of path, and nothing is lost or counted twice."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.traffic.ledger import OTHER, UsageKey
from gateway.usage import tally
from gateway.usage.tally import NO_PATH, Octets, Row, Tally, Unwritten
from tunnels.identity import EndpointId

ALICE, BOB = EndpointId(b"a" * 32), EndpointId(b"b" * 32)
DAY = "2026-11-30"


def someone(number: int) -> EndpointId:
    return EndpointId(number.to_bytes(32, "big"))


def sent(who: EndpointId | None, service: str = "web") -> UsageKey:
    return UsageKey(who, service, "sent", "served")


def row(who: EndpointId | None, path: str, service: str = "web") -> Row:
    return Row(who, service, "served", path)


def test_what_is_new_is_put_down_to_the_path_in_use_now() -> None:
    book = Tally(lambda _: True)
    assert book.look({sent(BOB): 100}, DAY, lambda _: "relay")
    assert book.look({sent(BOB): 150, sent(BOB)._replace(direction="received"): 7}, DAY, lambda _: "direct")
    assert not book.look({sent(BOB): 150, sent(BOB)._replace(direction="received"): 7}, DAY, lambda _: "LAN")
    assert book.take().months == {
        ("2026-11", row(BOB, "relay")): Octets(100, 0),
        ("2026-11", row(BOB, "direct")): Octets(50, 7),
    }


def test_a_path_that_is_gone_is_the_last_one_that_was_and_before_any_there_is_none() -> None:
    book = Tally(lambda _: True)
    book.look({sent(BOB): 1}, DAY, lambda _: None)
    book.look({sent(BOB): 3}, DAY, lambda _: "TURN")
    book.look({sent(BOB): 7}, DAY, lambda _: None)
    assert book.take().months == {
        ("2026-11", row(BOB, NO_PATH)): Octets(1),
        ("2026-11", row(BOB, "TURN")): Octets(6),
    }


def test_only_those_with_whom_something_moved_are_looked_up() -> None:
    asked: list[EndpointId] = []

    def path_of(who: EndpointId) -> str:
        asked.append(who)
        return "LAN"

    book = Tally(lambda _: True)
    book.look({sent(ALICE): 1, sent(BOB): 1, sent(None): 1}, DAY, path_of)
    book.look({sent(ALICE): 1, sent(BOB): 2, sent(None): 1}, DAY, path_of)
    assert asked == [ALICE, BOB, BOB]


def test_days_and_months_follow_the_day_that_is_told() -> None:
    book = Tally(lambda _: True)
    book.look({sent(BOB): 5}, "2026-11-30", lambda _: "LAN")
    book.look({sent(BOB): 9}, "2026-12-01", lambda _: "LAN")
    unwritten = book.take()
    assert unwritten.days == {("2026-11-30", "LAN"): Octets(5), ("2026-12-01", "LAN"): Octets(4)}
    assert {month for month, _ in unwritten.months} == {"2026-11", "2026-12"}


def test_strangers_beyond_the_bound_are_one_and_contacts_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "USAGE_STRANGERS", 3)
    book = Tally(lambda who: who == BOB)
    book.look({sent(someone(n)): 1 for n in range(10)} | {sent(BOB): 1}, DAY, lambda _: "direct")
    rows = {row.endpoint_id: octets for (_, row), octets in book.take().months.items()}
    assert rows == {
        someone(0): Octets(1),
        someone(1): Octets(1),
        someone(2): Octets(1),
        None: Octets(7),
        BOB: Octets(1),
    }


def test_a_month_that_is_full_gets_no_further_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "USAGE_ROWS", 4)
    book = Tally(lambda _: True)
    book.look({sent(BOB, f"s{n}"): 1 for n in range(10)}, DAY, lambda _: "LAN")
    rows = {row for _, row in book.take().months}
    assert rows == {row(BOB, "LAN", f"s{n}") for n in range(4)} | {Row(None, OTHER, "served", NO_PATH)}


def test_the_rows_of_a_month_that_is_gone_on_with_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "USAGE_STRANGERS", 1)
    book = Tally(lambda _: False)
    book.begin_month([row(ALICE, "LAN")])
    book.look({sent(ALICE): 1, sent(BOB): 2}, DAY, lambda _: "LAN")
    assert {row.endpoint_id for _, row in book.take().months} == {ALICE, None}


LOOKS = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 30), st.integers(1, 2**40), max_size=8),
        st.sampled_from(["LAN", "direct", "relay", None]),
        st.sampled_from(["2026-11-30", "2026-12-01"]),
        st.booleans(),
    ),
    max_size=12,
)


@given(LOOKS, st.booleans())
def test_nothing_is_lost_or_counted_twice_whatever_moves_fails_and_folds(
    looks: list[tuple[dict[int, int], str | None, str, bool]], are_contacts: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tally, "USAGE_ROWS", 12)
        patch.setattr(tally, "USAGE_STRANGERS", 5)
        book, totals, written = Tally(lambda _: are_contacts), Counter[UsageKey](), Unwritten()
        for more, path, day, fails in looks:
            totals.update({sent(someone(number)): octets for number, octets in more.items()})
            book.look(dict(totals), day, lambda _, path=path: path)
            if fails:
                book.put_back(book.take())
            else:
                written.join(book.take())
        written.join(book.take())
        assert sum(octets.sent for octets in written.months.values()) == totals.total()
        assert sum(octets.sent for octets in written.days.values()) == totals.total()
        assert len({row for _, row in written.months}) <= 12 + 1
