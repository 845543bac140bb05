"""The seam of the resolvers: one `Manager` for each kind that a machine may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.system_dns.facts import STUBS
from gateway.system_dns.report import FoundResolver

if TYPE_CHECKING:
    from gateway.system_dns.facts import Process, SystemFacts
    from gateway.system_dns.machine import Machine
    from gateway.system_dns.plan import Plan, Target


class Manager(Protocol):
    """One kind of resolver. It reads and plans; doing is the business of `installing`."""

    name: str
    """As in `--manager NAME`."""
    title: str
    """For people."""

    def find(self, facts: SystemFacts, machine: Machine) -> FoundResolver | None:
        """Whether it is here, whether programs ask it, and what stands in the way; None when it is not here."""
        ...

    def plan(self, facts: SystemFacts, machine: Machine, target: Target) -> Plan:
        """What makes it ask `target` for `.overlay`; a SystemDnsError says why that cannot be."""
        ...

    def places(self) -> tuple[str, ...]:
        """Files that an install may have written, wherever it was."""
        ...


def found(name: str, facts: SystemFacts, process: Process, obstacle: str) -> FoundResolver:
    """What is told of a resolver that takes queries itself: dnsmasq, unbound."""
    answers = facts.answers(process)
    may_be = facts.asks_loopback and not any(each in STUBS for each in facts.nameservers)
    is_asked = may_be if answers is None else answers
    why = (
        f"resolv.conf names {facts.nameservers[0]}"
        if is_asked
        else "it runs, but resolv.conf does not name it"
    )
    return FoundResolver(manager=name, is_asked=is_asked, why=why, obstacle=obstacle)
