"""What other endpoints told of their services."""

from __future__ import annotations

import asyncio
import gc

import pytest

from gateway import limits, remote_services
from gateway.dialing import DialError, Failure
from gateway.home import Home
from gateway.kept_state import KeptState
from gateway.remote_services import RemoteServices
from gateway.stream_header import ListedService
from gateway.supervision import Supervisor
from resolver.names import ServiceProtocol
from tests.lab.resolver_keys import key

ALICE = key(1).endpoint_id
WEB = ListedService("web", 80, 80, (ServiceProtocol.TCP,), False)
SSH = ListedService("ssh", 22, 22, (ServiceProtocol.TCP,), False)


class Remote:
    """The far side: answers with `services` once `answering` is set."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.services: list[ListedService] | None = [WEB]
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = 0
        self.changed: list[object] = []
        self.supervisor = Supervisor()

    def open(self) -> None:
        self.state = KeptState(self.home, lambda coroutine, name: self.supervisor.spawn(coroutine, name=name))
        self.known = RemoteServices(self.state, self.ask, self.changed.append)

    async def close(self) -> None:
        await self.supervisor.close()
        await self.known.close()
        await self.state.close()

    async def ask(self, endpoint_id) -> list[ListedService]:
        self.asked += 1
        await self.answering.wait()
        if self.services is None:
            raise DialError(Failure.OFFLINE, "alice does not answer")
        return self.services


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
async def remote(home):
    remote = Remote(home)
    await asyncio.to_thread(remote.open)
    yield remote
    await remote.close()


async def settle(remote: Remote) -> None:
    """Until nothing is being asked."""
    while remote.known._asking:  # noqa: ASYNC110 - it has no event for it
        await asyncio.sleep(0)


async def test_those_who_ask_at_once_share_one_question(remote):
    remote.answering.clear()
    asking = [asyncio.ensure_future(remote.known.fetch(ALICE)) for _ in range(5)]  # noqa: TID251
    await asyncio.sleep(0)
    remote.answering.set()
    assert {known.services for known in await asyncio.gather(*asking)} == {(WEB,)}
    assert remote.asked == 1
    assert remote.changed == [ALICE]


async def test_what_was_told_is_known_after_a_restart_and_not_fresh(remote):
    await remote.known.fetch(ALICE)
    await remote.close()
    await asyncio.to_thread(remote.open)
    known = remote.known.known(ALICE)
    assert known is not None
    assert known.services == (WEB,)
    assert not known.is_fresh(asyncio.get_running_loop().time())


async def test_an_endpoint_that_does_not_answer_keeps_its_old_list(remote):
    await remote.known.fetch(ALICE)
    remote.services = None
    with pytest.raises(DialError, match="alice does not answer"):
        await remote.known.fetch(ALICE)
    assert remote.known.known(ALICE).services == (WEB,)


async def test_who_does_not_wait_for_the_answer_leaves_no_error_behind(remote):
    """What nobody takes off a future is an error of this run when the future goes."""
    remote.services = None
    remote.answering.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await remote.known.fetch(ALICE)
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    remote.answering.set()
    await asyncio.sleep(0.01)
    gc.collect()
    assert not complaints


async def test_a_refresh_behind_the_answer_takes_up_what_changed(remote):
    await remote.known.fetch(ALICE)
    remote.services = [WEB, SSH]
    remote.known.refresh(ALICE)
    await settle(remote)
    assert remote.known.known(ALICE).services == (WEB, SSH)
    assert remote.changed == [ALICE, ALICE]
    remote.services = None
    remote.known.refresh(ALICE)  # fails, and nobody is troubled by it
    await settle(remote)
    assert remote.known.known(ALICE).services == (WEB, SSH)


async def test_the_least_recently_asked_is_forgotten_when_there_are_too_many(remote, monkeypatch):
    monkeypatch.setattr(remote_services, "REMOTE_SERVICES_KNOWN", 3)
    for number in range(1, 6):
        await remote.known.fetch(key(number).endpoint_id)
    left = tuple(key(number).endpoint_id for number in (3, 4, 5))
    assert remote.known.known_endpoints() == left
    await remote.close()
    await asyncio.to_thread(remote.open)
    assert remote.known.known_endpoints() == left
    assert limits.REMOTE_SERVICES_KNOWN > 3


async def test_a_question_under_way_at_the_end_is_answered_with_an_error(remote):
    remote.answering.clear()
    asking = asyncio.ensure_future(remote.known.fetch(ALICE))  # noqa: TID251
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await remote.supervisor.close()
    with pytest.raises(DialError, match="stopping"):
        await asking


async def test_a_damaged_entry_is_asked_for_again(remote):
    for number in (1, 2):
        await remote.known.fetch(key(number).endpoint_id)
    await remote.known.close()
    await remote.state.database.run(
        lambda connection: connection.execute(
            "UPDATE remote_services SET services = 'x' WHERE id = ?", (ALICE.key,)
        )
    )
    await remote.close()
    await asyncio.to_thread(remote.open)
    assert remote.known.known_endpoints() == (key(2).endpoint_id,)


async def test_a_question_that_fails_after_nobody_waits_any_more_is_no_crash(remote, caplog):
    remote.answering.clear()
    remote.services = None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await remote.known.fetch(ALICE)
    remote.answering.set()
    await settle(remote)
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_only_so_many_are_asked_anew_at_once_and_who_waits_for_an_answer_is_asked_anyway(
    remote, monkeypatch
):
    monkeypatch.setattr(remote_services, "REMOTE_SERVICES_REFRESHED", 3)
    remote.answering.clear()
    for number in range(1, 10):
        remote.known.refresh(key(number).endpoint_id)
    await asyncio.sleep(0)
    assert remote.asked == 3
    asking = asyncio.ensure_future(remote.known.fetch(key(9).endpoint_id))  # noqa: TID251
    remote.answering.set()
    assert (await asking).services == (WEB,)
