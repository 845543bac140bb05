"""What one end of a connection tells the other of its network: how it can be crossed, for one address family. Sans-IO.

It describes IPv4. Behind IPv6 there is nothing but firewalls, as a rule, and pings from both sides open those.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from tunnels.addresses import Address
from tunnels.crossing import limits
from tunnels.nat import limits as nat_limits
from tunnels.nat.behavior import UNKNOWN, Allocation, AllocationKind, Behavior, Filtering, Mapping


class NetworkClass(StrEnum):
    """What matters of a network where two are to be joined; which of them can be is a matter of the pair."""

    OPEN = "open"
    """Anybody gets in: a public address, a mapped port, or a full cone."""
    ADDRESS_RESTRICTED = "address-restricted"
    """Who was sent to gets in, from any port."""
    PORT_RESTRICTED = "port-restricted"
    """Who was sent to gets in, from that port only: most homes, and whatever stands behind a stateful firewall."""
    SEQUENTIAL = "symmetric, ports in order"
    BLOCK = "symmetric, ports in a block"
    RANDOM = "symmetric, random ports"
    BLOCKED = "UDP blocked"
    UNKNOWN = "unknown"

    @property
    def is_symmetric(self) -> bool:
        """Whether each destination sees another port, and lets nobody else in."""
        return self in (NetworkClass.SEQUENTIAL, NetworkClass.BLOCK, NetworkClass.RANDOM)

    @property
    def is_cone(self) -> bool:
        """Whether every destination sees the same port."""
        return self in (NetworkClass.OPEN, NetworkClass.ADDRESS_RESTRICTED, NetworkClass.PORT_RESTRICTED)


@dataclass(frozen=True, slots=True)
class Description:
    """One network, as the machine in it knows it."""

    behavior: Behavior = UNKNOWN
    udp_blocked: bool | None = None
    is_mapped: bool = False
    """Whether a port of the router leads to the tunnels' own socket, and somebody came in by it."""
    network: bytes = b""
    """A label that is the same whenever the machine is in this network, and says nothing of it; empty if unknown."""
    is_small: bool = False
    """Whether the router was seen to run out of room for mappings."""
    challenge: bytes = b""
    """What the peer is to have attested with its own address, so that many datagrams may go there."""
    attester: Address | None = None
    """The STUN server of our beacon, which attests it."""
    has_ipv6: bool = False
    """Whether the machine has an IPv6 address that means something elsewhere."""
    through_nat64: bool = False
    """Whether it reaches IPv4 only by way of its network's NAT64 (RFC 6146): then that is what is described."""

    @property
    def network_class(self) -> NetworkClass:
        """What it is where nothing else counts."""
        behavior = self.behavior
        if self.udp_blocked:
            return NetworkClass.BLOCKED
        if self.is_mapped or behavior.filtering is Filtering.ENDPOINT_INDEPENDENT:
            return NetworkClass.OPEN
        if behavior.mapping.varies is None:
            return NetworkClass.UNKNOWN
        if behavior.filtering is Filtering.ADDRESS_DEPENDENT:
            return (
                NetworkClass.ADDRESS_RESTRICTED
            )  # whatever its mapping: who was sent to may dial any port of it
        if not behavior.mapping.varies:
            return NetworkClass.PORT_RESTRICTED
        return _SYMMETRIC.get(behavior.allocation.kind, NetworkClass.RANDOM)


