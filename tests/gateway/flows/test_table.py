"""Flows are bounded per owner and in total, the idle give way, and nobody pushes out what is another's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.flows.table import FlowTable, TableFull


def _table(per_owner: int = 3, total: int = 5) -> FlowTable[str]:
    return FlowTable(idle=60.0, per_owner=per_owner, total=total)


def test_an_owners_flow_idle_longest_gives_way() -> None:
    table = _table()
    for number, flow in enumerate("abc"):
        assert table.add(flow, "alice", float(number)) is None
    table.touch("a", 3.0)
    assert table.add("d", "alice", 4.0) == "b"
    assert len(table) == 3


def test_a_full_table_takes_from_the_newcomer_itself_or_refuses_it() -> None:
    table = _table()
    for flow, owner in zip("abcde", ["alice", "alice", "alice", "bob", "bob"], strict=True):
        table.add(flow, owner, 0.0)
    with pytest.raises(TableFull):
        table.add("f", "carol", 1.0)
    assert table.add("g", "bob", 1.0) == "d"
    assert len(table) == 5
    assert (table.count("alice"), table.count("bob"), table.count("carol")) == (3, 2, 0)
    table.remove("a")
    assert table.add("f", "carol", 2.0) is None


def test_idle_flows_expire_in_order() -> None:
    table = _table()
    assert table.next_expiry is None
    table.add("a", "alice", 0.0)
    table.add("b", "alice", 10.0)
    assert table.next_expiry == 60.0
    table.touch("a", 20.0)
    assert table.next_expiry == 70.0
    assert table.expired(69.9) == []
    assert table.expired(80.0) == ["b", "a"]
    assert len(table) == 0
    assert table.next_expiry is None


def test_what_is_not_there_is_neither_touched_nor_removed() -> None:
    table = _table()
    table.touch("x", 1.0)
    table.remove("x")
    assert len(table) == 0


@given(st.lists(st.tuples(st.sampled_from("atr"), st.integers(0, 9), st.sampled_from("xyz")), max_size=80))
def test_the_bounds_hold_whatever_happens(steps: list[tuple[str, int, str]]) -> None:
    table = _table()
    live: dict[str, str] = {}
    for now, (step, number, owner) in enumerate(steps):
        flow = f"{owner}{number}"
        if step == "a" and flow not in live:
            try:
                out = table.add(flow, owner, float(now))
            except TableFull:
                assert owner not in live.values()
            else:
                live[flow] = owner
                if out is not None:
                    assert live.pop(out) == owner
        elif step == "t":
            table.touch(flow, float(now))
        elif step == "r":
            table.remove(flow)
            live.pop(flow, None)
        assert len(table) == len(live) <= 5
        assert all(list(live.values()).count(one) <= 3 for one in "xyz")
    assert sorted(table.clear()) == sorted(live)
    assert len(table) == 0
