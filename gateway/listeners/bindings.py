"""What is to listen where, and what must change for it: values and plans, no I/O.

A binding wants a service's own port on the loopback address that stands for its name. Where that cannot be had
the alternatives of `places` are tried in turn: for a privileged port the one 8000 higher (80 → 8080), any free
port of the same address, and on systems that only have 127.0.0.1, a port there.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from resolver.names import ServiceProtocol

LOCALHOST: Final = IPv4Address("127.0.0.1")
_PRIVILEGED_BELOW: Final = 1024
_ALTERNATIVE_OFFSET: Final = 8000

Key = tuple[IPv4Address, int, "ServiceProtocol"]
Place = tuple[IPv4Address, int]
"""An address and a port; port 0 is any free one."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One port of one name, to be offered on this machine."""

    ip: IPv4Address
    """The loopback address that stands for `host`."""
    port: int
    """The service's own port, which is also the port that is dialed."""
    protocol: ServiceProtocol
    host: str
    """The name to dial, such as `web.<id>.overlay`."""
    mapped_port: int = 0
    """The port on 127.0.0.1 for systems that cannot bind `ip`; 0 is any free one."""

    @property
    def key(self) -> Key:
        """What no two listeners share."""
        return self.ip, self.port, self.protocol

    def __str__(self) -> str:
        return f"{self.host} at {self.ip}:{self.port}/{self.protocol.value}"


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """How one binding is served."""

    binding: Binding
    place: Place | None
    """Where it really listens; None when it does not."""
    note: str = ""
    """Why it listens elsewhere or not at all, and the remedy; empty when it is as wanted."""


def places(binding: Binding) -> list[Place]:
    """Where to listen, best first."""
    found = [(binding.ip, binding.port)]
    if binding.port < _PRIVILEGED_BELOW:
        found.append((binding.ip, binding.port + _ALTERNATIVE_OFFSET))
    found += [(binding.ip, 0), (LOCALHOST, binding.mapped_port), (LOCALHOST, 0)]
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do so that what listens is what is wanted."""

    close: tuple[Key, ...]
    open: tuple[Binding, ...]
    refused: tuple[Binding, ...]
    """Beyond the limit: used longest ago, or wanted last of those never used."""


def plan(
    current: Mapping[Key, Binding], desired: Iterable[Binding], used: Mapping[Key, float], limit: int
) -> Plan:
    """From what listens to what is wanted, at most `limit` of it.

    `used` is when a key was last used, on one clock; those used latest stay, those of equal age in the order of
    `desired`. Of bindings with the same key the first counts. A binding that did not change is not touched.
    """
    wanted: dict[Key, Binding] = {}
    for binding in desired:
        wanted.setdefault(binding.key, binding)
    ranked = sorted(wanted.values(), key=lambda binding: -used.get(binding.key, 0.0))
    kept = {binding.key for binding in ranked[:limit]}
    return Plan(
        close=tuple(key for key, binding in current.items() if key not in kept or wanted[key] != binding),
        open=tuple(b for b in wanted.values() if b.key in kept and current.get(b.key) != b),
        refused=tuple(ranked[limit:]),
    )
