"""Who has the ports that this gateway wants, and who else answers for names."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from gateway.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.doctor.facts import Facts, Listening

_MDNS: Final = 5353
_DNS: Final = 53


def check(facts: Facts) -> Iterator[Finding]:
    """Findings about ports."""
    config = facts.config
    if config is None:
        return
    status = facts.status
    pid = status.pid if status is not None else None
    wanted = (
        ("proxy", "tcp", config.proxy.enabled, config.proxy.host, config.proxy.port),
        ("dns", "udp", config.dns.enabled, config.dns.host, config.dns.port),
        ("dns", "tcp", config.dns.enabled, config.dns.host, config.dns.port),
        ("dashboard", "tcp", config.dashboard.enabled, config.dashboard.host, config.dashboard.port),
        *(("tunnels", "udp", True, ip, config.tunnels.port) for ip in config.tunnels.bind),
    )
    free = True
    for door, protocol, enabled, host, port in wanted:
        if not enabled or not port or (status is not None and not _is_there(facts, door, port)):
            continue
        others = [
            one
            for one in facts.machine.listening
            if one.protocol == protocol
            and one.port == port
            and _overlap(one.ip, host)
            and (pid is None or one.pid != pid)
        ]
        if status is not None:  # without a process it may be ours: the system does not tell
            others = [one for one in others if one.pid is not None]
        for other in others[:1]:
            free = False
            yield Finding(
                f"port-{door}-{protocol}",
                "ports",
                "problem",
                f"{protocol.upper()} {host}:{port} is held by {_who(other)}",
                f"the {door} of this gateway cannot listen there"
                if status is None
                else f"what is meant for the {door} of this gateway may reach that program",
                f"end that program, or choose another port: [{door}] port, or --{_flag(door)}-port",
            )
    if free and facts.machine.listening:
        yield Finding(
            "ports",
            "ports",
            "ok",
            "nobody else has our ports" if status is not None else "the ports we want are free",
        )
    yield from _neighbours(facts, pid)


def _neighbours(facts: Facts, pid: int | None) -> Iterator[Finding]:
    """Others that answer for names here: told, so that nobody looks for them when a name goes astray."""
    for port, finding, why in (
        (
            _DNS,
            "resolver",
            "it answers for this machine's names; we never touch it but by `overlay dns install`",
        ),
        (_MDNS, "mdns", "multicast DNS is shared; both hear everything"),
    ):
        found = sorted({_who(one) for one in facts.machine.listening if one.port == port and one.pid != pid})
        if found:
            yield Finding(
                f"other-{finding}",
                "ports",
                "note",
                f"on port {port} there is {', '.join(found[:4])}",
                why,
                "none needed",
            )


def _is_there(facts: Facts, door: str, port: int) -> bool:
    """Whether the running gateway has this door at the port of the configuration, and not elsewhere by a flag."""
    assert facts.status is not None  # noqa: S101 - tells mypy
    return any(
        address.endswith(f":{port}")
        for listener in facts.status.listeners
        if listener.name == door
        for address in listener.addresses
    )


def _overlap(one: str, other: str) -> bool:
    """Whether sockets at both addresses are in each other's way."""
    a, b = ip_address(one), ip_address(other)
    if a.is_unspecified and a.version == 6:
        return True  # it may take IPv4 as well
    return a.version == b.version and (a == b or a.is_unspecified or b.is_unspecified)


def _who(one: Listening) -> str:
    if one.pid is None:
        return "a program of another user"
    return f"{one.program or 'a program'} (process {one.pid})"


def _flag(door: str) -> str:
    return "tunnel" if door == "tunnels" else door
