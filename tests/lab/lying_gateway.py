"""A gateway that lies: `lying_gateway.main` with VICTIM NEIGHBOUR CLASS and then the words of `overlay`.

To whoever it dials it says, twenty times a second and each time anew, that it is at the victim, that its network is of that
class, and that the victim, or a neighbour of the other's, attests where he is; and it begins attempts of
all strategies, which have the other knock at the victim's ports. It sends by relays only, so there is no direct path.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import msgspec

from tunnels.addresses import Address
from tunnels.crossing import description as descriptions
from tunnels.crossing.course import Flags
from tunnels.crossing.description import NetworkClass
from tunnels.crossing.registry import STRATEGIES
from tunnels.crossing.strategies.passive import Passive
from tunnels.crossing.strategy import Ready
from tunnels.crossing.typical import typical
from tunnels.crossings import Crossings
from tunnels.paths.candidates import Candidate, CandidateKind, PathPolicy
from tunnels.paths.checks import Cross

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.crossing.description import Description
    from tunnels.driver import TunnelDriver

    Ip = IPv4Address | IPv6Address

LIES_EVERY = 0.05
ATTEMPTS = [each.code for each in STRATEGIES if not isinstance(each, Passive)]
_tasks: set[asyncio.Task[None]] = set()


async def lie(driver: TunnelDriver, victim: Ip, neighbour: Address, network: Description) -> None:
    """As long as the connection lasts."""
    chance, paths = random.Random(1), driver.paths
    for number in count(1):
        if not driver.is_usable:
            return
        now = time.monotonic()
        places = [Address(victim, chance.randrange(6000, 65536)) for _ in range(16)]
        paths.set_policy(PathPolicy.RELAY_ONLY, now)
        paths._offers.own = tuple(Candidate(place, CandidateKind.SERVER_REFLEXIVE) for place in places)
        said = replace(
            network,
            behavior=replace(network.behavior, external_ips=(victim,)),
            challenge=os.urandom(16),
            attester=chance.choice([places[0], neighbour]),
            network=os.urandom(8),
        )
        paths.describe(descriptions.encode(said), now)
        ready = Ready.at([*places, neighbour], round=1, is_open=True).encode()
        payload = msgspec.msgpack.encode([1, 0, ready, os.urandom(72), 0.0])
        paths.tell(Cross(number, chance.choice(ATTEMPTS), Flags.ASKS, payload), now)
        driver.schedule_flush()
        await asyncio.sleep(LIES_EVERY)


def main() -> None:
    """The lies, and then all that `overlay` does."""
    victim = Address.of(sys.argv[1], 1).ip
    neighbour = Address.parse(sys.argv[2])
    network = typical(NetworkClass[sys.argv[3]])
    del sys.argv[1:4]

    def opened(_: Crossings, driver: TunnelDriver) -> None:
        if driver.tunnel.is_client:
            task = asyncio.get_running_loop().create_task(lie(driver, victim, neighbour, network))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)

    Crossings.opened = opened  # type: ignore[method-assign]
    from gateway.cli import main as overlay

    overlay()


if __name__ == "__main__":
    main()
