"""How streams ended is remembered for a while, and for so many of them."""

from __future__ import annotations

import asyncio

from gateway.programs.ends import Ends
from gateway.splice import Splice
from tests.lab.streams import tcp_pair


async def test_a_stream_is_open_then_ended():
    ends = Ends()
    token = ends.begin()
    (near, inner), (outer, far) = await tcp_pair(), await tcp_pair()
    splice = Splice(outer, inner)
    ends.joined(token, splice, outer)
    assert ends.ending(token).state == "open"
    far.write_eof()
    near.write_eof()
    async with asyncio.timeout(5):
        await splice.wait_closed()
    assert ends.ending(token).state == "ended"
    assert len(ends) == 0
    near.close()
    far.close()
    await asyncio.sleep(0.02)


async def test_one_that_is_aborted_is_cut():
    ends = Ends()
    token = ends.begin()
    (near, inner), (outer, far) = await tcp_pair(), await tcp_pair()
    splice = Splice(outer, inner)
    ends.joined(token, splice, outer)
    ends.abort(token)
    async with asyncio.timeout(5):
        await splice.wait_closed()
    assert ends.ending(token).state == "cut"
    near.abort()
    far.abort()
    await asyncio.sleep(0.02)


def test_only_the_last_ends_are_kept_and_the_first_word_holds():
    ends = Ends(kept=2)
    tokens = [ends.begin() for _ in range(3)]
    for token in tokens:
        ends.over(token, "ended")
        ends.over(token, "cut", "later")
    assert [ends.ending(token).state for token in tokens] == ["cut", "ended", "ended"]
    assert "does not remember" in ends.ending(tokens[0]).reason


async def test_one_that_somebody_else_joined_is_over_when_its_connection_is():
    ends = Ends()
    near, far = await tcp_pair()
    ends.taken(ends.begin(), near)
    near.abort()
    far.abort()
    ends.begin()
    assert len(ends) == 1
    await asyncio.sleep(0.02)  # the sockets close
