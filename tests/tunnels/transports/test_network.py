"""What counts as a change of the network, on fake snapshots and clocks, and in a network namespace of our own."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest

from tests.lab.netns import ip, two_hosts
from tunnels import limits
from tunnels.transports import network
from tunnels.transports.interfaces import DefaultRoute
from tunnels.transports.network import NetworkWatch, SleepDetector, Snapshot

HOME = Snapshot(
    frozenset({("wlan0", "192.168.1.5")}),
    frozenset({DefaultRoute("192.168.1.1", "wlan0")}),
    frozenset({("wlan0", 3)}),
)


def with_addresses(*addresses: tuple[str, str]) -> Snapshot:
    return Snapshot(frozenset(addresses), HOME.routes, HOME.links)


def test_the_same_is_no_change():
    assert HOME.difference(HOME) == ""


def test_addresses_and_routes_that_come_and_go_are_named():
    cafe = Snapshot(
        frozenset({("wlan0", "10.0.0.7")}), frozenset({DefaultRoute("10.0.0.1", "wlan0")}), HOME.links
    )
    assert HOME.difference(cafe) == (
        "-192.168.1.5 (wlan0), +10.0.0.7 (wlan0), default route by 10.0.0.1 (wlan0)"
    )
    assert HOME.difference(Snapshot(HOME.addresses, frozenset(), HOME.links)) == "a default route is gone"


def test_an_interface_that_was_unplugged_is_another_one():
    replugged = Snapshot(HOME.addresses, HOME.routes, frozenset({("wlan0", 4)}))
    assert HOME.difference(replugged) == "wlan0 is another one"


def test_many_changes_are_told_in_one_line():
    many = with_addresses(*((f"eth{number}", f"10.0.0.{number}") for number in range(40)))
    assert HOME.difference(many).endswith(", and 35 more")
    assert len(HOME.difference(many)) < 200


def test_a_snapshot_can_be_taken_here():
    taken = Snapshot.take()
    assert not any(address.startswith(("127.", "fe80:")) for _, address in taken.addresses)
    assert {interface for interface, _ in taken.links} == {interface for interface, _ in taken.addresses}


# --- sleep ----------------------------------------------------------------------------------------------------------


def test_a_tick_in_time_and_one_that_is_a_little_late_are_no_sleep():
    detector = SleepDetector((0.0, 1000.0))
    assert detector.look((5.0, 1005.0)) == 0
    assert detector.look((12.5, 1012.5)) == 0


def test_a_stopped_process_is_seen_by_the_loops_clock():
    detector = SleepDetector((0.0, 1000.0))
    assert detector.look((65.0, 1065.0)) == pytest.approx(60.0)
    assert detector.look((66.0, 1066.0)) == 0


def test_a_sleeping_machine_is_seen_by_the_clock_that_goes_on():
    detector = SleepDetector((0.0, 1000.0))
    assert detector.look((1.0, 8000.0)) == pytest.approx(6999.0)


# --- the watch ------------------------------------------------------------------------------------------------------


class Machine:
    """Snapshots and clocks to set, a socket that plays the kernel, and what the watch said."""

    def __init__(self, monkeypatch, *, told: bool) -> None:
        self.snapshot, self.clocks = HOME, (0.0, 0.0)
        self.said: list[str] = []
        self.looks = 0
        near, self.kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.setblocking(False)
        monkeypatch.setattr(network, "_netlink_socket", lambda: near if told else None)
        self.watch = NetworkWatch(self.said.append, take=self.take, clocks=lambda: self.clocks)
        if not told:
            near.close()

    def take(self) -> Snapshot:
        self.looks += 1
        return self.snapshot

    def close(self) -> None:
        self.watch.close()
        self.kernel.close()

    async def hears_something(self) -> None:
        async with asyncio.timeout(10):
            while not self.said:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.005)


@pytest.fixture
def machine(monkeypatch):
    made = []

    def make(*, told: bool = True) -> Machine:
        made.append(Machine(monkeypatch, told=told))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def test_a_burst_of_news_is_one_change(machine):
    here = machine()
    assert here.watch.is_told
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        here.snapshot = with_addresses(("wlan0", address))
        here.kernel.send(b"news")
        await asyncio.sleep(0)
    await here.hears_something()
    assert here.said == ["-192.168.1.5 (wlan0), +10.0.0.3 (wlan0)"]
    assert here.looks == 2


async def test_news_that_changes_nothing_that_matters_is_none(machine):
    here = machine()
    for _ in range(200):
        here.kernel.send(b"a container comes")
        await asyncio.sleep(0)
    await asyncio.sleep(limits.NETWORK_SETTLES * 2)
    assert here.looks >= 2
    assert here.said == []


async def test_without_a_kernel_that_tells_one_looks(machine, monkeypatch):
    monkeypatch.setattr(limits, "SLEEP_TICK", 0.01)
    monkeypatch.setattr(limits, "NETWORK_POLL", 0.02)
    here = machine(told=False)
    assert not here.watch.is_told
    here.snapshot = with_addresses()
    await here.hears_something()
    assert here.said == ["-192.168.1.5 (wlan0)"]


async def test_a_kernel_that_stops_telling_is_looked_after(machine, monkeypatch):
    monkeypatch.setattr(limits, "SLEEP_TICK", 0.01)
    monkeypatch.setattr(limits, "NETWORK_POLL", 0.02)
    here = machine()

    class Broken:
        def recv(self, size: int) -> bytes:
            raise OSError(9, "bad")

        def close(self) -> None: ...

        def fileno(self) -> int:
            return real.fileno()

    real = here.watch._socket
    here.watch._loop.remove_reader(real)
    here.watch._socket = Broken()
    here.watch._readable()
    assert not here.watch.is_told
    here.snapshot = with_addresses()
    await here.hears_something()
    real.close()


async def test_a_sleep_is_told_though_the_addresses_are_the_same(machine, monkeypatch):
    monkeypatch.setattr(limits, "SLEEP_TICK", 0.01)
    here = machine()
    here.clocks = (0.01, 60.01)
    await here.hears_something()
    assert here.said == ["this machine or the gateway stood still for 60 s"]


async def test_a_machine_that_wakes_to_a_network_is_seen_before_the_next_tick(machine):
    here = machine()
    here.clocks = (1.0, 8.0)
    here.kernel.send(b"a link is up")
    await here.hears_something()
    assert here.said == ["this machine or the gateway stood still for 7 s"]


async def test_after_close_nothing_is_told(machine):
    here = machine()
    here.watch.close()
    here.watch.close()
    here.snapshot = with_addresses()
    await asyncio.sleep(limits.NETWORK_SETTLES * 2)
    assert here.said == []


WATCH = """
import asyncio
from tunnels.transports.network import NetworkWatch

async def main():
    watch = NetworkWatch(lambda why: print(why, flush=True))
    print("told" if watch.is_told else "looks", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.needs("root", "ip")
def test_the_kernel_tells_of_addresses_and_not_of_containers():
    with two_hosts() as (host, _):
        drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]  # it needs no rights
        process = subprocess.Popen(
            host.command(*drop, sys.executable, "-c", WATCH), stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout.readline() == "told\n"
            ip("-n", host.name, "link", "add", "docker0", "type", "bridge")
            ip("-n", host.name, "addr", "add", "172.17.0.1/16", "dev", "docker0")
            ip("-n", host.name, "link", "set", "docker0", "up")
            ip("-n", host.name, "addr", "add", "10.123.0.9/24", "dev", "eth0")
            assert process.stdout.readline() == "+10.123.0.9 (eth0)\n"
            ip("-n", host.name, "route", "add", "default", "via", "10.123.0.2")
            assert process.stdout.readline() == "default route by 10.123.0.2 (eth0)\n"
            ip("-n", host.name, "link", "set", "eth0", "down")
            assert "a default route is gone" in process.stdout.readline()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
