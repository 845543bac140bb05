"""What a NAT does (RFC 4787), told from where servers saw our sockets. Sans-IO: observations in, values out.

Nothing is said that was not seen: each trait may be unknown. What is told holds for the moment it was measured in; NATs
that are busy, or short of ports, behave otherwise.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import gcd
from typing import TYPE_CHECKING, Final

from tunnels.nat import limits
from tunnels.nat.levels import UNKNOWN_LEVELS, Levels, levels_of
from tunnels.nat.lifetime import UNKNOWN_LIFETIME, Lifetime

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.addresses import Address


class Mapping(StrEnum):
    """When one socket is seen at another port."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    """By each ip it sends to."""
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    """By each ip and port."""
    DEPENDENT = "dependent"
    """By each ip at least; whether by each port, too, was not seen."""
    UNKNOWN = "unknown"

    @property
    def varies(self) -> bool | None:
        """Whether peers see us elsewhere than servers do; None where it is unknown."""
        return None if self is Mapping.UNKNOWN else self is not Mapping.ENDPOINT_INDEPENDENT


class Filtering(StrEnum):
    """Who may answer at the port of a mapping."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    """Anybody."""
    ADDRESS_DEPENDENT = "address-dependent"
    """Whose ip was sent to."""
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    """Whose ip and port were sent to."""
    UNKNOWN = "unknown"


class AllocationKind(StrEnum):
    """Which port a new mapping gets."""

    PRESERVING = "preserving"
    """The socket's own."""
    DELTA = "delta"
    """The last one's and a constant more or less."""
    BLOCK = "block"
    """A random one in a small range."""
    RANDOM = "random"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Allocation:
    """How ports are chosen for new mappings."""

    kind: AllocationKind = AllocationKind.UNKNOWN
    delta: int | None = None
    """From one mapping to the next, for DELTA."""
    span: tuple[int, int] | None = None
    """The first and the last port of the range, for BLOCK: aligned to a power of two where that fits."""
    keeps_parity: bool | None = None
    """Whether even ports become even ones, and odd ones odd; None where too few were seen."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A socket asked a server where it is seen."""

    socket: int
    """Its number among those of one burst; each is bound to a port of its own."""
    local_port: int
    server: Address
    seen: Address | None
    """None: it was asked, and did not answer; a mapping was made all the same."""
    at: float
    """When it was asked first."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that one burst found out about one address family."""

    observations: tuple[Observation, ...] = ()
    """In the order of asking."""
    local_ips: frozenset[IPv4Address | IPv6Address] = frozenset()
    from_other_ip: bool | None = None
    """Whether an answer from an ip and port came that nothing had been sent to; None: it was not tried."""
    from_other_port: bool | None = None
    """The same, from another port of an ip that was sent to."""
    hairpin: bool | None = None
    """Whether one of our sockets reached another at its outside address."""
    moved_by_inbound: bool | None = None
    """Whether a socket was seen at another port by a server that had sent something to it first."""
    hops: tuple[IPv4Address | IPv6Address | None, ...] = ()
    """Routers on the way to a server, the nearest first, as far as they tell of themselves."""


@dataclass(frozen=True, slots=True)
class Behavior:
    """What is known of the NAT or firewall between us and the world, for one address family."""

    translated: bool | None = None
    """Whether we are seen at an ip that is none of this machine's."""
    mapping: Mapping = Mapping.UNKNOWN
    filtering: Filtering = Filtering.UNKNOWN
    allocation: Allocation = Allocation()
    noise: float | None = None
    """Mappings that others make in a second, where ports are given out in order."""
    external_ips: tuple[IPv4Address | IPv6Address, ...] = ()
    """Where we are seen; several for a NAT with a pool."""
    hairpin: bool | None = None
    """Whether machines behind the NAT reach each other at their outside addresses."""
    inbound_first_poisons: bool | None = None
    """Whether a peer's datagram that comes before ours moves our mapping: then ours must be first."""
    levels: Levels = UNKNOWN_LEVELS
    """How many NATs there are, and how far the outermost one is."""
    lifetime: Lifetime = UNKNOWN_LIFETIME
    """How long a mapping lets in whom nothing is sent to; measured only for those who ask for it."""


UNKNOWN: Final = Behavior()
"""Nothing was seen."""


