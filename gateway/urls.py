"""The lines that tell somebody what to open and what to type. Pure text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from resolver.names import ServiceProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.expose.services import Service

_SCHEMES: Final = {80: "http", 443: "https", 22: "ssh", 21: "ftp", 5900: "vnc", 3389: "rdp"}
_HTTP_PORTS: Final = frozenset({3000, 5000, 5173, 8000, 8008, 8080, 8081, 8888, 9000})
"""Ports on which development servers speak HTTP by habit."""


def url_of(host: str, port: int, protocols: Iterable[ServiceProtocol]) -> str:
    """What to open for a port, such as `http://web.alice.overlay/`; empty when the port says nothing of a scheme."""
    if ServiceProtocol.TCP not in protocols:
        return ""
    scheme = _SCHEMES.get(port)
    if scheme is not None:
        return f"{scheme}://{host}/"
    return f"http://{host}:{port}/" if port in _HTTP_PORTS else ""


def service_url(host: str, service: Service) -> str:
    """The same for a service of ours."""
    return url_of(host, service.first_port, service.protocols)


def join_command(ticket: str, nickname: str) -> str:
    """What the other side types to know us."""
    return f"overlay join {ticket}" if nickname else f"overlay join {ticket} --name NAME"


def use_command(host: str, service: Service) -> str:
    """What the other side types to use a service of ours through its proxy."""
    url = service_url(host, service)
    if url.startswith("http"):
        return f"curl --proxy socks5h://127.0.0.1:1080 {url}"
    if service.first_port == 22:
        return f"ssh -o ProxyCommand='nc -X 5 -x 127.0.0.1:1080 %h %p' {host}"
    if ServiceProtocol.TCP in service.protocols:
        return f"nc -X 5 -x 127.0.0.1:1080 {host} {service.first_port}"
    return f"overlay resolve {host}"
