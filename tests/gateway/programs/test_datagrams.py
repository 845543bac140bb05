"""Datagrams of programs: framed, opened again after silence, refused with a reason, dropped when they are not read."""

from __future__ import annotations

import asyncio

from gateway.dialing import DialError, Failure
from gateway.flows.framing import frame
from gateway.programs import datagrams
from gateway.programs.datagrams import DialedDatagrams, ProgramFlow
from gateway.programs.ends import Ends
from gateway.programs.limits import PROGRAM_DATAGRAM_BYTES
from gateway.splice import Held, as_transport
from tests.lab.streams import tcp_pair


class Flow:
    """A flow that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True


class Dialer:
    """Opens such flows, or fails."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self.closed: list[object] = []
        self.failure: Failure | None = None

    async def open_flow(self, host, port, on_datagram, on_closed):
        if self.failure is not None:
            raise DialError(self.failure, f"{host} fails")
        self.flows.append(Flow())
        self.on_datagram, self.on_closed = on_datagram, on_closed
        return self.flows[-1]


async def held_pair():
    """A connection held still, and its other end."""
    near, far = await tcp_pair()
    held = Held()
    held.connection_made(near)
    near.pause_reading()
    return held, as_transport(far)


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)


async def test_a_flow_that_was_idle_is_opened_again_for_the_next_datagram(monkeypatch):
    monkeypatch.setattr(datagrams, "PROGRAM_FLOW_PAUSE_SECONDS", 0.0)
    dialer, ends = Dialer(), Ends()
    held, far = await held_pair()
    dialed = DialedDatagrams(dialer, "game.alice.overlay", 0, ends, ends.begin())
    await dialed.open()
    running = asyncio.get_running_loop().create_task(dialed.run(held))
    far.write(frame(b"one"))
    await until(lambda: dialer.flows[0].sent == [b"one"])
    dialer.on_closed()
    far.write(frame(b"two"))
    await until(lambda: len(dialer.flows) == 2 and dialer.flows[1].sent == [b"two"])
    far.close()
    async with asyncio.timeout(5):
        await running
    assert dialer.flows[1].closed


async def test_one_that_cannot_be_opened_again_is_cut_with_the_reason(monkeypatch):
    monkeypatch.setattr(datagrams, "PROGRAM_FLOW_PAUSE_SECONDS", 0.0)
    dialer, ends = Dialer(), Ends()
    token = ends.begin()
    held, far = await held_pair()
    dialed = DialedDatagrams(dialer, "game.alice.overlay", 0, ends, token)
    await dialed.open()
    running = asyncio.get_running_loop().create_task(dialed.run(held))
    dialer.on_closed()
    dialer.failure = Failure.OFFLINE
    far.write(frame(b"two"))
    async with asyncio.timeout(5):
        await running
    assert ends.ending(token).reason == "game.alice.overlay fails"
    far.close()


async def test_what_a_program_does_not_read_is_dropped():
    held, far = await held_pair()
    far.pause_reading()
    flow = ProgramFlow(held, lambda data: None, lambda: None)
    for _ in range(2000):
        flow.send(bytes(60_000))
        await asyncio.sleep(0)
    assert held.transport.get_write_buffer_size() <= PROGRAM_DATAGRAM_BYTES + 60_002
    flow.close()
    held.transport.abort()
    far.abort()


async def test_no_program_announces_a_datagram_that_cannot_be_one():
    held, far = await held_pair()
    over = asyncio.Event()
    ProgramFlow(held, lambda data: None, over.set)
    far.write(b"\xff\xff")
    async with asyncio.timeout(5):
        await over.wait()
    far.abort()
