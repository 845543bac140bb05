"""What a text in the configuration may be, beyond its type. Each check raises ValueError that tells what is expected."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from tunnels.identity import EndpointId

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")


def check_label(text: str) -> None:
    """ValueError unless `text` can be one label of a name: a nickname, a petname, the name of a service."""
    inside = text.replace("-", "").isalnum() and text.isascii() and text == text.lower()
    if not 0 < len(text) <= 63 or not inside or text.startswith("-") or text.endswith("-"):
        raise ValueError(
            f"{text!r} is not a name: 1 to 63 characters of a-z, 0-9 and hyphen, with no hyphen at either end"
        )


def check_petname(text: str) -> None:
    """ValueError unless `text` can be a petname: a label that cannot be taken for an endpoint id."""
    check_label(text)
    try:
        EndpointId.parse(text)
    except ValueError:
        return
    raise ValueError(f"{text!r} is an endpoint id; a petname is a word of your own")


def check_limit(text: str) -> None:
    """ValueError unless `text` is what is limited: `default`, `strangers`, or a contact, group or service by name."""
    kind, dot, name = text.partition(".")
    if not dot and kind in ("default", "strangers"):
        return
    if not dot or kind not in ("contacts", "groups", "services"):
        raise ValueError(
            f"{text!r} is nobody: expected default, strangers, contacts.NAME, groups.NAME or services.NAME"
        )
    check_label(name)  # a petname or an id of a contact


def check_ip(text: str) -> None:
    """ValueError unless `text` is a numeric IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        hint = "; write 127.0.0.1" if text == "localhost" else ""
        raise ValueError(f"{text!r} is not an ip address{hint}") from None


def check_place(text: str) -> None:
    """ValueError unless `text` is a host, by name or ip, and a port: `host:port`."""
    host, _, port = text.rpartition(":")
    if not _HOST.fullmatch(host) or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is no place: expected host:port, such as router.bittorrent.com:6881")


def check_visible(text: str) -> None:
    """ValueError unless `text` may stand in an HTTP header: visible ASCII only."""
    if not all("!" <= character <= "~" for character in text):
        raise ValueError(f"{text!r} cannot stand in an HTTP header")


def check_proxy(text: str) -> None:
    """ValueError unless `text` is the URL of an HTTP proxy; the message does not repeat it, it may hold a password."""
    if not _is_proxy_url(text, "http"):
        raise ValueError(
            "proxy is not the URL of an HTTP proxy: expected http://host:port, with user:password@ before the host "
            "if it asks for them"
        )


def check_upstream(text: str) -> None:
    """ValueError unless `text` is the URL of a proxy; the message does not repeat it, it may hold a password."""
    if not _is_proxy_url(text, "socks5", "socks4", "http"):
        raise ValueError(
            "upstream is not the URL of a proxy: expected socks5://host:port, socks4://host:port or http://host:port, "
            "with user:password@ before the host if it asks for them"
        )


def _is_proxy_url(text: str, *schemes: str) -> bool:
    try:
        url = urlsplit(text)
        complete = bool(url.hostname) and bool(url.port)
    except ValueError:
        return False
    return complete and url.scheme in schemes and url.path in ("", "/") and not url.query and not url.fragment
