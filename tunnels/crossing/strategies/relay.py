"""Relay: a beacon, our own or a friend's, passes sealed datagrams on, over TCP and HTTPS. It works wherever the web does, so a
connection begins with it and comes back to it.
"""

from __future__ import annotations

from tunnels.crossing.strategies.passive import Passive

STRATEGY = Passive(
    code=19,
    name="relay",
    summary="a beacon passes on what we send, over HTTPS",
    fits=lambda _: True,
    chance=lambda _: 1.0,
    is_direct=False,
)
