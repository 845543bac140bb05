"""QR codes of texts of ours."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError
from gateway.qr_codes import MARGIN, modules


def test_the_margin_is_light_and_the_corners_are_found():
    rows = modules("overlay:i1yyyy")
    assert {len(row) for row in rows} == {len(rows)}
    assert not any(any(row) for row in rows[:MARGIN])
    finder = rows[MARGIN][MARGIN : MARGIN + 7]
    assert tuple(finder) == (1,) * 7


def test_what_fits_no_qr_code_says_so():
    with pytest.raises(GatewayError, match="5000 characters fit no QR code"):
        modules("y" * 5000)
