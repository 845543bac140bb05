"""Which requests of a browser are answered at all, whoever is logged in, and what every answer forbids the browser.

A browser carries out requests for any page that is open in it. Four things tell ours from others':

* Host: a page whose name was pointed at this machine (DNS rebinding) asks under that name.
* Origin, where there is one: the page that asks.
* Sec-Fetch-Site (W3C Fetch Metadata): the same, said of scripts, frames and images too. Pages at other ports of this
  machine are `same-site`, and they are others as well: a service of somebody else may be there.
* Sec-Fetch-Dest: that it is to be shown in a frame.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""In every answer: nothing from elsewhere is loaded, nothing of ours is shown or read elsewhere."""

_FRAMES: Final = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})


class Kind(Enum):
    """What a request is for."""

    PAGE = "page"
    """The page itself, without data: a link from anywhere may lead to it, as may a bookmark."""
    FILE = "file"
    """What the page consists of; the PAC file and DNS over HTTPS, which browsers and systems ask for themselves."""
    DATA = "data"
    """Everything that tells or changes something: only for scripts of the page."""


def refusal(kind: Kind, headers: Mapping[str, str], here: tuple[str, int]) -> str:
    """Why a request with these `headers` (in any case) that came in at the address `here` is not answered; empty if it is."""
    host = headers.get("Host", "")
    if host.lower() not in own_hosts(*here):
        return "Open this by the address that `overlay dash` prints, not by a name."
    origin = headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        return "This is not for other pages."
    site = headers.get("Sec-Fetch-Site", "none")
    if headers.get("Sec-Fetch-Dest", "") in _FRAMES:
        return "This is not shown inside other pages."
    if kind is Kind.PAGE and headers.get("Sec-Fetch-Mode", "navigate") == "navigate":
        return ""
    if site == "same-origin" or (site == "none" and kind is not Kind.DATA):
        return ""
    if (
        "Sec-Fetch-Site" not in headers
    ):  # no browser, or one from before 2023; what data needs beyond, no page can send
        return ""
    return "This is not for other pages."


def own_hosts(ip: str, port: int) -> frozenset[str]:
    """What a browser calls the address `ip` and `port` of ours; loopback too, from where a container's port may be led here."""
    names = {_literal(ip), "127.0.0.1", "[::1]", "localhost"}
    return frozenset({f"{name}:{port}" for name in names} | (names if port == 80 else set()))


def _literal(ip: str) -> str:
    """An address as it stands in a URL."""
    address = ip_address(ip.partition("%")[0])
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped) if address.ipv4_mapped else f"[{address}]"
    return str(address)
