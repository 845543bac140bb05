"""Facts about the sockets that a beacon dials back from."""

from __future__ import annotations

import socket

from gateway.beacon.knocking import KnockingSockets
from tunnels.addresses import Address


def test_a_datagram_arrives_always_from_the_same_port_and_what_cannot_be_sent_is_no_error():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        there.settimeout(5)
        address = Address.parse(f"127.0.0.1:{there.getsockname()[1]}")
        sockets = KnockingSockets()
        sources = set()
        for _ in range(3):
            assert sockets.send(b"knock", address)
            datagram, source = there.recvfrom(100)
            assert datagram == b"knock"
            sources.add(source)
        assert len(sources) == 1
        assert not sockets.send(b"knock", Address.parse("255.255.255.255:7777"))
        sockets.close()
        sockets.close()
        assert not sockets.send(b"knock", address)
