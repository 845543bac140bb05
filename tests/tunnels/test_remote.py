"""Facts about choosing between connections, and about when to try again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.quic import ALICE, BOB
from tunnels.remote import Connection, is_better

LOW, HIGH = sorted([ALICE.endpoint_id, BOB.endpoint_id])
FIRST_RUN, SECOND_RUN = b"run 1...", b"run 2..."

connections = st.builds(
    Connection, st.sampled_from([LOW, HIGH]), st.sampled_from([FIRST_RUN, SECOND_RUN]), st.integers(1, 5)
)


@pytest.mark.parametrize(
    ("why", "better", "worse"),
    [
        ("of two runs the later", Connection(HIGH, SECOND_RUN, 2), Connection(LOW, FIRST_RUN, 1)),
        ("of two by one side the later", Connection(HIGH, FIRST_RUN, 2), Connection(HIGH, FIRST_RUN, 1)),
        ("of crossing ones the lower id's", Connection(LOW, FIRST_RUN, 1), Connection(HIGH, FIRST_RUN, 2)),
        ("whichever opened first", Connection(LOW, FIRST_RUN, 2), Connection(HIGH, FIRST_RUN, 1)),
    ],
)
def test_the_rules_of_choice(why, better, worse):
    assert is_better(better, worse), why
    assert not is_better(worse, better), why


@given(connections, connections)
def test_of_two_connections_never_both_are_better_and_one_is_unless_they_are_alike(one, other):
    assert not (is_better(one, other) and is_better(other, one))
    if one.order != other.order:
        assert is_better(one, other) or is_better(other, one)


@given(st.booleans(), st.booleans())
def test_both_ends_choose_alike_between_crossing_connections_however_they_saw_them_open(
    here_first, there_first
):
    def chosen(first: bool) -> Connection:
        mine, yours = (
            Connection(LOW, FIRST_RUN, 1 if first else 2),
            Connection(HIGH, FIRST_RUN, 2 if first else 1),
        )
        return mine if is_better(mine, yours) else yours

    assert chosen(here_first).client == chosen(there_first).client
