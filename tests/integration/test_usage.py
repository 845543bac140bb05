"""Accounts of real gateways: who moved how much by which path, in the face of kill -9; and limits that commands set."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.echoes import Refusal, Tunnel, echo
from tests.lab.gateways import GatewayFailed, wait_until
from tests.lab.worlds import alice_and_bob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.gateways import GatewayProcess
    from tests.lab.worlds import World

STRANGER = "8pinxxgqs41n4aididenw5apqp1urfmzdztr8jt4abrkdn435ewo"
LOST_SECONDS = 4.0
"""A look each second, two until it is written, and one because this machine does other things, too."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with alice_and_bob(tmp_path_factory.mktemp("usage")) as world:
        yield world


@pytest.fixture(scope="module")
def port(world: World) -> Iterator[int]:
    with echo() as port:
        world.alice.run("expose", "echo", f"127.0.0.1:{port}", "--port", "9001", "--allow", "bob")
        yield port


def rows(gateway: GatewayProcess, service: str = "echo") -> list[dict[str, object]]:
    return [row for row in gateway.json("usage")["rows"] if row["service"] == service]


def amount(gateway: GatewayProcess, word: str) -> int:
    return sum(int(str(row.get(word, 0))) for row in rows(gateway))


def test_both_sides_account_for_the_same(world: World, port: int) -> None:
    sizes = {each: (amount(each, "sent"), amount(each, "received")) for each in (world.alice, world.bob)}
    tunnel = Tunnel(world.bob, "echo.alice.overlay", 9001)
    assert tunnel.says_back(os.urandom(2_000_000))
    for gateway, petname, side in ((world.alice, "bob", "served"), (world.bob, "alice", "used")):
        sent, received = sizes[gateway]
        assert amount(gateway, "sent") - sent == 2_000_000
        assert amount(gateway, "received") - received == 2_000_000
        (row,) = (row for row in rows(gateway) if row["path"])
        assert (row["petname"], row["side"], row["path"]) == (petname, side, "LAN")
    tunnel.close()
    shown = world.bob.run("usage").stdout
    assert "alice" in shown
    assert "theirs" in shown
    assert "2.0 MB" in shown
    assert "in all" in world.bob.run("usage", "--by", "path").stdout
    days = world.bob.json("usage", "--by", "day")["days"]
    assert sum(day.get("sent", 0) for day in days) >= 2_000_000
    assert "Nothing moved in 2020-02" in world.bob.run("usage", "--month", "2020-02").stderr
    with pytest.raises(GatewayFailed, match="write it as 2026-11"):
        world.bob.run("usage", "--month", "2020-02-02")


def test_kill_9_in_the_middle_of_a_transfer_loses_no_more_than_the_last_seconds(
    world: World, port: int
) -> None:
    """What is on disk then is no less than what had moved some seconds before, and the next run goes on with it."""
    before = amount(world.alice, "received")
    tunnel = Tunnel(world.bob, "echo.alice.overlay", 9001)
    moved: list[tuple[float, int]] = []
    piece, sent, began = os.urandom(50_000), 0, time.monotonic()
    while time.monotonic() - began < LOST_SECONDS + 3:
        assert tunnel.says_back(piece)
        sent += len(piece)
        moved.append((time.monotonic(), sent))
        time.sleep(0.02)
    killed = time.monotonic()
    world.alice.kill()
    tunnel.close()
    with sqlite3.connect(world.alice.home / "state" / "usage.db") as database:
        (on_disk,) = database.execute("SELECT sum(received) FROM months WHERE service = 'echo'").fetchone()
    must = max(octets for at, octets in moved if at < killed - LOST_SECONDS)
    assert must > 0
    assert before + must <= on_disk <= before + sent
    world.alice.start()
    assert amount(world.alice, "received") == on_disk
    wait_until(lambda: works(world, b"again"), 20)
    assert amount(world.alice, "received") == on_disk + len(b"again")


