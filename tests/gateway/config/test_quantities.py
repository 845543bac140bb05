"""Amounts and rates as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.quantities import UNLIMITED, octets_text, read_octets, read_rate


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("10GB", 10**10),
        ("10 GB", 10**10),
        ("1.5MB", 1_500_000),
        ("1MiB", 1 << 20),
        ("500kb", 500_000),
        ("7", 7),
        ("9007199254740993B", 9007199254740993),
        ("0.000001TB", 10**6),
        ("7B", 7),
        ("2T", 2 * 10**12),
        ("unlimited", UNLIMITED),
        ("999999999999TB", UNLIMITED),
    ],
)
def test_amounts(text, octets):
    assert read_octets(text) == octets


@pytest.mark.parametrize(
    ("text", "rate"), [("1MB/s", 10**6), ("8Mbit/s", 10**6), ("500KB/s", 500_000), ("unlimited", UNLIMITED)]
)
def test_rates(text, rate):
    assert read_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "fast", "0", "-1MB", "1e9", "0.1B", "10GB/s", "1iB", "8Mbit", "1MB\n", "\u0661MB"]
)
def test_what_is_no_amount_is_told_with_an_example(text):
    with pytest.raises(ValueError, match="such as 500MB"):
        read_octets(text)


@pytest.mark.parametrize("text", ["", "1MB", "1MB/h", "/s", "1 MB / s", "unlimited/s/s"])
def test_what_is_no_rate_is_told_with_an_example(text):
    with pytest.raises(ValueError, match="such as 1MB/s"):
        read_rate(text)


@given(st.text())
def test_any_text_is_an_amount_or_a_value_error(text):
    for read in (read_octets, read_rate):
        try:
            assert 0 < read(text) <= UNLIMITED
        except ValueError:
            continue


@given(st.integers(1, 2 * UNLIMITED))
def test_amounts_are_shown_as_they_are_read(octets):
    text = octets_text(octets)
    assert text == "unlimited" if octets >= UNLIMITED else len(text) < 24
    if octets < 10**12:
        assert read_octets(text) == octets
