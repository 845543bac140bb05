"""How people write a service of somebody: `alice web`, `web.alice`, `alice 8000`, and the local port before it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from gateway.errors import UsageError
from gateway.programs.messages import ForwardRule
from resolver.errors import InvalidName
from resolver.names import OverlayName, is_overlay
from resolver.well_known import well_known_port

_RULE: Final = re.compile(
    r"(?:(?P<listen>\[[0-9A-Fa-f:.]+\]|[0-9.]+|localhost):)?(?P<local>[0-9]{1,5}):(?P<name>[^:/\s]+)(?::(?P<port>[0-9]{1,5}))?"
)
_FORM: Final = "write [IP:]PORT:SERVICE.NAME, as in 8080:web.alice, or [IP:]PORT:NAME:PORT"


def destination(name: str, service: str | None = None) -> tuple[str, int]:
    """The host and port to dial, port 0 for none; UsageError for what is no name.

    SERVICE is the name of a service, a port, or both (`game:27015`, for one with several ports).
    """
    host = overlay_host(name)
    if not service:
        if host.service is None:
            raise UsageError(f"which service of {name}? name it, or its port, as in web.{host.owner}")
        return str(host), _port_of(host)
    if service.isdigit():
        return str(host), _number(service)
    if host.service == service:
        return str(host), _port_of(host)
    if host.service is not None:
        raise UsageError(
            f"{name} names a service already; leave {service} out, or write {host.owner} {service}"
        )
    label, _, port = service.partition(":")
    host = overlay_host(f"{label}.{host}")
    return str(host), _number(port) if port else _port_of(host)


def overlay_host(name: str) -> OverlayName:
    """A name that was typed with or without `.overlay`; UsageError if it is none."""
    text = name.removesuffix(".")
    try:
        return OverlayName.parse(text if is_overlay(text) else f"{text}.overlay")
    except InvalidName as error:
        raise UsageError(str(error)) from None


def forward_rule(text: str, protocol: str) -> ForwardRule:
    """A rule of `overlay forward`; UsageError says what is wrong and what is expected."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise UsageError(f"forward: {text!r} says not what to forward; {_FORM}")
    listen = "127.0.0.1" if found["listen"] in (None, "localhost") else found["listen"].strip("[]")
    try:
        ip_address(listen)
    except ValueError:
        raise UsageError(f"forward: {text!r}: {listen} is no ip; {_FORM}") from None
    host, port = destination(found["name"], found["port"])
    return ForwardRule(
        listen=listen,
        listen_port=_number(found["local"], least=0),
        host=host,
        port=port,
        protocol="udp" if protocol == "udp" else "tcp",
    )


def _port_of(host: OverlayName) -> int:
    """The usual port of a host's service; 0 if there is none."""
    return (well_known_port(host.service) or 0) if host.service is not None else 0


def _number(text: str, *, least: int = 1) -> int:
    if not (text.isascii() and text.isdigit()) or not least <= int(text[:6]) <= 65535:
        raise UsageError(f"{text} is no port; ports are {least}-65535")
    return int(text)
