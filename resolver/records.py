"""What an endpoint says of itself in its signed packet: where it is, by which relays, and which services are public.

DNS records relative to the zone apex, which is the endpoint id, as pkarr has it::

    _overlay.<id>      TXT  "v=1" "exp=<unix seconds>" "n=<nickname>" "a=192.0.2.1:7777" "a=[2001:db8::1]:7777"
                            "r=https://beacon.example" "r=https://192.0.2.9:7443#<beacon id>"
                     "l=https://192.0.2.1:7443#<id>" "t=<id of a topic>"
    _web._tcp.<id>     SRV  0 0 80 <id>
    _game._udp.<id>    SRV  0 0 5000 <id>
    _game._udp.<id>    TXT  "last=5100"
    <label>.<id>       TXT, CNAME, SRV, HTTPS     the owner's zone: see `zone_entries`, and `profiles` for _profile

The order of `a` strings is the owner's preference; the first `r` is the beacon it is connected to, its home; `l` is the
relay that the endpoint lends, and holds its own id; `t` is a topic that it is in, told on the local network only. An SRV record
that points at the apex is a public service, and the TXT beside it makes a range of ports of it; any other is the zone's. SRV
targets are not compressed (RFC 2782), so about ten services fit. Unknown strings and records are ignored, so
that a later minor version may add some; another major version in `v` is refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from dnslib import QTYPE, RR, SRV, TXT, DNSError, DNSHeader, DNSRecord
from dnslib.buffer import BufferError as DNSBufferError
from dnslib.label import DNSLabel, DNSLabelError

from resolver.errors import ForeignVersion, InvalidName, MalformedRecord, RecordExpired, ZoneTooLarge
from resolver.limits import (
    NICKNAME_BYTES,
    OWN_PACKET_BYTES,
    RECORD_ADDRESSES,
    RECORD_RELAYS,
    RECORD_SERVICES,
    RECORD_TOPICS,
    RECORD_TTL,
    RELAY_BYTES,
    ZONE_BYTES,
    ZONE_ENTRIES,
)
from resolver.lookalikes import check_text
from resolver.names import ServiceProtocol, check_service_name
from resolver.signed_packets import SignedPacket
from resolver.times import utc_text
from resolver.topics import read_topic, topic_text
from resolver.zone_entries import ZoneEntry, check_zone, entry_of, is_range
from tunnels.addresses import Address, BeaconUrl
from tunnels.limits import TOPIC_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tunnels.identity import EndpointId, SecretKey

MAJOR_VERSION: Final = 1

_TYPE_TXT: Final = 16
_TYPE_SRV: Final = 33
_CLASS_IN: Final = 1
_AUTHORITATIVE_REPLY: Final = 0x8400  # QR and AA, the header pkarr packets have

_DNSLIB_ERRORS: Final = (
    DNSError,
    DNSLabelError,
    DNSBufferError,
    ValueError,
    IndexError,
    struct.error,
    RecursionError,  # dnslib follows each compression pointer with a call
)
"""What dnslib raises for bytes that are no DNS packet."""


@dataclass(frozen=True, slots=True)
class PublicService:
    """A service that anyone may use, so that its owner lets everyone know of it."""

    name: str
    first_port: int
    last_port: int
    """The same as `first_port` unless the service is a range."""
    protocols: frozenset[ServiceProtocol]

    def __post_init__(self) -> None:
        if check_service_name(self.name) != self.name:
            raise InvalidName(f"{self.name!r} is not in lower case")
        if not 0 < self.first_port <= self.last_port < 65536:
            raise ValueError(
                f"service {self.name}: {self.first_port}-{self.last_port} are not ports (1-65535)"
            )
        if not self.protocols:
            raise ValueError(f"service {self.name} has no protocol: name tcp, udp or both")


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """What one endpoint says of itself, as of a moment; bounded, and the order is its preference."""

    endpoint_id: EndpointId
    timestamp: int
    """Microseconds since 1970: when it was signed."""
    expires: int
    """Unix seconds: from then on it is not to be used."""
    nickname: str | None = None
    """The name it gave itself; a suggestion, and no proof of anything."""
    addresses: tuple[Address, ...] = ()
    services: tuple[PublicService, ...] = ()
    relays: tuple[BeaconUrl, ...] = ()
    """Beacons by whose relay it is reached, its home first."""
    lends: BeaconUrl | None = None
    """The relay that it lends, to whom it likes."""
    topics: tuple[bytes, ...] = ()
    """The ids of topics that it says it is in (`resolver.topics`)."""
    zone: tuple[ZoneEntry, ...] = ()
    """What its owner put there by hand; of others', what can be read."""

    def __post_init__(self) -> None:
        if len(self.addresses) > RECORD_ADDRESSES:
            raise ValueError(f"{len(self.addresses)} addresses; a record has at most {RECORD_ADDRESSES}")
        if len(self.services) > RECORD_SERVICES:
            raise ValueError(f"{len(self.services)} public services; a record has at most {RECORD_SERVICES}")
        if len(self.relays) > RECORD_RELAYS:
            raise ValueError(f"{len(self.relays)} relays; a record has at most {RECORD_RELAYS}")
        if len(self.zone) > ZONE_ENTRIES:
            raise ValueError(f"{len(self.zone)} records in the zone; a record has at most {ZONE_ENTRIES}")
        for relay in self.relays:
            if not fits_record(relay):
                raise ValueError(f"the URL of the beacon {relay.host[:40]}… is too long for a record")
        if self.lends is not None and not _is_lent_by(self.lends, self.endpoint_id):
            raise ValueError(
                "an endpoint lends a relay of its own only: https, with its id, and short enough"
            )
        if len(self.topics) > RECORD_TOPICS or any(len(topic) != TOPIC_BYTES for topic in self.topics):
            raise ValueError(f"a record has at most {RECORD_TOPICS} topics, of {TOPIC_BYTES} bytes each")
        if self.nickname is not None:
            check_nickname(self.nickname)

    @classmethod
    def from_packet(cls, signed: SignedPacket) -> EndpointRecord:
        """Read what a verified packet says; MalformedRecord or ForeignVersion says why not."""
        try:
            entries = DNSRecord.parse(signed.packet).rr
        except _DNSLIB_ERRORS as error:
            raise MalformedRecord(
                f"the record of {signed.endpoint_id.short}… holds no DNS packet: {error}"
            ) from None
        return _decode(signed, entries)

    def sign(self, secret_key: SecretKey, *, salt: bytes = b"") -> SignedPacket:
        """Sign it as of its own timestamp; RecordTooLarge says by how many bytes it is."""
        if secret_key.endpoint_id != self.endpoint_id:
            raise ValueError("only the endpoint itself signs its record")
        return SignedPacket.sign(secret_key, self.timestamp, self.encode(), salt=salt)

    def encode(self) -> bytes:
        """The DNS packet."""
        packet = DNSRecord(DNSHeader(id=0, bitmap=_AUTHORITATIVE_REPLY))
        packet.rr.extend(_entries(self))
        return bytes(packet.pack())

    def fitted(self) -> EndpointRecord:
        """The record without what does not fit: its last services, its last topics, its last relays, its last addresses.

        Its home, its nickname, a zone of at most ZONE_BYTES and a lent relay that is known by an ip address always fit; one with
        a long name goes last.
        """
        record = self
        while len(record.encode()) > OWN_PACKET_BYTES:
            if record.services:
                record = replace(record, services=record.services[:-1])
            elif record.topics:
                record = replace(record, topics=record.topics[:-1])
            elif len(record.relays) > 1:
                record = replace(record, relays=record.relays[:-1])
            elif record.addresses:
                record = replace(record, addresses=record.addresses[:-1])
            else:
                record = replace(record, lends=None)
        return record

    def check_fresh(self, now: float) -> None:
        """RecordExpired, with the time it expired, if it has at `now` (unix seconds)."""
        if self.expires <= now:
            raise RecordExpired(
                f"the record of {self.endpoint_id.short}… expired on {utc_text(self.expires)}; ask its owner for a new one"
            )


