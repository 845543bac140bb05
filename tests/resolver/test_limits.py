"""Bounds that depend on one another."""

from resolver import limits
from resolver.signed_packets import LARGEST


def test_every_limit_is_positive() -> None:
    values = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert all((max(value) if isinstance(value, tuple) else value) > 0 for value in values.values())


def test_the_largest_ticket_is_read_with_line_breaks() -> None:
    assert (2 + LARGEST + 4) * 8 / 5 + 10 < limits.TICKET_CHARACTERS / 2


def test_a_client_hears_of_a_slow_lookup_before_it_asks_again() -> None:
    assert limits.LOOKUP_SECONDS < 5
    assert 2 * limits.FORWARD_SECONDS < limits.LOOKUP_SECONDS
