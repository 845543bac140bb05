"""The routing table that libtorrent keeps, among nodes of another implementation."""

from __future__ import annotations

import sys

import pytest

from resolver.discovery.dht_table import DhtTable, TableSettings
from resolver.errors import DhtMissing
from tests.lab.dht import NpmNodes, eventually, npm_packages


def settings(*ports: int, **options: object) -> TableSettings:
    bootstrap = [f"127.0.0.1:{port}" for port in ports]
    return TableSettings(hosts=["127.0.0.1"], bootstrap=bootstrap, private=True, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def packages() -> None:
    npm_packages()


@pytest.mark.needs("node", "npm")
@pytest.mark.usefixtures("packages")
async def test_the_table_fills_and_is_there_after_a_restart_when_the_bootstrap_nodes_are_gone() -> None:
    async with NpmNodes(10) as npm:
        table = DhtTable(settings(*npm.ports[:2]))
        await table.open()
        await eventually(lambda: len(table.nodes) >= 6)
        assert {node.address.port for node in table.nodes} <= set(npm.ports)
        assert all(node.id is not None and len(node.id) == 20 for node in table.nodes)
        state = await table.state()
        await table.close()
        assert len(state) < 16_384

        again = DhtTable(settings(1), state)  # nobody is there
        await again.open()
        await eventually(lambda: len(again.nodes) >= 6)
        await again.close()


@pytest.mark.needs("node", "npm")
@pytest.mark.usefixtures("packages")
async def test_who_serves_answers_others_and_who_does_not_is_silent() -> None:
    async with NpmNodes(4) as npm:
        for serves in (True, False):
            table = DhtTable(settings(*npm.ports[:1], serves=serves))
            await table.open()
            await eventually(lambda: len(table.nodes) >= 1)  # noqa: B023 - used at once
            port = table._session.listen_port()
            other = DhtTable(settings(port))
            await other.open()
            if serves:
                await eventually(lambda: len(other.nodes) >= 1)  # noqa: B023 - used at once
            assert table._session.get_settings()["dht_read_only"] is not serves
            assert (len(other.nodes) > 0) is serves
            await other.close()
            await table.close()


async def test_a_damaged_state_is_forgotten() -> None:
    for state in (b"damaged", b"d9:dht statede", b"i1e", b"d9:dht stated5:nodesl3:abcee"):
        table = DhtTable(settings(), state)
        await table.open()
        assert table.nodes == ()
        await table.close()


async def test_it_does_no_torrents_and_tells_no_router() -> None:
    table = DhtTable(settings())
    await table.open()
    in_force = table._session.get_settings()
    for name in ("lsd", "upnp", "natpmp", "incoming_tcp", "outgoing_tcp", "incoming_utp", "outgoing_utp"):
        assert in_force[f"enable_{name}"] is False
    await table.close()


async def test_on_the_internet_it_keeps_what_protects_from_liars() -> None:
    """Nothing is sent: it knows nobody, and listens on loopback only."""
    table = DhtTable(TableSettings(hosts=["127.0.0.1"]))
    await table.open()
    in_force = table._session.get_settings()
    for name in (
        "restrict_routing_ips",
        "restrict_search_ips",
        "prefer_verified_node_ids",
        "ignore_dark_internet",
    ):
        assert in_force[f"dht_{name}"] is True
    await table.close()


async def test_without_libtorrent_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libtorrent", None)
    table = DhtTable(settings())
    with pytest.raises(DhtMissing, match=r"pip install 'overlay-gateway\[dht\]'"):
        await table.open()
    await table.close()


async def test_closing_before_opening_is_nothing() -> None:
    await DhtTable(settings()).close()
    assert await DhtTable(settings(), b"kept").state() == b"kept"
