"""What an owner puts into the zone of its own name: TXT, CNAME, SRV and HTTPS records, as people write them and as packets hold them.

A label stands before the name: `blog` is seen as `blog.<name>.overlay`, `_sip._tcp` as `_sip._tcp.<name>.overlay`, `@`
is the name itself. On the wire an endpoint id is a top-level label, as pkarr has it, so that the owner's petnames mean nothing
to others. There are no A and AAAA records: an endpoint is reached by a loopback address of whoever asks, and an address in a
record would lead past the tunnel. HTTPS records (RFC 9460) have no address hints for the same reason.

What others published is read with `entry_of`, which gives None for all that is not exactly this.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from dnslib import CNAME, HTTPS, SRV, TXT
from dnslib.label import DNSLabel

from resolver.errors import InvalidName, InvalidZone
from resolver.limits import NAME_BYTES, ZONE_ALPN, ZONE_PREFIX_LABELS
from resolver.names import TOP_LABEL, OverlayName, check_service_name
from tunnels.identity import ID_CHARACTERS, EndpointId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dnslib import RD, RR

APEX: Final = "@"
"""How the name itself is written where a label is asked for."""

_STRING_BYTES: Final = 255  # one character string, RFC 1035 §3.3
_PREFIX: Final = re.compile("_[a-z0-9-]{1,62}")
_HOST_LABEL: Final = re.compile("(?!-)[a-z0-9_-]{1,63}(?<!-)")
_ALPN: Final = re.compile("[A-Za-z0-9./_-]{1,32}")
NOT_PUBLIC: Final = frozenset(
    {"arpa", "corp", "home", "i2p", "internal", "intranet", "invalid", "lan", "local", "localdomain"}
    | {"localhost", "onion", "private", "test", TOP_LABEL}
)
"""Names that mean something else on every network: nobody's alias shall lead a browser into the reader's own (RFC 6761)."""
_KEYS: Final = {"alpn": 1, "no-default-alpn": 2, "port": 3}  # SvcParamKeys, RFC 9460 §14.3.2
_PORT: Final = struct.Struct(">H")

WireName = tuple[bytes, ...]


class ZoneKind(Enum):
    """The types of records that a zone may have, by their numbers."""

    CNAME = 5
    TXT = 16
    SRV = 33
    HTTPS = 65

    @classmethod
    def parse(cls, text: str) -> ZoneKind:
        """Read a type in any case; InvalidZone says what may be written, and why A and AAAA may not."""
        word = text.upper()
        if word in ("A", "AAAA"):
            raise InvalidZone(
                f"a zone has no {word} records: others reach you by a loopback address of their own machine, and an "
                "address would lead them past the tunnel; write a CNAME to one of your services, or to a public name"
            )
        try:
            return cls[word]
        except KeyError:
            raise InvalidZone(
                f"{text!r} is no type of record for a zone; write {', '.join(cls.__members__)}"
            ) from None


@dataclass(frozen=True, slots=True)
class Target:
    """What a record points at: a name of an endpoint, or a public name outside `.overlay`."""

    owner: EndpointId | None
    """None outside."""
    text: str
    """The label before the owner, empty for the endpoint itself; outside, the whole name without its last dot."""

    def wire(self) -> WireName:
        """Its labels in a packet."""
        labels = self.text.split(".") if self.text else []
        return tuple(label.encode() for label in ([*labels, str(self.owner)] if self.owner else labels))

    def words(self, own: EndpointId) -> str:
        """As `parse` reads it."""
        if self.owner == own:
            return self.text or APEX
        return f"{self.text}." if self.owner is None else str(OverlayName(self.owner, self.text or None))

    @classmethod
    def parse(
        cls, text: str, own: EndpointId, find: Callable[[str], EndpointId | None] = lambda _: None
    ) -> Target:
        """Read what a person wrote; InvalidZone or InvalidName says what is wrong.

        `find` says whose a petname is here: it becomes the id, because others call that endpoint something else.
        """
        name = text.removesuffix(".").lower()
        if text == APEX:
            return cls(own, "")
        labels = name.split(".")
        if labels[-1] == TOP_LABEL:
            read = OverlayName.parse(name)
            owner = read.owner if isinstance(read.owner, EndpointId) else find(read.owner)
            if owner is None:
                raise InvalidZone(
                    f"{text!r}: nobody is known as {read.owner}; write the id in place of the name"
                )
            return cls(owner, read.service or "")
        if len(labels) == 1 and text == text.rstrip("."):
            return cls(own, check_service_name(name))
        target = _target_of(labels)
        if target is None:
            raise InvalidZone(
                f"{text!r} is nothing a record may point at: write a label of yours, a name under .{TOP_LABEL}, "
                "or a public name such as www.example.org"
            )
        return target


@dataclass(frozen=True, slots=True)
class Text:
    """TXT."""

    strings: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Alias:
    """CNAME."""

    target: Target


@dataclass(frozen=True, slots=True)
class Server:
    """SRV (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: Target


@dataclass(frozen=True, slots=True)
class Binding:
    """HTTPS (RFC 9460): priority 0 is an alias and has no parameters."""

    priority: int
    target: Target | None
    """None is the record's own name."""
    alpn: tuple[str, ...] = ()
    default_alpn: bool = True
    port: int | None = None


Value = Text | Alias | Server | Binding
_KINDS: Final[dict[type[Value], ZoneKind]] = {
    Text: ZoneKind.TXT,
    Alias: ZoneKind.CNAME,
    Server: ZoneKind.SRV,
    Binding: ZoneKind.HTTPS,
}


@dataclass(frozen=True, slots=True)
class ZoneEntry:
    """One record of a zone."""

    prefix: tuple[str, ...]
    """The labels with an underscore, the first first."""
    node: str
    """The label behind them; empty for the name itself."""
    value: Value

    @property
    def kind(self) -> ZoneKind:
        """Its type."""
        return _KINDS[type(self.value)]

    @property
    def label(self) -> str:
        """The labels before the owner's name; empty for none."""
        return ".".join((*self.prefix, self.node) if self.node else self.prefix)

    def words(self, own: EndpointId) -> tuple[str, ...]:
        """Label, type and value as `parse` reads them; bytes that are no text are lost."""
        return (self.label or APEX, self.kind.name, *_value_words(self.value, own))

    @classmethod
    def parse(
        cls,
        label: str,
        kind: ZoneKind,
        words: Sequence[str],
        own: EndpointId,
        find: Callable[[str], EndpointId | None] = lambda _: None,
    ) -> ZoneEntry:
        """Read what a person wrote; InvalidZone or InvalidName says what is wrong. `find` is as in `Target.parse`."""
        prefix, node = split_label(label)
        match kind:
            case ZoneKind.TXT:
                value: Value = Text(tuple(_strings(words)))
            case ZoneKind.CNAME:
                value = Alias(Target.parse(_single(words, "CNAME", "the name it stands for"), own, find))
            case ZoneKind.SRV:
                value = _server(words, own, find)
            case ZoneKind.HTTPS:
                value = _binding(words, own, find)
        entry = cls(prefix, node, value)
        reason = _objection(entry, own)
        if reason:
            raise InvalidZone(f"{entry.label or APEX} {kind.name}: {reason}")
        return entry

    def rr_data(self, name_of: Callable[[Target], WireName] = Target.wire) -> RD:
        """The record's data; `name_of` gives the labels of what it points at."""
        match self.value:
            case Text(strings):
                return TXT(list(strings))
            case Alias(target):
                return CNAME(DNSLabel(name_of(target)))
            case Server(priority, weight, port, target):
                return SRV(priority, weight, port, DNSLabel(name_of(target)))
            case Binding(priority, where, alpn, default_alpn, opened):
                parameters = []
                if alpn:
                    parameters.append((1, b"".join(bytes([len(one)]) + one.encode() for one in alpn)))
                if not default_alpn:
                    parameters.append((2, b""))
                if opened is not None:
                    parameters.append((3, _PORT.pack(opened)))
                return HTTPS(priority, list(name_of(where)) if where is not None else [], parameters)


def split_label(text: str) -> tuple[tuple[str, ...], str]:
    """The labels with an underscore, and the one behind them; InvalidZone or InvalidName says what is wrong."""
    if text in (APEX, ""):
        return (), ""
    if len(text) > NAME_BYTES or not text.isascii():
        raise InvalidZone(f"{text[:40]!r} is no label; use a-z, 0-9 and hyphens")
    labels = text.lower().removesuffix(".").split(".")
    count = 0
    while count < len(labels) and labels[count].startswith("_"):
        count += 1
    prefix, rest = tuple(labels[:count]), labels[count:]
    if len(prefix) > ZONE_PREFIX_LABELS or len(rest) > 1 or not all(map(_PREFIX.fullmatch, prefix)):
        raise InvalidZone(
            f"{text!r} is no label of a zone: write one label, with at most {ZONE_PREFIX_LABELS} before it that begin "
            "with an underscore, such as blog, _sip._tcp or _acme-challenge.blog"
        )
    return prefix, check_service_name(rest[0]) if rest else ""


def entry_of(labels: Sequence[str], record: RR, own: EndpointId) -> ZoneEntry | None:
    """The entry that a record in `own`'s packet is; `labels` stand before the apex. None if it is none."""
    try:
        prefix, node = split_label(".".join(labels))
    except (InvalidName, InvalidZone):
        return None
    value = _read(record, own)
    entry = ZoneEntry(prefix, node, value) if value is not None else None
    return entry if entry is not None and not _objection(entry, own) else None


def check_zone(entries: Sequence[ZoneEntry]) -> None:
    """InvalidZone where two of them cannot stand together: nothing stands beside a CNAME (RFC 1034 §3.6.2)."""
    labels = [entry.label for entry in entries]
    for entry in entries:
        if entry.kind is ZoneKind.CNAME and labels.count(entry.label) > 1:
            raise InvalidZone(
                f"{entry.label} has a CNAME, which stands alone; first: overlay zone unset {entry.label}"
            )


def _objection(entry: ZoneEntry, own: EndpointId) -> str:
    """Why the entry cannot stand in a zone; empty if it can."""
    is_top = not entry.node
    match entry.value:
        case _ if is_top and entry.prefix[:1] == ("_overlay",):
            return "_overlay tells where this endpoint is, and is written by the gateway itself"
        case Alias(target):
            if not entry.label:
                return "the name itself has other records, and a CNAME stands alone; choose a label"
            if target.owner == own and not entry.prefix and target.text == entry.node:
                return "it would stand for itself"
        case Server(target=target):
            if len(entry.prefix) != 2:
                return "an SRV record stands at _service._protocol, such as _sip._tcp"
            if is_top and target == Target(own, ""):
                return "name the service that it points at; to offer one of this name: overlay expose"
        case Text(strings):
            if is_top and entry.prefix[1:] in (("_tcp",), ("_udp",)) and is_range(strings):
                return "last= tells of a service's ports, and is written by the gateway itself"
            if not entry.label and strings[:1] and strings[0].startswith(b"id="):
                return "id= tells whose name it is, and is written by the gateway itself"
        case Binding(priority, where, alpn, default_alpn, port):
            has_parameters = bool(alpn) or not default_alpn or port is not None
            if priority == 0 and (where is None or has_parameters):
                return "an HTTPS record of priority 0 is an alias: it has a target and nothing else"
            if not default_alpn and not alpn:
                return "no-default-alpn needs alpn"
    return ""


def is_range(strings: Sequence[bytes]) -> bool:
    """Whether a TXT record beside the SRV record of a service is the one that makes a range of it."""
    return len(strings) == 1 and strings[0].startswith(b"last=") and strings[0][5:].isdigit()


def _strings(words: Sequence[str]) -> Iterable[bytes]:
    """Each word as UTF-8, in as many strings as it takes (readers join those of a record)."""
    if not words:
        raise InvalidZone("a TXT record needs a text")
    for word in words:
        if not word.isprintable():
            raise InvalidZone("a TXT record is printable text")
        data = word.encode()
        yield from [data[at : at + _STRING_BYTES] for at in range(0, len(data), _STRING_BYTES)] or [b""]


def _single(words: Sequence[str], kind: str, what: str) -> str:
    if len(words) != 1:
        raise InvalidZone(f"a {kind} record has one value, {what}")
    return words[0]


def _server(words: Sequence[str], own: EndpointId, find: Callable[[str], EndpointId | None]) -> Server:
    if len(words) != 4:
        raise InvalidZone(
            "an SRV record has four values: priority, weight, port and target, such as 0 0 5060 pbx"
        )
    priority, weight, port = (
        _number(word, "an SRV record's priority, weight and port") for word in words[:3]
    )
    if not port:
        raise InvalidZone("an SRV record's port is 1 to 65535")
    return Server(priority, weight, port, Target.parse(words[3], own, find))


def _binding(words: Sequence[str], own: EndpointId, find: Callable[[str], EndpointId | None]) -> Binding:
    if len(words) < 2:
        raise InvalidZone(
            "an HTTPS record has a priority, a target and parameters, such as 1 . alpn=h2 port=443"
        )
    priority = _number(words[0], "an HTTPS record's priority")
    where = None if words[1] == "." else Target.parse(words[1], own, find)
    given: dict[str, str] = {}
    for word in words[2:]:
        key, _, value = word.partition("=")
        if key not in _KEYS or key in given:
            raise InvalidZone(
                f"{word!r}: an HTTPS record has alpn, no-default-alpn and port, each once; addresses do not belong there"
            )
        given[key] = value.strip('"')
    alpn = tuple(given["alpn"].split(",")) if "alpn" in given else ()
    if len(alpn) > ZONE_ALPN or not all(map(_ALPN.fullmatch, alpn)):
        raise InvalidZone(f"alpn is at most {ZONE_ALPN} names of protocols, such as alpn=h2,http/1.1")
    if given.get("no-default-alpn"):
        raise InvalidZone("no-default-alpn has no value")
    port = _number(given["port"], "port") if "port" in given else None
    if port == 0:
        raise InvalidZone("port is 1 to 65535")
    return Binding(priority, where, alpn, "no-default-alpn" not in given, port)


def _number(word: str, what: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 5 and int(word) <= 65535):
        raise InvalidZone(f"{word!r}: {what} is a number from 0 to 65535")
    return int(word)


def _value_words(value: Value, own: EndpointId) -> tuple[str, ...]:
    match value:
        case Text(strings):
            return tuple(string.decode("utf-8", "replace") for string in strings)
        case Alias(target):
            return (target.words(own),)
        case Server(priority, weight, port, target):
            return (str(priority), str(weight), str(port), target.words(own))
        case Binding(priority, where, alpn, default_alpn, opened):
            words = [str(priority), where.words(own) if where is not None else "."]
            words += [f"alpn={','.join(alpn)}"] if alpn else []
            words += [] if default_alpn else ["no-default-alpn"]
            words += [f"port={opened}"] if opened is not None else []
            return tuple(words)


# --- what others published --------------------------------------------------------------------------------------


def _read(record: RR, own: EndpointId) -> Value | None:
    """The value of a record, if we know its type and it says nothing else than we could say."""
    data = record.rdata
    if isinstance(data, TXT):
        return Text(tuple(map(bytes, data.data)))
    if isinstance(data, CNAME):
        target = _read_target(data.label.label)
        return Alias(target) if target is not None else None
    if isinstance(data, SRV):
        target = _read_target(data.target.label)
        return Server(data.priority, data.weight, data.port, target) if target and data.port else None
    return _read_binding(data) if isinstance(data, HTTPS) else None


def _read_binding(data: HTTPS) -> Binding | None:
    where = _read_target(data.target) if data.target else None
    if data.target and where is None:
        return None
    alpn: tuple[str, ...] = ()
    default_alpn, port = True, None
    for key, value in data.params:
        match key:
            case 0:  # what must be understood (RFC 9460 §8)
                numbers = {int.from_bytes(value[at : at + 2]) for at in range(0, len(value), 2)}
                if len(value) % 2 or not numbers <= set(_KEYS.values()):
                    return None
            case 1:
                names = _read_alpn(bytes(value))
                if names is None:
                    return None
                alpn = names
            case 2:
                default_alpn = False
            case 3:
                port = int.from_bytes(value)
                if len(value) != 2 or not port:
                    return None
            case _:  # address hints, above all: nobody is led past the tunnel
                pass
    return Binding(data.priority, where, alpn, default_alpn, port)


def _read_alpn(data: bytes) -> tuple[str, ...] | None:
    names: list[str] = []
    while data:
        length = data[0]
        name, data = data[1 : 1 + length].decode("latin-1"), data[1 + length :]
        if len(name) != length or not _ALPN.fullmatch(name) or len(names) >= ZONE_ALPN:
            return None
        names.append(name)
    return tuple(names) or None


def _read_target(labels: Sequence[bytes]) -> Target | None:
    return _target_of([bytes(label).decode("latin-1").lower() for label in labels])


def _target_of(labels: list[str]) -> Target | None:
    """What lower-case labels name: under an id, with or without `.overlay`, or a public name; None for anything else."""
    inside = labels[:-1] if labels[-1:] == [TOP_LABEL] else labels
    if inside and len(inside[-1]) == ID_CHARACTERS:
        try:
            name = OverlayName.from_labels(inside)
        except InvalidName:
            return None
        return Target(name.owner, name.service or "") if isinstance(name.owner, EndpointId) else None
    text = ".".join(labels)
    is_public = (
        len(labels) > 1
        and len(text) < NAME_BYTES - 1
        and all(map(_HOST_LABEL.fullmatch, labels))
        and labels[-1] not in NOT_PUBLIC
        and not labels[-1].isdigit()  # an address, and no name
    )
    return Target(None, text) if is_public else None
