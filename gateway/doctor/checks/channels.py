"""How names under .overlay are reached from this machine: each channel that was tried, and those that are off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.doctor.findings import Finding, Fix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.doctor.facts import Channel, Facts, Proof
    from gateway.doctor.findings import Subject

_CHANNELS: Final[dict[Channel, tuple[Subject, str, str]]] = {
    "proxy": ("proxy", "SOCKS and HTTP proxy", "[proxy] port, then `overlay up` again"),
    "socks5h": ("proxy", "names by SOCKS5", "check [proxy] in gateway.toml, then `overlay up` again"),
    "http-connect": (
        "proxy",
        "names by HTTP CONNECT",
        "check [proxy] in gateway.toml, then `overlay up` again",
    ),
    "dns-udp": ("dns", "our DNS server over UDP", "[dns] port, then `overlay up` again"),
    "dns-tcp": ("dns", "our DNS server over TCP", "[dns] port, then `overlay up` again"),
    "doh": ("dns", "DNS over HTTPS", "overlay logs"),
    "loopback": ("loopback", "loopback addresses", "[loopback] network, then `overlay up` again"),
    "front-door": ("doors", "names under .localhost", "[front_door] port, then `overlay up` again"),
    "https": ("doors", "HTTPS on this machine", "overlay ca status"),
    "pac": ("pac", "automatic proxy configuration", "[dashboard] port, then `overlay up` again"),
}
"""Each channel that is the gateway's own: its subject, what it is called, what may help."""

_SWITCHES: Final[dict[str, tuple[Subject, str]]] = {
    "proxy": ("proxy", "programs that speak SOCKS or HTTP to a proxy have no way in"),
    "dns": ("dns", "nobody can be asked for names under .overlay"),
    "dashboard": ("pac", "browsers have no PAC file, and there are no pages"),
}


def check(facts: Facts) -> Iterator[Finding]:
    """Findings about channels."""
    status = facts.status
    if status is None:
        if facts.control_error:
            yield Finding(
                "control",
                "proxy",
                "problem",
                f"a gateway runs, and does not answer: {facts.control_error}",
                "no command reaches it",
                "overlay logs; if it hangs, end its process and `overlay up` again",
            )
        else:
            yield Finding(
                "not-running",
                "proxy",
                "problem",
                f"no gateway runs on {facts.home.path}",
                "nothing under .overlay opens, and nobody reaches this machine",
                "overlay up",
            )
        return
    for listener in status.listeners:
        if listener.name in _SWITCHES and not listener.enabled:
            subject, why = _SWITCHES[listener.name]
            yield Finding(
                f"{listener.name}-off",
                subject,
                "note",
                f"{listener.name} is switched off",
                why,
                f"[{listener.name}] enabled = true, then `overlay up` again",
            )
    for channel, (subject, title, remedy) in _CHANNELS.items():
        proof = facts.proofs.get(channel)
        if proof is not None:
            yield _judge(channel, subject, title, remedy, proof)
    yield from _system(facts)
    yield from _ports_elsewhere(facts)


def _judge(channel: Channel, subject: Subject, title: str, remedy: str, proof: Proof) -> Finding:
    if proof.ok:
        return Finding(channel, subject, "ok", f"{title}: {proof.detail}" if proof.detail else title)
    if "password" in proof.detail:
        return Finding(
            channel,
            subject,
            "note",
            f"{title}: {proof.detail}",
            remedy="give programs the username and password of [proxy]",
        )
    return Finding(
        channel, subject, "problem", f"{title}: {proof.detail}", "names do not open this way", remedy
    )


def _system(facts: Facts) -> Iterator[Finding]:
    """What programs see that use no proxy and ask the system."""
    report = facts.system_dns
    if report is None:
        return
    if report.verified:
        by = f" (by {report.manager})" if report.manager else ""
        yield Finding(
            "system-dns", "dns", "ok", f"this machine's own resolver finds names under .overlay{by}"
        )
        return
    asked = ", ".join(report.nameservers) or "nobody"
    is_told = report.state != "none"
    yield Finding(
        "system-dns",
        "dns",
        "warning" if is_told else "note",
        f"this machine's own resolver: {report.problem}"
        if report.problem
        else f"this machine asks {asked} for names, and that is not told of .overlay",
        "programs need the proxy, the PAC file or a loopback address",
        next(iter(report.remedies), "overlay dns install, or use socks5h"),
        Fix("system-dns", undo="overlay dns remove"),
    )


def _ports_elsewhere(facts: Facts) -> Iterator[Finding]:
    """Services that are offered at another port than their own, because that may not be bound."""
    assert facts.status is not None  # noqa: S101 - tells mypy
    moved = [
        f"{entry.name}:{offer.port} at {offer.offered}"
        for entry in facts.status.loopback
        for offer in entry.offers
        if offer.port != offer.offered
    ]
    if not moved:
        return
    lowest = facts.machine.lowest_port
    yield Finding(
        "privileged-ports",
        "loopback",
        "note",
        f"{len(moved)} ports are offered elsewhere on loopback addresses: {', '.join(moved[:3])}{', …' if len(moved) > 3 else ''}",
        f"ports below {lowest or 1024} need a privilege; by proxy and SRV records they open all the same",
        "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=22",
    )
