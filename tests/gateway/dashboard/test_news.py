"""What open pages are told without asking."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.config import ServiceSettings
from gateway.control.services import ExposeRequest
from gateway.dashboard import news as news_module
from gateway.dashboard.limits import DASHBOARD_HISTORY, DASHBOARD_HISTORY_BYTES, DASHBOARD_VIEWERS
from gateway.dashboard.news import News, Viewer
from gateway.errors import GatewayError, UsageError
from gateway.supervision import Supervisor
from tests.lab.control import FakeGateway


@pytest.fixture
async def supervisor():
    it = Supervisor()
    yield it
    await it.close()


@pytest.fixture
def gateway():
    return FakeGateway()


@pytest.fixture
def news(supervisor, gateway):
    return News(gateway, lambda coroutine, name: supervisor.spawn(coroutine, name=name))


def events(data: bytes) -> list[tuple[str, object]]:
    found = []
    for each in data.decode().split("\n\n")[:-1]:
        kind, text = each.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(text.removeprefix("data: "))))
    return found


async def told(viewer: Viewer, *kinds: str) -> dict[str, object]:
    """The first event of each of these kinds that comes."""
    found: dict[str, object] = {}
    async with asyncio.timeout(10):
        while not set(kinds) <= found.keys():
            for kind, value in events(await viewer.next(5)):
                found.setdefault(kind, value)
    return found


async def test_a_page_is_told_what_moves_and_what_it_looks_at(news):
    found = await told(news.join(frozenset({"contacts", "status"})), "live", "contacts", "status")
    assert [one["petname"] for one in found["contacts"]] == ["alice"]
    assert found["status"]["contacts"] == found["status"]["tunnels"] == []  # what has a report of its own


async def test_a_report_is_told_again_only_if_it_is_another(news, gateway, monkeypatch):
    monkeypatch.setattr(news_module, "_REPORT_SECONDS", 0.01)
    monkeypatch.setattr(news_module, "_LIVE_SECONDS", 0.02)
    viewer = news.join(frozenset({"services"}))
    await told(viewer, "services")
    again = [kind for _ in range(5) for kind, _ in events(await viewer.next(5))]
    assert set(again) == {"live"}
    await gateway.expose(ExposeRequest(name="web", settings=ServiceSettings(target="1")))
    assert len((await told(viewer, "services"))["services"]) == 1


async def test_what_was_changed_by_a_page_is_told_at_once(news, gateway, monkeypatch):
    monkeypatch.setattr(news_module, "_REPORT_SECONDS", 1000)
    viewer = news.join(frozenset({"services"}))
    await told(viewer, "services")
    await gateway.expose(ExposeRequest(name="web", settings=ServiceSettings(target="1")))
    news.hurry()
    assert len((await told(viewer, "services"))["services"]) == 1


async def test_a_report_that_cannot_be_made_is_told_as_such_and_others_go_on(news, gateway, monkeypatch):
    async def broken() -> object:
        raise GatewayError("the disk is full")

    monkeypatch.setattr(gateway, "zone", broken)
    news = News(gateway, news._spawn)
    found = await told(news.join(frozenset({"zone", "contacts"})), "zone-failed", "contacts")
    assert found["zone-failed"]["error"] == "the disk is full"


async def test_a_page_that_opens_later_is_told_what_moved_before(news, monkeypatch):
    monkeypatch.setattr(news_module, "_LIVE_SECONDS", 0.02)
    first = news.join(frozenset())
    for _ in range(5):
        await told(first, "live")
    moments = [
        value["moment"] for kind, value in events(await news.join(frozenset()).next(5)) if kind == "live"
    ]
    assert len(moments) >= 5
    assert moments == sorted(moments)


async def test_what_moved_before_is_bounded(news, monkeypatch):
    for at in range(DASHBOARD_HISTORY * 2):
        news._moved(float(at) / 1000, b"x")
    assert len(news._earlier) == DASHBOARD_HISTORY
    for _ in range(4):
        news._moved(1.0, b"x" * (DASHBOARD_HISTORY_BYTES // 3))
    assert sum(len(event) for _, event in news._earlier) <= DASHBOARD_HISTORY_BYTES
    news._moved(10_000.0, b"y")
    assert [event for _, event in news._earlier] == [b"y"]


async def test_for_a_page_that_takes_nothing_the_newest_of_each_kind_waits():
    viewer = Viewer(frozenset())
    for number in range(1000):
        viewer.offer("live", b"%d" % number)
        viewer.offer("status", b"s%d" % number)
    assert await viewer.next(1) == b"999s999"
    assert await viewer.next(0.01) == b""


async def test_there_may_be_so_many_pages_and_no_more(news):
    viewers = [news.join(frozenset()) for _ in range(DASHBOARD_VIEWERS)]
    with pytest.raises(UsageError, match="close one"):
        news.join(frozenset())
    news.leave(viewers[0])
    news.join(frozenset())


async def test_a_report_of_no_such_name_is_refused(news):
    with pytest.raises(UsageError, match="no report called passwords"):
        news.join(frozenset({"passwords"}))


async def test_nothing_is_made_for_nobody(news, gateway, supervisor):
    viewer = news.join(frozenset({"contacts"}))
    await told(viewer, "live")
    news.leave(viewer)
    news.leave(viewer)
    await asyncio.sleep(0.01)
    assert len(supervisor) == 0
    assert not news._last


async def test_closing_ends_every_page(news, supervisor):
    viewer = news.join(frozenset())
    await told(viewer, "live")
    news.close()
    assert await viewer.next(5) == b""
    assert viewer.is_over
    await asyncio.sleep(0.01)
    assert len(supervisor) == 0
    assert not news._earlier
