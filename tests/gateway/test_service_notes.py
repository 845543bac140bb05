"""A service manager is told what it waits for, by a socket as systemd gives one, and nobody else anything."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.service_notes import ServiceNotes

if TYPE_CHECKING:
    from pathlib import Path


def environment(place: str, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": place, "PATH": "/bin", **more}


@pytest.mark.parametrize("is_abstract", [False, True])
async def test_it_is_told_when_everything_listens_that_we_live_and_that_we_end(
    tmp_path: Path, is_abstract: bool
) -> None:
    place = f"@overlay-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{place[1:]}" if is_abstract else place)
        manager.setblocking(False)

        async def told() -> str:
            async with asyncio.timeout(10):
                return (await asyncio.get_running_loop().sock_recv(manager, 1000)).decode()

        given = environment(place, WATCHDOG_USEC="100000", WATCHDOG_PID=str(os.getpid()))
        notes = ServiceNotes.taken_from(given)
        assert given == {"PATH": "/bin"}, "what we start is no service"
        with notes:
            assert (await told()).startswith(f"READY=1\nMAINPID={os.getpid()}\n")
            assert [await told() for _ in range(3)] == ["WATCHDOG=1"] * 3
        while (last := await told()) == "WATCHDOG=1":
            pass
        assert last.startswith("STOPPING=1")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "1"},
        {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "x"},
        {"NOTIFY_SOCKET": "@nobody-listens", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
    ],
)
async def test_where_nobody_listens_nothing_happens(given: dict[str, str]) -> None:
    with ServiceNotes.taken_from(given):
        await asyncio.sleep(0)
