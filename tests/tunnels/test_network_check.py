"""When the network is measured, and how long a measurement is believed."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Network
from typing import TYPE_CHECKING

import pytest

from tests.lab.nats import INSIDE, IPS, OUTSIDE, SITES, Ports, VirtualNat, VirtualWorld
from tunnels import limits
from tunnels.addresses import Address
from tunnels.errors import Unreachable
from tunnels.mapped_port import MappingStatus
from tunnels.nat import limits as nat_limits
from tunnels.nat.behavior import Mapping
from tunnels.nat.dialback import Verdict
from tunnels.nat.levels import Levels
from tunnels.nat.lifetime import Lifetime
from tunnels.nat.nat64 import Nat64
from tunnels.nat.trace import Trace
from tunnels.nat.waiting import LifetimeProbe
from tunnels.network_check import NetworkCheck

if TYPE_CHECKING:
    from tunnels.nat.probes import Burst


class Gathered:
    """What a gatherer tells; how often it was asked to look again."""

    def __init__(self) -> None:
        self.servers: tuple[Address, ...] = SITES
        self.local_ips = frozenset({INSIDE})
        self.refreshed = 0
        self.has = {4}

    def refresh(self) -> None:
        self.refreshed += 1

    def sightings(self) -> dict[Address, Address]:
        return {server: Address.parse("203.0.113.9:41641") for server in self.servers}

    def has_address(self, version: int) -> bool:
        return version in self.has


class Checked:
    """A check behind a NAT in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, every: float = 0.0) -> None:
        monkeypatch.setattr(limits, "NETCHECK_EVERY", every)
        self.gathered = Gathered()
        self.nat = VirtualNat(Mapping.ADDRESS_AND_PORT_DEPENDENT, ports=Ports.RANDOM)
        self.runs = 0
        self.waited = 0
        self.nat64: Nat64 | None = None
        self.through: list[Nat64] = []
        self.way: list[IPv4Address] = []
        self.mapping: MappingStatus | None = None
        self.check = NetworkCheck(
            self.gathered,
            run=self.run,
            mapping=lambda version: self.mapping if version == 4 else None,
            nat64=lambda: self.nat64,
        )  # type: ignore[arg-type]

    async def run(self, burst: Burst | Trace | LifetimeProbe, nat64: Nat64 | None = None) -> None:
        if nat64 is not None:
            assert burst.servers[0].ip.version == 4
            self.through.append(nat64)
        if isinstance(burst, LifetimeProbe):
            self.waited += bool(burst.servers)
            return
        if isinstance(burst, Trace):
            burst.start(0.0)
            for socket, hop in enumerate(self.way):
                burst.hop_told(socket, hop, 0.0)
        elif burst.servers:
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


async def test_it_tells_how_many_flows_our_router_had_to_remember_for_it(checked):
    assert checked.check.flows == 0
    report = await checked.check.report()
    assert checked.check.flows_at == report.measured_at
    assert checked.check.flows == 14 + nat_limits.TRACE_WAVE - 1


async def test_the_routers_on_the_way_tell_how_many_nats_there_are(checked):
    assert (await checked.check.report()).ipv4.behavior.levels == Levels(1)
    checked.way = [IPv4Address("192.168.1.1"), IPv4Address("100.64.0.1"), IPv4Address("62.1.1.1")]
    report = await checked.check.report(max_age=0.0)
    assert report.ipv4.behavior.levels == Levels(2, 2, 2)
    assert report.ipv6.behavior.levels == Levels()


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

    async def changing(burst: Burst | Trace, nat64: Nat64 | None) -> None:
        await run(burst, nat64)
        if isinstance(burst, Trace) and changes.pop(0):
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


async def test_how_long_mappings_live_is_measured_for_those_who_ask_and_once_in_each_network(checked):
    await checked.check.report()
    assert checked.waited == 0
    report = await checked.check.report_with_lifetime()
    assert await checked.check.report_with_lifetime() == report
    assert checked.waited == 1
    assert (await checked.check.report()).ipv4.behavior.lifetime == Lifetime()
    checked.check.network_changed()
    await checked.check.report_with_lifetime()
    assert checked.waited == 2


async def test_a_lifetime_that_was_measured_stays_in_later_reports(checked):
    await checked.check.report_with_lifetime()
    checked.check._lifetimes[4] = Lifetime(25, 55)
    assert (await checked.check.report(max_age=0.0)).ipv4.behavior.lifetime == Lifetime(25, 55)
    checked.check.network_changed()
    assert (await checked.check.report(max_age=0.0)).ipv4.behavior.lifetime == Lifetime()


async def test_what_the_router_says_is_of_the_moment_and_shows_another_nat(checked):
    assert (await checked.check.report()).router is None
    outside = IPv4Address("192.168.178.20")
    checked.mapping = MappingStatus(None, "", Verdict.UNKNOWN, "192.168.1.1", "no", (), outside)
    report = await checked.check.report()
    assert report.router is not None
    assert report.router.outside == outside
    assert report.ipv4.behavior.levels == Levels(2)
    checked.mapping = MappingStatus(None, "", Verdict.UNKNOWN, "192.168.1.1", "no", (), OUTSIDE)
    assert (await checked.check.report()).ipv4.behavior.levels == Levels(1, 1, 1)
    assert checked.runs == 1


async def test_without_ipv4_it_is_measured_through_the_nat64(checked):
    checked.gathered.has = {6}
    assert not (await checked.check.report()).ipv4.asked
    checked.nat64 = Nat64(IPv6Network("64:ff9b::/96"))
    report = await checked.check.report(max_age=0.0)
    assert not report.ipv4.has_address
    assert report.ipv4.nat64 == checked.nat64.prefix
    assert report.ipv4.answered == SITES
    assert checked.through == [checked.nat64] * 2, "for what is seen, and for the way"
