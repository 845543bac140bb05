"""The engine of a name: the one place that knows both, and imports only the one that is asked for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunnels.quic.engine import EngineFactory, EngineName


def make_factory(name: EngineName) -> EngineFactory:
    """The engine of that name; imported only when asked for, because each costs memory and start-up time."""
    # Both engines' own logger: it warns whenever a peer, be it a stranger, closes a connection.
    logging.getLogger("quic").setLevel(logging.CRITICAL)
    if name == "qh3":
        from tunnels.quic.qh3_engine import Qh3Factory

        return Qh3Factory()
    from tunnels.quic.aioquic_engine import AioquicFactory

    return AioquicFactory()