def behavior_of(evidence: Evidence) -> Behavior:
    """What the evidence says."""
    mapping = mapping_of(evidence.observations)
    samples = _samples(evidence.observations, mapping)
    allocation = allocation_of(samples)
    external = _external_ips(evidence.observations)
    translated = external[0] not in evidence.local_ips if external else None
    return Behavior(
        translated=translated,
        mapping=mapping,
        filtering=_filtering_of(evidence),
        allocation=allocation,
        noise=_noise_of(samples, allocation),
        external_ips=external,
        hairpin=evidence.hairpin,
        inbound_first_poisons=evidence.moved_by_inbound if mapping.varies is False else None,
        levels=levels_of(evidence.hops, translated=translated, external_ips=external),
    )


# --- mapping ------------------------------------------------------------------------------------------------


def mapping_of(observations: Iterable[Observation]) -> Mapping:
    """What most of the sockets say that were seen by servers of different ips.

    One socket may be the exception: its port was taken, so that it got others.
    """
    by_socket: dict[int, dict[Address, Address]] = {}
    for observation in observations:
        if observation.seen is not None:
            by_socket.setdefault(observation.socket, {})[observation.server] = observation.seen
    votes = Counter(
        verdict for seen in by_socket.values() if (verdict := _mapping_of_socket(seen)) is not None
    )
    same = votes.pop(Mapping.ENDPOINT_INDEPENDENT, 0)
    if same == votes.total():
        return Mapping.UNKNOWN
    if same > votes.total():
        return Mapping.ENDPOINT_INDEPENDENT
    by_port, by_ip = votes[Mapping.ADDRESS_AND_PORT_DEPENDENT], votes[Mapping.ADDRESS_DEPENDENT]
    if not by_port and not by_ip:
        return Mapping.DEPENDENT
    return Mapping.ADDRESS_AND_PORT_DEPENDENT if by_port >= by_ip else Mapping.ADDRESS_DEPENDENT


def _mapping_of_socket(seen: dict[Address, Address]) -> Mapping | None:
    """What one socket says, as servers saw it; None if it says nothing."""
    by_ip: dict[IPv4Address | IPv6Address, set[Address]] = {}
    for server, address in seen.items():
        by_ip.setdefault(server.ip, set()).add(address)
    if any(len(addresses) > 1 for addresses in by_ip.values()):
        return Mapping.ADDRESS_AND_PORT_DEPENDENT
    if len(by_ip) < 2:
        return None
    counts = Counter(address for addresses in by_ip.values() for address in addresses)
    _, agreeing = counts.most_common(1)[0]
    # One server of several may lie. Where the mapping varies, no two agree.
    if agreeing == len(by_ip) or (agreeing >= limits.STUN_AGREEING and agreeing == len(by_ip) - 1):
        return Mapping.ENDPOINT_INDEPENDENT
    return Mapping.ADDRESS_DEPENDENT if len(seen) > len(by_ip) else Mapping.DEPENDENT


def _filtering_of(evidence: Evidence) -> Filtering:
    if evidence.from_other_ip:
        return Filtering.ENDPOINT_INDEPENDENT
    if evidence.from_other_ip is None or evidence.from_other_port is None:
        return Filtering.UNKNOWN
    return Filtering.ADDRESS_DEPENDENT if evidence.from_other_port else Filtering.ADDRESS_AND_PORT_DEPENDENT


def _external_ips(observations: Iterable[Observation]) -> tuple[IPv4Address | IPv6Address, ...]:
    """The ips we are seen at, the most often seen first; one that a lone server tells only if no two agree."""
    tellers: dict[IPv4Address | IPv6Address, set[Address]] = {}
    times: Counter[IPv4Address | IPv6Address] = Counter()
    for observation in observations:
        if observation.seen is not None:
            tellers.setdefault(observation.seen.ip, set()).add(observation.server)
            times[observation.seen.ip] += 1
    agreed = any(len(servers) >= limits.STUN_AGREEING for servers in tellers.values())
    found = [ip for ip, _ in times.most_common() if not agreed or len(tellers[ip]) >= limits.STUN_AGREEING]
    return tuple(found[: limits.EXTERNAL_IPS])


# --- allocation ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One mapping of ours."""

    number: int
    """Among our mappings, in the order in which they were made; those that nobody told us of count as well."""
    at: float
    local_port: int
    port: int


_PORTS: Final = 65536


def _samples(observations: Iterable[Observation], mapping: Mapping) -> list[Sample]:
    """The mappings that were made, in order, as far as they were seen at the ip that most have."""
    numbers: dict[Hashable, tuple[int, float]] = {}
    seen: dict[Hashable, Observation] = {}
    for observation in observations:
        made_for = _made_for(observation, mapping)
        numbers.setdefault(made_for, (len(numbers), observation.at))
        if observation.seen is not None:
            seen.setdefault(made_for, observation)
    ips = Counter(observation.seen.ip for observation in seen.values() if observation.seen is not None)
    samples = []
    for made_for, observation in seen.items():
        number, at = numbers[made_for]
        if observation.seen is not None and observation.seen.ip == ips.most_common(1)[0][0]:
            samples.append(Sample(number, at, observation.local_port, observation.seen.port))
    return sorted(samples, key=lambda sample: sample.number)


