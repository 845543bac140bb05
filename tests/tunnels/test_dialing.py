"""Facts about which of several connections with one endpoint is the current one, and about those who wait for one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from tests.lab.dialer import Tasks
from tests.lab.quic import ALICE, BOB
from tunnels.addresses import Address
from tunnels.dialer import Dialer
from tunnels.dialing import Remote
from tunnels.errors import TunnelClosed, TunnelError, Unreachable, WrongIdentity
from tunnels.paths.candidates import Tier
from tunnels.paths.reports import Moved
from tunnels.remote import Connection

LOW, HIGH = sorted([ALICE.endpoint_id, BOB.endpoint_id])
FIRST_RUN, SECOND_RUN = b"run 1...", b"run 2..."


class FakeDriver:
    """What a Remote needs of a driver, with its state in the test's hands."""

    order = 0
    is_side = False

    def __init__(self, remote: Remote, client=LOW, incarnation=FIRST_RUN) -> None:
        FakeDriver.order += 1
        self._remote = remote
        self.connection = Connection(client, incarnation, FakeDriver.order)
        self.is_usable = True
        self.silent = False
        self.superseded = False
        self.closed_with: TunnelError | None = None
        self.paths = SimpleNamespace(moved=lambda: {Tier.DIRECT: Moved(3, 4)})
        remote.drivers.append(self)

    def is_suspect(self, now: float) -> bool:
        return self.silent

    def supersede(self) -> None:
        self.superseded = True

    def reinstate(self) -> None:
        self.superseded = False

    def close(self, code, error: TunnelError) -> None:
        self.closed_with = error
        self.is_usable = False
        self._remote.closed(self)


@pytest.fixture
def remote() -> Remote:
    return Remote(BOB.endpoint_id)


def opened(remote: Remote, **how) -> FakeDriver:
    driver = FakeDriver(remote, **how)
    remote.opened(driver, 100.0)
    return driver


def test_what_went_by_connections_that_are_over_still_counts(remote):
    first = opened(remote)
    opened(remote)
    assert remote.moved() == {Tier.DIRECT: Moved(6, 8)}
    first.close(None, TunnelError("over"))
    remote.closed(first)
    assert remote.moved() == {Tier.DIRECT: Moved(6, 8)}


async def waiting(remote: Remote) -> asyncio.Task:
    task = asyncio.get_running_loop().create_task(remote.wait_opened())
    await asyncio.sleep(0)
    return task


def test_the_first_connection_is_current_and_working(remote):
    assert remote.working(100.0) is None
    driver = opened(remote)
    assert remote.current is driver
    assert remote.working(100.0) is driver
    assert not remote.is_idle


def test_of_crossing_connections_the_lower_ids_stays_or_takes_over(remote):
    by_high = opened(remote, client=HIGH)
    by_low = opened(remote, client=LOW)
    assert remote.current is by_low
    assert by_high.superseded
    late = opened(remote, client=HIGH)
    assert remote.current is by_low
    assert late.superseded


def test_a_connection_that_fell_silent_gives_way_whoever_dialled_the_fresh_one(remote):
    """Else the endpoint with the higher id would dial again and again, and keep the dead connection each time."""
    dead = opened(remote, client=LOW)
    dead.silent = True
    assert remote.working(100.0) is None
    assert remote.has_connection
    fresh = opened(remote, client=HIGH)
    assert remote.current is fresh
    assert dead.superseded
    assert dead.closed_with is None


def test_all_connections_with_an_earlier_run_are_closed_when_the_peer_restarted(remote):
    one, other = opened(remote, client=HIGH), opened(remote, client=LOW)
    fresh = opened(remote, client=HIGH, incarnation=SECOND_RUN)
    assert remote.current is fresh
    assert remote.drivers == [fresh]
    for old in (one, other):
        assert isinstance(old.closed_with, TunnelClosed)
        assert "restarted" in str(old.closed_with)


def test_when_the_current_one_closes_another_goes_on_in_its_place(remote):
    by_high, by_low = opened(remote, client=HIGH), opened(remote, client=LOW)
    assert by_high.superseded
    by_low.close(None, TunnelClosed("gone"))
    assert remote.current is by_high
    assert not by_high.superseded
    by_high.close(None, TunnelClosed("gone"))
    assert remote.current is None
    assert remote.is_idle


def test_success_forgets_failures(remote):
    remote.backoff.failed(100.0, 0.5)
    remote.last_error = Unreachable("before")
    opened(remote)
    assert remote.backoff.next_attempt == 0.0
    assert remote.last_error is None


