"""Real gateways and a real beacon: an invite is passed on by words said over the telephone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from gateway.invites.spoken import Code, word_list
from tests.lab.beacons import LabBeacon
from tests.lab.gateways import OVERLAY, GatewayProcess, clean_environment, running, wait_until
from tests.lab.local_beacons import local_beacon
from tests.lab.redis import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def people(place: Path, **beacons: tuple[str, ...]) -> Iterator[tuple[GatewayProcess, ...]]:
    """Gateways with these names, each at home at the first of its beacons; the first one has a service."""
    started = (
        GatewayProcess(place / name, *(word for url in urls for word in ("--beacon", url)), nickname=name)
        for name, urls in beacons.items()
    )
    with running(*started) as gateways:
        for gateway in gateways:
            wait_until(
                lambda gateway=gateway: any(b["home"] for b in gateway.json("status")["beacons"]),
                what="is at home",
            )
        gateways[0].run("expose", "web", "127.0.0.1:9")
        yield gateways


class Saying:
    """`overlay invite --code` as it waits."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.process = subprocess.Popen(
            [
                OVERLAY,
                "--home",
                str(gateway.home),
                "invite",
                "--code",
                "--service",
                "web",
                "--name",
                "robert",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        self.code = self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str, str]:
        """Exit code, the rest of stdout, and stderr."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextlib.contextmanager
def saying(gateway: GatewayProcess) -> Iterator[Saying]:
    started = Saying(gateway)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.communicate()


def other_words(code: str) -> str:
    said = Code.parse(code)
    return str(Code(said.number, (next(w for w in word_list() if w != said.words[0]), said.words[1])))


def test_the_right_words_let_in_who_says_them_once(tmp_path):
    with (
        local_beacon(tmp_path / "beacon") as url,
        people(tmp_path, alice=(url,), bob=(url,), carol=(url,)) as (
            alice,
            bob,
            carol,
        ),
    ):
        with saying(alice) as waiting:
            taken = bob.run("join", *waiting.code.upper().split("-"), "--yes")
            assert "calls you" in taken.stdout
            assert "for" in taken.stdout
            code, out, err = waiting.end()
        assert (code, f"Passed to {bob.id}, who alone can take it." in out) == (0, True)
        assert "invites revoke" in err
        assert [contact["petname"] for contact in alice.json("contacts", "ls")] == ["robert"]
        assert bob.json("contacts", "ls")[0]["services"] == ["web"]
        again = carol.run("join", waiting.code, "--yes", check=False)
        assert (again.returncode, "it was used" in again.stderr) == (21, True)


def test_wrong_words_kill_the_code_and_both_are_told(tmp_path):
    with local_beacon(tmp_path / "beacon") as url, people(tmp_path, alice=(url,), bob=(url,)) as (alice, bob):
        with saying(alice) as waiting:
            misheard = bob.run("join", waiting.code[:-1] + "q", "--yes", check=False)
            assert (misheard.returncode, "is in no code" in misheard.stderr) == (2, True)
            wrong = bob.run("join", other_words(waiting.code), "--yes", check=False)
            assert (wrong.returncode, "used up: ask for a new one" in wrong.stderr) == (20, True)
            code, _, err = waiting.end()
            assert (code, "said other words; the code is dead" in err) == (20, True)
        late = bob.run("join", waiting.code, "--yes", check=False)
        assert late.returncode == 21
        assert alice.json("contacts", "ls") == []
        assert alice.json("invites", "ls")["issued"] == []


def test_ctrl_c_takes_the_code_back(tmp_path):
    with local_beacon(tmp_path / "beacon") as url, people(tmp_path, alice=(url,), bob=(url,)) as (alice, bob):
        with saying(alice) as waiting:
            waiting.process.send_signal(signal.SIGINT)
            code, _, err = waiting.end()
        assert (code, "nobody can use the code any more" in err) == (130, True)
        assert bob.run("join", waiting.code, "--yes", check=False).returncode == 21


@pytest.mark.needs("redis-server")
async def test_gateways_at_different_nodes_of_a_fleet_meet(tmp_path):
    async with RedisProcess(tmp_path) as store:
        await asyncio.to_thread(_meet_in_a_fleet, tmp_path, store.url)


def _meet_in_a_fleet(place: Path, redis: str) -> None:
    with (
        local_beacon(place / "node1", OVERLAY_BEACON_REDIS_URL=redis) as one,
        local_beacon(place / "node2", OVERLAY_BEACON_REDIS_URL=redis) as two,
        people(place, alice=(one,), bob=(two,), carol=(two, one)) as (alice, bob, carol),
    ):
        for joiner in (bob, carol):
            with saying(alice) as waiting:
                joiner.run("join", waiting.code, "--yes")
                assert waiting.end()[0] == 0


async def test_an_old_beacon_and_none_are_told_apart(tmp_path):
    async with LabBeacon() as old:
        await asyncio.to_thread(_ask_in_vain, tmp_path, str(old.url))


def _ask_in_vain(place: Path, old: str) -> None:
    with people(place, alice=(old,)) as (alice,):
        for words in (("invite", "--code"), ("join", "7-guitar-elbow", "--yes")):
            done = alice.run(*words, check=False)
            assert (done.returncode, "is too old to pass codes on; update it" in done.stderr) == (22, True)
    with running(GatewayProcess(place / "bob", nickname="bob")) as (bob,):
        done = bob.run("invite", "--code", check=False)
        assert (done.returncode, "overlay up --beacon URL" in done.stderr) == (22, True)
