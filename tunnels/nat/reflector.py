"""A STUN server's answers (RFC 8489), with what RFC 5780 adds for those who prove that they receive them. Sans-IO.

An answer goes to its request's source and to nobody else, and is no larger than the request, except for the smallest
answer there is to the smallest request, 12 or 24 bytes more: it leaves out what does not fit. A client that wants all
of it makes its request larger, with PADDING or SOFTWARE.

Answers from another of our addresses (CHANGE-REQUEST) are given only with a proof that the source is no forged one:
the attribute ROUTABLE, which a request with zeros in it asks for::

     0                    4                      20
    +--------------------+----------------------+
    | seconds, when made | MAC over it, source  |
    +--------------------+----------------------+

An answer may attest, too, that its receiver is at his ip (`tunnels.nat.attested`); a signature is made only where there
is room for it, and for a bounded number of requests.

With the same proof a client may be sent something later, once: an indication of 20 bytes with the transaction id of its
request (ECHO-AFTER, two bytes, the seconds). It shows how long a NAT lets us in. The answer to such a request leaves room
for that, so that both together are no larger than the request, but for the smallest answer there is.

Nothing is remembered of anybody but how much was asked lately, and to whom something is to be sent.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
from collections import Counter, OrderedDict
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from typing import TYPE_CHECKING, Any, Final

from tunnels.addresses import Address
from tunnels.bucket import Bucket
from tunnels.errors import ProtocolViolation
from tunnels.identity import SIGNATURE_BYTES
from tunnels.nat import limits, stun
from tunnels.nat.stun import Class, Extra, Method

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from tunnels.nat.attested import Attester
    from tunnels.nat.stun import StunMessage

SECRET_BYTES: Final = 32
_TIME_BYTES: Final = 4
_MAC_BYTES: Final = 16
PROOF_BYTES: Final = _TIME_BYTES + _MAC_BYTES
"""Of the attribute ROUTABLE."""
ATTESTATION_BYTES: Final = 8 + SIGNATURE_BYTES
"""Of the attribute ATTESTATION (see `tunnels.nat.attested`)."""

_ROUTABLE: Final = Extra.ROUTABLE.label
_CHALLENGE: Final = Extra.CHALLENGE.label
_ATTESTATION: Final = Extra.ATTESTATION.label
_RESPONSE_PORT: Final = Extra.RESPONSE_PORT.label
_ECHO_AFTER: Final = Extra.ECHO_AFTER.label
_CHANGE_REQUEST: Final = "CHANGE-REQUEST"
_CHANGE_REQUEST_TYPE: Final = 0x0003


class Change(IntFlag):
    """What of the address an answer is to come from shall differ: the bits of CHANGE-REQUEST (RFC 5780 §7.2)."""

    PORT = 2
    IP = 4


@dataclass(frozen=True, slots=True)
class Site:
    """One of the addresses of a server: which of its ips and which of its ports."""

    ip: int
    port: int

    def changed(self, change: Change) -> Site:
        """The one that differs in this."""
        return Site(self.ip ^ (Change.IP in change), self.port ^ (Change.PORT in change))


@dataclass(frozen=True, slots=True)
class Sites:
    """The addresses of one server in one family, as its clients see them: each of its ips with each of its ports."""

    ips: tuple[IPv4Address | IPv6Address, ...]
    """Unspecified, as 0.0.0.0, if it is not known which clients see: then none is told."""
    ports: tuple[int, ...]

    def __post_init__(self) -> None:
        for values in (self.ips, self.ports):
            if not 1 <= len(values) <= 2 or len(set(values)) < len(values):
                raise ValueError("a STUN server has one ip or two, and one port or two")

    def address(self, site: Site) -> Address | None:
        """The address of that site; None if there is no such site."""
        if site.ip >= len(self.ips) or site.port >= len(self.ports):
            return None
        return Address(self.ips[site.ip], self.ports[site.port])

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All that a client may be told, of which the second differs from the first in all that it can."""
        sites = (Site(0, 0), Site(1, 1), Site(0, 1), Site(1, 0))
        found = (self.address(site) for site in sites)
        return tuple(address for address in found if address is not None and not address.ip.is_unspecified)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send to the source of a request."""

    datagram: bytes
    site: Site
    """The address to send it from."""


@dataclass(frozen=True, slots=True)
class Echo:
    """Something to send later."""

    datagram: bytes
    site: Site
    """The address to send it from: the one that was asked."""
    to: Address


class Outcome(StrEnum):
    """What became of a datagram; for counting, as nothing else is kept."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """Answered with an error."""
    LIMITED = "limited"
    JUNK = "junk"
    ECHOED = "echoed"
    """No answer, but what somebody asked to be sent later."""


class Reflector:
    """Answers to requests that come to the addresses of one STUN server."""

    def __init__(self, sites: Sites, secret: bytes, attester: Attester | None = None) -> None:
        """`secret`: `SECRET_BYTES` that nobody can guess. `attester`: who signs where clients are, if anybody does."""
        self.sites = sites
        self._secret = secret
        self._attester = attester
        self._sources = _Sources()
        self._proved = Bucket(limits.REFLECTOR_ALL_PER_SECOND, limits.REFLECTOR_ALL_BURST)
        self._unproved = Bucket(limits.REFLECTOR_ALL_PER_SECOND, limits.REFLECTOR_ALL_BURST)
        self._echoes = _Echoes()
        self.counts: Counter[Outcome] = Counter()

    def echoes_to_send(self, now: float) -> list[Echo]:
        """What was asked for to be sent now."""
        due = self._echoes.take(now)
        if due:
            self.counts[Outcome.ECHOED] += len(due)
        return due

    def get_timer(self) -> float | None:
        """When `echoes_to_send` is to be called next."""
        return self._echoes.next_at

    def receive(self, datagram: bytes, source: Address, site: Site, now: float) -> Answer | None:
        """The answer to what came from `source` to one of our addresses; None if there is none to be given."""
        if not self._sources.take(source.ip, now):
            self.counts[Outcome.LIMITED] += 1
            return None
        try:
            request = stun.decode(datagram)
        except ProtocolViolation:
            request = None
        if request is None or request.method is not Method.BINDING or request.kind is not Class.REQUEST:
            self.counts[Outcome.JUNK] += 1
            return None
        proved = self._is_proved(request.attributes.get(_ROUTABLE, b""), source, now)
        # Those who prove their address have an allowance of their own, which no forged ones can use up.
        if not (self._proved if proved else self._unproved).take(now):
            self.counts[Outcome.LIMITED] += 1
            return None
        return self._answer(request, len(datagram), source, site, now, proved=proved)

    def _answer(
        self, request: StunMessage, size: int, source: Address, site: Site, now: float, *, proved: bool
    ) -> Answer:
        unknown = list(request.not_understood)
        if _RESPONSE_PORT in request.attributes:  # an answer to somebody else, who did not ask
            unknown.append(Extra.RESPONSE_PORT.value)
        origin = site.changed(Change(request.attributes.get(_CHANGE_REQUEST, 0) & (Change.IP | Change.PORT)))
        address = self.sites.address(origin)
        if address is None:
            unknown.append(_CHANGE_REQUEST_TYPE)
        if unknown:
            types = b"".join(kind.to_bytes(2, "big") for kind in unknown)
            return self._refuse(request, size, site, 420, {Extra.UNKNOWN_ATTRIBUTES.label: types})
        if origin != site and not proved:
            return self._refuse(request, size, site, 403, {})
        wanted: dict[str, Any] = {"XOR-MAPPED-ADDRESS": source}
        attested = self._attested(request, size, source, now, proved=proved)
        if attested:
            wanted[_ATTESTATION] = attested
        if _ROUTABLE in request.attributes:
            wanted[_ROUTABLE] = self._proof(source, int(now))
        other = self.sites.address(site.changed(Change.IP | Change.PORT))
        if other is not None:
            wanted["OTHER-ADDRESS"] = other
        if address is not None and not address.ip.is_unspecified:
            wanted["RESPONSE-ORIGIN"] = address
        wanted["MAPPED-ADDRESS"] = source
        self.counts[Outcome.ANSWERED] += 1
        after = request.attributes.get(_ECHO_AFTER, b"")
        if proved and len(after) == 2:
            echo = Echo(stun.encode(Method.BINDING, Class.INDICATION, request.transaction_id), site, source)
            if self._echoes.add(echo, now, int.from_bytes(after)):
                first = {"XOR-MAPPED-ADDRESS": source, _ECHO_AFTER: after}
                wanted = first | {name: value for name, value in wanted.items() if name not in first}
                size -= len(echo.datagram)
        return Answer(_fitting(request, Class.RESPONSE, wanted, size), origin)

    def _refuse(
        self, request: StunMessage, size: int, site: Site, code: int, details: dict[str, Any]
    ) -> Answer:
        self.counts[Outcome.REFUSED] += 1
        return Answer(_fitting(request, Class.ERROR, {"ERROR-CODE": (code, ""), **details}, size), site)

    def _attested(
        self, request: StunMessage, size: int, source: Address, now: float, *, proved: bool
    ) -> bytes:
        """The attestation that is asked for; empty if none is, or the answer has no room for it."""
        challenge = request.attributes.get(_CHALLENGE)
        if challenge is None or self._attester is None:
            return b""
        needed = stun.size_of("XOR-MAPPED-ADDRESS", source) + stun.size_of(
            _ATTESTATION, bytes(ATTESTATION_BYTES)
        )
        if stun.HEADER_BYTES + needed > size:
            return b""
        return self._attester.attest(challenge, source.ip, now, proved=proved)

    def _proof(self, source: Address, made: int) -> bytes:
        """What only he can echo who receives what is sent to `source`."""
        time = (made & 0xFFFFFFFF).to_bytes(_TIME_BYTES, "big")
        place = source.ip.packed + source.port.to_bytes(2, "big")
        return time + hashlib.blake2b(time + place, key=self._secret, digest_size=_MAC_BYTES).digest()

    def _is_proved(self, proof: bytes, source: Address, now: float) -> bool:
        if len(proof) != PROOF_BYTES or not any(proof):
            return False
        made = int.from_bytes(proof[:_TIME_BYTES], "big")
        if (int(now) - made) & 0xFFFFFFFF > limits.REFLECTOR_ROUTABLE:
            return False
        return hmac.compare_digest(proof, self._proof(source, made))


def _fitting(request: StunMessage, kind: Class, wanted: dict[str, Any], size: int) -> bytes:
    """The answer with the first attribute, and those others that leave it no larger than `size`."""
    attributes: dict[str, Any] = {}
    used = stun.HEADER_BYTES
    for name, value in wanted.items():
        needed = stun.size_of(name, value)
        if not attributes or used + needed <= size:
            attributes[name] = value
            used += needed
    return stun.encode(Method.BINDING, kind, request.transaction_id, attributes)


class _Echoes:
    """What is to be sent later: one to an address, a few to a household, a bounded number in all."""

    def __init__(self) -> None:
        self._by_address: dict[Address, Echo] = {}
        self._of_source: Counter[int] = Counter()
        self._order: list[tuple[float, int, Address]] = []
        self._number = 0

    def add(self, echo: Echo, now: float, seconds: int) -> bool:
        """Whether it will be sent; what is asked for once more, because the answer was lost, is sent once."""
        kept = self._by_address.get(echo.to)
        if kept is not None:
            return kept == echo
        source = _household(echo.to.ip)
        if (
            not 1 <= seconds <= limits.REFLECTOR_ECHO_MOST
            or len(self._by_address) >= limits.REFLECTOR_ECHOES
            or self._of_source[source] >= limits.REFLECTOR_ECHOES_OF_SOURCE
        ):
            return False
        self._by_address[echo.to] = echo
        self._of_source[source] += 1
        self._number += 1
        heapq.heappush(self._order, (now + seconds, self._number, echo.to))
        return True

    @property
    def next_at(self) -> float | None:
        return self._order[0][0] if self._order else None

    def take(self, now: float) -> list[Echo]:
        due = []
        while self._order and self._order[0][0] <= now:
            _, _, address = heapq.heappop(self._order)
            due.append(self._by_address.pop(address))
            source = _household(address.ip)
            self._of_source[source] -= 1
            if not self._of_source[source]:
                del self._of_source[source]
        return due


def _household(ip: IPv4Address | IPv6Address) -> int:
    """What one household or one attacker has one of: an IPv4 address, or an IPv6 /56, kept apart by the bit above."""
    return int(ip) if ip.version == 4 else int(ip) >> 72 | 1 << 56


class _Sources:
    """The allowances of those who asked lately, a bounded number of them."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[int, Bucket] = OrderedDict()

    def take(self, ip: IPv4Address | IPv6Address, now: float) -> bool:
        source = _household(ip)
        bucket = self._buckets.pop(source, None)
        if bucket is None:
            bucket = Bucket(limits.REFLECTOR_PER_SECOND, limits.REFLECTOR_BURST)
            if len(self._buckets) >= limits.REFLECTOR_SOURCES:
                self._buckets.popitem(last=False)
        self._buckets[source] = bucket
        return bucket.take(now)
