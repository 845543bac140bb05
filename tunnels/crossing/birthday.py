"""Knocks at guessed ports: many sockets wait behind the one NAT, many knocks come from behind the other. Sans-IO.

The NAT of the *waiting* side gives each destination another port, that of the *knocking* side always the same. So the
former opens many sockets towards that one place, with datagrams that die on the way, and any knock at any of their ports
gets in. It is the birthday paradox: with N ports open of P, M knocks find one with 1 - (1 - N/P)^M, nearly.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from ipaddress import IPv4Address
from math import ceil, exp, inf, lgamma
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.crossing.canary import Canary, Looks
from tunnels.crossing.description import NetworkClass
from tunnels.crossing.strategy import OWN, Attempt, Cost, Pacer, Ready, Sampling, Setting, Shot
from tunnels.errors import ProtocolViolation
from tunnels.paths.candidates import OTHERS_PORTS, is_sane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from random import Random

    from tunnels.crossing.description import Description, Pair

ASKED: Final = 2
"""STUN servers that the knocking side asks where it is seen."""

HIGHEST: Final = 65535


@dataclass(frozen=True, slots=True)
class Terms:
    """How many, how fast and how long; both sides derive the same from the pair."""

    sockets: int
    """That wait."""
    knocks: int
    per_second: float
    seconds: float
    """From when both sides are prepared."""
    burst: int = 1
    """Knocks at once, where the clock comes late."""
    at_once: int = 0
    """More knocks, at the very beginning."""
    step: int | None = None
    """Sockets to open, beyond the first ones, before it is seen whether the router has room for more; None: there are no more."""
    is_early: bool = False
    """Whether knocks may begin while sockets are still being opened: worth it where they are many."""


# --- chances and ports --------------------------------------------------------------------------------------


def chance(waiting: int, knocks: int, ports: int) -> float:
    """That one of so many knocks, no two at one port, is at a port where somebody waits."""
    if waiting <= 0 or knocks <= 0:
        return 0.0
    if waiting + knocks > ports:
        return 1.0
    missed = lgamma(ports - waiting + 1) - lgamma(ports - waiting - knocks + 1)
    return 1 - exp(missed - lgamma(ports + 1) + lgamma(ports - knocks + 1))


def ports_of(span: tuple[int, int]) -> range:
    """The ports of a block that a NAT may give out."""
    return range(max(span[0], limits.GUESS_LOWEST), min(span[1], HIGHEST) + 1)


def draw(ports: Sequence[int], count: int, random: Random) -> list[int]:
    """As many of these ports by chance, none twice, and none of a service that answers strangers."""
    drawn = random.sample(ports, min(len(ports), count + len(OTHERS_PORTS)))
    return [port for port in drawn if port not in OTHERS_PORTS][:count]


def sane_ips(setting: Setting) -> tuple[IPv4Address, ...]:
    """Where the peer's NAT is, as far as it may be sent to. Behind IPv6 addresses no port has to be guessed."""
    return tuple(
        ip
        for ip in setting.peer_ips
        if isinstance(ip, IPv4Address) and is_sane(Address(ip, HIGHEST), with_loopback=False)
    )


def scatter(ports: Iterable[int], ips: Sequence[IPv4Address], random: Random) -> list[Address]:
    """These ports, each at one of the ips by chance."""
    if len(ips) == 1:
        return [Address(ips[0], port) for port in ports]
    return [Address(random.choice(ips), port) for port in ports]


def patience(setting: Setting) -> float:
    """A round trip to the peer, as far as it is waited for."""
    return min(setting.round_trip, limits.GUESS_ROUND_TRIP)


def linger(setting: Setting) -> float:
    """Seconds in which what is on its way may still arrive."""
    return limits.GUESS_LINGER + patience(setting)


def is_ours_to_wait(pair: Pair) -> bool | None:
    """Whether it is our side that waits for knocks of the other; None if these two networks are not for that."""
    if pair.is_behind_one_address:
        return None
    mine, theirs = pair.classes
    if mine.is_symmetric and theirs is NetworkClass.PORT_RESTRICTED:
        return True
    if theirs.is_symmetric and mine is NetworkClass.PORT_RESTRICTED:
        return False
    return None


def waiting_side(pair: Pair) -> Description:
    """The network whose ports are guessed."""
    return pair.mine if is_ours_to_wait(pair) else pair.theirs


def any_port(pair: Pair) -> int:
    """How many ports a NAT gives out, of which one parity counts if it keeps that."""
    keeps_parity = waiting_side(pair).behavior.allocation.keeps_parity
    return (HIGHEST + 1 - limits.GUESS_LOWEST) // (2 if keeps_parity else 1)


