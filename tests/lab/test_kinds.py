"""Each kind of network behaves as it is named: as our own measurement sees it, and as plain sockets do."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from gateway.beacon.reflector import StunServer
from tests.lab.internet import an_internet, an_internet_of_links
from tests.lab.kinds import GUARD, KINDS, MORE_KINDS, PORT_RESTRICTED, ROOM, SYMMETRIC_SEQUENTIAL
from tests.lab.sockets import SILENCE_SECONDS, tcp_connects, tcp_echo
from tests.lab.translation import Rules
from tunnels.addresses import Address
from tunnels.nat.behavior import AllocationKind, Behavior, Filtering, Mapping, behavior_of
from tunnels.nat.probes import Burst
from tunnels.transports.probe_sockets import measure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.internet import Internet
    from tests.lab.networks import Machine
    from tests.lab.sockets import Udp

pytestmark = pytest.mark.needs("root", "ip", "nft", "conntrack", "tun", "miniupnpd")

ALL = KINDS | MORE_KINDS
EIM, APDM = Mapping.ENDPOINT_INDEPENDENT, Mapping.ADDRESS_AND_PORT_DEPENDENT
EIF, ADF, APDF = (
    Filtering.ENDPOINT_INDEPENDENT,
    Filtering.ADDRESS_DEPENDENT,
    Filtering.ADDRESS_AND_PORT_DEPENDENT,
)
PRESERVING, DELTA, BLOCK, RANDOM = (
    AllocationKind.PRESERVING,
    AllocationKind.DELTA,
    AllocationKind.BLOCK,
    AllocationKind.RANDOM,
)


# As it is measured

BURSTS = 3
"""At most, for one kind."""


class Stun:
    """A beacon's STUN server of two ips on a machine, in a thread of its own."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._ips = [link.address for link in machine.links.values()]
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.addresses: list[Address] = []

    def _run(self) -> None:
        with self._machine.entered():
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = StunServer(self._ips, (3478, 3479), secret=bytes(32))
        server.start()
        self.addresses = [Address.parse(address) for address in server.addresses]
        self._over = asyncio.Event()
        self._ready.set()
        await self._over.wait()
        server.close()

    def __enter__(self) -> Stun:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    def behavior(self, machine: Machine) -> Behavior:
        """What a burst from there finds out; where answers came too late, as on a busy machine, another one."""
        for _ in range(BURSTS):
            burst = Burst(self.addresses, local_ips=[ip_address(machine.address)], chance=os.urandom)
            with machine.entered():
                asyncio.run(measure(burst))
            found = behavior_of(burst.evidence())
            if not burst.answered or found.filtering is not Filtering.UNKNOWN:
                break
        return found


@dataclass
class Town:
    """A machine of every kind, a server that they can measure with, and what they found."""

    server: Machine
    machines: dict[str, Machine]
    seconds: dict[str, float]
    """What it took to build each."""
    behaviors: dict[str, Behavior]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    place = tmp_path_factory.mktemp("kinds")
    with an_internet() as internet:
        town = Town(internet.server("beacon"), {}, {}, {})
        internet.plug(town.server, "eth1")
        for name, kind in ALL.items():
            began = time.monotonic()
            town.machines[name] = kind.build(internet, name, place)
            town.seconds[name] = time.monotonic() - began
        with Stun(town.server) as stun, ThreadPoolExecutor(4) as threads:
            found = threads.map(stun.behavior, town.machines.values())
            town.behaviors = dict(zip(town.machines, found, strict=True))
        yield town


