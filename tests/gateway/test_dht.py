"""The DHT of a gateway: whether there is one, what is told of it, and what is there at the next start."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.config.settings import DhtSettings
from gateway.dht import Dht
from gateway.errors import ConfigurationError
from gateway.home import Home
from gateway.limits import DHT_STATE_BYTES
from gateway.supervision import Supervisor
from tests.lab.dht import NpmNodes, eventually, npm_packages
from tests.lab.resolver_keys import packet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class World:
    """A home, and what runs in it."""

    def __init__(self, home: Home, supervisor: Supervisor) -> None:
        self.home = home
        self.supervisor = supervisor

    def dht(self, *, is_hidden: bool = False, **settings: object) -> Dht:
        return Dht(
            DhtSettings(private=True, **{"bootstrap": ("127.0.0.1:1",)} | settings),  # type: ignore[arg-type]
            ["127.0.0.1"],
            self.home,
            spawn=lambda coroutine, name: self.supervisor.spawn(coroutine, name=name),
            on_news=lambda _: None,
            is_hidden=is_hidden,
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    home = Home(tmp_path)
    await asyncio.to_thread(home.create)
    supervisor = Supervisor()
    yield World(home, supervisor)
    await supervisor.close()


@pytest.mark.parametrize(("enabled", "is_hidden"), [("off", False), ("auto", True)])
async def test_it_is_not_started_where_it_is_off_or_nobody_may_learn_our_addresses(
    world: World, enabled: str, is_hidden: bool
) -> None:
    dht = world.dht(enabled=enabled, is_hidden=is_hidden)
    await dht.start()
    assert dht.sources == ()
    assert (dht.report().enabled, dht.report().problem) == (False, "")
    await dht.close()


async def test_without_libtorrent_everything_else_works_and_one_line_says_how_to_get_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "libtorrent", None)
    dht = world.dht()
    await dht.start()
    assert dht.sources == ()
    problem = dht.report().problem
    assert problem.endswith("pip install 'overlay-gateway[dht]'")
    assert "\n" not in problem
    await dht.close()
    with pytest.raises(ConfigurationError, match=r"overlay-gateway\[dht\]"):
        await world.dht(enabled="on").start()


@pytest.mark.needs("node", "npm")
async def test_what_is_published_is_told_and_the_nodes_are_known_at_the_next_start(world: World) -> None:
    await asyncio.to_thread(npm_packages)
    async with NpmNodes(8) as npm:
        dht = world.dht(bootstrap=tuple(f"127.0.0.1:{port}" for port in npm.ports[:2]))
        await dht.start()
        await eventually(lambda: dht.report().nodes >= 4)
        assert dht.report().stored is None
        assert dht.source is not None
        await dht.source.publish(packet())
        report = dht.report()
        assert report.stored == 8
        assert report.published_ago is not None
        assert report.problem == ""
        await dht.close()

        again = world.dht()
        await again.start()
        await eventually(lambda: again.report().nodes >= 4)
        await again.close()


async def test_why_it_was_not_published_is_told(world: World) -> None:
    dht = world.dht()
    await dht.start()
    assert dht.source is not None
    with pytest.raises(Exception, match="no node of the DHT answers"):
        await dht.source.publish(packet())
    assert dht.report().stored == 0
    assert "no node of the DHT answers" in dht.report().problem
    await dht.close()


async def test_a_damaged_or_endless_file_of_nodes_is_forgotten_and_written_anew(world: World) -> None:
    file = world.home.dht_nodes_file
    for content in (b"damaged", bytes(2 * DHT_STATE_BYTES)):
        await asyncio.to_thread(file.write_bytes, content)
        dht = world.dht()
        await dht.start()
        assert dht.sources != ()
        await dht.close()
        assert len(await asyncio.to_thread(file.read_bytes)) < DHT_STATE_BYTES


async def test_a_home_that_cannot_be_written_costs_the_nodes_and_a_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(world.home.dht_nodes_file.mkdir)
    dht = world.dht()
    await dht.start()
    assert "nodes are asked for again" in caplog.text
    caplog.clear()
    await dht.close()
    assert "nodes are asked for again after a restart" in caplog.text
