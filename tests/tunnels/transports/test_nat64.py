"""When a NAT64 is looked for, and what addresses become by it; a real one is in tests/integration."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address

import pytest

from tunnels import limits
from tunnels.addresses import Address
from tunnels.transports.nat64 import Nat64Finder

ANSWER = IPv6Address("64:ff9b::192.0.0.170")
PEER = Address.parse("11.22.33.2:41641")
THROUGH = Address.parse("[64:ff9b::b16:2102]:41641")


class Network:
    """One that answers what it is told to, in the order in which it is told."""

    def __init__(self, *answers: list[IPv6Address], is_ipv6_only: bool = True) -> None:
        self.answers = list(answers)
        self.is_ipv6_only = is_ipv6_only
        self.asked = self.changed = 0
        self.finder = Nat64Finder(
            is_needed=lambda: self.is_ipv6_only,
            on_change=self._changed,
            spawn=lambda work, name: asyncio.get_running_loop().create_task(work, name=name),
            ask=self._ask,
        )

    def _changed(self) -> None:
        self.changed += 1

    async def _ask(self) -> list[IPv6Address]:
        self.asked += 1
        return self.answers.pop(0) if self.answers else []

    async def looked(self) -> Nat64Finder:
        self.finder.look()
        if self.finder._task is not None:
            await self.finder._task
        return self.finder


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NAT64_RETRY", 0.001)


async def test_without_ipv4_it_is_found_and_used():
    network = Network([ANSWER])
    finder = await network.looked()
    assert finder.outward(PEER) == THROUGH
    assert finder.inward(THROUGH) == PEER
    assert finder.outward(Address.parse("192.168.1.5:41641")) is None
    assert network.changed == 1
    assert "64:ff9b::/96" in repr(finder)


async def test_with_ipv4_nobody_is_asked_and_nothing_translated():
    network = Network([ANSWER], is_ipv6_only=False)
    finder = await network.looked()
    assert finder.outward(PEER) == PEER
    assert finder.inward(THROUGH) == THROUGH
    assert network.asked == network.changed == 0


async def test_a_resolver_that_comes_later_is_asked_again_and_no_more_than_so_often():
    network = Network([], [ANSWER])
    assert (await network.looked()).nat64 is not None
    assert network.asked == 2
    silent = Network()
    assert (await silent.looked()).nat64 is None
    assert silent.asked == limits.NAT64_TRIES
    assert silent.changed == 0


async def test_a_resolver_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(limits, "NAT64_WAIT", 0.01)
    network = Network()

    async def hang() -> list[IPv6Address]:
        network.asked += 1
        await asyncio.Event().wait()
        return []

    network.finder._ask = hang
    assert (await network.looked()).nat64 is None
    assert network.asked == limits.NAT64_TRIES


async def test_on_another_network_it_is_forgotten():
    network = Network([ANSWER])
    finder = await network.looked()
    network.is_ipv6_only = False
    await network.looked()
    assert finder.nat64 is None
    assert network.changed == 2


async def test_a_search_that_is_under_way_ends_with_the_finder():
    network = Network()
    network.finder.look()
    task = network.finder._task
    assert task is not None
    network.finder.close()
    with pytest.raises(asyncio.CancelledError):
        await task
