"""What we know of reaching one remote endpoint: when to try again, and which of two connections to keep. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunnels import limits

if TYPE_CHECKING:
    from tunnels.identity import EndpointId


class Backoff:
    """When to try again: doubling from a second to a minute, each wait jittered between half and whole."""

    __slots__ = ("_wait", "failures", "next_attempt")

    def __init__(self) -> None:
        self._wait = limits.BACKOFF_FIRST
        self.failures = 0
        self.next_attempt = 0.0

    def failed(self, now: float, chance: float) -> float:
        """Note a failure at `now`; `chance` is uniform in [0, 1). The seconds to wait before the next attempt."""
        wait = self._wait * (0.5 + chance / 2)
        self._wait = min(self._wait * 2, limits.BACKOFF_MAX)
        self.failures += 1
        self.next_attempt = now + wait
        return wait

    def reset(self) -> None:
        """A success, or news of the endpoint: the next attempt may be made at once."""
        self._wait = limits.BACKOFF_FIRST
        self.failures = 0
        self.next_attempt = 0.0


@dataclass(frozen=True, slots=True)
class Connection:
    """What the choice between two connections with one endpoint depends on."""

    client: EndpointId
    """Who dialled."""
    incarnation: bytes
    """The peer's run of the program."""
    order: int
    """The how-manieth connection it is that opened here."""


def is_better(new: Connection, current: Connection) -> bool:
    """Whether new streams should go on `new` rather than `current`, when both work; both ends decide alike.

    1. Of two runs of the peer's program the later one: the earlier is dead.
    2. Dialled by the same side: the later one, which was dialled because the earlier seemed stuck.
    3. Dialled by both sides at once: the one whose client has the smaller endpoint id.
    """
    if new.incarnation != current.incarnation or new.client == current.client:
        return new.order > current.order
    return new.client < current.client
