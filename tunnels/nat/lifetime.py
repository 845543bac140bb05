"""How long a mapping lets in whom nothing is sent to, as a range. Sans-IO; `tunnels.nat.waiting` measures it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Seconds of silence after which a mapping lets nothing in."""

    least: int | None = None
    """It was there after so many."""
    most: int | None = None
    """It was gone after so many."""


UNKNOWN_LIFETIME: Final = Lifetime()


def lifetime_of(came: Iterable[tuple[int, bool | None]]) -> Lifetime:
    """What was let in after each time, True or False; None where that is not known, which says nothing."""
    found = list(came)
    least = max((seconds for seconds, was_let_in in found if was_let_in), default=None)
    most = min(
        (seconds for seconds, was_let_in in found if was_let_in is False and seconds > (least or 0)),
        default=None,
    )
    return Lifetime(least, most)
