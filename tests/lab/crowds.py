"""Many endpoints at once, each with a valid record of its own."""

from __future__ import annotations

from resolver.signed_packets import LOCAL, SignedPacket
from tests.lab.resolver_keys import NOW, key, record

_FIRST = 1_000_000


def crowd(many: int, *, signed_at: float = NOW, seconds: int = 1_000_000) -> list[bytes]:
    """Their signed packets, key included. One record is written, and the name in it changed: writing each takes too long."""
    template = record(_FIRST, signed_at=signed_at, seconds=seconds)
    encoded, name = template.encode(), str(template.endpoint_id).encode()
    packets = []
    for number in range(_FIRST, _FIRST + many):
        secret = key(number)
        renamed = encoded.replace(name, str(secret.endpoint_id).encode())
        packets.append(SignedPacket.sign(secret, template.timestamp, renamed, salt=LOCAL).to_bytes())
    return packets
