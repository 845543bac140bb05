"""When the network is measured, and how long a measurement is believed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.lab.nats import INSIDE, IPS, SITES, Ports, VirtualNat, VirtualWorld
from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import Unreachable
from tunnels.nat.behavior import Mapping
from tunnels.network_check import NetworkCheck

if TYPE_CHECKING:
    from tunnels.nat.probes import Burst


class Gathered:
    """What a gatherer tells; how often it was asked to look again."""

    def __init__(self) -> None:
        self.servers: tuple[Address, ...] = SITES
        self.local_ips = frozenset({INSIDE})
        self.refreshed = 0

    def refresh(self) -> None:
        self.refreshed += 1

    def sightings(self) -> dict[Address, Address]:
        return {server: Address.parse("203.0.113.9:41641") for server in self.servers}

    def has_address(self, version: int) -> bool:
        return version == 4


class Checked:
    """A check behind a NAT in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, every: float = 0.0) -> None:
        monkeypatch.setattr(limits, "NETCHECK_EVERY", every)
        self.gathered = Gathered()
        self.nat = VirtualNat(Mapping.ADDRESS_AND_PORT_DEPENDENT, ports=Ports.RANDOM)
        self.runs = 0
        self.check = NetworkCheck(self.gathered, run=self.run)  # type: ignore[arg-type]

    async def run(self, burst: Burst) -> None:
        if burst.servers:
            self.runs += 1
            world = VirtualWorld(self.nat)
            world.add_reflector(*IPS)
            world.run(burst)
        await asyncio.sleep(0)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    return Checked(monkeypatch)


async def test_both_kinds_of_sockets_are_told_of(checked):
    report = await checked.check.report()
    assert report.ipv4.behavior.mapping is Mapping.ADDRESS_AND_PORT_DEPENDENT
    assert report.ipv4.own_mapping is Mapping.ENDPOINT_INDEPENDENT
    assert report.ipv4.own_addresses == (Address.parse("203.0.113.9:41641"),)
    assert report.ipv4.answered == SITES
    assert not report.ipv6.asked
    assert checked.gathered.refreshed == 1


async def test_a_report_is_kept_until_it_is_too_old_for_whoever_asks(checked):
    first = await checked.check.report()
    assert await checked.check.report() is first
    assert await checked.check.report(max_age=0.0) is not first
    assert checked.runs == 2


async def test_another_network_or_other_servers_are_measured_anew(checked):
    first = await checked.check.report()
    checked.check.network_changed()
    second = await checked.check.report()
    assert second is not first
    checked.gathered.servers = SITES[:2]
    assert await checked.check.report() is not second


async def test_many_who_ask_at_once_get_one_measurement(checked):
    reports = await asyncio.gather(*(checked.check.report() for _ in range(50)))
    assert len({id(report) for report in reports}) == 1
    assert checked.runs == 1


async def test_no_more_is_measured_than_allowed_whatever_is_asked(monkeypatch):
    checked = Checked(monkeypatch, every=1000.0)
    first = await checked.check.report()
    assert await checked.check.report(max_age=0.0) is first
    checked.check.network_changed()
    with pytest.raises(TimeoutError):  # it waits until that much time has passed
        async with asyncio.timeout(0.05):
            await checked.check.report()
    assert checked.runs == 1


async def test_a_network_that_changes_meanwhile_is_measured_once_more(checked):
    run, changes = checked.run, [True, False]

    async def changing(burst: Burst) -> None:
        await run(burst)
        if burst.servers and changes.pop(0):
            checked.check.network_changed()

    checked.check._run = changing
    await checked.check.report()
    assert checked.runs == 2
    changes += [True, True]
    checked.check.network_changed()
    with pytest.raises(Unreachable, match="changed while it was measured"):
        await checked.check.report()


async def test_without_servers_there_is_nobody_to_ask(checked):
    checked.gathered.servers = ()
    with pytest.raises(Unreachable, match="no STUN server"):
        await checked.check.report()


async def test_who_gives_up_waiting_leaves_the_others_theirs(checked):
    async with asyncio.TaskGroup() as group:
        impatient = group.create_task(checked.check.report())
        await asyncio.sleep(0)
        impatient.cancel()
    assert (await checked.check.report()).ipv4.answered == SITES
