"""`overlay vouchers` takes what a relay's owner gave, and tells what became of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from tests.gateway.cli.conftest import Overlay


async def test_a_voucher_that_is_taken_tells_by_whom_and_how_much(overlay: Overlay) -> None:
    done = await overlay("vouchers", "add", "overlay:v1abc", "--beacon", "https://eu1.example")
    assert (done.code, done.out) == (0, "10.0 GB at https://eu1.example.\n")
    listed = (await overlay("vouchers")).out.splitlines()
    assert listed[1].split()[:3] == ["00000000", "10.0", "GB"]
    assert listed[1].endswith("taken by https://eu1.example")


async def test_one_that_is_not_taken_yet_is_kept_and_says_why(
    overlay: Overlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" overlay:v1abc\n"))
    done = await overlay("vouchers", "add", "-")
    assert done.code == 0
    assert done.out.startswith("Kept, and handed in when a beacon takes it; not yet: eu1.example: this relay")
    assert "not taken yet: eu1.example" in (await overlay("vouchers", "ls")).out
    assert (await overlay("vouchers", "ls", "--json")).json[0]["credit_bytes"] == 10_000_000_000


async def test_what_is_no_voucher_is_refused_and_none_are_told_of(overlay: Overlay) -> None:
    assert "No vouchers yet" in (await overlay("vouchers", "ls")).err
    done = await overlay("vouchers", "add", "overlay:t1abc")
    assert (done.code, done.err) == (2, "overlay: this is no voucher; one begins with overlay:v1\n")
    done = await overlay("vouchers", "add", " ")
    assert (done.code, done.out) == (2, "")
