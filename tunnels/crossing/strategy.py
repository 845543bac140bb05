"""The seam between the ladder and the strategies: what a strategy says of itself, and what one side of a try does. Sans-IO.

A *strategy* is a row of the registry: for which pairs of networks it is, what it costs, how likely it is to succeed. Many of
them need nothing done: pings to all candidates are under way whenever a connection has no direct path, and that is all
it takes. The others make an `Attempt` at each end, in two stages:

1. *Prepare*: open our own NAT with datagrams that die on the way, find out where they left it. Then `ready` is set, and
   the peer is told what it has to know.
2. *Execute*, from `peer_ready` on: knock where the peer let us in.

`ready` may change while an attempt runs: the peer is told whatever is the newest, and `peer_ready` comes again with that.
So each side can know that the other has opened its NAT before it knocks, and both can begin anew together.

A *knock* is a sealed ping. Wherever one arrives, the end that gets it answers to where it came from and pings that, too,
so it takes no more than one: the path is then found, judged and selected like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from math import inf
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import msgspec
from msgspec import Meta

from tunnels import limits as tunnel_limits
from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.errors import ProtocolViolation
from tunnels.nat import limits as nat_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address, IPv6Address
    from random import Random

    from tunnels.crossing.description import Pair

OWN: Final = 0
"""The tunnels' own socket; those of an attempt have numbers from 1 on, and are opened when they are first named."""


@dataclass(frozen=True, slots=True)
class Shot:
    """Knock there."""

    socket: int
    to: Address
    ttl: int | None = None
    """Routers it may pass: an *opener* passes our own NAT and dies before the peer's. None: as many as usual."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a STUN server where a socket is seen; `Attempt.seen` gets the answer, if one comes. Each is a new request."""

    socket: int
    server: Address


@dataclass(frozen=True, slots=True)
class AskTcp:
    """Bind a TCP port for this socket, and ask our beacon where it is seen; `Attempt.tcp_seen` gets the answer, or None."""

    socket: int


@dataclass(frozen=True, slots=True)
class ConnectTcp:
    """Try to connect there from that TCP port, unless a try is under way; a knock is the first that is said."""

    socket: int
    to: Address


Action = Shot | Ask | AskTcp | ConnectTcp


