"""Direct dial: the peer lets us in, so we dial it.

It has a public address, a full cone, or a NAT that lets in whoever it sent to; then it has sent to our ip before, and we come
from whatever port our own NAT gives us. From the other end the same pair of networks is `reverse`.
"""

from __future__ import annotations

from tunnels.crossing.strategies.passive import Passive, dial_chance, is_dialled

STRATEGY = Passive(
    code=1,
    name="direct dial",
    summary="the peer lets us in, so we dial it",
    fits=is_dialled,
    chance=dial_chance,
)
