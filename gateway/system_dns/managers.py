"""Which resolvers there are, and which one of them programs on this machine ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.system_dns.dnsmasq import Dnsmasq, NetworkManager
from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.macos import MacOs
from gateway.system_dns.resolved import Resolved
from gateway.system_dns.unbound import Unbound
from gateway.system_dns.windows import Windows

if TYPE_CHECKING:
    from gateway.system_dns.base import Manager
    from gateway.system_dns.facts import SystemFacts
    from gateway.system_dns.machine import Machine
    from gateway.system_dns.report import FoundResolver

MANAGERS: Final[tuple[Manager, ...]] = (
    Resolved(),
    NetworkManager(),
    Dnsmasq(),
    Unbound(),
    MacOs(),
    Windows(),
)
NAMES: Final = tuple(manager.name for manager in MANAGERS)
OTHER_WAYS: Final = "the proxy, the PAC file and the loopback addresses work without it: see `overlay status`"


def named(name: str) -> Manager:
    """The manager of this name, one of NAMES."""
    return next(manager for manager in MANAGERS if manager.name == name)


def find_all(facts: SystemFacts, machine: Machine) -> tuple[FoundResolver, ...]:
    """Those that are here; whom programs ask comes first."""
    found = [each for manager in MANAGERS if (each := manager.find(facts, machine)) is not None]
    return tuple(sorted(found, key=lambda each: not each.is_asked))


def choose(facts: SystemFacts, found: tuple[FoundResolver, ...]) -> Manager:
    """The one that programs ask, if it can be told; a SystemDnsError says why there is none, and what else works."""
    asked = next((each for each in found if each.is_asked), None)
    if asked is not None:
        if asked.obstacle:
            raise SystemDnsError(f"{asked.manager}: {asked.obstacle}; {OTHER_WAYS}")
        return named(asked.manager)
    if found:
        raise SystemDnsError(f"{found[0].manager}: {found[0].why}; {OTHER_WAYS}")
    whom = ", ".join(facts.nameservers) or "nobody"
    if facts.asks_loopback:
        raise SystemDnsError(
            f"resolv.conf names {whom}, and who answers there is none that we know how to tell of .overlay; {OTHER_WAYS}"
        )
    raise SystemDnsError(
        f"programs here ask {whom} directly, so that there is no resolver on this machine to be told of .overlay, and "
        f"resolv.conf we do not touch; install systemd-resolved, dnsmasq or unbound, or do without: {OTHER_WAYS}"
    )
