"""What this machine answers for `.overlay` and for the addresses that stand for its names.

Pure: `subject_of` says what must be found out for a query, the caller does that, and one of the `answer_…`
methods makes the reply of what was found.

* `<name>.overlay`: A with its loopback address, TXT with its endpoint id, HTTPS if it speaks TLS.
* `_<service>._tcp.<name>.overlay`: SRV, with the port our listener really has. `_http._tcp` finds `web` too.
* What owners put into their zones: TXT, CNAME, SRV and HTTPS. A service wins over a record of the same name: beside it only TXT is
  answered. An alias is followed below its owner; of one that leads out of `.overlay`, only that it does so is told, and of one to another
  owner's name only who asks for a CNAME is told.
* `overlay.`: SOA and NS; `dns.overlay` is this server, `gateway.overlay` tells its id as TXT.
* Addresses of the virtual network: PTR.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Final, assert_never

from dnslib import CNAME, HTTPS, NS, PTR, RD, RR, SOA, SRV, TXT, A
from dnslib.label import DNSLabel

from resolver.errors import InvalidName
from resolver.facts import NameFacts, NameStatus, ServiceFacts
from resolver.limits import NAME_TTL, NEGATIVE_TTL
from resolver.messages import ExtendedError, Kind, Query, Rcode, build_reply
from resolver.names import TOP_LABEL, OverlayName, ServiceProtocol
from resolver.virtual_addresses import DEFAULT_NETWORK, LOCALHOST
from resolver.well_known import WELL_KNOWN_PORTS, is_known_as
from resolver.zone_entries import NOT_PUBLIC, Binding, Server, Target, ZoneEntry, ZoneKind
from tunnels.identity import ID_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

_BUILT_IN: Final = frozenset({"dns", "gateway", "proxy"})
"""Names of this gateway's own doors; no contact can have them."""
_GATEWAY: Final = "gateway"
_CHECK: Final = "check-"
"""`check-<anything>.gateway.overlay` is `gateway.overlay`: a name that no cache on the way here can hold."""
_REVERSE: Final = ("in-addr", "arpa")
_DOTS: Final = re.compile("[.\u3002]")  # the second is what NFKC makes of other dots that IDNA takes for one
_OCTET: Final = re.compile("0|[1-9][0-9]{0,2}")
_TEXT_BYTES: Final = 255  # one character string, RFC 1035 §3.3
_SVC_PORT: Final = 3  # SvcParamKeys, RFC 9460 §14.3.2
_SVC_IPV4_HINT: Final = 4


class Fixed(Enum):
    """Subjects that need no lookup."""

    OUTSIDE = "outside"
    """Not ours to answer for."""
    APEX = "apex"
    """`overlay.` itself."""
    BUILT_IN = "built-in"
    """A name of this gateway itself."""
    NOWHERE = "nowhere"
    """Under `.overlay`, but no name: it cannot exist."""
    MISSPELLED = "misspelled"
    """To people it ends in `.overlay`, on the wire it does not: a dot inside a label, a wide letter, a search domain behind it.
    Nobody is asked, for whom it speaks of is nobody's business."""
    REVERSE_NODE = "reverse-node"
    """Above the addresses of the virtual network: it exists and has no records."""


@dataclass(frozen=True, slots=True)
class NameSubject:
    """A name to be looked up, and the underscore labels before it, in lower case."""

    name: OverlayName
    prefix: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddressSubject:
    """An address whose name is asked for."""

    address: IPv4Address


Subject = Fixed | NameSubject | AddressSubject


