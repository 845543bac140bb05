"""TCP simultaneous open (RFC 9293 §3.5): both ends connect to each other from ports that a beacon saw. Sans-IO.

For networks that let TCP out and UDP not, and where UDP found no way. A NAT shows a TCP port as it shows a UDP port, as
a rule, and lets in what answers to a SYN of ours: also the peer's own SYN. Who comes too early is dropped, or refused,
and tries again; so it needs no clocks.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from tunnels import limits as tunnel_limits
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategy import AskTcp, Attempt, ConnectTcp, Cost, Ready
from tunnels.paths.candidates import is_private, is_sane

if TYPE_CHECKING:
    from tunnels.crossing.description import Pair
    from tunnels.crossing.strategy import Setting

PORT: Final = 1
"""The number of the one TCP socket of an attempt."""


class TcpOpen:
    """The row of the registry."""

    name = "TCP simultaneous open"
    code = 17
    summary = "both connect to each other by TCP from ports that their beacons saw, until their SYNs have opened both NATs"

    def suits(self, pair: Pair) -> bool:
        """Not where both show every destination another port, nor behind one address, where NATs seldom lead back in."""
        mine, theirs = pair.classes
        return not (mine.is_symmetric and theirs.is_symmetric) and not pair.is_behind_one_address

    def success(self, pair: Pair) -> float:
        """64 % of NATs could be crossed so in 2005 (Ford et al.), as many as by QUIC in 2025; firewalls that block UDP
        often let TCP out to few ports only, and a symmetric NAT shows one port to the beacon, another to the peer."""
        if any(one.is_symmetric for one in pair.classes):
            return 0.1
        return 0.4 if NetworkClass.BLOCKED in pair.classes else 0.6

    def cost(self, pair: Pair) -> Cost:
        """Two mappings, as most tries are one connection's."""
        del pair
        return Cost(
            datagrams=limits.TCP_CONNECTS,
            sockets=1,
            mappings=1 + tunnel_limits.TCP_PLACES,
            seconds=tunnel_limits.TCP_OPEN_SECONDS,
        )

    def attempt(self, setting: Setting) -> Attempt:
        """Our side of a try."""
        return _Attempt(setting)


class _Attempt(Attempt):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._places: tuple[Address, ...] = ()
        self._eager_until = self._until = -inf
        self._left = limits.TCP_CONNECTS

    def begin(self, now: float) -> None:
        self.do(AskTcp(PORT))
        self.due = now + tunnel_limits.TCP_OPEN_ASK

    def tcp_seen(self, socket: int, address: Address | None, local_port: int, now: float) -> None:
        if socket != PORT or self.ready is not None:
            return
        if address is None:
            self.is_over = True
            return
        places = [address]
        if local_port and local_port != address.port:
            places.append(Address(address.ip, local_port))  # it may keep ports where they are free
        self.ready = Ready.at(places).encode()
        if not self._places:
            self.due = inf

    def peer_ready(self, payload: bytes, now: float) -> None:
        told = Ready.decode(payload).addresses()
        is_first = not self._places
        self._places = tuple(dict.fromkeys(filter(_may_connect, told)))[: tunnel_limits.TCP_PLACES]
        if not self._places:
            self.is_over = True
        elif is_first:
            self._eager_until = now + tunnel_limits.TCP_OPEN_EAGER
            self._until = now + tunnel_limits.TCP_OPEN_SECONDS
            self.due = now
            self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        if now < self.due:
            return
        if not self._places or now >= self._until:
            self.is_over = True  # the beacon does not answer; or time is up
            self.due = inf
            return
        if self._left < len(self._places):  # what is under way may still succeed
            self.due = self._until
            return
        self._left -= len(self._places)
        self.do(*(ConnectTcp(PORT, place) for place in self._places))
        gap = tunnel_limits.TCP_OPEN_GAP if now < self._eager_until else tunnel_limits.TCP_OPEN_LATER
        jitter = tunnel_limits.TCP_OPEN_JITTER * (2 * self.setting.random.random() - 1)
        self.due = min(now + gap * len(self._places) * (1 + jitter), self._until)


def _may_connect(place: Address) -> bool:
    """Whether a peer may have us connect there: services of our own network, and of others, are nobody's business."""
    return (
        place.ip.version == 4
        and place.port >= tunnel_limits.TCP_LEAST_PORT
        and not is_private(place)
        and is_sane(place, with_loopback=False)
    )


STRATEGY: Final = TcpOpen()
