"""A zone as a file: the records of a BIND-style master file (RFC 1035 §5.1), or JSON as `overlay zone show --json` prints it.

Ours and not dnslib's parser, because that one tells no line, takes what is no record for one, and what stands in a line here is
what `overlay zone set` takes. $ORIGIN and $TTL, comments, quotes, parentheses and a left-out name work; times to live are passed
over, as are SOA and NS records, which a name under `.overlay` has none of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from resolver.errors import InvalidName, InvalidZone
from resolver.limits import ZONE_FILE_CHARACTERS
from resolver.names import TOP_LABEL
from resolver.profiles import Profile, is_profile, profile_of
from resolver.zone_entries import APEX, ZoneEntry, ZoneKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tunnels.identity import EndpointId

    Find = Callable[[str], EndpointId | None]

_TOKEN: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|[^\s"();]+|[()\n]|;[^\n]*|\s')
_ESCAPE: Final = re.compile(r"\\(\d{3}|.)", re.DOTALL)
_TTL: Final = re.compile(r"\d+[smhdw]?(?:\d+[smhdw])*", re.IGNORECASE)
_CLASSES: Final = ("in",)
_NOT_OURS: Final = ("SOA", "NS")


@dataclass(frozen=True, slots=True)
class ZoneFile:
    """What a file says."""

    records: tuple[ZoneEntry, ...]
    profile: Profile | None
    """None where the file says nothing of one."""
    skipped: tuple[str, ...] = ()
    """What was passed over, in a line each."""


def read_zone_file(text: str, own: EndpointId, find: Find) -> ZoneFile:
    """Read either form; InvalidZone names the line or the record that is wrong. `find` says whose a petname is here."""
    if len(text) > ZONE_FILE_CHARACTERS:
        raise InvalidZone(
            f"the file has more than {ZONE_FILE_CHARACTERS} characters; a zone has a few hundred"
        )
    return _read_json(text, own, find) if text.lstrip()[:1] in ("{", "[") else _read_master(text, own, find)


# --- JSON -----------------------------------------------------------------------------------------------------


class JsonRecord(msgspec.Struct, frozen=True):
    """One record: its label, its type, and its value in words, as `overlay zone set` takes them."""

    label: str
    type: str
    value: tuple[str, ...]


class JsonProfile(msgspec.Struct, frozen=True):
    """A profile."""

    name: str = ""
    description: str = ""
    avatar: str = ""
    links: tuple[str, ...] = ()


class JsonZone(msgspec.Struct, frozen=True):
    """A zone; what else a file says is passed over."""

    records: tuple[JsonRecord, ...] | None = None
    profile: JsonProfile | None = None


def json_zone(zone: Iterable[ZoneEntry], own: EndpointId) -> JsonZone:
    """What `zone_of_json` reads."""
    entries = tuple(zone)
    return JsonZone(json_records(entries, own), json_profile(entries))


def json_records(zone: Iterable[ZoneEntry], own: EndpointId) -> tuple[JsonRecord, ...]:
    """The records of a zone, without its profile."""
    words = (entry.words(own) for entry in zone if not is_profile(entry))
    return tuple(JsonRecord(label, kind, tuple(value)) for label, kind, *value in words)


def json_profile(zone: Iterable[ZoneEntry]) -> JsonProfile:
    """The profile in a zone."""
    profile = profile_of(zone)
    return JsonProfile(profile.name, profile.description, profile.avatar, profile.links)


def zone_of_json(zone: JsonZone, own: EndpointId, find: Find = lambda _: None) -> ZoneFile:
    """The zone; InvalidZone names the record that is wrong."""
    records = []
    for number, one in enumerate(zone.records or ()):
        try:
            records.append(_entry(one.label, ZoneKind.parse(one.type), one.value, own, find))
        except (InvalidZone, InvalidName) as error:
            raise InvalidZone(f"records[{number}]: {error}") from None
    told = zone.profile
    profile = (
        Profile(told.name, told.description, told.avatar, told.links).check() if told is not None else None
    )
    return ZoneFile(tuple(records), profile)


def _read_json(text: str, own: EndpointId, find: Find) -> ZoneFile:
    try:
        zone = msgspec.json.decode(text, type=JsonZone)
    except (ValueError, RecursionError) as error:
        raise InvalidZone(f"this is no zone as `overlay zone show --json` prints it: {error}") from None
    if zone.records is None and zone.profile is None:
        raise InvalidZone("this is no zone as `overlay zone show --json` prints it: it has no 'records'")
    return zone_of_json(zone, own, find)


# --- master files ---------------------------------------------------------------------------------------------


def _read_master(text: str, own: EndpointId, find: Find) -> ZoneFile:
    origin, name = f"{own}.{TOP_LABEL}", APEX
    records: list[ZoneEntry] = []
    skipped: list[str] = []
    for line, is_indented, words in _lines(text):
        try:
            if words[0].startswith("$"):
                origin = _directive(words, origin)
                continue
            if not is_indented:
                name, words = words[0], words[1:]
            kind_word, values = _type_and_values(words)
            if kind_word in _NOT_OURS:
                skipped.append(f"line {line}: {kind_word}")
                continue
            label = _label_of(name, origin, own, find)
            kind = ZoneKind.parse(kind_word)
            values = [_absolute(kind, value, origin) for value in values]
            records.append(_entry(label, kind, list(map(_unquoted, values)), own, find))
        except (InvalidZone, InvalidName) as error:
            raise InvalidZone(f"line {line}: {error}") from None
    return ZoneFile(tuple(records), None, tuple(skipped))


def _lines(text: str) -> Iterator[tuple[int, bool, list[str]]]:
    """Each record's or directive's line number, whether its name is left out, and its words."""
    number, began, depth = 1, 1, 0
    words: list[str] = []
    is_indented = False
    at = 0
    for found in _TOKEN.finditer(text.replace("\r\n", "\n") + "\n"):
        if found.start() != at:
            raise InvalidZone(f"line {number}: a quote that does not end")
        at, word = found.end(), found[0]
        if word in "()":
            depth += 1 if word == "(" else -1
            if depth not in (0, 1):
                raise InvalidZone(f"line {number}: a parenthesis too many")
        elif word == "\n":
            if words and not depth:
                yield began, is_indented, words
                words = []
            if not depth:
                is_indented = False
            number += 1
        elif word.isspace():
            is_indented = is_indented or not words
        elif not word.startswith(";"):
            if not words:
                began = number
            words.append(word)
    if depth or words:
        raise InvalidZone(f"line {began}: a parenthesis that does not close")


def _directive(words: list[str], origin: str) -> str:
    """The origin from here on."""
    match [words[0].upper(), *words[1:]]:
        case ["$TTL", _]:
            return origin
        case ["$ORIGIN", name]:
            lower = name.lower()
            return lower.removesuffix(".") if lower.endswith(".") else f"{lower}.{origin}"
        case _:
            raise InvalidZone(f"{words[0]} is not understood here; $ORIGIN and $TTL are")


def _type_and_values(words: list[str]) -> tuple[str, list[str]]:
    """The type, and what follows, behind a time to live and a class in either order."""
    rest = list(words)
    while rest and (_TTL.fullmatch(rest[0]) or rest[0].lower() in _CLASSES):
        del rest[0]
    if not rest:
        raise InvalidZone("a record has a name, a type and a value")
    return rest[0].upper(), rest[1:]


def _label_of(name: str, origin: str, own: EndpointId, find: Find) -> str:
    """The label of a name in the file, which lies under our own name."""
    lower = name.lower()
    if lower == APEX:
        full = origin
    else:
        full = lower.removesuffix(".") if lower.endswith(".") else f"{lower}.{origin}"
    labels = full.split(".")
    if labels[-1] == TOP_LABEL:
        labels.pop()
    owner = labels.pop() if labels else ""
    if owner != str(own) and find(owner) != own:
        raise InvalidZone(f"{name} lies outside of your own name, {own}.{TOP_LABEL}")
    return ".".join(labels) or APEX


def _absolute(kind: ZoneKind, value: str, origin: str) -> str:
    """A name in a value, with its origin if that is no name of ours: there, a label alone means something else."""
    is_name = (
        kind is not ZoneKind.TXT and not value.startswith('"') and not value.isdigit() and "=" not in value
    )
    if not is_name or value.endswith(".") or value == APEX or "." not in value:
        return value
    return f"{value}.{origin}."


def _entry(label: str, kind: ZoneKind, values: Sequence[str], own: EndpointId, find: Find) -> ZoneEntry:
    entry = ZoneEntry.parse(label, kind, values, own, find)
    if is_profile(entry):
        raise InvalidZone("_profile is written by: overlay zone profile")
    return entry


def _unquoted(word: str) -> str:
    """A word without its quotes and escapes: `\\DDD` is a byte, of UTF-8 as everything."""
    inner = word[1:-1] if word.startswith('"') else word

    def byte(found: re.Match[str]) -> str:
        code = found[1]
        if len(code) == 1:
            return code
        if int(code) > 255:
            raise InvalidZone(f"\\{code} is no byte")
        return bytes([int(code)]).decode("ascii", "surrogateescape")

    text = _ESCAPE.sub(byte, inner)
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        raise InvalidZone(f"{word[:40]} is no text in UTF-8") from None