class Zone:
    """The answers; it knows the virtual network and nothing else."""

    __slots__ = ("_network", "_own_id", "_reverse_octets", "_soa_rdata", "_ttl")

    def __init__(
        self, network: IPv4Network | None = DEFAULT_NETWORK, *, ttl: int = NAME_TTL, own_id: str = ""
    ) -> None:
        """`network` is where our loopback addresses lie; None if there are none (mapped ports).

        `ttl` is that of positive answers, in seconds; `own_id` is what `gateway.overlay` tells as TXT.
        """
        self._ttl = ttl
        self._own_id = own_id
        self._network = network
        self._reverse_octets = 0 if network is None else -(-network.prefixlen // 8)
        self._soa_rdata = SOA(
            _label("dns", TOP_LABEL), _label("hostmaster", TOP_LABEL), (1, 3600, 600, 86400, NEGATIVE_TTL)
        )

    def subject_of(self, query: Query) -> Subject:
        """What the query is about."""
        labels = [label.decode("latin-1").lower() for label in query.labels]
        if labels[-1:] == [TOP_LABEL]:
            return _subject_under_overlay(labels[:-1])
        if tuple(labels[-2:]) == _REVERSE and self._network is not None:
            return self._reverse_subject(labels[:-2])
        return Fixed.MISSPELLED if _reads_as_ours(query.labels) or _is_searched(labels) else Fixed.OUTSIDE

    def answer_fixed(self, query: Query, subject: Fixed, limit: int) -> bytes:
        """The reply about a subject that needs no lookup."""
        match subject:
            case Fixed.OUTSIDE:
                return build_reply(
                    query,
                    Rcode.REFUSED,
                    limit=limit,
                    extended_error=(ExtendedError.NOT_AUTHORITATIVE, "this server answers for .overlay only"),
                )
            case Fixed.MISSPELLED:
                why = (ExtendedError.NOT_AUTHORITATIVE, "this looks like a name under .overlay and is none")
                return build_reply(query, Rcode.REFUSED, limit=limit, extended_error=why)
            case Fixed.APEX:
                nameserver = _label("dns", TOP_LABEL)
                available = [
                    RR(DNSLabel(query.labels), Kind.SOA, ttl=self._ttl, rdata=self._soa_rdata),
                    RR(DNSLabel(query.labels), Kind.NS, ttl=self._ttl, rdata=NS(nameserver)),
                ]
                additional = [_a(nameserver, LOCALHOST, self._ttl)] if query.kind == Kind.NS else []
                return self._answer(query, available, limit, additional)
            case Fixed.BUILT_IN:
                return self._answer(query, self._built_in(query), limit)
            case Fixed.NOWHERE:
                return self._negative(query, Rcode.NXDOMAIN, limit)
            case Fixed.REVERSE_NODE:
                return self._negative(query, Rcode.NOERROR, limit)
            case _:
                assert_never(subject)

    def _built_in(self, query: Query) -> list[RR]:
        """The records of a name of our own; `gateway` says whose it is, for who wants to know which of several answers."""
        owner = DNSLabel(query.labels)
        records = [_a(owner, LOCALHOST, self._ttl)]
        if self._own_id and query.labels[-2].lower() == _GATEWAY.encode():
            records.append(RR(owner, Kind.TXT, ttl=self._ttl, rdata=TXT(f"id={self._own_id}")))
        return records

    def answer_name(
        self,
        query: Query,
        subject: NameSubject,
        facts: NameFacts,
        limit: int,
        aliased: Sequence[tuple[OverlayName, NameFacts]] = (),
    ) -> bytes:
        """The reply about a name, of which `facts` are known.

        `aliased` are the names that follow from its alias, each with its facts, as far as they were followed.
        """
        match facts.status:
            case NameStatus.UNKNOWN:
                return self._unknown(query, facts.reason, limit)
            case NameStatus.NOT_FOUND:
                return self._negative(query, Rcode.NXDOMAIN, limit)
            case NameStatus.EXISTS:
                pass
            case _:
                assert_never(facts.status)
        if facts.alias is not None and not subject.prefix:
            return self._answer_alias(query, subject.name, facts, aliased, limit)
        service = subject.name.service
        services = [one for one in facts.services if service is None or one.name == service]
        match subject.prefix:
            case ():
                return self._answer(
                    query,
                    _records_of_name(
                        DNSLabel(query.labels), query.kind, subject.name, facts, services, self._ttl
                    ),
                    limit,
                )
            case (label, protocol):
                wanted = [
                    one
                    for one in services
                    if "_" + one.protocol.value == protocol and is_known_as(label[1:], one.name, one.port)
                ]
                if wanted and query.kind != Kind.TXT:
                    return self._answer_services(query, subject.name, wanted, limit)
            case _:
                pass
        return self._answer_below(query, subject, facts, services, limit)

    def _unknown(self, query: Query, reason: str, limit: int) -> bytes:
        why = (ExtendedError.NO_REACHABLE_AUTHORITY, reason)
        return build_reply(query, Rcode.SERVFAIL, limit=limit, extended_error=why)

    def _answer_alias(
        self,
        query: Query,
        name: OverlayName,
        facts: NameFacts,
        aliased: Sequence[tuple[OverlayName, NameFacts]],
        limit: int,
    ) -> bytes:
        """The alias, and what it stands for as far as that is ours to tell (RFC 1034 §3.6.2, RFC 6604)."""
        owner, answers = DNSLabel(query.labels), []
        hops = iter(aliased)
        while facts.alias is not None:
            target = _target_label(facts.alias)
            answers.append(RR(owner, Kind.CNAME, ttl=self._ttl, rdata=CNAME(target)))
            if query.kind in (Kind.CNAME, Kind.ANY) or isinstance(facts.alias, str):
                return build_reply(query, Rcode.NOERROR, limit=limit, answers=answers, authoritative=True)
            if facts.alias.owner != name.owner:
                # Not even the alias, for some resolvers follow that by themselves.
                return self._unknown(
                    query, f"{name} stands for {facts.alias}, which is somebody else's", limit
                )
            hop = next(hops, None)
            if hop is None:
                return self._unknown(
                    query, f"{name}: aliases that lead in a circle, or over too many names", limit
                )
            owner = target
            name, facts = hop
        if facts.status is NameStatus.UNKNOWN:
            return self._unknown(query, facts.reason, limit)
        if facts.status is NameStatus.NOT_FOUND:
            return self._negative(query, Rcode.NXDOMAIN, limit, answers)
        services = [one for one in facts.services if name.service is None or one.name == name.service]
        found = [
            entry
            for entry in _records_of_name(owner, query.kind, name, facts, services, self._ttl)
            if entry.rtype == query.kind
        ]
        if not found:
            return self._negative(query, Rcode.NOERROR, limit, answers)
        return build_reply(query, Rcode.NOERROR, limit=limit, answers=[*answers, *found], authoritative=True)

    def _answer_below(
        self, query: Query, subject: NameSubject, facts: NameFacts, services: list[ServiceFacts], limit: int
    ) -> bytes:
        """The owner's records at a label with an underscore; or that there is something below it, or nothing (RFC 8020)."""
        count = len(subject.prefix)
        here = [entry for entry in facts.zone if entry.prefix == subject.prefix]
        alias = next((entry for entry in here if entry.kind is ZoneKind.CNAME), None)
        owner = DNSLabel(query.labels)
        if alias is not None:  # told and not followed: nobody looks for an address at such a label
            answers = [_rr(owner, alias, subject.name, facts, self._ttl)]
            return build_reply(query, Rcode.NOERROR, limit=limit, answers=answers, authoritative=True)
        if here:
            return self._answer(
                query, [_rr(owner, entry, subject.name, facts, self._ttl) for entry in here], limit
            )
        is_node = any(entry.prefix[-count:] == subject.prefix for entry in facts.zone) or any(
            ("_" + one.protocol.value,) == subject.prefix
            or (
                count == 2
                and "_" + one.protocol.value == subject.prefix[1]
                and is_known_as(subject.prefix[0][1:], one.name, one.port)
            )
            for one in services
        )
        return self._negative(query, Rcode.NOERROR if is_node else Rcode.NXDOMAIN, limit)

    def answer_address(self, query: Query, name: OverlayName | None, limit: int) -> bytes:
        """The reply about an address of the virtual network that stands for `name`, or for nothing."""
        if name is None:
            return self._negative(query, Rcode.NXDOMAIN, limit)
        pointer = RR(DNSLabel(query.labels), Kind.PTR, ttl=self._ttl, rdata=PTR(_label_of(name)))
        return self._answer(query, [pointer], limit)

    def _reverse_subject(self, labels: list[str]) -> Subject:
        """The address or node that `labels` before `in-addr.arpa` stand for."""
        octets = labels[::-1]
        network = self._network
        if (
            network is None
            or len(octets) < self._reverse_octets
            or not all(map(_OCTET.fullmatch, octets[:4]))
        ):
            return Fixed.OUTSIDE
        try:
            first = IPv4Address(".".join([*octets, "0", "0", "0"][:4]))
        except ValueError:
            return Fixed.OUTSIDE
        if first not in network:
            return Fixed.OUTSIDE
        if len(octets) > 4:
            return Fixed.NOWHERE
        return AddressSubject(first) if len(octets) == 4 else Fixed.REVERSE_NODE

    def _answer_services(
        self, query: Query, name: OverlayName, services: list[ServiceFacts], limit: int
    ) -> bytes:
        if not services:
            return self._negative(query, Rcode.NXDOMAIN, limit)
        answers: list[RR] = []
        additional: dict[OverlayName, RR] = {}
        for service in services:
            target_name = OverlayName(name.owner, service.name)
            target = _label_of(target_name)
            data = SRV(0, 0, service.listening_port, target)
            answers.append(RR(DNSLabel(query.labels), Kind.SRV, ttl=self._ttl, rdata=data))
            additional[target_name] = _a(target, service.address, self._ttl)
        return self._answer(query, answers, limit, [*additional.values()] if query.kind == Kind.SRV else [])

    def _answer(
        self, query: Query, available: list[RR], limit: int, additional: list[RR] | None = None
    ) -> bytes:
        """Those of the name's records that were asked for; NODATA if there are none of that type."""
        if query.kind == Kind.ANY:
            # RFC 8482 §4.2: one small record that says so; whoever wants more asks for it.
            data = RD(b"\x07RFC8482\x00")
            answers = [RR(DNSLabel(query.labels), Kind.HINFO, ttl=self._ttl, rdata=data)]
        else:
            answers = [entry for entry in available if entry.rtype == query.kind]
        if not answers:
            return self._negative(query, Rcode.NOERROR, limit)
        return build_reply(
            query,
            Rcode.NOERROR,
            limit=limit,
            answers=answers,
            additional=additional or (),
            authoritative=True,
        )

    def _negative(self, query: Query, rcode: Rcode, limit: int, answers: Sequence[RR] = ()) -> bytes:
        """NXDOMAIN or NODATA, perhaps of what aliases stand for; the SOA says how long that may be believed (RFC 2308 §3)."""
        under_overlay = query.labels[-1].lower() == TOP_LABEL.encode()
        apex = query.labels[-1 if under_overlay else -2 - self._reverse_octets :]
        soa = RR(DNSLabel(apex), Kind.SOA, ttl=NEGATIVE_TTL, rdata=self._soa_rdata)
        return build_reply(query, rcode, limit=limit, answers=answers, authority=[soa], authoritative=True)


def _reads_as_ours(labels: tuple[bytes, ...]) -> bool:
    """Whether a name that does not end in the label `overlay` reads as if it did.

    Some programs put a whole name into one label, or leave a dot, a space or a zero at its end; others send wide letters
    that mean the same (UAX #15, NFKC).
    """
    text = unicodedata.normalize("NFKC", b".".join(labels).decode("utf-8", "replace")).casefold()
    last = next(filter(None, map(_letters, reversed(_DOTS.split(text)))), "")
    return last == TOP_LABEL


def _is_searched(labels: list[str]) -> bool:
    """Whether it is a name of ours with a search domain behind it, which resolvers try when the name does not exist.

    Upstream it would tell whom somebody looks for. Where the domain is a public one, only ids are known for certain.
    """
    if TOP_LABEL not in labels[1:]:
        return False
    at = labels.index(TOP_LABEL, 1)
    return labels[-1] in NOT_PUBLIC or len(labels[at - 1]) == ID_CHARACTERS


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def _subject_under_overlay(labels: list[str]) -> Subject:
    """The subject of `labels` before `overlay`."""
    if not labels:
        return Fixed.APEX
    if labels[-1] in _BUILT_IN:
        is_check = len(labels) == 2 and labels[1] == _GATEWAY and labels[0].startswith(_CHECK)
        return Fixed.BUILT_IN if len(labels) == 1 or is_check else Fixed.NOWHERE
    count = 0
    while count < len(labels) and labels[count].startswith("_"):
        count += 1
    try:
        return NameSubject(OverlayName.from_labels(labels[count:]), tuple(labels[:count]))
    except InvalidName:
        return Fixed.NOWHERE


def _records_of_name(
    owner: DNSLabel, kind: int, name: OverlayName, facts: NameFacts, services: list[ServiceFacts], ttl: int
) -> list[RR]:
    """The records at the name itself, of the type asked for."""
    if kind == Kind.A and facts.ipv4 is not None:
        return [_a(owner, facts.ipv4, ttl)]
    zone = [entry for entry in facts.zone if not entry.prefix and entry.kind.value == kind]
    if kind == Kind.TXT:
        texts = ([f"id={facts.endpoint_id}"] if facts.endpoint_id else []) + [*facts.texts]
        told = [RR(owner, Kind.TXT, ttl=ttl, rdata=TXT(_strings(text))) for text in texts]
        return told + [_rr(owner, entry, name, facts, ttl) for entry in zone]
    if kind == Kind.HTTPS:
        offered = [
            RR(owner, Kind.HTTPS, ttl=ttl, rdata=_https(service))
            for service in services
            if _speaks_tls(service)
            and (name.service is not None or service.port == WELL_KNOWN_PORTS["https"])
        ][:1]
        if offered or (name.service is not None and services):
            return offered
    return [_rr(owner, entry, name, facts, ttl) for entry in zone]


def _rr(owner: DNSLabel, entry: ZoneEntry, name: OverlayName, facts: NameFacts, ttl: int) -> RR:
    """A record of the owner's zone; its targets under the name that the owner has here, its ports where they are open here."""

    def name_of(target: Target) -> tuple[bytes, ...]:
        if target.owner is None:
            return target.wire()
        owner = name.owner if target.owner == facts.zone_of else target.owner
        return _labels(OverlayName(owner, target.text or None))

    value = entry.value
    match value:
        case Server(target=target, port=port):
            value = replace(value, port=_port_here(target, port, facts))
        case Binding(target=target, port=port) if target is not None and port is not None:
            value = replace(value, port=_port_here(target, port, facts))
    return RR(owner, entry.kind.value, ttl=ttl, rdata=replace(entry, value=value).rr_data(name_of))


def _port_here(target: Target, port: int, facts: NameFacts) -> int:
    """The port at which a service of the same endpoint really is on this machine."""
    if target.owner is None or target.owner != facts.zone_of:
        return port
    return next(
        (one.listening_port for one in facts.services if one.port == port and target.text in ("", one.name)),
        port,
    )


def _target_label(target: OverlayName | str) -> DNSLabel:
    return _label(*str(target).split("."))


def _speaks_tls(service: ServiceFacts) -> bool:
    """Only a service known to speak TLS has an HTTPS record.

    A browser that finds one goes to https:// even if it was told http:// (RFC 9460 §9.5), which would make a
    plain web server unreachable.
    """
    return service.protocol is ServiceProtocol.TCP and is_known_as("https", service.name, service.port)


def _https(service: ServiceFacts) -> HTTPS:
    parameters = []
    if service.listening_port != WELL_KNOWN_PORTS["https"]:
        parameters.append((_SVC_PORT, struct.pack(">H", service.listening_port)))
    parameters.append((_SVC_IPV4_HINT, service.address.packed))
    return HTTPS(1, [], parameters)


def _strings(text: str) -> list[bytes]:
    data = text.encode()
    return [data[start : start + _TEXT_BYTES] for start in range(0, len(data), _TEXT_BYTES)] or [b""]


def _a(owner: DNSLabel, address: IPv4Address, ttl: int) -> RR:
    return RR(owner, Kind.A, ttl=ttl, rdata=A(tuple(address.packed)))


def _label(*labels: str) -> DNSLabel:
    # A tuple of bytes, because dnslib sends a str through the IDNA codec, which is slow.
    return DNSLabel(tuple(label.encode() for label in labels))


def _label_of(name: OverlayName) -> DNSLabel:
    return DNSLabel(_labels(name))


def _labels(name: OverlayName) -> tuple[bytes, ...]:
    return tuple(label.encode() for label in str(name).split("."))