async def test_everybody_who_waits_gets_the_connection_that_opens(remote):
    tasks = [await waiting(remote) for _ in range(3)]
    assert not remote.is_idle
    driver = opened(remote)
    assert await asyncio.gather(*tasks) == [driver] * 3


async def test_who_waits_for_a_better_one_gets_the_best_not_the_newest(remote):
    current = opened(remote, client=LOW)
    task = await waiting(remote)
    opened(remote, client=HIGH)
    assert await task is current


async def test_everybody_who_waits_gets_an_error_of_his_own_when_the_dial_fails(remote):
    tasks = [await waiting(remote) for _ in range(3)]
    remote.last_error = WrongIdentity("somebody else answered")
    remote.dial_ended(100.0)
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [WrongIdentity] * 3
    assert {str(error) for error in errors} == {"somebody else answered"}
    assert len(set(map(id, errors))) == 3


async def test_a_dial_that_was_cancelled_leaves_nobody_waiting(remote):
    task = await waiting(remote)
    remote.dial_ended(100.0)
    with pytest.raises(Unreachable, match="given up"):
        await task


async def test_a_connection_heard_again_serves_who_waits_for_a_fresh_one(remote):
    driver = opened(remote)
    driver.silent = True
    task = await waiting(remote)
    driver.silent = False
    remote.recovered(driver)
    assert await task is driver


async def test_a_superseded_connection_heard_again_serves_nobody(remote):
    old = opened(remote)
    old.silent = True
    opened(remote)
    task = await waiting(remote)
    remote.recovered(old)
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()


async def test_a_failed_dial_beside_a_connection_that_works_again_is_no_error(remote):
    driver = opened(remote)
    driver.silent = True
    task = await waiting(remote)
    driver.silent = False
    remote.dial_ended(100.0)
    assert await task is driver


async def test_who_stops_waiting_is_forgotten(remote):
    task = await waiting(remote)
    task.cancel()
    await asyncio.wait([task])
    assert remote.is_idle
    opened(remote)


async def test_each_handshake_of_a_dial_goes_where_the_endpoint_is_known_to_be_by_then(remote):
    home, impostor, relay = (Address.of("192.0.2.1", port) for port in (1, 2, 3))
    known = [home, impostor]
    tried: list[tuple[Address, ...]] = []
    outcomes = [
        (impostor, WrongIdentity("somebody else")),
        (None, Unreachable("nobody")),
        (relay, None),
    ]

    def begin(remote: Remote, addresses: tuple[Address, ...], seconds: float) -> SimpleNamespace:
        tried.append(addresses)
        answered, outcome = outcomes[len(tried) - 1]
        settled = asyncio.get_running_loop().create_future()
        settled.set_result(outcome)
        if len(tried) == 2:
            known.append(relay)  # while it is under way
        if outcome is None:
            opened(remote)
        return SimpleNamespace(settled=settled, paths=SimpleNamespace(confirmed=answered))

    async def find(_: object) -> tuple[Address, ...]:
        return tuple(known)

    tasks = Tasks()
    dialer = Dialer(find_addresses=find, begin=begin, spawn=tasks.spawn, connect_timeout=5)
    remote_driver = await asyncio.wait_for(dialer.connect(remote), 5)
    assert remote_driver is remote.current
    assert tried == [(home, impostor), (home,), (home, relay)]


async def test_the_first_news_of_a_dial_get_time_though_its_own_is_over_and_later_ones_do_not(
    remote, monkeypatch
):
    monkeypatch.setattr("tunnels.limits.DIAL_ATTEMPT_TIMEOUT", 1.0)
    known = [Address.of("192.0.2.1", 1)]
    tried: list[tuple[int, ...]] = []

    def begin(remote: Remote, addresses: tuple[Address, ...], seconds: float) -> SimpleNamespace:
        tried.append(tuple(address.port for address in addresses))
        settled = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(seconds + 0.05, settled.set_result, Unreachable("nobody"))
        known.append(Address.of("192.0.2.1", len(tried) + 1))
        return SimpleNamespace(settled=settled, paths=SimpleNamespace(confirmed=None))

    async def find(_: object) -> tuple[Address, ...]:
        return tuple(known)

    dialer = Dialer(find_addresses=find, begin=begin, spawn=Tasks().spawn, connect_timeout=0.5)
    with pytest.raises(Unreachable, match="did not answer"):
        await asyncio.wait_for(dialer.connect(remote), 5)
    assert tried == [(1,), (1, 2)]