def fits_record(relay: BeaconUrl) -> bool:
    """Whether a beacon's URL is short enough to stand in a record."""
    return len(str(relay)) <= RELAY_BYTES


def zone_bytes(endpoint_id: EndpointId, zone: tuple[ZoneEntry, ...]) -> int:
    """What a zone takes of its owner's record at most: beside services a little less, by the compression of names."""
    bare = EndpointRecord(endpoint_id, 0, 0)
    return len(replace(bare, zone=zone).encode()) - len(bare.encode())


def check_own_zone(endpoint_id: EndpointId, zone: tuple[ZoneEntry, ...]) -> tuple[ZoneEntry, ...]:
    """The zone, if it can be published; InvalidZone or ZoneTooLarge says why not."""
    check_zone(zone)
    if len(zone) > ZONE_ENTRIES:
        raise ZoneTooLarge(len(zone) - ZONE_ENTRIES, "records")
    excess = zone_bytes(endpoint_id, zone) - ZONE_BYTES
    if excess > 0:
        raise ZoneTooLarge(excess)
    return zone


def check_nickname(text: str) -> str:
    """A nickname that fits into a line and a record, and is what it looks like; ValueError says why not."""
    if not text or not text.isprintable() or text != text.strip():
        raise ValueError("a nickname is one line of printable text without spaces around it")
    check_text(text, "nickname")
    size = len(text.encode())  # printable text has no lone surrogates
    if size > NICKNAME_BYTES:
        raise ValueError(f"the nickname has {size} bytes; it may have at most {NICKNAME_BYTES}")
    return text


