"""A symmetric NAT that gives ports out in order, and a peer with one place that only who was sent to may dial. Sans-IO.

The side behind the symmetric NAT asks a STUN server where it is seen, sends an opener to the peer from each of some new
sockets, and asks again, all in one go: the openers' mappings lie between the two answers, whatever others behind that
NAT did before or do later. So nothing is guessed that could be outdated by the time it is used, unlike where a port is
predicted first and used afterwards. If nothing lies between, the openers died before they came as far as the NAT, which
is far away then, and others that live a little longer are sent. The peer knocks at what lies between; it is never asked to look any further.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, zip_longest
from math import inf
from typing import TYPE_CHECKING

from tunnels import limits as tunnel_limits
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategy import OWN, Attempt, Cost, Pacer, Ready, Sampling, Setting, Shot
from tunnels.nat.behavior import AllocationKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tunnels.crossing.description import Description, Pair

_PEERS = (NetworkClass.ADDRESS_RESTRICTED, NetworkClass.PORT_RESTRICTED)
_LOWEST = 1024
_AGAIN = int(limits.PREDICT_SECONDS / limits.PREDICT_ALIVE)


@dataclass(frozen=True, slots=True)
class Predict:
    """The row of the registry."""

    name: str = "port prediction"
    code: int = 10
    summary: str = "the peer knocks where a symmetric NAT put our sockets, between two that were asked for"

    def suits(self, pair: Pair) -> bool:
        """Ports in order at one end, one place at the other."""
        return any(
            one is NetworkClass.SEQUENTIAL and other in _PEERS
            for one, other in (pair.classes, pair.swapped.classes)
        )

    def success(self, pair: Pair) -> float:
        """By tests/tunnels/crossing/strategies/test_predict.py, however busy that NAT is."""
        return 0.97

    def cost(self, pair: Pair) -> Cost:
        """The knocks make flows of one mapping; the tables of many routers count those."""
        if _is_sequential(pair.mine):
            questions = 2 * limits.SAMPLING_SENDS
            bursts = len(limits.OPENER_TTLS_SEEN)
            sockets = bursts * (limits.PREDICT_SOCKETS + 2)
            return Cost(
                datagrams=bursts * (questions + limits.PREDICT_SOCKETS) + limits.PREDICT_SOCKETS * _AGAIN,
                sockets=sockets,
                mappings=sockets,
                seconds=limits.PREDICT_SECONDS,
            )
        return Cost(
            datagrams=limits.PREDICT_PASSES * limits.READY_PLACES,
            mappings=limits.READY_PLACES,
            seconds=limits.PREDICT_SECONDS,
        )

    def attempt(self, setting: Setting) -> Attempt:
        """Our side, which is one of two."""
        return _Opening(setting) if _is_sequential(setting.pair.mine) else _Knocking(setting)


def _is_sequential(description: Description) -> bool:
    return description.network_class is NetworkClass.SEQUENTIAL


class _Opening(Attempt):
    """Behind the symmetric NAT."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._target = next((to for to in setting.targets if to.ip.version == 4), None)
        self._sampling = Sampling()
        self._sockets = range(0)
        """Those that knock; the one before them asks, and the one after."""
        kind = setting.pair.mine.behavior.allocation.kind
        self._is_preserving = kind is AllocationKind.PRESERVING
        self._ttls = [tunnel_limits.OPENER_TTL] if self._is_preserving else list(limits.OPENER_TTLS_SEEN)
        """The first one is used; the others if openers do not come as far as our NAT."""
        self._alive_at = self._ends_at = inf

    def begin(self, now: float) -> None:
        """All at once."""
        self._ends_at = now + limits.PREDICT_SECONDS
        if self._target is None or not self.setting.servers:
            self.is_over = True
            return
        self._burst(self._target, now)

    def seen(self, socket: int, server: Address, address: Address, now: float) -> None:
        """One end of where the openers left."""
        self._sampling.seen(socket, server, address)
        if self._sampling.is_complete and self.ready is None:
            self._tell(now)
        self._set_due()

    def peer_ready(self, payload: bytes, now: float) -> None:
        """It has nothing to tell: it knocks once it knows where."""
        Ready.decode(payload)

    def handle_timer(self, now: float) -> None:
        """Ask again; keep the NAT open."""
        if now >= self._ends_at:
            self.is_over = True
            self.due = inf
            return
        self.do(*self._sampling.again(now))
        if self._sampling.due == inf and self.ready is None:
            self._tell(now)  # one answer has to do
        if self._target is not None and now >= self._alive_at:
            self._open(self._target, now)
        self._set_due()

    def _burst(self, to: Address, now: float) -> None:
        before = self._sockets.stop + 1
        after = before + 1 + limits.PREDICT_SOCKETS
        self._sockets = range(before + 1, after)
        self._sampling = Sampling()
        server = self.setting.servers[0]
        self.do(self._sampling.ask(before, server, now))
        self._open(to, now)
        self.do(self._sampling.ask(after, server, now))
        self._set_due()

    def _open(self, to: Address, now: float) -> None:
        self.do(*(Shot(socket, to, self._ttls[0]) for socket in self._sockets))
        self._alive_at = now + limits.PREDICT_ALIVE

    def _tell(self, now: float) -> None:
        places = list(self._places())
        if places:
            self.ready = Ready.at(places, is_open=True).encode()
        elif self._sampling.is_complete and self._target is not None and len(self._ttls) > 1:
            del self._ttls[0]  # nothing lies between
            self._burst(self._target, now)
        else:
            self.is_over = True

    def _places(self) -> Iterator[Address]:
        """Where the openers are seen, the likeliest first."""
        seen = {socket: address for (socket, _), address in self._sampling.answers.items()}
        first, last = seen.get(self._sockets.start - 1), seen.get(self._sockets.stop)
        ends = [address for address in (first, last) if address is not None]
        behavior = self.setting.pair.mine.behavior
        ips = tuple(dict.fromkeys([*(address.ip for address in ends), *behavior.external_ips]))
        if self._is_preserving:
            ports: Iterable[int] = map(self.setting.local_port, self._sockets)
        else:
            ports = _between(first, last, behavior.allocation.delta or 1)
        for port in ports:
            if 0 < port < 65536:
                yield from filter(_is_likely, (Address(ip, port) for ip in ips))

    def _set_due(self) -> None:
        self.due = min(self._sampling.due, self._alive_at, self._ends_at)


