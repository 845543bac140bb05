"""The engine of a name: the one place that knows both, and imports only the one that is asked for."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from tunnels.identity import SecretKey
from tunnels.quic.certificates import make_certificate
from tunnels.quic.packets import parse_initial

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


@cache
def warm_up(name: EngineName) -> None:
    """Shake hands with ourselves in memory, once in a process.

    The first handshake makes its cryptography ready, some 40 ms with qh3. Nobody should wait for that, least of all
    a peer, who would take it for the length of the path.
    """
    factory = make_factory(name)
    certificate = make_certificate(SecretKey(bytes(32)))
    client = factory.client(certificate, 1.0)
    client.connect(0.0)
    flight = client.datagrams_to_send(0.0)
    initial = parse_initial(flight[0])
    if initial is None:  # never: it is our own
        return
    server = factory.server(
        certificate,
        1.0,
        original_destination_connection_id=initial.destination_connection_id,
        retry_source_connection_id=None,
    )
    server.receive_datagrams(flight, 0.0)
    client.receive_datagrams(server.datagrams_to_send(0.0), 0.0)
    server.receive_datagrams(client.datagrams_to_send(0.0), 0.0)
