"""What an owner tells people of itself: a TXT record at `_profile.<id>` in the zone of its name.

::

    _profile.<id>  TXT  "n=<display name>" "d=<description>" "a=<avatar's URL>" "l=<link>" "l=<link>"

Each is a string of its own, in UTF-8, of at most 255 bytes with its key; unknown keys are ignored. It is a claim and no proof: who somebody is,
their id says. What others wrote is read leniently and shown with care (`resolver.lookalikes`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from resolver.errors import InvalidZone
from resolver.limits import PROFILE_LINKS, PROFILE_NAME_BYTES, PROFILE_STRING_BYTES
from resolver.lookalikes import check_text
from resolver.zone_entries import Text, ZoneEntry

if TYPE_CHECKING:
    from collections.abc import Iterable

PROFILE_LABEL: Final = "_profile"
_URL: Final = re.compile(r"https?://[A-Za-z0-9\[][!-~]*")


@dataclass(frozen=True, slots=True)
class Profile:
    """What an owner says of itself; an empty one says nothing."""

    name: str = ""
    """The display name."""
    description: str = ""
    avatar: str = ""
    """The URL of a picture."""
    links: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def check(self) -> Profile:
        """The profile, if it can be published; InvalidZone says why not."""
        try:
            if self.name:
                check_text(self.name, "display name")
                _check_size(self.name, "the display name", PROFILE_NAME_BYTES)
            if self.description:
                check_text(self.description, "description", is_name=False)
                _check_size(self.description, "the description", PROFILE_STRING_BYTES)
        except ValueError as error:
            raise InvalidZone(str(error)) from None
        if len(self.links) > PROFILE_LINKS:
            raise InvalidZone(f"a profile has at most {PROFILE_LINKS} links")
        for url in (self.avatar, *self.links):
            if url and not _is_url(url):
                raise InvalidZone(
                    f"{url[:60]!r} is no URL of http or https in ASCII with at most {PROFILE_STRING_BYTES} bytes"
                )
        return self

    def entry(self) -> ZoneEntry | None:
        """The record that tells it; None if there is nothing to tell."""
        strings = [(b"n", self.name), (b"d", self.description), (b"a", self.avatar)]
        strings += [(b"l", link) for link in self.links]
        told = tuple(key + b"=" + text.encode() for key, text in strings if text)
        return ZoneEntry((PROFILE_LABEL,), "", Text(told)) if told else None


def is_profile(entry: ZoneEntry) -> bool:
    """Whether an entry is the profile and no other record of the zone."""
    return entry.label == PROFILE_LABEL


def profile_of(zone: Iterable[ZoneEntry]) -> Profile:
    """The profile in a zone; what cannot be used of it is left out."""
    strings = next(
        (entry.value.strings for entry in zone if is_profile(entry) and isinstance(entry.value, Text)), ()
    )
    found: dict[bytes, list[str]] = {}
    for string in strings:
        found.setdefault(string[:2], []).append(string[2:].decode("utf-8", "replace"))

    def first(key: bytes) -> str:
        return next(iter(found.get(key, ())), "")

    avatar = first(b"a=")
    return Profile(
        first(b"n=")[:PROFILE_NAME_BYTES],
        first(b"d="),
        avatar if _is_url(avatar) else "",
        tuple(filter(_is_url, found.get(b"l=", ())))[:PROFILE_LINKS],
    )


def _check_size(text: str, what: str, most: int) -> None:
    size = len(text.encode())
    if size > most:
        raise InvalidZone(f"{what} has {size} bytes; it may have at most {most}")


def _is_url(text: str) -> bool:
    return len(text) <= PROFILE_STRING_BYTES and _URL.fullmatch(text) is not None
