"""A gateway that takes something for what it is not: `overlay`, with an alteration as the first argument.

    GatewayProcess(home, nickname="bob", program=altered("open", "bob"))

`open`, `port-restricted`, …: until it measures its network for the second time, it says that it is of that class
(`tunnels.crossing.description.NetworkClass`), and it doubts what it knows within seconds. `slow-first`: a slow spray worked
wherever it is. `clock+SECONDS`, `clock-SECONDS`: its machine's clock is wrong by so much. `last-look`: its first screen asks
for the status once more as it is told to end.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gateway.cli import first_run, main
from tunnels import own_network
from tunnels.crossing import limits
from tunnels.crossing.description import NetworkClass
from tunnels.crossing.history import History
from tunnels.crossing.own import describe
from tunnels.crossing.strategies import slow_spray
from tunnels.crossing.typical import typical

if TYPE_CHECKING:
    from gateway.facade import Facade
    from tunnels.crossing.description import Description
    from tunnels.nat.report import NetworkReport

SLOW_FIRST: Final = "slow-first"
LAST_LOOK: Final = "last-look"
CLOCK: Final = "clock"
DOUBTS: Final = 3.0
"""Seconds without a direct path, instead of a quarter of a minute."""


def altered(what: str, nickname: str) -> tuple[str, ...]:
    """The program, for `GatewayProcess`; gateways with other nicknames are as they are."""
    return sys.executable, "-m", "tests.lab.altered", what, nickname


def _lie(network_class: NetworkClass) -> None:
    said = typical(network_class)
    first: list[float] = []

    def described(report: NetworkReport | None, **known: Any) -> Description:
        found = describe(report, **known)
        if report is None:
            return found
        first.append(report.measured_at)
        if report.measured_at != first[0]:
            return found
        behavior = replace(said.behavior, external_ips=found.behavior.external_ips)
        return replace(found, behavior=behavior, udp_blocked=said.udp_blocked)

    own_network.describe = described  # type: ignore[assignment]
    limits.CROSS_DOUBTS = (DOUBTS,)  # type: ignore[misc]
    limits.NETWORK_CREDIBLE = DOUBTS  # type: ignore[misc]


def _set_clock(seconds: float) -> None:
    right = time.time  # noqa: TID251 - it is replaced
    time.time = lambda: right() + seconds  # noqa: TID251


async def _look_last(gateway: Facade, rows: list[first_run.Row]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await gateway.status(with_contacts=False)


def _alter(what: str) -> None:
    if what.startswith(CLOCK):
        _set_clock(float(what.removeprefix(CLOCK)))
    elif what == SLOW_FIRST:
        History.worked = lambda *_: (slow_spray.STRATEGY.code,)  # type: ignore[method-assign]
    elif what == LAST_LOOK:
        first_run._tell_news = _look_last
    else:
        _lie(NetworkClass(what))


if __name__ == "__main__":
    what, nickname = sys.argv.pop(1), sys.argv.pop(1)
    if nickname in sys.argv:
        _alter(what)
    main()
