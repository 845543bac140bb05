"""A beacon tries ports that gateways say are open: one small datagram, to the ip their connection comes from. No IO.

It comes from a socket that nothing is ever sent to, so that only an open port lets it in. Nobody but the one who asks can
be made to receive anything: the ip is the one of a TCP connection, which is proved by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.beacon.limits import (
    BEACON_BUCKETS,
    DIAL_BACK_BURST,
    DIAL_BACKS_BURST,
    DIAL_BACKS_PER_SECOND,
    DIAL_BACKS_PER_SECOND_ALL,
)
from gateway.beacon.rates import Rates
from tunnels.addresses import Address
from tunnels.nat.dialback import knock
from tunnels.paths.candidates import is_private, is_sane

if TYPE_CHECKING:
    from collections.abc import Callable


class BackDialler:
    """Sends, within bounds; `send` puts a datagram on the wire and says whether it could."""

    def __init__(self, send: Callable[[bytes, Address], bool]) -> None:
        self._send = send
        self._rates = Rates(DIAL_BACKS_PER_SECOND, DIAL_BACK_BURST, bound=BEACON_BUCKETS)
        self._all = Rates(DIAL_BACKS_PER_SECOND_ALL, DIAL_BACKS_BURST, bound=1)
        self.sent = 0

    def dial_back(self, observed: str, client: str | None, port: int, nonce: bytes, now: float) -> bool:
        """Send one to that port at the ip of `observed`; `client` is who pays for it. Whether it was sent."""
        try:
            target = Address(Address.parse(observed).ip, port)
        except ValueError:
            return False
        if is_private(target) or not is_sane(target, with_loopback=False):
            return False  # on our own network, or a port of a service that answers whatever comes
        if not self._rates.take(client, 1, now) or not self._all.take(None, 1, now):
            return False
        self.sent += 1
        return self._send(knock(nonce), target)
