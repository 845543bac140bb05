"""What a name under `.overlay` is: `<owner>.overlay` or `<service>.<owner>.overlay`.

The owner is an endpoint id or one of my petnames. Names are compared in lower case; a trailing dot is allowed.
Who owns a petname is the address book's business, in `contacts`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NewType

from resolver.errors import InvalidName
from resolver.limits import LABEL_CHARACTERS, SERVICE_NAME_CHARACTERS
from tunnels.identity import ID_CHARACTERS, EndpointId

TOP_LABEL: Final = "overlay"

Petname = NewType("Petname", str)
"""A name I gave an endpoint: one checked, lower-case label."""

RESERVED_PETNAMES: Final = {
    "dns": "it is the DNS server of this gateway",
    "gateway": "it is this gateway itself",
    "localhost": "it is this machine",
    "overlay": "it is the end of every name",
    "proxy": "it is the proxy of this gateway",
    "wpad": "browsers look for their proxy settings there",
    "isatap": "systems look for an IPv6 router there",
}

_LABEL = re.compile(r"[a-z0-9-]+")


class ServiceProtocol(Enum):
    """What a service is spoken over."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class OverlayName:
    """A name under `.overlay`, in lower case; str() is its text without a trailing dot."""

    owner: EndpointId | Petname
    service: str | None = None
    """The service named before the owner; None for the endpoint itself."""

    @classmethod
    def parse(cls, text: str) -> OverlayName:
        """Read a name in any case, with or without trailing dot; InvalidName says which rule it breaks."""
        labels = text.removesuffix(".").lower().split(".")
        if not text.isascii() or labels[-1] != TOP_LABEL:
            raise InvalidName(f"{text!r} does not end in .{TOP_LABEL}")
        return cls.from_labels(labels[:-1])

    @classmethod
    def from_labels(cls, labels: list[str]) -> OverlayName:
        """From the lower-case labels before `overlay`; InvalidName unless there are one or two good ones."""
        match labels:
            case [owner]:
                return cls(parse_owner(owner))
            case [service, owner]:
                return cls(parse_owner(owner), check_service_name(service))
            case _:
                raise InvalidName(
                    f"{'.'.join((*labels, TOP_LABEL))!r} is not a name: "
                    f"write <name>.{TOP_LABEL} or <service>.<name>.{TOP_LABEL}"
                )

    def __str__(self) -> str:
        return f"{self.service}.{self.owner}.{TOP_LABEL}" if self.service else f"{self.owner}.{TOP_LABEL}"


def is_overlay(host: str) -> bool:
    """Whether the host lies under `.overlay`, so that it is ours and nobody else's to answer for."""
    host = host.removesuffix(".").lower()
    return host == TOP_LABEL or host.endswith("." + TOP_LABEL)


def parse_owner(label: str) -> EndpointId | Petname:
    """Read the label before `.overlay`: 52 characters are an endpoint id, anything else a petname.

    Reserved petnames are read too: nobody has them, so they are found nowhere. InvalidName otherwise.
    """
    if len(label) == ID_CHARACTERS:
        try:
            return EndpointId.parse(label)
        except ValueError as error:
            raise InvalidName(f"{label!r} has the length of an endpoint id and is none: {error}") from None
    return Petname(check_label(label))


def check_label(text: str) -> str:
    """The label in lower case; InvalidName (a ValueError) says what is wrong with it and what to write."""
    label = text.lower() if text.isascii() else text  # some foreign letters have an ASCII lower case
    if not label:
        raise InvalidName("a name may not be empty: use letters, digits and hyphens")
    if len(label) > LABEL_CHARACTERS:
        raise InvalidName(f"{text!r} has {len(label)} characters; a name has at most {LABEL_CHARACTERS}")
    if not _LABEL.fullmatch(label):
        wrong = next(character for character in label if not _LABEL.fullmatch(character))
        raise InvalidName(f"{text!r} contains {wrong!r}; a name has only letters a-z, digits and hyphens")
    if label.startswith("-") or label.endswith("-"):
        raise InvalidName(f"{text!r} begins or ends with a hyphen; leave it out")
    if label.startswith("xn--"):
        # A browser shows such a label as other letters, so a person could not tell whom they talk to.
        raise InvalidName(f"{text!r} begins with xn--, which programs show as other letters; choose another")
    return label


def check_petname(text: str) -> Petname:
    """A petname a contact may have, in lower case; InvalidName says why not and what to write."""
    label = check_label(text)
    if len(label) == ID_CHARACTERS:
        raise InvalidName(
            f"{text!r} has {ID_CHARACTERS} characters, as endpoint ids have; choose a shorter or longer petname"
        )
    if label in RESERVED_PETNAMES:
        raise InvalidName(f"{text!r} is reserved: {RESERVED_PETNAMES[label]}; choose another petname")
    return Petname(label)


def check_service_name(text: str) -> str:
    """A service name in lower case; InvalidName says why not and what to write."""
    label = check_label(text)
    if len(label) > SERVICE_NAME_CHARACTERS:
        raise InvalidName(
            f"{text!r} has {len(label)} characters; a service name has at most {SERVICE_NAME_CHARACTERS}"
        )
    return label