@pytest.mark.parametrize(
    ("name", "mapping", "filtering", "allocation"),
    [
        ("full-cone", EIM, EIF, PRESERVING),
        ("address-restricted", EIM, ADF, PRESERVING),
        ("port-restricted", EIM, APDF, PRESERVING),
        ("symmetric-sequential", APDM, APDF, DELTA),
        ("symmetric-random", APDM, APDF, RANDOM),
        ("symmetric-block", APDM, APDF, BLOCK),
        ("cgnat", EIM, APDF, PRESERVING),
        ("kernel-masquerade", EIM, APDF, PRESERVING),
        ("kernel-fully-random", APDM, APDF, RANDOM),
        ("mapping", EIM, APDF, PRESERVING),
        ("ipv6-firewalled", EIM, APDF, PRESERVING),
        ("poisonable", EIM, APDF, PRESERVING),
        ("full-cone-guarded", EIM, EIF, PRESERVING),
        ("address-restricted-guarded", EIM, ADF, PRESERVING),
        ("port-restricted-guarded", EIM, APDF, PRESERVING),
        ("symmetric-sequential-guarded", APDM, APDF, DELTA),
        ("symmetric-random-guarded", APDM, APDF, RANDOM),
        ("symmetric-block-guarded", APDM, APDF, BLOCK),
        ("port-restricted-small", EIM, APDF, PRESERVING),
        ("port-restricted-small-evicting", EIM, APDF, PRESERVING),
        ("symmetric-random-small", APDM, APDF, RANDOM),
        ("symmetric-random-small-evicting", APDM, APDF, RANDOM),
        ("symmetric-sequential-small", APDM, APDF, DELTA),
        ("symmetric-sequential-small-evicting", APDM, APDF, DELTA),
        ("hairpinning", EIM, APDF, PRESERVING),
        ("symmetric-busy", APDM, APDF, DELTA),
    ],
)
def test_each_kind_is_measured_as_what_it_is_named(town, name, mapping, filtering, allocation):
    found = town.behaviors[name]
    assert (found.mapping, found.filtering, found.allocation.kind) == (mapping, filtering, allocation)
    assert found.translated is True
    assert found.hairpin is (name == "hairpinning" if mapping is EIM else None)
    assert found.inbound_first_poisons is (name == "poisonable" if mapping is EIM else None)


def test_every_kind_is_among_them():
    assert len(KINDS) == 13
    assert not set(KINDS) & set(MORE_KINDS)


def test_a_public_machine_is_not_translated_and_one_without_udp_learns_nothing(town):
    found = town.behaviors["open"]
    assert (found.translated, found.mapping, found.filtering) == (False, EIM, EIF)
    assert town.behaviors["udp-blocked"] == Behavior()


def test_the_block_and_the_step_are_found(town):
    assert town.behaviors["symmetric-block"].allocation.span == (20480, 21503)
    assert town.behaviors["symmetric-sequential"].allocation.delta == 1
    assert town.behaviors["symmetric-busy"].noise is not None


def test_each_home_is_built_quickly(town):
    assert max(town.seconds.values()) < 5  # 0.2 s on an idle machine


def test_every_kind_is_forgotten_but_goes_on(town, udp):
    pcs = {name: udp(machine) for name, machine in town.machines.items() if name != "udp-blocked"}
    server = udp(town.server)
    seen = {}
    for _ in range(2):
        for name, pc in pcs.items():
            (seen[name],) = seen_of(pc, server)
            server.send(b"welcome", seen[name])
            assert pc.hear() == (b"welcome", server.place), name
            pc.machine.network.forget()
    for place in seen.values():
        server.send(b"too late", place)
    assert pcs.pop("open").hear()[0] == b"too late"
    time.sleep(SILENCE_SECONDS)
    for name, pc in pcs.items():
        with pytest.raises(TimeoutError):
            pytest.fail(f"{name} remembers {pc.hear(0.001)}")


# As plain sockets see it


def build(internet: Internet, name: str, place: Path, called: str = "alice") -> Machine:
    return ALL[name].build(internet, called, place)


def seen_of(pc: Udp, *servers: Udp) -> list[tuple[str, int]]:
    """Where each server sees the socket."""
    for server in servers:
        pc.send(b"hello", server.place)
    return [server.hear()[1] for server in servers]


@pytest.mark.parametrize("name", ["symmetric-sequential", "symmetric-random", "symmetric-block"])
def test_symmetric_nats_change_the_port_with_the_port_too(internet, udp, tmp_path, name):
    pc, server = udp(build(internet, name, tmp_path)), internet.server("server")
    seen = seen_of(pc, udp(server, 7001), udp(server, 7002))
    assert seen[0] != seen[1]
    if name == "symmetric-sequential":
        assert seen[1][1] == seen[0][1] + 1


def test_two_random_nats_do_not_draw_the_same_ports(internet, udp, tmp_path):
    server = udp(internet.server("server"))
    homes = [udp(build(internet, "symmetric-random", tmp_path, name)) for name in ("alice", "bob")]
    ports = [seen_of(pc, server)[0][1] for pc in homes]
    assert ports[0] != ports[1]


