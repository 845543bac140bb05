"""A keeper ends flows that are idle or must give way, and forgets those that end otherwise."""

from __future__ import annotations

import asyncio

from gateway.flows.keeper import FlowKeeper
from tests.lab.serving import until


class _Flow:
    def __init__(self) -> None:
        self.over = asyncio.Event()

    def expire(self) -> None:
        self.over.set()


async def test_idle_flows_end_one_after_the_other() -> None:
    keeper = FlowKeeper(idle=0.05)
    first, second = _Flow(), _Flow()
    assert keeper.add(first, "alice")
    assert keeper.add(second, "alice")
    await asyncio.wait_for(first.over.wait(), 5)
    await asyncio.wait_for(second.over.wait(), 5)
    assert len(keeper) == 0
    third = _Flow()
    assert keeper.add(third, "alice")
    await asyncio.wait_for(third.over.wait(), 5)


async def test_a_flow_in_use_does_not_end() -> None:
    keeper = FlowKeeper(idle=0.1)
    used, idle = _Flow(), _Flow()
    keeper.add(used, "alice")
    keeper.add(idle, "alice")

    def look() -> bool:
        keeper.touch(used)
        return idle.over.is_set()

    await until(look)
    assert not used.over.is_set()
    keeper.close()
    assert used.over.is_set()


async def test_a_full_keeper_ends_the_idle_most_or_refuses() -> None:
    keeper = FlowKeeper(per_owner=2, total=3)
    flows = [_Flow() for _ in range(3)]
    assert all(keeper.add(flow, "alice") for flow in flows)
    assert [flow.over.is_set() for flow in flows] == [True, False, False]
    assert keeper.add(_Flow(), "bob")
    assert not keeper.add(_Flow(), "carol")
    keeper.remove(flows[1])
    assert keeper.add(_Flow(), "carol")
    keeper.close()
    assert len(keeper) == 0
