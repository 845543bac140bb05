"""What is made of what was let in after each time."""

from __future__ import annotations

import pytest

from tunnels.nat.lifetime import Lifetime, lifetime_of


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ([(25, True), (55, False)], Lifetime(25, 55)),
        ([(25, True), (55, True), (115, True), (175, True)], Lifetime(175, None)),
        ([(25, False), (55, False)], Lifetime(None, 25)),
        ([(25, None), (55, None)], Lifetime()),
        ([], Lifetime()),
        ([(25, False), (55, True), (115, False)], Lifetime(55, 115)),
        ([(25, True), (55, None), (115, False)], Lifetime(25, 115)),
    ],
)
def test_what_came_latest_is_the_least_and_what_did_not_come_after_that_the_most(came, expected):
    assert lifetime_of(came) == expected
