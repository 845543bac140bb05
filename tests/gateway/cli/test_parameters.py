"""Durations and amounts, as people write them."""

from __future__ import annotations

import click
import pytest

from gateway.cli.parameters import Amount, Duration

MOST = 1 << 53


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("90s", 90), ("30m", 1800), ("12h", 43200), ("366d", 366 * 86400), ("4w", 2419200)],
)
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert Duration("it").convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "d", "1", "1y", "-1d", "0d", "1.5d", "²d", "9999999999d", "367d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"write 12h, 30d or 4w|it lasts from 1s to 366d"):
        Duration("it").convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1b", 1),
        ("500MB", 500 * 10**6),
        ("10GB", 10**10),
        ("10 gb", 10**10),
        ("1.5TB", 1_500_000_000_000),
        ("0.000001TB", 10**6),
        ("4GiB", 4 << 30),
        ("1.5kib", 1536),
        (str(MOST), MOST),
        (str(MOST - 1), MOST - 1),
    ],
)
def test_an_amount_is_exact(text: str, size: int) -> None:
    assert Amount(MOST).convert(text, None, None) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GB",
        "0",
        "0.1B",
        "-1GB",
        "1e9",
        "10XB",
        "1,5GB",
        "1..5GB",
        "٣GB",
        str(MOST + 1),
        "9" * 30,
        "9000TB1",
    ],
)
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"write 500MB, 10GB or 4GiB|write 1B to 9007TB"):
        Amount(MOST).convert(text, None, None)
