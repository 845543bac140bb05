"""pwnat: a first connection with no server at all; who is dialled learns of it by an ICMP error about a packet that it sent.

It is off unless both ends turn it on, and needs raw sockets. Between two IPv4 NATs it seldom works: the one at the
dialler's end has to let out an error about a packet that it never saw, which RFC 5508 §4.2 tells it to drop. It does
where the dialler has a public address, and through the firewalls of IPv6, where nothing is translated.
"""

from __future__ import annotations

from tunnels.crossing.strategies.passive import Passive

STRATEGY = Passive(
    code=20,
    name="pwnat",
    summary="before there is any connection, an ICMP error tells who is dialled to open its NAT",
    fits=lambda _: False,  # two ends that have told each other of their networks have a path, and better ways
    chance=lambda _: 0.05,
)
