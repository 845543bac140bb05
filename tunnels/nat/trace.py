"""The routers on the way to a STUN server, as far as they tell of themselves. Sans-IO.

Questions that may pass one router, two, and so on, die on the way, and each router that lets one die says so by ICMP
(RFC 792, RFC 4443 §3.3), if it does.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from tunnels.errors import ProtocolViolation
from tunnels.nat import limits, stun
from tunnels.nat.levels import is_beyond
from tunnels.nat.probes import Probe
from tunnels.nat.reflector import PROOF_BYTES
from tunnels.nat.stun import Class, Extra, Method

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import Address


class Trace:
    """One look at the way to one server: a few questions that die there, each from a socket of its own.

    Of the same form as `tunnels.nat.probes.Burst` to the sockets' side, and ready within a second.
    """

    def __init__(self, server: Address | None, *, chance: Callable[[int], bytes]) -> None:
        """`server` None: nobody is asked. `chance` gives so many random bytes."""
        self.servers: tuple[Address, ...] = () if server is None else (server,)
        self._chance = chance
        self._hops: dict[int, IPv4Address | IPv6Address] = {}
        self._reached: float = inf
        self._requests: dict[int, bytes] = {}
        self._due: list[int] = []
        self._ends_at = inf
        self._is_over = server is None
        self._again = False

    def __repr__(self) -> str:
        return f"<Trace of {', '.join(str(hop or '?') for hop in self.hops)}>"

    def start(self, now: float) -> None:
        """Begin."""
        self._ask(range(1, limits.TRACE_WAVE + 1), now)

    def bound(self, socket: int, port: int) -> None:
        """A socket has that port; it is no matter here."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent or awaited."""
        return self._is_over

    def datagrams_to_send(self, now: float) -> list[Probe]:
        """What is due."""
        self._advance(now)
        due, self._due = self._due, []
        return [Probe(ttl - 1, self._requests[ttl], self.servers[0], ttl) for ttl in due]

    def receive(self, socket: int, datagram: bytes, source: Address, now: float) -> bool:
        """Take what came to a socket; whether it was the server's answer: then that many routers are passed."""
        if self._is_over or source not in self.servers:
            return False
        try:
            message = stun.decode(datagram)
        except ProtocolViolation:
            return False
        request = self._requests.get(socket + 1)
        if request is None or request[8:20] != message.transaction_id or message.kind is Class.REQUEST:
            return False
        self._reached = min(self._reached, socket + 1)
        self._advance(now)
        return True

    def hop_told(self, socket: int, ip: IPv4Address | IPv6Address, now: float) -> None:
        """A router let that socket's datagram die, and said so."""
        if not self._is_over and socket + 1 in self._requests:
            self._hops.setdefault(socket + 1, ip)
            self._advance(now)

    def get_timer(self) -> float | None:
        """When `datagrams_to_send` is to be called next; None when it is over."""
        return None if self._is_over else -inf if self._due else self._ends_at

    @property
    def flows(self) -> int:
        """How many our router has to remember for it: what dies there leaves nothing."""
        return max(0, len(self._requests) - 1)

    @property
    def hops(self) -> tuple[IPv4Address | IPv6Address | None, ...]:
        """The routers on the way as far as one answered, the nearest first, None for each that did not; then the server, if reached."""
        if self._reached < inf:
            return (*(self._hops.get(ttl) for ttl in range(1, int(self._reached))), self.servers[0].ip)
        return tuple(self._hops.get(ttl) for ttl in range(1, max(self._hops, default=0) + 1))

    def _ask(self, ttls: range, now: float) -> None:
        for ttl in ttls:
            attributes: dict[str, Any] = {Extra.ROUTABLE.label: bytes(PROOF_BYTES)}
            transaction_id = self._chance(stun.TRANSACTION_ID_BYTES)
            self._requests[ttl] = stun.encode(Method.BINDING, Class.REQUEST, transaction_id, attributes)
        self._due += ttls
        self._ends_at = now + limits.TRACE_WAIT
        self._again = False

    def _advance(self, now: float) -> None:
        if self._is_over or self._due:
            return
        beyond = min([ttl for ttl, hop in self._hops.items() if is_beyond(hop, ())], default=inf)
        enough = min(beyond, self._reached)
        missing = [ttl for ttl in self._requests if ttl not in self._hops and ttl < enough]
        if missing and now < self._ends_at:
            return
        if missing and not self._again:  # it may be lost, or that router says so a few times in a second only
            self._again = True
            self._due += missing
            self._ends_at = now + limits.TRACE_WAIT
            return
        asked = len(self._requests)
        if enough < inf or not self._hops or asked >= limits.TRACE_MOST:
            self._is_over = True
        else:
            self._ask(range(asked + 1, limits.TRACE_MOST + 1), now)
