"""Which service a Host under `.localhost` means: `web.alice.localhost:7380` is `web.alice.overlay`.

Browsers take these names to this machine themselves (RFC 6761 §6.3) and treat their pages as secure contexts. Any
other name that leads here was made to do so by somebody else (DNS rebinding), so it is refused.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.errors import GatewayError
from resolver.errors import InvalidName
from resolver.names import TOP_LABEL, OverlayName

LOCAL_TOP: Final = "localhost"
DOH_HOST: Final = "dns.localhost"
"""Where DNS over HTTPS is answered; no contact can be called dns."""

_AUTHORITY: Final = re.compile(rb"([A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?")


class HostError(GatewayError):
    """A Host that is none of ours; str() says why. `is_foreign`: somebody else's name leads here."""

    def __init__(self, message: str, *, is_foreign: bool = False) -> None:
        super().__init__(message)
        self.is_foreign = is_foreign


def host_of(authority: bytes) -> str:
    """The host of `host` or `host:port`, in lower case; HostError if it cannot be a name."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise HostError("the host of the request is not understood", is_foreign=True)
    return match[1].decode("ascii").lower()


def name_of(host: str) -> OverlayName:
    """The name that a host under `.localhost` stands for; HostError for every other host."""
    labels = host.split(".")
    if labels[-1] != LOCAL_TOP:
        raise HostError(f"{host} is not under .{LOCAL_TOP}", is_foreign=True)
    if len(labels) == 1:
        raise HostError("which service is meant is said by the name")
    try:
        return OverlayName.from_labels(labels[:-1])
    except InvalidName:
        raise HostError(f"{host} is no name of a service") from None


def is_ours(host: str) -> bool:
    """Whether this is a name of a service, or of DNS over HTTPS, under `.overlay` or `.localhost`, in lower case."""
    labels = host.split(".")
    if labels[-1] not in (LOCAL_TOP, TOP_LABEL):
        return False
    try:
        OverlayName.from_labels(labels[:-1])
    except InvalidName:
        return False
    return True


def is_local(host: str) -> bool:
    """The same for `.localhost` alone."""
    return is_ours(host) and host.endswith(f".{LOCAL_TOP}")


def owner_of(host: str) -> str:
    """`alice.localhost` of `web.alice.localhost`: what belongs to one endpoint. Browsers call that a site."""
    return ".".join(host.split(".")[-2:])
