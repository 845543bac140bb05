"""What a control group allows is less than what we take by default, or more, or not to be found out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.headroom.allowance import allowed, group_limit, memory_allowance
from gateway.headroom.limits import MEMORY_DEFAULT_BYTES, MEMORY_LEAST_BYTES

if TYPE_CHECKING:
    from pathlib import Path

GIGABYTE = 1_000_000_000


@pytest.mark.parametrize(
    ("group", "machine", "expected"),
    [
        (None, None, MEMORY_DEFAULT_BYTES),
        (64 * GIGABYTE, 64 * GIGABYTE, MEMORY_DEFAULT_BYTES),
        (GIGABYTE // 2, 64 * GIGABYTE, 400_000_000),
        (None, GIGABYTE, GIGABYTE // 2),
        (1, 1, MEMORY_LEAST_BYTES),
    ],
)
def test_the_least_of_all_counts(group: int | None, machine: int | None, expected: int) -> None:
    assert allowed(group, machine) == expected


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_least_limit_of_a_group_and_those_above_it_counts(tmp_path: Path) -> None:
    put(tmp_path / "self", "0::/system.slice/overlay.service\n")
    put(tmp_path / "groups/system.slice/memory.max", "300000000\n")
    put(tmp_path / "groups/system.slice/overlay.service/memory.max", "max\n")
    assert group_limit(tmp_path / "self", tmp_path / "groups") == 300_000_000


def test_a_container_whose_path_is_that_of_the_host_has_its_limit_at_the_top(tmp_path: Path) -> None:
    put(tmp_path / "self", "0::/../docker/abc\n")
    put(tmp_path / "groups/memory.max", "500000000\n")
    assert group_limit(tmp_path / "self", tmp_path / "groups") == 500_000_000


def test_version_1_is_read(tmp_path: Path) -> None:
    put(tmp_path / "self", "12:cpu,cpuacct:/x\n4:memory:/docker/abc\n")
    put(tmp_path / "groups/memory/docker/abc/memory.limit_in_bytes", "700000000\n")
    assert group_limit(tmp_path / "self", tmp_path / "groups") == 700_000_000


@pytest.mark.parametrize("text", [None, "", "nonsense", "0::/\n", ":::::\n\x00\n"])
def test_what_cannot_be_found_out_is_no_limit(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        put(tmp_path / "self", text)
    assert group_limit(tmp_path / "self", tmp_path / "groups") is None


def test_this_machine_allows_something() -> None:
    assert MEMORY_LEAST_BYTES <= memory_allowance() <= MEMORY_DEFAULT_BYTES
