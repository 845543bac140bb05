"""Who connects and says nothing is cut off; who asked in time is not."""

from __future__ import annotations

import asyncio

from gateway.first_requests import FirstRequests
from gateway.limits import FIRST_REQUESTS_KEPT


class Handler:
    """What aiohttp has for a connection."""

    def __init__(self) -> None:
        self.transport = self
        self.is_cut = False

    def abort(self) -> None:
        self.is_cut = True


async def test_who_says_nothing_is_cut_and_who_asked_is_not():
    first_requests = FirstRequests()
    silent, asks, gone = Handler(), Handler(), Handler()
    for each in (silent, asks, gone):
        first_requests.expect(each, 0.05)
    first_requests.came(asks)
    first_requests.came(asks)  # another one on the same connection
    gone.transport = None
    await asyncio.sleep(0.15)
    assert (silent.is_cut, asks.is_cut, len(first_requests)) == (True, False, 0)


async def test_who_comes_and_goes_is_not_kept_and_who_stays_is():
    first_requests = FirstRequests()
    stays = [Handler() for _ in range(10)]
    for each in stays:
        first_requests.expect(each, 0.1)
    for _ in range(20 * FIRST_REQUESTS_KEPT):
        goes = Handler()
        first_requests.expect(goes, 30.0)
        goes.transport = None
        assert len(first_requests) <= FIRST_REQUESTS_KEPT
    await asyncio.sleep(0.3)
    assert all(each.is_cut for each in stays)