def _entries(record: EndpointRecord) -> Iterator[RR]:
    apex = str(record.endpoint_id)
    strings = [f"v={MAJOR_VERSION}", f"exp={record.expires}"]
    if record.nickname is not None:
        strings.append(f"n={record.nickname}")
    strings.extend(f"a={address}" for address in record.addresses)
    strings.extend(f"r={relay}" for relay in record.relays)
    if record.lends is not None:
        strings.append(f"l={record.lends}")
    strings.extend(f"t={topic_text(topic)}" for topic in record.topics)
    yield _rr(f"_overlay.{apex}", QTYPE.TXT, TXT(strings))
    for service in record.services:
        for protocol in sorted(service.protocols, key=lambda one: one.value):
            name = f"_{service.name}._{protocol.value}.{apex}"
            yield _rr(name, QTYPE.SRV, SRV(0, 0, service.first_port, apex))
            if service.last_port != service.first_port:
                yield _rr(name, QTYPE.TXT, TXT([f"last={service.last_port}"]))
    for entry in record.zone:
        yield _rr(f"{entry.label}.{apex}" if entry.label else apex, entry.kind.value, entry.rr_data())


def _rr(name: str, kind: int, data: object) -> RR:
    # A tuple of labels, because dnslib sends a str through the IDNA codec, which is slow and refuses underscores.
    return RR(DNSLabel(tuple(label.encode() for label in name.split("."))), kind, ttl=RECORD_TTL, rdata=data)


def _decode(signed: SignedPacket, entries: list[RR]) -> EndpointRecord:
    apex = str(signed.endpoint_id)
    about: list[str] | None = None
    ports: dict[tuple[str, ServiceProtocol], int] = {}
    lasts: dict[tuple[str, ServiceProtocol], int] = {}
    zone: dict[ZoneEntry, None] = {}
    for entry in entries:
        labels = _labels_below(entry, apex)
        if entry.rclass != _CLASS_IN or labels is None:
            continue
        key = _service_key(labels)
        if labels == ["_overlay"] and entry.rtype == _TYPE_TXT and about is None:
            about = _strings(entry)
        elif key is not None and entry.rtype == _TYPE_SRV and _points_at(entry, apex):
            ports.setdefault(key, entry.rdata.port)
        elif key is not None and entry.rtype == _TYPE_TXT and is_range(entry.rdata.data):
            if (last := _number(_values(_strings(entry), "last"))) is not None:
                lasts.setdefault(key, last)
        elif len(zone) < ZONE_ENTRIES and (read := entry_of(labels, entry, signed.endpoint_id)) is not None:
            zone[read] = None
    if about is None:
        raise MalformedRecord(
            f"the record of {apex[:8]}… does not describe an overlay endpoint; it has no _overlay TXT"
        )
    _check_version(about, apex)
    expires = _number(_values(about, "exp"))
    if expires is None:
        raise MalformedRecord(f"the record of {apex[:8]}… does not say when it expires")
    nickname = next(iter(_values(about, "n")), None)
    return EndpointRecord(
        signed.endpoint_id,
        signed.timestamp,
        expires,
        nickname if nickname is not None and _is_nickname(nickname) else None,
        tuple(_addresses(_values(about, "a")))[:RECORD_ADDRESSES],
        tuple(_services(ports, lasts))[:RECORD_SERVICES],
        tuple(_relays(_values(about, "r")))[:RECORD_RELAYS],
        next((lent for lent in _relays(_values(about, "l")) if _is_lent_by(lent, signed.endpoint_id)), None),
        tuple(_topics(_values(about, "t")))[:RECORD_TOPICS],
        tuple(zone),
    )


