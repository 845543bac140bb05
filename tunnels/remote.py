"""Which of two connections with one remote endpoint to keep. Sans-IO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunnels.identity import EndpointId


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
