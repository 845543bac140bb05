"""From the hub into the accounts, in batches, and not lost while they don't answer."""

from __future__ import annotations

import asyncio

from gateway.beacon.charging import Charging
from gateway.beacon.hub import Hub, Session
from gateway.beacon.limits import BEACON_CHARGES_AT_ONCE
from gateway.beacon.settings import RelaySettings
from gateway.beacon.stores import Balance, StoreUnavailable
from gateway.supervision import Supervisor
from tests.lab.resolver_keys import key
from tunnels.relay.frames import FrameKind, encode


class Accounts:
    """Counts in a dict; breaks when told to."""

    def __init__(self) -> None:
        self.used: dict[object, int] = {}
        self.calls = 0
        self.at_once = 0
        self.most_at_once = 0
        self.broken = False

    async def charge(self, endpoint_id, size, quota_bytes, period) -> Balance:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.broken:
            raise StoreUnavailable("away")
        self.used[endpoint_id] = self.used.get(endpoint_id, 0) + size
        return Balance(self.used[endpoint_id], 0)

    async def balance(self, endpoint_id, period) -> Balance:
        if self.broken:
            raise StoreUnavailable("away")
        return Balance(self.used.get(endpoint_id, 0), 0)


def world(count: int = 2, quota: int = 1_000_000) -> tuple[Hub, list[Session], Accounts, Charging]:
    settings = RelaySettings(quota_bytes=quota)
    hub, accounts = Hub(settings), Accounts()
    sessions = [Session(key(n).endpoint_id, None, 0.0) for n in range(1, count + 1)]
    for session in sessions:
        hub.join(session)
    return hub, sessions, accounts, Charging(hub, accounts, settings, Supervisor(), lambda: 86_400.0 * 3 + 5)


def send(hub: Hub, session: Session, size: int = 967) -> None:
    hub.receive(session, encode(FrameKind.DATA, session.endpoint_id, bytes(size)), 0.0)


async def test_many_frames_are_one_entry_for_each_sender() -> None:
    hub, (a, b), accounts, charging = world()
    for _ in range(10):
        send(hub, a)
    send(hub, b)
    await charging.flush()
    assert accounts.used == {a.endpoint_id: 10_000, b.endpoint_id: 1000}
    assert accounts.calls == 2
    assert (a.uncharged, a.left) == (0, 990_000)
    await charging.flush()
    assert accounts.calls == 2, "nothing new, nothing written"


async def test_who_left_is_charged_for_what_it_sent() -> None:
    hub, (a, _), accounts, charging = world()
    send(hub, a)
    hub.leave(a)
    charging.left(a)
    await charging.flush()
    await charging.flush()
    assert accounts.used == {a.endpoint_id: 1000}


async def test_while_the_accounts_are_away_nothing_is_lost_and_nothing_is_counted_twice() -> None:
    hub, (a, b), accounts, charging = world()
    send(hub, a)
    send(hub, b)
    hub.leave(b)
    charging.left(b)
    accounts.broken = True
    await charging.flush()
    assert not charging.ok
    send(hub, a)
    accounts.broken = False
    await charging.flush()
    assert charging.ok
    assert accounts.used == {a.endpoint_id: 2000, b.endpoint_id: 1000}


async def test_few_entries_are_on_their_way_at_once() -> None:
    hub, sessions, accounts, charging = world(BEACON_CHARGES_AT_ONCE * 2 + 5)
    for session in sessions:
        send(hub, session)
    await charging.flush()
    assert accounts.most_at_once <= BEACON_CHARGES_AT_ONCE
    assert len(accounts.used) == len(sessions)


async def test_without_a_quota_the_accounts_are_left_alone() -> None:
    hub, (a, _), accounts, charging = world(quota=0)
    send(hub, a)
    hub.leave(a)
    charging.left(a)
    assert await charging.balance(a.endpoint_id) is None
    charging.start()
    await charging.flush()
    assert accounts.calls == 0


async def test_a_newcomer_is_served_while_the_accounts_are_away() -> None:
    _, (a, _), accounts, charging = world()
    accounts.broken = True
    assert await charging.balance(a.endpoint_id) == Balance(0, 0)


def test_the_period_is_counted_by_the_wall_clock() -> None:
    assert world()[3].period == 3
