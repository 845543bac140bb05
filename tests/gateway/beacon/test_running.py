"""Which parts a configuration asks for."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from gateway.beacon.running import open_stores, stun_ips, tls_of, turn_of
from gateway.beacon.settings import BeaconConfig, BeaconSettings, TlsSettings, TurnSettings
from gateway.home import Home
from tests.lab.resolver_keys import key, packet
from tunnels.addresses import Address

LOCAL, OPEN = BeaconSettings(bind=("127.0.0.1",)), BeaconSettings()


@pytest.mark.parametrize(
    ("beacon", "mode", "has"),
    [
        (LOCAL, "auto", False),
        (LOCAL, "self-signed", True),
        (OPEN, "auto", True),
        (OPEN, "off", False),
    ],
)
def test_tls_is_on_wherever_others_can_listen(beacon: BeaconSettings, mode: str, has: bool) -> None:
    config = BeaconConfig(beacon=beacon, tls=TlsSettings(mode=mode))
    assert (tls_of(config, key(1)) is not None) is has


def test_stun_is_answered_where_the_beacon_is_reached() -> None:
    reachable = [ip_address(ip) for ip in ("192.0.2.1", "2001:db8::1", "10.0.0.1", "172.17.0.1")]
    assert stun_ips(("0.0.0.0", "::"), reachable) == ("192.0.2.1", "10.0.0.1", "2001:db8::1")
    assert stun_ips(("127.0.0.1",), reachable) == ("127.0.0.1",)
    assert stun_ips(("::",), []) == ()


def test_an_endpoint_gets_credentials_for_the_same_one_of_several_turn_servers() -> None:
    assert turn_of(TurnSettings()) is None
    servers = (Address.parse("192.0.2.1:3478"), Address.parse("192.0.2.2:3478"))
    give = turn_of(TurnSettings(servers=servers, secret="s"))
    assert give is not None
    given = [give(key(n).endpoint_id) for n in range(1, 30)]
    assert {credentials.address for credentials in given} == {"192.0.2.1:3478", "192.0.2.2:3478"}
    assert give(key(1).endpoint_id).address == given[0].address


async def test_a_node_alone_keeps_its_records_in_a_file(tmp_path) -> None:
    home = Home(tmp_path / "home")
    await asyncio.to_thread(home.create)
    for kept in (False, True):
        stores = await open_stores(home, BeaconConfig())
        assert (await stores.records.get(packet(1).endpoint_id) is not None) is kept
        await stores.records.put(packet(1))
        await stores.close()
    assert (stores.presence, stores.bus) == (None, None)
