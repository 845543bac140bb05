"""What `overlay dns status` and `overlay doctor` tell of the system's resolver: looks and asks, and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.system_dns import asking, installing, journal
from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.facts import gather
from gateway.system_dns.managers import choose, find_all
from gateway.system_dns.report import PortUser, SystemDnsReport
from tunnels.addresses import Address

if TYPE_CHECKING:
    from gateway.system_dns.facts import SystemFacts
    from gateway.system_dns.journal import Journal
    from gateway.system_dns.machine import Machine
    from gateway.system_dns.report import FoundResolver

_ADGUARD: Final = "AdGuardHome"


def status(
    machine: Machine,
    *,
    command: str = "overlay",
    server: Address | None = None,
    facts: SystemFacts | None = None,
) -> SystemDnsReport:
    """How this machine resolves names. It blocks, for up to ten seconds where a resolver is silent.

    `command` is how the person calls us; `server` is where our DNS server listens, if that is known.
    """
    seen = gather(machine) if facts is None else facts
    found = find_all(seen, machine)
    listeners = tuple(
        PortUser(
            address=f"[{each.ip}]:{each.port}" if ":" in each.ip else f"{each.ip}:{each.port}",
            protocol=each.protocol,
            program=seen.program_of(each),
        )
        for each in seen.dns_listeners
    )
    try:
        noted = journal.load(machine)
    except SystemDnsError as error:
        return SystemDnsReport(
            state="incomplete",
            problem=str(error),
            nameservers=seen.nameservers,
            resolvers=found,
            listeners=listeners,
        )
    told = Address.parse(noted.server) if noted else server
    state = installing.state_of(machine, noted) if noted else "none"
    problem = asking.check(told, seen.nameservers) if told else ""
    if noted and server and server != told and asking.gateway_at(server) is not None:
        problem = f"the system asks {told}, and our DNS server is at {server}"
    return SystemDnsReport(
        state=state,
        manager=noted.manager if noted else "",
        server=noted.server if noted else "",
        home=noted.home if noted else "",
        files=tuple(file.path for file in noted.files) if noted else (),
        nameservers=seen.nameservers,
        resolvers=found,
        listeners=listeners,
        verified=not problem if told else None,
        problem=problem,
        remedies=tuple(_remedies(seen, found, noted, state, problem, command)),
    )


def _remedies(
    facts: SystemFacts,
    found: tuple[FoundResolver, ...],
    noted: Journal | None,
    state: str,
    problem: str,
    command: str,
) -> list[str]:
    if state == "incomplete":
        return [f"sudo {command} dns install    (or dns remove: it was interrupted)"]
    if state == "changed":
        return [f"sudo {command} dns install    (a file of ours is gone or changed)"]
    remedies = []
    if noted is None and problem:
        try:
            choose(facts, found)
        except SystemDnsError as error:
            remedies.append(str(error))
        else:
            remedies.append(f"sudo {command} dns install")
    elif problem:
        remedies.append(f"{command} up    (and if it runs: sudo {command} dns install)")
    if any(facts.program_of(each) == _ADGUARD for each in facts.dns_listeners):
        remedies.append("AdGuard Home: add [/overlay/]127.0.0.1:5399 to its upstream servers, and reload it")
    return remedies