_SYMMETRIC: Final = {
    AllocationKind.DELTA: NetworkClass.SEQUENTIAL,
    AllocationKind.BLOCK: NetworkClass.BLOCK,
    AllocationKind.PRESERVING: NetworkClass.SEQUENTIAL,
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two networks, ours first."""

    mine: Description = field(default_factory=Description)
    theirs: Description = field(default_factory=Description)

    @property
    def swapped(self) -> Pair:
        """As the peer sees it."""
        return Pair(self.theirs, self.mine)

    @property
    def classes(self) -> tuple[NetworkClass, NetworkClass]:
        """Of both."""
        return self.mine.network_class, self.theirs.network_class

    def has(self, one: NetworkClass, other: NetworkClass) -> bool:
        """Whether it is these two, in either order."""
        return self.classes in ((one, other), (other, one))

    @property
    def lets_guess_only(self) -> bool:
        """Whether the peer sees us at one of its ports that nobody else sees, and nothing that comes from elsewhere gets in here."""
        mine, theirs = self.classes
        return theirs.is_symmetric and (mine.is_symmetric or mine is NetworkClass.PORT_RESTRICTED)

    @property
    def is_behind_one_address(self) -> bool:
        """Whether both are seen at one public address: one home, or one provider's NAT."""
        return bool(set(self.mine.behavior.external_ips) & set(self.theirs.behavior.external_ips))


# --- in bytes -----------------------------------------------------------------------------------------------

_MAPPINGS: Final = tuple(Mapping)
_FILTERINGS: Final = tuple(Filtering)
_ALLOCATIONS: Final = tuple(AllocationKind)
_U8 = Annotated[int, Meta(ge=0, le=255)]
_Port = Annotated[int, Meta(ge=0, le=65535)]


class _Wire(msgspec.Struct, frozen=True, array_like=True):
    """Later versions add at the end; what an older one does not say is unknown."""

    mapping: _U8
    filtering: _U8
    allocation: _U8
    delta: Annotated[int, Meta(ge=-65535, le=65535)] | None
    span: tuple[_Port, _Port] | None
    noise: Annotated[float, Meta(ge=0, le=1e6)] | None
    translated: bool | None
    external_ips: Annotated[
        tuple[Annotated[bytes, Meta(max_length=4)], ...], Meta(max_length=nat_limits.EXTERNAL_IPS)
    ]
    hairpin: bool | None
    poisons: bool | None
    keeps_parity: bool | None
    udp_blocked: bool | None
    is_mapped: bool
    network: Annotated[bytes, Meta(max_length=limits.NETWORK_LABEL_BYTES)]
    is_small: bool
    challenge: Annotated[bytes, Meta(max_length=nat_limits.CHALLENGE_BYTES)] = b""
    attester: tuple[Annotated[bytes, Meta(max_length=16)], Annotated[int, Meta(ge=1, le=65535)]] | None = None
    has_ipv6: bool = False
    through_nat64: bool = False


_decoder: Final = msgspec.msgpack.Decoder(_Wire)


def encode(description: Description) -> bytes:
    """At most `tunnel_limits.DESCRIPTION_BYTES`."""
    behavior, attester = description.behavior, description.attester
    allocation = behavior.allocation
    return msgspec.msgpack.encode(
        _Wire(
            mapping=_MAPPINGS.index(behavior.mapping),
            filtering=_FILTERINGS.index(behavior.filtering),
            allocation=_ALLOCATIONS.index(allocation.kind),
            delta=allocation.delta,
            span=allocation.span,
            noise=None if behavior.noise is None else round(behavior.noise, 1),
            translated=behavior.translated,
            external_ips=tuple(ip.packed for ip in behavior.external_ips if ip.version == 4),
            hairpin=behavior.hairpin,
            poisons=behavior.inbound_first_poisons,
            keeps_parity=allocation.keeps_parity,
            udp_blocked=description.udp_blocked,
            is_mapped=description.is_mapped,
            network=description.network,
            is_small=description.is_small,
            challenge=description.challenge,
            attester=None if attester is None else (attester.ip.packed, attester.port),
            has_ipv6=description.has_ipv6,
            through_nat64=description.through_nat64,
        )
    )


def decode(data: bytes) -> Description | None:
    """A peer's word for its network; None for what cannot be read. What makes no sense in it is unknown."""
    try:
        wire = _decoder.decode(data)
        ips = tuple(IPv4Address(ip) for ip in wire.external_ips)
    except (ValueError, AddressValueError, RecursionError):
        return None
    allocation = Allocation(
        _pick(_ALLOCATIONS, wire.allocation, AllocationKind.UNKNOWN), wire.delta, wire.span, wire.keeps_parity
    )
    return Description(
        behavior=Behavior(
            translated=wire.translated,
            mapping=_pick(_MAPPINGS, wire.mapping, Mapping.UNKNOWN),
            filtering=_pick(_FILTERINGS, wire.filtering, Filtering.UNKNOWN),
            allocation=_sensible(allocation),
            noise=wire.noise,
            external_ips=ips,
            hairpin=wire.hairpin,
            inbound_first_poisons=wire.poisons,
        ),
        udp_blocked=wire.udp_blocked,
        is_mapped=wire.is_mapped,
        network=wire.network,
        is_small=wire.is_small,
        challenge=wire.challenge if len(wire.challenge) == nat_limits.CHALLENGE_BYTES else b"",
        attester=_address(wire.attester),
        has_ipv6=wire.has_ipv6,
        through_nat64=wire.through_nat64,
    )


_T = TypeVar("_T")


def _pick(values: tuple[_T, ...], index: int, otherwise: _T) -> _T:
    return values[index] if index < len(values) else otherwise


def _sensible(allocation: Allocation) -> Allocation:
    """Without what would have us send in vain: a block that is none, a step that leads nowhere."""
    if (
        allocation.kind is AllocationKind.DELTA
        and not 0 < abs(allocation.delta or 0) <= nat_limits.BLOCK_MOST
    ):
        return replace(allocation, kind=AllocationKind.RANDOM, delta=None)
    if allocation.kind is AllocationKind.BLOCK:
        low, high = allocation.span or (0, 0)
        if not 0 < low < high or high - low >= nat_limits.BLOCK_MOST:
            return replace(allocation, kind=AllocationKind.RANDOM, span=None)
    return allocation


def _address(place: tuple[bytes, int] | None) -> Address | None:
    if place is None or len(place[0]) != 4:
        return None
    return Address(IPv4Address(place[0]), place[1])