def _is_likely(place: Address) -> bool:
    """NATs give none of the lower ports to what we send, and servers of others wait at those."""
    return place.ip.version == 4 and place.port >= _LOWEST


def _between(first: Address | None, last: Address | None, delta: int) -> Iterator[int]:
    """Ports after the first and before the last, from both ends to the middle; others' mappings may be among them."""
    most = limits.READY_PLACES // 2
    after = [first.port + delta * step for step in range(1, most + 1)] if first is not None else []
    before = [last.port - delta * step for step in range(1, most + 1)] if last is not None else []
    if first is not None and last is not None:
        steps = (last.port - first.port) // delta  # negative where the ports began anew
        if 0 < steps <= 2 * most:
            after, before = after[: steps // 2], before[: (steps - 1) // 2]
    pairs = zip_longest(after, before)
    return iter(dict.fromkeys(port for port in chain.from_iterable(pairs) if port is not None))


class _Knocking(Attempt):
    """At the other end: at what was predicted, from the tunnels' own socket."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._left: list[Address] = []
        """Where to knock, the next one last."""
        self._pacer: Pacer | None = None
        self._sent = 0
        self._ends_at = inf

    def begin(self, now: float) -> None:
        """Nothing to prepare: where we are seen is known."""
        self.ready = Ready().encode()
        self._ends_at = self.due = now + limits.PREDICT_SECONDS

    def peer_ready(self, payload: bytes, now: float) -> None:
        """There the peer's openers left its NAT."""
        if self._pacer is not None or self.is_over:
            return
        places = [place for place in Ready.decode(payload).addresses() if _is_likely(place)]
        self._left = places[::-1] * limits.PREDICT_PASSES
        self._pacer = Pacer(limits.PREDICT_SAFE_PER_SECOND, 1, now + 1 / limits.PREDICT_SAFE_PER_SECOND)
        self._knock(min(limits.PREDICT_BURST, len(places)))
        self._set_due()

    def handle_timer(self, now: float) -> None:
        """Knock at the next one."""
        if now >= self._ends_at:
            self.is_over = True
        elif self._pacer is not None:
            was_safe = self._sent < limits.PREDICT_SAFE
            self._knock(self._pacer.take(now))
            if was_safe and self._sent >= limits.PREDICT_SAFE:
                self._pacer = Pacer(limits.PREDICT_PER_SECOND, 1, now + 1 / limits.PREDICT_PER_SECOND)
        self._set_due()

    def _knock(self, count: int) -> None:
        for _ in range(min(count, len(self._left))):
            self.do(Shot(OWN, self._left.pop()))
            self._sent += 1

    def _set_due(self) -> None:
        knock_at = self._pacer.due if self._pacer is not None and self._left else inf
        self.due = inf if self.is_over else min(self._ends_at, knock_at)


STRATEGY = Predict()
