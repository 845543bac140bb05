"""QR codes of texts of ours, for the terminal and for the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN: Final = 4
"""Light modules around it (ISO/IEC 18004 §6.3.8)."""


def modules(text: str) -> list[Sequence[int]]:
    """The rows of the QR code of a text with the margin around them, 1 for each dark module; GatewayError if it is too long.

    In upper case, which our texts do not mind: alphanumeric mode makes it a third smaller.
    """
    import segno

    try:
        code = segno.make_qr(text.upper(), error="l", mode="alphanumeric", boost_error=False)
    except ValueError as error:  # segno's own are ValueErrors
        raise GatewayError(
            f"qr: {len(text)} characters fit no QR code ({error}); pass the text itself on"
        ) from None
    return [tuple(row) for row in code.matrix_iter(border=MARGIN)]
