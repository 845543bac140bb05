"""Candidates: where an endpoint might be reached, of which kind, and what may be done with it. Sans-IO.

A candidate becomes a path (`tunnels.paths.path`) once something is sent to it. Whatever another endpoint tells us of
goes through `is_sane` first: nobody shall point our pings at a name server or at this machine's own services.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Final

from tunnels import limits
from tunnels.addresses import Address, PathAddress, RelayAddress, SocketAddress, TcpAddress, TurnAddress

if TYPE_CHECKING:
    from collections.abc import Iterable


class CandidateKind(IntEnum):
    """How a candidate came to be known (RFC 8445 §5.1.1); the numbers are those on the wire."""

    HOST = 1
    """An address of one of the endpoint's own interfaces."""
    SERVER_REFLEXIVE = 2
    """What a STUN server saw the endpoint's socket as."""
    PEER_REFLEXIVE = 3
    """What a peer saw datagrams of the endpoint come from."""
    CONFIGURED = 4
    """A person, a record or a ticket says so."""
    RELAYED = 5
    """The endpoint's allocation on a TURN server; or, as a `TurnAddress`, any address by way of our own."""
    RELAY = 6
    """By way of a beacon."""
    MAPPED = 7
    """A port that the endpoint's router sends on to it. Older peers pass it over."""


class Tier(IntEnum):
    """What a path costs, and whom: less is better. Tiers are compared before round-trip times are."""

    LAN = 1
    DIRECT = 2
    TCP = 3
    """Direct, too, but whatever is lost holds up what comes behind it."""
    TURN = 4
    RELAY = 5

    @property
    def words(self) -> str:
        """For people."""
        return "a direct path" if self is Tier.DIRECT else f"a {self.name} path"


class PathPolicy(Enum):
    """Which paths may be used to a contact."""

    AUTO = "auto"
    """Whatever works; the best that does."""
    DIRECT_ONLY = "direct-only"
    """Never by way of others: neither relay nor TURN."""
    RELAY_ONLY = "relay-only"
    """Only by way of others: the contact does not learn our addresses."""
    NO_LAN = "no-lan"
    """Everything but private addresses, of which the contact learns nothing either."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place, and how it came to be known."""

    address: PathAddress
    kind: CandidateKind

    @property
    def tier(self) -> Tier:
        """The tier of a path to it."""
        if self.kind is CandidateKind.RELAYED and isinstance(self.address, Address):
            return Tier.TURN  # it is the peer's allocation: only the peer pays for it, but the way is as long
        return tier_of(self.address)

    def __str__(self) -> str:
        return f"{self.address} ({self.kind.name.lower().replace('_', '-')})"


_ALLOWED: Final = {
    PathPolicy.AUTO: frozenset(Tier),
    PathPolicy.DIRECT_ONLY: frozenset({Tier.LAN, Tier.DIRECT, Tier.TCP}),
    PathPolicy.RELAY_ONLY: frozenset({Tier.TURN, Tier.RELAY}),
    PathPolicy.NO_LAN: frozenset({Tier.DIRECT, Tier.TCP, Tier.TURN, Tier.RELAY}),
}


def narrower(one: PathPolicy, other: PathPolicy) -> PathPolicy | None:
    """The policy that allows what both do; None if there is none, or no path is left."""
    both = _ALLOWED[one] & _ALLOWED[other]
    return next((policy for policy, tiers in _ALLOWED.items() if tiers == both), None)


def is_allowed(policy: PathPolicy, tier: Tier) -> bool:
    """Whether paths of this tier may be used."""
    return tier in _ALLOWED[policy]


