"""Our network is measured before anybody needs it, and again when what is known of it leads nowhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any

import pytest

from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.description import NetworkClass
from tunnels.errors import Unreachable
from tunnels.nat.behavior import Behavior, Filtering, Mapping
from tunnels.nat.report import FamilyReport, NetworkReport
from tunnels.own_network import OwnNetwork

SERVER = Address.parse("192.0.2.1:3478")
IP = IPv4Address("203.0.113.7")
CONE = Behavior(
    mapping=Mapping.ENDPOINT_INDEPENDENT,
    filtering=Filtering.ADDRESS_AND_PORT_DEPENDENT,
    external_ips=(IP,),
)


def report_of(behavior: Behavior) -> NetworkReport:
    family = FamilyReport(
        has_address=True,
        asked=(SERVER,),
        answered=(SERVER,),
        behavior=behavior,
        own_addresses=(Address(IP, 3000),),
    )
    return NetworkReport(ipv4=family, ipv6=FamilyReport(has_address=False), measured_at=0.0, seconds=0.5)


class Host:
    """What an OwnNetwork works with."""

    def __init__(self) -> None:
        self.report: NetworkReport | None = report_of(CONE)
        self.measured = self.changes = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.gatherer = SimpleNamespace(servers=(SERVER,))
        transport: Any = SimpleNamespace(
            gatherer=self.gatherer,
            network_check=SimpleNamespace(report=self._measure),
            mapping=lambda _: None,
            home_id="a beacon",
        )
        self.network = OwnNetwork(transport, label_key=bytes(32), spawn=self._spawn, on_change=self._changed)

    async def _measure(self, _: float) -> NetworkReport:
        self.measured += 1
        await asyncio.sleep(0)
        if self.report is None:
            raise Unreachable("nobody answers")
        return self.report

    def _spawn(self, coroutine: Any, _: str) -> asyncio.Task[None]:
        self.tasks.append(asyncio.get_running_loop().create_task(coroutine))
        return self.tasks[-1]

    def _changed(self) -> None:
        self.changes += 1

    async def settle(self) -> None:
        while tasks := [task for task in self.tasks if not task.done()]:
            await asyncio.wait(tasks)


@pytest.fixture
async def host():
    made = Host()
    yield made
    made.network.close()


async def test_before_it_is_measured_it_is_unknown(host):
    assert host.network.describe().network_class is NetworkClass.UNKNOWN
    host.network.measure_soon()
    await host.settle()
    described = host.network.describe(bytes(16))
    assert described.network_class is NetworkClass.PORT_RESTRICTED
    assert (described.challenge, described.attester) == (bytes(16), SERVER)
    assert host.changes == 1


async def test_without_a_server_nobody_is_asked(host):
    host.gatherer.servers = ()
    host.network.measure_soon()
    assert not host.tasks
    assert host.network.describe().attester is None


async def test_while_it_is_measured_it_is_measured_once_more_however_often_that_is_asked_for(host):
    for _ in range(5):
        host.network.measure_soon()
    await host.settle()
    assert host.measured == 2


async def test_a_network_is_known_again_by_its_label_and_another_is_not(host):
    host.network.measure_soon()
    await host.settle()
    here = host.network.describe().network
    host.report = report_of(replace(CONE, external_ips=(IP + 1,)))
    host.network.changed()
    assert host.network.describe().network == b""
    await host.settle()
    away = host.network.describe().network
    host.report = report_of(CONE)
    host.network.changed()
    await host.settle()
    assert host.network.describe().network == here != away


async def test_where_nobody_answers_nothing_is_known(host):
    host.network.measure_soon()
    await host.settle()
    host.report = None
    host.network.measure_soon()
    await host.settle()
    assert host.network.describe().network_class is NetworkClass.UNKNOWN


async def test_a_router_without_room_is_remembered_while_we_are_there(host):
    host.network.cramped()
    assert host.network.describe().is_small
    assert host.changes == 1
    host.network.changed()
    assert not host.network.describe().is_small


async def test_a_network_whose_router_had_no_room_is_known_again_and_so_are_some_others(host):
    for number in range(limits.SMALL_NETWORKS + 1):
        host.report = report_of(replace(CONE, external_ips=(IP + number,)))
        host.network.changed()
        await host.settle()
        assert not host.network.describe().is_small
        host.network.cramped()
    found = []
    for number in range(limits.SMALL_NETWORKS + 1):
        host.report = report_of(replace(CONE, external_ips=(IP + number,)))
        host.network.changed()
        await host.settle()
        found.append(host.network.describe().is_small)
    assert found == [False] + [True] * limits.SMALL_NETWORKS, "the one that was seen longest ago is forgotten"


async def test_a_peer_that_sees_us_elsewhere_is_believed_once_in_each_network(host):
    elsewhere = [Address(IP, 4000)]
    assert not host.network.is_seen_elsewhere(elsewhere)  # nothing was measured
    host.network.measure_soon()
    await host.settle()
    assert not host.network.is_seen_elsewhere([Address(IP, 3000)])
    assert host.network.is_seen_elsewhere(elsewhere)
    assert not host.network.is_seen_elsewhere(elsewhere)
    host.network.changed()
    await host.settle()
    assert host.network.is_seen_elsewhere(elsewhere)


async def test_a_doubted_network_is_measured_once_however_many_doubt_it(host):
    for _ in range(5):
        host.network.doubt(1e9)  # what is known is old
    await asyncio.sleep(0.01)
    await host.settle()
    assert host.measured == 1


async def test_a_doubted_network_is_not_measured_before_there_is_room_for_that(host):
    host.network.doubt(1e9, rest=0.05)
    await asyncio.sleep(0.01)
    assert host.measured == 0
    await asyncio.sleep(0.06)
    await host.settle()
    assert host.measured == 1


async def test_closed_it_measures_no_more(host):
    host.network.close()
    host.network.measure_soon()
    host.network.doubt(1e9)
    assert not host.tasks