@dataclass(frozen=True, slots=True)
class Cost:
    """What an attempt takes of our side, at most."""

    datagrams: int = 0
    sockets: int = 0
    """Besides the tunnels' own."""
    mappings: int = 0
    """Entries that it makes in the tables of our own NAT."""
    blind: int = 0
    """How many of them it would make before it sees whether there is room for them; it gets by with fewer."""
    seconds: float = 0.0
    guesses: bool = False
    """Whether most of the datagrams go to ports that nobody named: one such attempt at a time in a process."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What an attempt starts from."""

    pair: Pair
    targets: tuple[Address, ...]
    """The peer's public addresses, as it told them, sane ones, the likeliest first; of a NAT whose ports vary only the ips count."""
    servers: tuple[Address, ...]
    """STUN servers that we may ask."""
    round_trip: float
    """Seconds to the peer and back by the path that works."""
    random: Random
    is_client: bool
    """Whether we dialled the connection: what is not the same for both ends goes by this."""
    local_port: Callable[[int], int] = field(default=lambda _: 0)
    """The port on this machine that a socket of the attempt is bound to."""
    times: int = 0
    """How often this strategy was tried on this connection before."""
    room: int | None = None
    """Mappings that may be made before it is seen whether our router has room for them; None: as many as `Cost.blind` says."""

    @property
    def peer_ips(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """Where the peer's NAT is seen: as it described it, else as its candidates say."""
        return self.pair.theirs.behavior.external_ips or tuple(dict.fromkeys(to.ip for to in self.targets))

    @property
    def opener_ttl(self) -> int:
        """Routers that an opener may pass: one beyond our outermost NAT, if we know where that is, so that it dies far from the
        peer's. Every other time it is
        another number: a router on the way may have hidden."""
        outermost = self.pair.mine.behavior.levels.outermost
        if outermost is None:
            return limits.OPENER_TTLS[self.times % 2]
        if self.times % 2:
            return tunnel_limits.OPENER_TTL
        return min(max(outermost + 1, limits.OPENER_TTL_LEAST), limits.OPENER_TTL_MOST)


class Attempt:
    """One side of one attempt: told of what happens with `now`, the event loop's clock; `take` gives what is to be done."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.ready: bytes | None = None
        """What the peer has to know before it executes; None while this side is not prepared. Where it changes, the peer
        gets the newest, at most `limits.READY_CHANGES` times."""
        self.due = inf
        """When `handle_timer` has something to do."""
        self.is_over = False
        """Whether it is in vain to go on."""
        self.is_cramped = False
        """Whether our router was seen to have no room for more mappings."""
        self._actions: list[Action] = []

    def begin(self, now: float) -> None:
        """Prepare."""
        raise NotImplementedError

    def seen(self, socket: int, server: Address, address: Address, now: float) -> None:
        """A STUN server saw that socket there."""

    def tcp_seen(self, socket: int, address: Address | None, local_port: int, now: float) -> None:
        """Our beacon saw that TCP socket, bound to this port, there; None if it did not tell."""

    def peer_ready(self, payload: bytes, now: float) -> None:
        """The peer is prepared, and this is its `ready`: execute. ProtocolViolation if it makes no sense.

        Comes once for each that differs from the one before, in order; some may be left out, the last one never."""
        raise NotImplementedError

    def handle_timer(self, now: float) -> None:
        """Let what is due at `now` happen."""

    def take(self) -> list[Action]:
        """What is to be done at once, in order."""
        actions, self._actions = self._actions, []
        return actions

    def do(self, *actions: Action) -> None:
        """To be done at once."""
        self._actions += actions


class Strategy(Protocol):
    """A row of the registry; `pair` is always ours first."""

    @property
    def name(self) -> str:
        """As people read it, a few words; unique."""

    @property
    def code(self) -> int:
        """As peers know it, 1 to 255; never used again for another one."""

    @property
    def summary(self) -> str:
        """How it works, in a line."""

    def suits(self, pair: Pair) -> bool:
        """Whether it can succeed between two such networks; the same from both ends."""

    def success(self, pair: Pair) -> float:
        """How likely it succeeds then, 0 to 1."""

    def cost(self, pair: Pair) -> Cost:
        """What it takes of our side."""

    def attempt(self, setting: Setting) -> Attempt | None:
        """Our side of a try; None if there is nothing to do but wait: pings to all candidates do it."""


# --- what strategies tell each other ------------------------------------------------------------------------


class Ready(msgspec.Struct, frozen=True, array_like=True):
    """What most strategies need to know of the peer: where to knock."""

    places: Annotated[
        tuple[tuple[Annotated[bytes, Meta(max_length=16)], Annotated[int, Meta(ge=1, le=65535)]], ...],
        Meta(max_length=limits.READY_PLACES),
    ] = ()
    """Addresses in bytes and ports, the likeliest first."""
    round: Annotated[int, Meta(ge=0, le=255)] = 0
    """Which try within the attempt it is about, where there are several."""
    is_open: bool = False
    """Whether openers to the peer's place are on their way, so that it may knock."""

    @classmethod
    def at(cls, places: Iterable[Address], *, round: int = 0, is_open: bool = False) -> Ready:
        """As many of these as fit."""
        packed = tuple((place.ip.packed, place.port) for place in places)
        return cls(packed[: limits.READY_PLACES], round, is_open)

    def encode(self) -> bytes:
        """As the payload of `Attempt.ready`."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, payload: bytes) -> Ready:
        """ProtocolViolation for anything else."""
        try:
            return _decoder.decode(payload)
        except (ValueError, RecursionError):
            raise ProtocolViolation("a strategy's message that makes no sense") from None

    def addresses(self) -> tuple[Address, ...]:
        """The places, without those that are none."""
        found = []
        for packed, port in self.places:
            if len(packed) in (4, 16):
                found.append(Address.of(str(ip_address(packed)), port))
        return tuple(found)


_decoder: Final = msgspec.msgpack.Decoder(Ready)


# --- what several strategies do -----------------------------------------------------------------------------


class Pacer:
    """So many a second from when it began, never more than `burst` at once."""

    def __init__(self, per_second: float, burst: int, now: float) -> None:
        self._gap = 1 / per_second
        self._burst = burst
        self._next = now

    def take(self, now: float) -> int:
        """How many are due."""
        if now < self._next:
            return 0
        count = min(self._burst, 1 + int((now - self._next) / self._gap))
        self._next += count * self._gap
        if self._next <= now:  # what was missed beyond a burst is not made up for
            self._next = now + self._gap
        return count

    @property
    def due(self) -> float:
        """When the next one is."""
        return self._next


class Sampling:
    """Questions to STUN servers from sockets, each asked again a few times until it is answered."""

    def __init__(self) -> None:
        self.answers: dict[tuple[int, Address], Address] = {}
        """Where each server saw each socket."""
        self._asked: dict[tuple[int, Address], int] = {}
        self.due = inf
        """When to ask again; infinite when nothing is waited for any more."""

    def ask(self, socket: int, server: Address, now: float) -> Ask:
        """The question, to be done at once."""
        self._asked[(socket, server)] = 1
        self.due = min(self.due, now + nat_limits.STUN_RESEND)
        return Ask(socket, server)

    def again(self, now: float) -> list[Ask]:
        """What is to be asked again at `due`."""
        if now < self.due:
            return []
        found = []
        is_last = True
        for (socket, server), times in self._asked.items():
            if (socket, server) not in self.answers and times < limits.SAMPLING_SENDS:
                self._asked[(socket, server)] = times + 1
                found.append(Ask(socket, server))
                is_last &= times + 1 == limits.SAMPLING_SENDS
        wait = limits.SAMPLING_WAIT if is_last else nat_limits.STUN_RESEND
        self.due = now + wait if found else inf
        return found

    def seen(self, socket: int, server: Address, address: Address) -> None:
        """An answer."""
        if (socket, server) in self._asked:
            self.answers.setdefault((socket, server), address)
        if self.is_complete:
            self.due = inf

    @property
    def is_complete(self) -> bool:
        """Whether each question was answered."""
        return len(self.answers) == len(self._asked)