def test_others_take_ports_of_a_busy_nat(internet, udp, tmp_path):
    first, second = (udp(internet.server(name)) for name in ("first", "second"))
    pc = udp(build(internet, "symmetric-busy", tmp_path))
    before = seen_of(pc, first)[0][1]
    time.sleep(0.2)
    assert seen_of(pc, second)[0][1] > before + 1


def test_a_flood_is_answered_with_a_block_which_spares_what_was_established(internet, udp, tmp_path):
    pc = udp(build(internet, "port-restricted-guarded", tmp_path))
    server, bystander = udp(internet.server("server")), udp(internet.server("bystander"))
    other = udp(server.machine, 7001)
    seen = seen_of(pc, server)[0]
    server.send(b"established", seen)
    assert pc.hear()[0] == b"established"
    for port in range(20000, 20000 + GUARD + 1):
        server.send(b"unasked", (seen[0], port))
    seen_of(pc, other, bystander)
    other.send(b"blocked", seen)
    assert pc.hears_nothing()
    server.send(b"established", seen)
    bystander.send(b"not the flooder", seen)
    assert {pc.hear()[0], pc.hear()[0]} == {b"established", b"not the flooder"}
    counters = pc.machine.network.counters()
    assert (counters.unsolicited, counters.blocked, counters.held_off) == (GUARD + 1, 1, 1)
    pc.machine.network.forget()
    seen_of(pc, other)
    other.send(b"forgiven", seen)
    assert pc.hear()[0] == b"forgiven"


@pytest.mark.parametrize("name", ["port-restricted-small", "port-restricted-small-evicting"])
def test_a_small_table_refuses_or_evicts(internet, udp, tmp_path, name):
    pc, server = udp(build(internet, name, tmp_path)), internet.server("server")
    first, last = udp(server, 7000), udp(server, 8000)
    seen = seen_of(pc, first)[0]
    for port in range(10000, 10000 + ROOM):
        pc.send(b"to nobody", (server.address, port))
    pc.send(b"one more", last.place)
    evicts = name.endswith("evicting")
    assert last.hears_nothing() is not evicts
    first.send(b"still there", seen)
    assert pc.hears_nothing() is evicts
    counters = pc.machine.network.counters()
    assert counters.most_flows == ROOM
    assert bool(counters.refused) is not evicts
    assert bool(counters.evicted) is evicts


def test_what_comes_first_moves_the_mapping_of_a_poisonable_home_for_its_sender(internet, udp, tmp_path):
    pc = udp(build(internet, "poisonable", tmp_path))
    early, other = udp(internet.server("early")), udp(internet.server("other"))
    assert seen_of(pc, other) == [pc.place]
    early.send(b"too early", pc.place)
    assert pc.hears_nothing()
    assert seen_of(pc, early) != [pc.place]
    assert seen_of(pc, other) == [pc.place]
    pc.machine.network.forget()
    assert seen_of(pc, early) == [pc.place]


def test_machines_of_a_hairpinning_home_reach_each_other_by_the_outside(internet, udp, tmp_path):
    server = udp(internet.server("server"))
    for name in ("hairpinning", "port-restricted", "kernel-masquerade"):
        machine = build(internet, name, tmp_path, name)
        one, other = udp(machine, 7000), udp(machine.network.host("other"), 7001)
        seen_of(one, server)
        seen_of(other, server)
        one.send(b"opens", other.place)
        other.send(b"comes in", one.place)
        if name == "hairpinning":
            assert one.hear() == (b"comes in", other.place)
        else:
            assert one.hears_nothing()


def test_behind_cgnat_there_are_two_nats_and_each_is_forgotten(internet, udp, tmp_path):
    pc, server = udp(build(internet, "cgnat", tmp_path)), udp(internet.server("server"))
    home = pc.machine.network
    provider = home.router.network
    assert home.router.address.startswith("100.64.")
    assert seen_of(pc, server)[0][0] == provider.public_address != home.router.address
    server.send(b"welcome", pc.place)
    assert pc.hear()[0] == b"welcome"
    home.forget()
    server.send(b"too late", pc.place)
    assert pc.hears_nothing()
    for router in (home.router, provider.router):
        assert str(server.machine.address) not in router.run("conntrack", "-L", "-p", "udp").stdout


def test_where_udp_is_blocked_tcp_is_not(internet, udp, tmp_path):
    pc, server = udp(build(internet, "udp-blocked", tmp_path)), udp(internet.server("server"))
    pc.send(b"hello", server.place)
    assert server.hears_nothing()
    with tcp_echo(server.machine, 443):
        assert tcp_connects(pc.machine, (server.machine.address, 443))


