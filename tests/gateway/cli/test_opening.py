"""The address of a page is one that works on this machine as it is."""

from __future__ import annotations

import pytest

from gateway.cli import opening
from gateway.cli.opening import urls_of
from gateway.control.names import ResolveReport, ResolveRequest
from gateway.control.services import OfferReport
from gateway.control.status import ListenerReport, StatusReport
from tests.lab.control import FakeGateway
from tests.lab.control_zones import ALICE

WEB = OfferReport(service="web", protocol="tcp", port=80, offered=8080)
FOUND = ResolveReport(name="web.alice.overlay", endpoint_id=ALICE, ip="127.80.3.1", offers=(WEB,))


@pytest.fixture
def looked_up(monkeypatch):
    """What the system's resolver says."""
    known: set[str] = set()
    monkeypatch.setattr(opening, "_looked_up", lambda host: known)
    return known


@pytest.fixture
async def status():
    return await FakeGateway().status()


async def test_the_name_itself_where_the_system_knows_it(looked_up, status):
    looked_up.add("127.80.3.1")
    assert urls_of("web.alice.overlay", FOUND, WEB, status)[0] == "http://web.alice.overlay:8080/"


async def test_a_name_that_somebody_else_answers_for_is_not_opened(looked_up, status):
    looked_up.add("198.51.100.1")
    assert "http://web.alice.overlay:8080/" not in urls_of("web.alice.overlay", FOUND, WEB, status)


async def test_the_loopback_address_where_there_is_nothing_else(looked_up, status):
    assert urls_of("web.alice.overlay", FOUND, WEB, status)[-1] == "http://127.80.3.1:8080/"


async def test_the_front_door_comes_before_it(looked_up):
    door = ListenerReport(name="front door", addresses=("127.0.0.1:7380",))
    status = StatusReport(
        version="1", endpoint_id=ALICE, nickname="me", pid=1, home="/", uptime=1.0, quic_engine="qh3",
        listeners=(door,), addresses=(), relays=(), services=(), contacts=(), tunnels=(),
    )  # fmt: skip
    assert urls_of("web.alice.overlay", FOUND, WEB, status) == (
        "http://web.alice.localhost:7380/",
        "http://127.80.3.1:8080/",
    )


async def test_the_command_prints_the_address_and_opens_it_unless_told_not_to(
    overlay, monkeypatch, looked_up
):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)

    async def resolve(request: ResolveRequest) -> ResolveReport:
        assert request.name == "web.alice.overlay"
        return FOUND

    monkeypatch.setattr(overlay.gateway, "resolve", resolve)
    printed = await overlay("open", "alice", "web", "--print")
    assert (printed.code, printed.out) == (0, "http://127.80.3.1:8080/\n")
    assert opened == []
    assert (await overlay("open", "alice", "web", "--json")).json["name"] == "web.alice.overlay"
    assert (await overlay("open", "web.alice")).code == 0
    assert opened == ["http://127.80.3.1:8080/"]