def allowed(policy: PathPolicy, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those candidates that the policy lets us use, or tell of."""
    return tuple(candidate for candidate in candidates if is_allowed(policy, candidate.tier))


def may_send(policy: PathPolicy, candidate: Candidate) -> bool:
    """Whether we may send to a candidate of the peer's.

    Its allocation is by way of others, so DIRECT_ONLY forbids it; and it is an address that the peer may have made up,
    to which our own socket would show where we are, so RELAY_ONLY forbids it as well: our own allocation goes there.
    """
    return is_allowed(policy, candidate.tier) and is_allowed(policy, tier_of(candidate.address))


@lru_cache(maxsize=1024)
def tier_of(address: PathAddress) -> Tier:
    """The tier of a path to an address of which no more is known."""
    match address:
        case RelayAddress():
            return Tier.RELAY
        case TurnAddress():
            return Tier.TURN
        case SocketAddress():
            return tier_of(address.peer)
        case TcpAddress():
            return Tier.TCP
        case Address():
            return Tier.LAN if is_private(address) else Tier.DIRECT


_PRIVATE: Final[tuple[IPv4Network | IPv6Network, ...]] = (
    *map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8")),
    *map(IPv6Network, ("fc00::/7", "fe80::/10", "::1/128")),
)
"""Networks of one's own (RFC 1918, 3927, 4193, 4291); not 100.64.0.0/10, which is a provider's (RFC 6598)."""


def is_private(address: Address) -> bool:
    """Whether the address means something on its own network only."""
    return any(address.ip in network for network in _PRIVATE)


_NOBODYS: Final[tuple[IPv4Network | IPv6Network, ...]] = (
    *map(IPv4Network, ("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "169.254.169.254/32")),
    *map(IPv6Network, ("::/128", "ff00::/8", "64:ff9b::/96", "2002::/16", "fd00:ec2::254/128")),
)
"""Nobody's, everybody's, and the addresses where clouds keep their secrets. IPv4 in the clothes of IPv6 would pass
by what is refused as IPv4."""

_OURSELVES: Final[tuple[IPv4Network | IPv6Network, ...]] = (
    IPv4Network("127.0.0.0/10"),
    IPv6Network("::1/128"),
)
"""Where an endpoint on this machine may be: in the rest of 127.0.0.0/8 gateways give names addresses, and serve people."""

OTHERS_PORTS: Final = frozenset(
    {7, 13, 17, 19, 53, 69, 111, 123, 137, 138, 161, 162, 389, 500, 520, 1900, 3702, 5060, 5353, 5355, 11211}
)
"""Ports of services that answer strangers over UDP, many with more than they were asked. Nobody runs a gateway there."""


def is_sane(address: PathAddress, *, with_loopback: bool) -> bool:
    """Whether an address that somebody else told us of may be pinged, or connected to.

    `with_loopback`: we are reached by loopback ourselves, so the peer may well be on this machine.
    """
    if isinstance(address, RelayAddress):
        return with_loopback or not address.beacon.is_local
    if isinstance(address, TurnAddress | SocketAddress | TcpAddress):
        return is_sane(address.peer, with_loopback=False)
    ip: IPv4Address | IPv6Address = address.ip
    if ip.is_loopback and not (with_loopback and any(ip in network for network in _OURSELVES)):
        return False
    if isinstance(ip, IPv4Address) and ip.packed[3] == 255 and is_private(address):
        return False  # the broadcast address of nearly every private network
    return address.port not in OTHERS_PORTS and not any(ip in network for network in _NOBODYS)


def bounded(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The first of each address, and no more than we keep: in all, and of each family and scope."""
    kept: dict[PathAddress, Candidate] = {}
    of_scope: dict[object, int] = {}
    for candidate in candidates:
        address = candidate.address
        if address in kept:
            continue
        scope = (candidate.tier, address.ip.version if isinstance(address, Address) else 0)
        if len(kept) < limits.MAX_CANDIDATES and of_scope.get(scope, 0) < limits.MAX_CANDIDATES_PER_SCOPE:
            kept[address] = candidate
            of_scope[scope] = of_scope.get(scope, 0) + 1
    return tuple(kept.values())