def _check_version(about: list[str], apex: str) -> None:
    version = next(iter(_values(about, "v")), "")
    major = _number([version.partition(".")[0]])
    if major is None or major < 1:
        raise MalformedRecord(f"the record of {apex[:8]}… does not say its version")
    if major > MAJOR_VERSION:
        raise ForeignVersion(
            f"the record of {apex[:8]}… was made by a newer overlay (version {major}; this one reads {MAJOR_VERSION}); upgrade"
        )


def _labels_below(entry: RR, apex: str) -> list[str] | None:
    """The entry's labels without the apex, in lower case; None if it lies elsewhere."""
    labels = [label.decode("ascii", "replace").lower() for label in entry.rname.label]
    return labels[:-1] if labels and labels[-1] == apex else None


def _points_at(entry: RR, apex: str) -> bool:
    """Whether an SRV record points at the endpoint itself."""
    return [label.decode("ascii", "replace").lower() for label in entry.rdata.target.label] == [apex]


def _strings(entry: RR) -> list[str]:
    return [string.decode("utf-8", "replace") for string in entry.rdata.data]


def _values(strings: list[str], key: str) -> list[str]:
    return [string[len(key) + 1 :] for string in strings if string.startswith(key + "=")]


def _number(values: list[str]) -> int | None:
    """The first value, if it is a number of at most ten digits."""
    first = values[0] if values else ""
    return int(first) if first.isascii() and first.isdigit() and len(first) <= 10 else None


def _service_key(labels: list[str]) -> tuple[str, ServiceProtocol] | None:
    match labels:
        case [service, "_tcp" | "_udp" as protocol] if service.startswith("_"):
            try:
                return check_service_name(service[1:]), ServiceProtocol(protocol[1:])
            except InvalidName:
                return None
        case _:
            return None


def _services(
    ports: dict[tuple[str, ServiceProtocol], int], lasts: dict[tuple[str, ServiceProtocol], int]
) -> Iterator[PublicService]:
    """Services in the order of their first SRV record; tcp and udp on the same ports are one service."""
    merged: dict[tuple[str, int, int], set[ServiceProtocol]] = {}
    for (name, protocol), port in ports.items():
        merged.setdefault((name, port, lasts.get((name, protocol), port)), set()).add(protocol)
    for (name, first, last), protocols in merged.items():
        if 0 < first <= last < 65536:
            yield PublicService(name, first, last, frozenset(protocols))


def _addresses(texts: list[str]) -> Iterator[Address]:
    """Those that can be sent to; others may be of a kind that a later version knows."""
    for text in dict.fromkeys(texts):
        try:
            address = Address.parse(text)
        except ValueError:
            continue
        if (
            not address.ip.is_multicast
            and not address.ip.is_unspecified
            and str(address.ip) != "255.255.255.255"
        ):
            yield address


def _relays(texts: list[str]) -> Iterator[BeaconUrl]:
    """Those that are URLs of beacons, each host and port once: nobody is asked twice for one."""
    seen = set()
    for text in texts:
        try:
            relay = BeaconUrl.parse(text)
        except ValueError:
            continue
        if fits_record(relay) and (relay.host, relay.port) not in seen:
            seen.add((relay.host, relay.port))
            yield relay


def _topics(texts: list[str]) -> Iterator[bytes]:
    """Those that are ids of topics."""
    for text in dict.fromkeys(texts):
        try:
            yield read_topic(text)
        except ValueError:
            continue


def _is_lent_by(relay: BeaconUrl, endpoint_id: EndpointId) -> bool:
    """Whether nobody else can be sent anything by this word of its owner."""
    return relay.scheme == "https" and relay.beacon_id == endpoint_id and fits_record(relay)


def _is_nickname(text: str) -> bool:
    try:
        check_nickname(text)
    except ValueError:
        return False
    return True
