"""Amounts as people write them: `10GB` and `1MB/s`, and amounts in words.

A unit is decimal as on disks and lines (1 MB = 1 000 000 bytes), binary with an i (1 MiB = 1 048 576), and in bits for rates
(8Mbit/s = 1MB/s). `unlimited` is one that is never reached.
"""

from __future__ import annotations

import re
from typing import Final

UNLIMITED: Final = 2**62
"""More than anything that is ever counted."""

_WORD: Final = "unlimited"
_AMOUNT: Final = re.compile(r"(\d{1,18})(?:\.(\d{1,6}))? ?([KMGT]?)(i?)(B|bit)?", re.IGNORECASE | re.ASCII)
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def read_octets(text: str) -> int:
    """An amount such as `10GB`; ValueError says what is expected."""
    amount = _read(text)
    if amount is None or amount[1]:
        raise ValueError(f"{text!r} is no amount: expected one such as 500MB, 10GB or unlimited")
    return amount[0]


def read_rate(text: str) -> int:
    """A rate such as `1MB/s` or `8Mbit/s`, in bytes a second; ValueError says what is expected."""
    amount = _read(text.removesuffix("/s"))
    if amount is None or (text != _WORD and not text.endswith("/s")):
        raise ValueError(f"{text!r} is no rate: expected one such as 1MB/s, 500KB/s, 8Mbit/s or unlimited")
    return amount[0]


def octets_text(octets: int) -> str:
    """An amount as `read_octets` reads it, exact: `10 GB`, `1500 KB`, `unlimited`."""
    if octets >= UNLIMITED:
        return _WORD
    for letter, power in reversed(_POWERS.items()):
        if octets and octets % 1000**power == 0:
            return f"{octets // 1000**power} {letter}B"
    return f"{octets} B"


def _read(text: str) -> tuple[int, bool] | None:
    """Bytes, and whether they were written in bits; None for what is no amount, or none of at least a byte."""
    if text == _WORD:
        return UNLIMITED, False
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return None
    whole, fraction, letter, binary, unit = match.groups(default="")
    if binary and not letter:
        return None
    in_bits = unit.lower() == "bit"
    # In whole numbers: a float does not hold every amount.
    amount = (
        int(whole + fraction) * (1024 if binary else 1000) ** _POWERS[letter.upper()] // 10 ** len(fraction)
    )
    octets = amount // 8 if in_bits else amount
    return (min(octets, UNLIMITED), in_bits) if octets else None