def test_a_mapping_router_answers_pcp(internet, tmp_path):
    machine = build(internet, "mapping", tmp_path)
    with machine.socket() as sock:
        sock.sendto(b"\2\0" + bytes(22), ("192.168.1.1", 5351))  # ANNOUNCE
        assert sock.recv(100)[:4] == b"\2\x80\0\0"


# IPv6


def test_the_ipv6_firewall_lets_in_what_was_asked_for(udp, tmp_path):
    with an_internet(delay=0.01) as internet:
        alice, bob = (
            udp(build(internet, "ipv6-firewalled", tmp_path, name), version=6) for name in ("alice", "bob")
        )
        server = udp(internet.server("server", ipv6=True), version=6)
        server.send(b"unasked", alice.place)
        assert alice.hears_nothing()
        began = time.monotonic()
        assert seen_of(alice, server) == [alice.place], "no translation"
        server.send(b"welcome", alice.place)
        assert alice.hear() == (b"welcome", server.place)
        assert time.monotonic() - began >= 2 * 0.0095, "it takes the long way"
        alice.send(b"opens alice's firewall", bob.place)
        assert bob.hears_nothing()
        bob.send(b"hello alice", alice.place)
        assert alice.hear() == (b"hello alice", bob.place)
        alice.machine.network.forget()
        server.send(b"too late", alice.place)
        assert alice.hears_nothing()


def test_a_machine_with_ipv6_can_be_cut_off_too(internet, udp):
    alice = udp(internet.home("alice", ipv6=True).host("pc"), version=6)
    server = udp(internet.server("server", ipv6=True), version=6)
    for cut in (
        lambda: internet.cut_off(alice.machine),
        lambda: internet.blackhole(alice.machine, server.machine),
    ):
        assert seen_of(alice, server) == [alice.place]
        cut()
        alice.send(b"into the hole", server.place)
        assert server.hears_nothing()
        internet.mend()


# Delay and loss


def test_each_link_takes_its_time_both_ways(udp, tmp_path):
    with an_internet_of_links(delay=0.02) as internet:
        alice, bob = (udp(build(internet, "full-cone", tmp_path, name)) for name in ("alice", "bob"))
        server = udp(internet.server("server"))
        began = time.monotonic()
        seen_of(alice, server)
        assert time.monotonic() - began >= 0.0395
        seen_of(bob, server)
        began = time.monotonic()
        bob.send(b"hello", alice.place)
        alice.hear()
        alice.send(b"hello", bob.place)
        bob.hear()
        assert time.monotonic() - began >= 0.079


def lost(here: Udp, there: Udp, count: int) -> int:
    """How many of so many datagrams do not arrive."""
    there.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for number in range(count):
        here.send(number.to_bytes(2, "big"), there.place)
        if number % 50 == 0:
            time.sleep(0.002)
    return count - len(there.hears_all())


def test_links_lose_their_share(udp):
    with an_internet_of_links(delay=0.0, loss=0.1) as internet:
        here, there = (udp(internet.server(name)) for name in ("here", "there"))
        assert 50 < lost(here, there, 500) < 150  # 95 are expected


def test_a_home_can_add_delay_and_loss_of_its_own(internet, udp):
    server = udp(internet.server("server"))
    lossy = udp(internet.home("lossy", PORT_RESTRICTED, loss=0.2).host("pc"))
    assert 50 < lost(lossy, server, 500) < 150
    slow = udp(internet.home("slow", SYMMETRIC_SEQUENTIAL, delay=0.05).host("pc"))
    began = time.monotonic()
    seen = seen_of(slow, server)[0]
    server.send(b"welcome", seen)
    slow.hear()
    assert time.monotonic() - began >= 0.099


def test_a_mapping_lives_as_long_as_its_rules_say(internet, udp):
    """Whether it lives long enough is only seen by who is quick enough, as a busy machine is not each time."""
    pc = udp(internet.home("home", Rules(forgets=2 * SILENCE_SECONDS)).host("pc"))
    server = udp(internet.server("server"))
    for _ in range(20):
        seen = seen_of(pc, server)[0]
        server.send(b"in time", seen)
        if heard := pc.hears_all():
            break
    assert [data for data, _ in heard] == [b"in time"]
    time.sleep(3 * SILENCE_SECONDS)
    server.send(b"too late", seen)
    assert pc.hears_nothing()
