"""`overlay up`, `down`, `status`, `reload`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.cli.running import overrides_of
from gateway.config import parse
from tests.lab.control import ME

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Overlay


def test_flags_that_were_given_become_settings() -> None:
    assert overrides_of({"proxy_port": None, "bind": (), "no_proxy": False}) == {}
    given = overrides_of(
        {"proxy_port": 0, "bind": ("127.0.0.1",), "address": ("1.2.3.4:5",), "no_dns": True, "nickname": "me"}
    )
    config = parse(b"", source="f", overrides=given)
    assert (config.proxy.port, config.tunnels.bind, config.dns.enabled) == (0, ("127.0.0.1",), False)
    assert (str(config.tunnels.addresses[0]), config.gateway.nickname) == ("1.2.3.4:5", "me")
    beacons = ("https://eu1.example", f"https://192.0.2.1:7443#{ME}")
    config = parse(b"", source="f", overrides=overrides_of({"beacon": beacons}))
    assert tuple(map(str, config.beacons.urls)) == beacons


async def test_status_is_for_people_and_for_programs(overlay: Overlay) -> None:
    await overlay("expose", "web", "8000")
    done = await overlay("status")
    for told in (
        ME,
        "Services",
        "Tunnels",
        "direct 192.0.2.1:7777",
        "1.5 ms",
        "8080/tcp for 80",
        "dashboard  http://127.0.0.1:7399/  (overlay dash lets a browser in)",
        "tunnels    off",
    ):
        assert told in done.out
    assert done.err == "warning: port 80 needs a privilege\n"
    assert (await overlay("status", "--json")).json["endpoint_id"] == ME


async def test_reload_tells_what_is_applied_and_what_waits(overlay: Overlay) -> None:
    done = await overlay("reload")
    assert done.out == "Applied: dns.ttl.\n"
    assert done.err == "warning: proxy.port: changed, and in force after the next start\n"
    assert (await overlay("reload", "--json")).json == {"applied": ["dns.ttl"], "restart": ["proxy.port"]}
    overlay.gateway.configuration_is_wrong = True
    done = await overlay("reload")
    assert (done.code, done.err.count("\n")) == (3, 1)


async def test_down_waits_until_the_gateway_has_ended(overlay: Overlay) -> None:
    lock = await asyncio.to_thread(overlay.home.lock)
    stopping = asyncio.get_running_loop().create_task(overlay("down"))
    await overlay.gateway.asked_down.wait()
    assert not stopping.done()
    lock.release()
    done = await stopping
    assert (done.code, done.out) == (0, "Stopped.\n")


async def test_the_status_tells_of_beacons_and_of_how_tunnels_go(overlay: Overlay) -> None:
    out = (await overlay("status")).out
    rows = [line.split() for line in out.splitlines()]
    assert ["alice", "direct", "192.0.2.1:7777", "1", "min", "5", "s", "ago", "1.5", "ms", "0"] in [
        row[:11] for row in rows
    ]
    (home,) = [line for line in out.splitlines() if line.startswith("https://eu1.example")]
    assert "connected, home" in home
    assert "1 h 1 min" in home
    assert "198.51.100.7:50000" in home
    assert home.endswith("1.5 MB left; 2.0 GB from vouchers")
    (other,) = [line for line in out.splitlines() if line.startswith("https://us1.example")]
    assert other.endswith("no answer in time")


async def test_the_status_tells_of_the_relay_that_is_lent(overlay: Overlay) -> None:
    out = (await overlay("status")).out
    rows = [line.split() for line in out.partition("Lent relay")[2].splitlines()]
    assert ["url", "https://203.0.113.9:7443#me"] in rows
    assert ["for", "contacts"] in rows
    assert ["connected", "3", "of", "64:", "alice,", "bob,", "…"] in rows
    assert ["relayed", "1.5", "MB"] in rows