def _made_for(observation: Observation, mapping: Mapping) -> Hashable:
    """What a NAT of that kind makes one mapping for."""
    if mapping is Mapping.ADDRESS_AND_PORT_DEPENDENT:
        return observation.socket, observation.server
    if mapping in (Mapping.ADDRESS_DEPENDENT, Mapping.DEPENDENT):
        return observation.socket, observation.server.ip
    return observation.socket


def allocation_of(samples: Sequence[Sample]) -> Allocation:
    """How the ports of these mappings were chosen; they are in order."""
    parity = _keeps_parity(samples)
    kept = sum(sample.port == sample.local_port for sample in samples)
    if len(samples) >= limits.ALLOCATION_PRESERVED and kept >= limits.ALLOCATION_MOSTLY * len(samples):
        return Allocation(AllocationKind.PRESERVING, keeps_parity=parity)
    if len(samples) < limits.ALLOCATION_SAMPLES:
        return Allocation(keeps_parity=parity)
    delta = _delta(samples)
    if delta is not None:
        return Allocation(AllocationKind.DELTA, delta=delta, keeps_parity=parity)
    low, high = min(sample.port for sample in samples), max(sample.port for sample in samples)
    if high - low >= limits.BLOCK_MOST:
        return Allocation(AllocationKind.RANDOM, keeps_parity=parity)
    if len(samples) < limits.BLOCK_SAMPLES:
        return Allocation(keeps_parity=parity)
    return Allocation(AllocationKind.BLOCK, span=_block(low, high), keeps_parity=parity)


def _keeps_parity(samples: Sequence[Sample]) -> bool | None:
    if any((sample.port ^ sample.local_port) & 1 for sample in samples):
        return False
    both = len({sample.local_port & 1 for sample in samples}) == 2
    return True if both and len(samples) >= limits.PARITY_SAMPLES else None


def _delta(samples: Sequence[Sample]) -> int | None:
    """The constant between one mapping and the next, if there is one."""
    found = _steady_steps(samples)
    if found is None and len(samples) >= limits.PARITY_SAMPLES:
        # One may be out of its place: its datagram was overtaken, or lost before it was at the NAT.
        for left_out in range(len(samples)):
            found = _steady_steps([*samples[:left_out], *samples[left_out + 1 :]])
            if found is not None:
                break
    if not found:
        return None
    close = [step for step, mappings in found if mappings == 1]
    step, times = Counter(close or [0]).most_common(1)[0]
    if times * 2 >= len(found):
        return step
    size = gcd(*(step for step, _ in found))  # others made mappings in between, by the same constant
    return size if found[0][0] > 0 else -size


def _steady_steps(samples: Sequence[Sample]) -> list[tuple[int, int]] | None:
    """Steps of ports, and how many mappings of ours each is over, if all go the same way, and not far."""
    steps = [(later.port - former.port, later.number - former.number) for former, later in pairwise(samples)]
    around = [step for step in steps if abs(step[0]) > _PORTS // 2]
    if len(around) == 1:  # it came to the end of the ports, and began anew
        steps.remove(around[0])
    sizes = sorted(abs(step) / mappings for step, mappings in steps)
    if not sizes or len({step > 0 for step, _ in steps}) != 1 or sizes[0] == 0:
        return None
    return steps if sizes[len(sizes) // 2] <= limits.DELTA_MOST and sizes[-1] <= limits.BLOCK_MOST else None


def _block(low: int, high: int) -> tuple[int, int]:
    """The smallest block aligned to a power of two that holds both; the two themselves if that is a large one."""
    size = 1
    while low // size != high // size:
        size *= 2
    if size > limits.BLOCK_MOST:
        return low, high
    return low // size * size, low // size * size + size - 1


def _noise_of(samples: Sequence[Sample], allocation: Allocation) -> float | None:
    """Others' mappings in a second: over the longest pause, because what counts the routers makes some of ours meanwhile."""
    if not allocation.delta:
        return None
    before, after = max(pairwise(samples), key=lambda pair: pair[1].at - pair[0].at)
    if after.at - before.at < limits.NOISE_SECONDS:
        return None
    passed = after.port - before.port
    if passed * allocation.delta < 0:  # around the end of the ports; how many there are is not known
        return None
    return max(0.0, passed / allocation.delta - (after.number - before.number)) / (after.at - before.at)
