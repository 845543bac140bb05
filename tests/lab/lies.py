"""What a beacon may do to the frames it passes on: for `LabBeacon.tamper`, all the time or now and then."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Literal, get_args

from tunnels.relay import frames
from tunnels.relay.frames import FrameKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.lab.beacons import LabBeacon
    from tunnels.identity import EndpointId

Deed = Literal[
    "drops",
    "delays",
    "reorders",
    "repeats",
    "swaps receivers",
    "swaps senders",
    "sends back",
    "corrupts",
    "cuts",
    "replays",
    "says absent",
]
DEEDS: tuple[Deed, ...] = get_args(Deed)
Passed = list[tuple["EndpointId", bytes]]


class Liar:
    """Makes a beacon do a deed to so many of the frames that pass it; the others pass as they should."""

    def __init__(
        self,
        beacon: LabBeacon,
        deed: Deed,
        third: EndpointId,
        *,
        share: float = 1.0,
        kinds: Collection[FrameKind] = tuple(FrameKind),
    ) -> None:
        """`third` is somebody else: who gets, or is said to have sent, what is swapped. `kinds` are those lied about."""
        self.deed = deed
        self.done = 0
        self._beacon, self._third, self._share, self._kinds = beacon, third, share, kinds
        self._random = Random(7)
        self._held: Passed = []
        self._old: Passed = []
        self._tasks: set[asyncio.Task[None]] = set()
        beacon.tamper = self._tamper

    def _tamper(self, sender: EndpointId, receiver: EndpointId, frame: bytes) -> Passed:
        kind, _, body = frames.decode(frame)
        self._old = [*self._old[-200:], (receiver, frame)]
        if kind not in self._kinds or self._random.random() >= self._share:
            return [(receiver, frame)]
        self.done += 1
        match self.deed:
            case "drops":
                return []
            case "delays":
                self._later(receiver, frame)
                return []
            case "reorders":
                self._held.append((receiver, frame))
                if len(self._held) < 3:
                    return []
                held, self._held = self._held[::-1], []
                return held
            case "repeats":
                return [(receiver, frame)] * 5
            case "swaps receivers":
                return [(self._third, frame)]
            case "swaps senders":
                return [(receiver, frames.encode(kind, self._third, body))]
            case "sends back":
                return [(sender, frames.encode(kind, receiver, body))]
            case "corrupts":
                at = self._random.randrange(2, len(body))
                wrong = bytes([*body[:at], body[at] ^ 1 << self._random.randrange(8), *body[at + 1 :]])
                return [(receiver, frames.encode(kind, sender, wrong))]
            case "cuts":
                datagrams = [
                    datagram[: self._random.randrange(1, len(datagram) + 1)]
                    for datagram in frames.datagrams_of(body)
                ]
                return [(receiver, frames.encode(kind, sender, cut)) for cut in frames.batches(datagrams)]
            case "replays":
                return [(receiver, frame), *self._random.choices(self._old, k=5)]
            case "says absent":
                return [(sender, frames.encode(FrameKind.ABSENT, receiver, bytes([kind])))]

    def _later(self, receiver: EndpointId, frame: bytes) -> None:
        async def say() -> None:
            await asyncio.sleep(0.3)
            if receiver in self._beacon.sessions:
                await self._beacon.say(receiver, frame)

        task = asyncio.get_running_loop().create_task(say())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
