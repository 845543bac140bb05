"""What stands behind a service, and how people write it: `8000`, `host:8000`, `unix:/run/app.sock`, `5000-5100/udp`.

Connecting to it is next door, in `connecting`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final, Protocol

from gateway.errors import UsageError
from gateway.limits import SERVICE_PORTS
from resolver.names import ServiceProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.dialing import Flow
    from gateway.splice import Held
    from tunnels.identity import EndpointId

_EXPECTED: Final = (
    "write host:port, a port of this machine, unix:PATH, or a range such as 5000-5100; "
    "/tcp, /udp or /tcp+udp may follow"
)
_SUFFIXES: Final = {
    "/tcp": (ServiceProtocol.TCP,),
    "/udp": (ServiceProtocol.UDP,),
    "/tcp+udp": (ServiceProtocol.TCP, ServiceProtocol.UDP),
    "/udp+tcp": (ServiceProtocol.TCP, ServiceProtocol.UDP),
}
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_UNIX_PATH_BYTES: Final = 107  # sun_path without its closing zero, unix(7)


@dataclass(frozen=True, slots=True)
class IpTarget:
    """A port, or a range of ports, on a host."""

    host: str
    """A numeric address or a name that the system resolves; IPv6 without brackets."""
    first_port: int
    last_port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        ports = (
            str(self.first_port)
            if self.first_port == self.last_port
            else f"{self.first_port}-{self.last_port}"
        )
        return f"{host}:{ports}"


@dataclass(frozen=True, slots=True)
class UnixTarget:
    """A Unix stream socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


class Program(Protocol):
    """A program that is a service itself (`gateway.programs`)."""

    async def open(self, caller: EndpointId) -> Held:
        """Have it take a caller: the connection to it, held still; raises `connecting.TargetError`."""

    async def open_flow(
        self, caller: EndpointId, on_datagram: Callable[[bytes], None], on_closed: Callable[[], None]
    ) -> Flow:
        """The same for datagrams; `on_closed` is called once, when the program is done with the caller."""


@dataclass(frozen=True, slots=True)
class ProgramTarget:
    """A program that speaks for itself, for as long as it runs; no person can write this."""

    program: Program
    pid: int

    def __str__(self) -> str:
        return f"program:{self.pid}"


Target = IpTarget | UnixTarget | ProgramTarget


def parse_target(text: str) -> tuple[Target, tuple[ServiceProtocol, ...] | None]:
    """Read `8000`, `host:8000`, `[::1]:80`, `unix:/run/x.sock`, `5000-5100`, `host:5000-5100`, with a protocol or not.

    Returns the target and the protocols that were named after a slash, None when none were. UsageError says what
    is wrong and what is expected.
    """
    if text.startswith("unix:"):
        return _unix_target(text), None
    protocols = None
    slash = text.find("/")
    if slash >= 0:
        protocols = _SUFFIXES.get(text[slash:].lower())
        if protocols is None:
            hint = "a target is no URL" if "://" in text else f"{text[slash:]!r} is no protocol"
            raise UsageError(f"{text!r} is not a target: {hint}; {_EXPECTED}")
        text = text[:slash]
    host, colon, ports = text.rpartition(":")
    match = _PORTS.fullmatch(ports)
    if match is None:
        raise UsageError(f"{text!r} is not a target: {ports!r} is no port; {_EXPECTED}")
    first, last = int(match[1]), int(match[2] or match[1])
    if not (0 < first < 65536 and 0 < last < 65536):
        raise UsageError(f"{text!r} is not a target: ports are 1-65535")
    if first > last:
        raise UsageError(f"{text!r} is not a target: the range ends before it begins; write {last}-{first}")
    if last - first >= SERVICE_PORTS:
        raise UsageError(f"{text!r} has {last - first + 1} ports; a service has at most {SERVICE_PORTS}")
    return IpTarget(_host(host, text) if colon else "127.0.0.1", first, last), protocols


def _unix_target(text: str) -> UnixTarget:
    path = text.removeprefix("unix:")
    if not path.startswith("/") or "\0" in path or not path.isprintable():
        raise UsageError(f"{text!r} is not a target: write the whole path, as in unix:/run/app.sock")
    if len(path.encode()) > _UNIX_PATH_BYTES:
        raise UsageError(
            f"{text!r} is not a target: the path of a socket has at most {_UNIX_PATH_BYTES} bytes"
        )
    return UnixTarget(path)


def _host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise UsageError(f"{text!r} is not a target: {host} is no IPv6 address; {_EXPECTED}") from None
    if ":" in host:
        raise UsageError(f"{text!r} is not a target: an IPv6 address stands in brackets, as in [::1]:80")
    if not _HOST.fullmatch(host):
        raise UsageError(f"{text!r} is not a target: {host!r} is no host; {_EXPECTED}")
    return host