def guess_any(setting: Setting, terms: Terms, parity: int | None) -> list[int]:
    """Random ports; all those that a NAT gives out, or those of one parity."""
    first = limits.GUESS_LOWEST + (parity or 0)
    return draw(range(first, HIGHEST + 1, 1 if parity is None else 2), terms.knocks, setting.random)


# --- the side that waits ------------------------------------------------------------------------------------


class Opened(msgspec.Struct, frozen=True, array_like=True):
    """What the knocking side needs to know: sockets wait."""

    parity: Annotated[int, Meta(ge=0, le=1)] | None = None
    """Of the ports at which they do: 0 even, 1 odd; None: any."""

    def encode(self) -> bytes:
        """As the payload of `Attempt.ready`."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, payload: bytes) -> Opened:
        """ProtocolViolation for anything else."""
        try:
            return _decoder.decode(payload)
        except (ValueError, RecursionError):
            raise ProtocolViolation("not what is said of sockets that wait for knocks") from None


_decoder: Final = msgspec.msgpack.Decoder(Opened)


class Waiting(Attempt):
    """Opens sockets towards the one place that knocks come from, and keeps their mappings."""

    def __init__(self, setting: Setting, terms: Terms) -> None:
        super().__init__(setting)
        self._terms = terms
        self._keeps_parity = _keeps_parity(setting.pair.mine)
        self._parity: int | None = None
        self._place: Address | None = None
        self._pacer: Pacer | None = None
        self._next = 1
        self._opened = 0
        self._may_open = min(blind_of(terms), terms.sockets if setting.room is None else setting.room)
        self._most = self._may_open if terms.step is None else terms.sockets
        self._again: deque[_Open] = deque()
        """In the order in which they are due."""
        self._opens_at = self._ends_at = inf
        self._canary: Canary | None = None
        self._looked_at: int | None = None
        """How many sockets there were at the last look."""

    def begin(self, now: float) -> None:
        """The peer has a moment to ask where it is seen."""
        self._opens_at = now + limits.GUESS_PLACE_WAIT + patience(self.setting)
        self._ends_at = self._opens_at + self._terms.seconds + linger(self.setting)
        if self._terms.step is not None and self.setting.servers:
            first = 1 + most_sockets(self._terms, keeps_parity=self._keeps_parity)
            self._canary = Canary(self.setting.servers[0], first, looks_of(self._terms))
            self.do(*self._canary.begin(now))
        self._set_due()

    def peer_ready(self, payload: bytes, now: float) -> None:
        """The peer says where it is seen, if it knows."""
        places = Ready.decode(payload).addresses()
        if self._place is not None or self.is_over:
            return
        known = {*self.setting.peer_ips, *(to.ip for to in self.setting.targets)}
        for place in places:
            if place.ip in known and place.ip.version == 4 and is_sane(place, with_loopback=False):
                self._open_to(place, now)
                break
        else:
            self._opens_at = now
        self.handle_timer(now)

    def seen(self, socket: int, server: Address, address: Address, now: float) -> None:
        """An answer to what was asked to see whether there is room."""
        if self._canary is not None:
            self._canary.seen(socket, server, address)
            self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        """Open what is due."""
        if self.is_over:
            return
        if self._place is None and now >= self._opens_at:
            told = [to for to in self.setting.targets if to.ip.version == 4]
            if told:
                self._open_to(told[0], now)
        if now >= self._ends_at or (self._place is None and now >= self._opens_at):
            self.is_over, self.due = True, inf
            return
        self._shoot(now)
        if self._canary is not None:
            self._grow(self._canary, now)
        self._set_due()

    def _open_to(self, place: Address, now: float) -> None:
        self._place = place
        self._pacer = Pacer(limits.GUESS_OPENERS_PER_SECOND, limits.GUESS_OPENERS_BURST, now)

    def _shoot(self, now: float) -> None:
        if self._pacer is None or self._place is None or self._opener_due() > now:
            return
        for _ in range(self._pacer.take(now)):
            opener = self._new_opener()
            if opener is None and self._again and self._again[0].due <= now:
                opener = self._again.popleft()
            if opener is None:
                break
            self.do(Shot(opener.socket, self._place, self.setting.opener_ttl))
            if opener.left > 1:
                self._again.append(_Open(opener.socket, now + limits.GUESS_OPENERS_EVERY, opener.left - 1))
        if self.ready is None and (self._terms.is_early or self._opened >= self._may_open):
            self.ready = Opened(self._parity).encode()

    def _new_opener(self) -> _Open | None:
        """The next socket whose mapping is of the parity that the peer is told; None if there shall be no more."""
        while self._opened < self._may_open:
            if self._next > most_sockets(self._terms, keeps_parity=self._keeps_parity):
                self._most = self._may_open = self._opened
                break
            socket, self._next = self._next, self._next + 1
            port = self.setting.local_port(socket) if self._keeps_parity else 0
            if port and self._parity is None:
                self._parity = port & 1
            if self._parity is None or port & 1 == self._parity:
                self._opened += 1
                return _Open(socket, -inf, rounds(self._terms))
        return None

    def _grow(self, canary: Canary, now: float) -> None:
        """Allow more sockets while the router has room; the last ones are given up once it has not."""
        self.do(*canary.again(now))
        if canary.is_asking or self._terms.step is None:
            return
        if self._looked_at != self._opened:
            if canary.is_blind:
                self._canary = None
            elif self._place is not None and self._opened >= self._may_open:
                self._looked_at = self._opened
                self.do(*canary.look(now))
        elif canary.is_full:
            self._give_up(self._terms.step, are_oldest=canary.forgets_old)
        elif self._opened >= self._most:
            self._canary = None
        else:
            self._may_open = min(self._may_open + self._terms.step, self._most)

    def _give_up(self, count: int, *, are_oldest: bool) -> None:
        """Those that there was no room for are not used again, nor as many before them: others in the home need some, too."""
        self.is_cramped = True
        self._canary = None
        sockets = sorted(opener.socket for opener in self._again)
        left = max(len(sockets) - 2 * count, limits.SMALL_SOCKETS)
        given_up = set(sockets[:-left] if are_oldest else sockets[left:])
        self._again = deque(opener for opener in self._again if opener.socket not in given_up)

    def _opener_due(self) -> float:
        if self._pacer is None:
            return inf
        if self._opened < self._may_open:
            return self._pacer.due
        return max(self._again[0].due, self._pacer.due) if self._again else inf

    def _set_due(self) -> None:
        opens_at = self._opens_at if self._place is None else inf
        canary = self._canary.due if self._canary is not None else inf
        self.due = min(self._ends_at, opens_at, self._opener_due(), canary)


@dataclass(frozen=True, slots=True)
class _Open:
    """A socket that is to be used."""

    socket: int
    due: float
    left: int
    """How often, with this one."""


# --- the side that knocks -----------------------------------------------------------------------------------


class Knocking(Attempt):
    """Says where it is seen; then knocks from the tunnels' own socket at ports of the peer's NAT."""

    def __init__(
        self, setting: Setting, terms: Terms, guess: Callable[[Setting, Terms, int | None], list[int]]
    ) -> None:
        """`guess`: the ports to knock at, in order; it is told the parity that they have to have, if any."""
        super().__init__(setting)
        self._terms = terms
        self._guess = guess
        self._sampling = Sampling()
        self._asks_until = self._ends_at = inf
        self._pacer: Pacer | None = None
        self._places: list[Address] = []
        """The next one last."""
        self._made = 0
        looks = looks_of_knocks(terms)
        self._looks = Looks(Canary(setting.servers[0], 1, looks) if setting.servers and looks else None)

    def begin(self, now: float) -> None:
        """Ask where we are seen: what the peer was told may be old."""
        self._asks_until = now + limits.GUESS_PLACE_WAIT
        self._ends_at = self._asks_until + self._terms.seconds + linger(self.setting)
        self.do(*(self._sampling.ask(OWN, server, now) for server in self.setting.servers[:ASKED]))
        self.do(*self._looks.begin(now))
        self.handle_timer(now)

    def seen(self, socket: int, server: Address, address: Address, now: float) -> None:
        """The first answer is as good as any: all servers see the same."""
        self._sampling.seen(socket, server, address)
        self._looks.seen(socket, server, address)
        self.handle_timer(now)

    def peer_ready(self, payload: bytes, now: float) -> None:
        """Sockets wait: knock."""
        parity = Opened.decode(payload).parity
        ips = sane_ips(self.setting)
        if self._pacer is not None or self.is_over or not ips:
            return
        ports = self._guess(self.setting, self._terms, parity)[: self._terms.knocks]
        self._places = scatter(reversed(ports), ips, self.setting.random)
        self._pacer = Pacer(self._terms.per_second, self._terms.burst, now)
        self._ends_at = now + self._terms.seconds + linger(self.setting)
        self._knock(self._terms.at_once)
        self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        """Knock as often as is due."""
        if self.is_over:
            return
        if self.ready is None:
            self._say_where(now)
        if self._pacer is not None and self._places and self._may_knock:
            self._knock(self._pacer.take(now))
            if not self._places:
                self._ends_at = min(self._ends_at, now + linger(self.setting))
        if self._looks.are_made:
            self._look(now)
        if now >= self._ends_at:
            self.is_over, self.due = True, inf
            return
        asks = min(self._asks_until, self._sampling.due) if self.ready is None else inf
        knocks = self._pacer.due if self._pacer is not None and self._places and self._may_knock else inf
        self.due = min(self._ends_at, asks, knocks, self._looks.due)

    @property
    def _may_knock(self) -> bool:
        return self._looks.may_make(self._made)

    def _look(self, now: float) -> None:
        """Many routers remember each place that we knock at: once ours is full, leave it in peace."""
        self.do(*self._looks.again(self._made, now))
        if self._looks.is_full:
            self.is_cramped = True
            self._places = []
            self._ends_at = min(self._ends_at, now + linger(self.setting))

    def _say_where(self, now: float) -> None:
        answers = self._sampling.answers
        if answers or now >= self._asks_until or not self.setting.servers:
            self.ready = Ready.at(dict.fromkeys(answers.values())).encode()
        else:
            self.do(*self._sampling.again(now))

    def _knock(self, count: int) -> None:
        for _ in range(min(count, len(self._places))):
            self.do(Shot(OWN, self._places.pop()))
            self._made += 1


# --- what it costs ------------------------------------------------------------------------------------------


def rounds(terms: Terms) -> int:
    """How often each opener is sent at most: again only if all may take as long as a NAT remembers it."""
    if terms.seconds < limits.NAT_FORGETS / 2:
        return 1
    return 1 + int(terms.seconds // limits.GUESS_OPENERS_EVERY)


def blind_of(terms: Terms) -> int:
    """Sockets that are opened before it is seen whether there is room."""
    return terms.sockets if terms.step is None else min(limits.SMALL_SOCKETS, terms.sockets)


def most_sockets(terms: Terms, *, keeps_parity: bool) -> int:
    """Openers at most: where ports keep their parity, half of them are not of the one that is told."""
    return terms.sockets * 2 if keeps_parity else terms.sockets


def looks_of(terms: Terms) -> int:
    """How often it is seen whether there is room for more."""
    if terms.step is None:
        return 0
    return 1 + ceil(max(0, terms.sockets - limits.SMALL_SOCKETS) / terms.step)


def looks_of_knocks(terms: Terms) -> int:
    """The same, at the other end: after so many knocks, twice as many, and so on."""
    return (terms.knocks // limits.KNOCKS_LOOK).bit_length()


def _keeps_parity(network: Description) -> bool:
    return bool(network.behavior.allocation.keeps_parity)


def cost_of(pair: Pair, terms: Terms) -> Cost:
    """What it takes of our side."""
    seconds = (
        limits.GUESS_PLACE_WAIT
        + terms.sockets / limits.GUESS_OPENERS_PER_SECOND
        + terms.seconds
        + limits.GUESS_LINGER
    )
    if not is_ours_to_wait(pair):
        at_once = ceil(terms.per_second * limits.CROSSING_MAPPING_SECONDS) + terms.at_once + terms.burst
        looks = looks_of_knocks(terms)
        return Cost(
            datagrams=terms.knocks + ASKED * limits.SAMPLING_SENDS + Canary.questions(looks),
            sockets=Canary.sockets(looks),
            mappings=min(terms.knocks, at_once) + ASKED + Canary.sockets(looks),
            seconds=seconds,
            guesses=True,
        )
    looks = looks_of(terms)
    return Cost(
        datagrams=terms.sockets * rounds(terms) + Canary.questions(looks),
        sockets=most_sockets(terms, keeps_parity=_keeps_parity(pair.mine)) + Canary.sockets(looks),
        mappings=terms.sockets + Canary.sockets(looks),
        blind=blind_of(terms),
        seconds=seconds,
        guesses=True,
    )


# --- both ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Birthday:
    """A row of the registry: one side waits at many ports, the other knocks."""

    name: str
    code: int
    summary: str
    terms: Callable[[Pair], Terms]
    guess: Callable[[Setting, Terms, int | None], list[int]] = guess_any
    """The ports to knock at, in order, all of one parity if one is named."""
    ports: Callable[[Pair], int] = any_port
    """How many there are at which the other side may wait, at each of its ips."""

    def suits(self, pair: Pair) -> bool:
        """Whether exactly one of them gives each destination another port, and some port may be it."""
        return is_ours_to_wait(pair) is not None and self.ports(pair) > 0

    def success(self, pair: Pair) -> float:
        """By the formula, if the ports are those that they were seen to be."""
        terms, ports = self.terms(pair), self.ports(pair)
        ips = max(1, len(waiting_side(pair).behavior.external_ips))
        return chance(terms.sockets, min(terms.knocks, ports), ports * ips)

    def cost(self, pair: Pair) -> Cost:
        """Of our side of it."""
        return cost_of(pair, self.terms(pair))

    def attempt(self, setting: Setting) -> Attempt:
        """Wait or knock."""
        terms = self.terms(setting.pair)
        return (
            Waiting(setting, terms) if is_ours_to_wait(setting.pair) else Knocking(setting, terms, self.guess)
        )