def works(world: World, said: bytes = b"x") -> bool:
    """Whether a connection is let through."""
    try:
        tunnel = Tunnel(world.bob, "echo.alice.overlay", 9001)
    except Refusal:
        return False
    try:
        return tunnel.says_back(said)
    finally:
        tunnel.close()


def limits(gateway: GatewayProcess) -> dict[str, dict[str, object]]:
    return {terms["scope"]: terms for terms in gateway.json("limits", "ls")["terms"]}


def undo(printed: str) -> list[str]:
    """The words of the command that undoes, without `overlay --home DIR`."""
    line = next(line for line in printed.splitlines() if line.strip().startswith("undo"))
    return line.split()[4:]


def test_a_limit_holds_at_once_is_told_to_whom_it_stops_and_outlives_a_restart(
    world: World, port: int
) -> None:
    done = world.alice.run("limits", "set", "bob", "--connections", "2", "--rate", "50MB/s")
    assert "connections 2" in done.stdout
    open_ones = [Tunnel(world.bob, "echo.alice.overlay", 9001) for _ in range(2)]
    with pytest.raises(Refusal, match="2 connections open"):
        Tunnel(world.bob, "echo.alice.overlay", 9001)
    terms = limits(world.alice)["contacts.bob"]
    assert (terms["connections"], terms["open"], terms["set_by"]) == (2, 2, "command")
    assert "2 of 2" in world.alice.run("limits").stdout
    for each in open_ones:
        each.close()
    world.alice.stop()
    world.alice.start()
    assert limits(world.alice)["contacts.bob"]["rate"] == 50_000_000
    world.alice.run(*undo(done.stdout))
    assert limits(world.alice) == {}
    wait_until(lambda: works(world), 20)


def test_a_quota_counts_what_the_month_used_before_the_restart(world: World, port: int) -> None:
    tunnel = Tunnel(world.bob, "echo.alice.overlay", 9001)
    assert tunnel.says_back(os.urandom(500_000))
    tunnel.close()
    world.alice.run("limits", "set", "--service", "echo", "--quota", "1MB")
    world.alice.stop()
    world.alice.start()
    assert limits(world.alice)["services.echo"]["used"] >= 1_000_000
    with pytest.raises(Refusal, match="1 MB of this month"):
        Tunnel(world.bob, "echo.alice.overlay", 9001)
    done = world.alice.run("limits", "set", "--service", "echo", "--quota", "unlimited")
    wait_until(lambda: works(world), 20)
    words = undo(done.stdout)
    assert words == ["limits", "set", "--service", "echo", "--quota", "1MB"]
    world.alice.run(*words)
    assert limits(world.alice)["services.echo"]["quota"] == 1_000_000
    world.alice.run("limits", "unset", "--service", "echo")


def test_what_makes_no_sense_is_told_in_one_line(world: World) -> None:
    for words, told in (
        (("bob",), "at least one of --rate"),
        (("--rate", "1MB/s"), "name a contact"),
        (("bob", "--service", "web", "--rate", "1MB/s"), "one after the other"),
        (("bob", "--rate", "fast"), "1MB/s"),
        (("bob", "--weight", "0"), "1 to 1000"),
        (("nobody", "--rate", "1MB/s"), "nobody"),
        ((STRANGER, "--rate", "1MB/s"), "--strangers"),
    ):
        done = world.alice.run("limits", "set", *words, check=False)
        assert done.returncode == 2
        assert told in done.stderr
        assert done.stderr.count("\n") == 1


def test_what_the_whole_gateway_uses_is_listed(world: World) -> None:
    resources = {each["name"]: each for each in world.alice.json("limits", "ls")["resources"]}
    assert 0 < resources["memory"]["used"] < resources["memory"]["most"]
    assert 0 < resources["descriptors"]["used"] < resources["descriptors"]["most"]
    assert resources["disk"]["left"] > 0
    assert "memory" in world.alice.run("limits").stdout
    assert json.loads(world.alice.run("limits", "ls", "--json").stdout)
