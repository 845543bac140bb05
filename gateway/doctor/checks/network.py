"""How others reach this machine, and we them: beacons, UDP, the router, the local network, the DHT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.control.status import PortMappingReport
    from gateway.doctor.facts import Facts


def check(facts: Facts) -> Iterator[Finding]:
    """Findings about the network."""
    yield from _beacons(facts)
    if facts.status is None:
        return
    yield from _udp(facts)
    yield from _mappings(facts)
    yield from _local(facts)
    yield from _dht(facts)


def _beacons(facts: Facts) -> Iterator[Finding]:
    status = facts.status
    known = {report.url: report for report in status.beacons} if status is not None else {}
    if facts.config is not None and not facts.beacons and not known:
        yield Finding(
            "beacons-none",
            "beacons",
            "note",
            "no beacon is configured",
            "others find this machine on the local network, by the DHT and by tickets; behind NATs two of them may not meet",
            "overlay up --beacon URL; overlay beacon makes one on any machine with a public address",
        )
    asked = {beacon.url: beacon for beacon in facts.beacons}
    works = any(report.state == "connected" for report in known.values())
    for url in dict.fromkeys((*asked, *known)):
        report, beacon = known.get(url), asked.get(url)
        if report is not None and report.state == "connected":
            yield Finding("beacon", "beacons", "ok", f"{_short(url)} is connected")
        elif report is None and beacon is not None and not beacon.error:
            yield Finding("beacon", "beacons", "ok", f"{_short(url)} answers, and is who its URL says")
        else:
            error = (beacon.error if beacon is not None else "") or (
                report.error if report is not None else ""
            )
            yield _unreachable(url, error or "it is not connected yet", works=works)


def _unreachable(url: str, why: str, *, works: bool) -> Finding:
    """`works`: whether another beacon is connected."""
    return Finding(
        "beacon",
        "beacons",
        "warning" if works else "problem",
        f"{_short(url)}: {why}",
        "others do not find us there"
        if works
        else "no beacon is connected: only the local network, the DHT and known addresses are left",
        f"check its URL in [beacons] urls, and whether this machine is online: curl -I {_short(url)}",
    )


def _short(url: str) -> str:
    return url.partition("#")[0]


def _udp(facts: Facts) -> Iterator[Finding]:
    found = facts.netcheck
    if found is None:
        if facts.netcheck_error:
            yield Finding(
                "udp",
                "network",
                "note",
                f"how this network treats UDP is not known: {facts.netcheck_error}",
                remedy="overlay up --beacon URL; a beacon's STUN server tells",
            )
        return
    if found.udp_blocked:
        yield Finding(
            "udp",
            "network",
            "warning",
            "UDP is blocked here",
            "connections go by TCP or a relay, which is slower",
            "; ".join(found.remedies) or "allow UDP out in the firewall of this network",
        )
    elif found.udp_blocked is False:
        yield Finding("udp", "network", "ok", f"UDP works; for peers this network is: {found.network_class}")
    for remedy in () if found.udp_blocked else found.remedies:
        yield Finding("network", "network", "note", "more direct paths are possible", remedy=remedy)
    six = found.ipv6
    if six.stun_answered:
        yield Finding("ipv6", "network", "ok", "IPv6 works")
    elif six.has_address and six.stun_asked:
        yield Finding(
            "ipv6",
            "network",
            "note",
            "this machine has an IPv6 address, and nobody answers over IPv6",
            "paths that need no NAT are lost",
            "ping -6 a server on the Internet, and check the router's IPv6 firewall",
        )


def _mappings(facts: Facts) -> Iterator[Finding]:
    status = facts.status
    assert status is not None  # noqa: S101 - tells mypy
    for finding, title, report in (
        ("port-mapping", "the router's port mapping", status.port_mapping),
        ("pinhole", "the pinhole in the router's IPv6 firewall", status.pinhole),
    ):
        if report is not None and report.router and (finding == "port-mapping" or report.external):
            yield _mapping(finding, title, report)


def _mapping(finding: str, title: str, report: PortMappingReport) -> Finding:
    if report.external and report.state != "dead" and not report.problem:
        return Finding(
            finding, "network", "ok", f"{title}: {report.external} ({report.state}, {report.protocol})"
        )
    why = report.problem or (
        "nothing comes in through it" if report.state == "dead" else "it is still being asked for"
    )
    return Finding(
        finding,
        "network",
        "note",
        f"{title}: {why}",
        "peers get in by other ways, some of which take longer",
        "turn UPnP, NAT-PMP or PCP on in the router, or forward the UDP port of `overlay status` there",
    )


def _local(facts: Facts) -> Iterator[Finding]:
    status = facts.status
    assert status is not None  # noqa: S101 - tells mypy
    found = status.local_network
    if found is None:
        yield Finding("lan", "lan", "note", "the local network is off", remedy="[lan] enabled = true")
        return
    if not found.interfaces:
        yield Finding(
            "lan",
            "lan",
            "note",
            "there is no local network that our tunnels listen on",
            "endpoints beside us are not found without a beacon",
            "connect to a network, or see [tunnels] bind",
        )
        return
    where = ", ".join(found.interfaces)
    if found.mdns or found.fallback:
        ways = [
            *(["multicast DNS"] if found.mdns else []),
            *(["our own datagrams"] if found.fallback else []),
        ]
        yield Finding("lan", "lan", "ok", f"on {where} by {' and '.join(ways)}; {found.heard} heard")
    for title, problem in (
        ("multicast DNS", found.mdns_problem),
        ("our own datagrams", found.fallback_problem),
    ):
        if problem:
            yield Finding(
                "lan-multicast",
                "lan",
                "note" if found.mdns or found.fallback else "warning",
                f"{title} on {where}: {problem}",
                "endpoints beside us may not be found",
                "allow UDP ports 5353 and 7398 in this machine's firewall",
            )


def _dht(facts: Facts) -> Iterator[Finding]:
    status = facts.status
    assert status is not None  # noqa: S101 - tells mypy
    dht = status.dht
    if dht is None:
        return
    if not dht.enabled:
        yield Finding(
            "dht",
            "dht",
            "note",
            f"the DHT is off{f': {dht.problem}' if dht.problem else ''}",
            "without a beacon, others find us by ticket or on the local network only",
            "[dht] enabled = \"on\"; pip install 'overlay-gateway[dht]'",
        )
    elif not dht.nodes:
        yield Finding(
            "dht",
            "dht",
            "warning",
            "the DHT has no nodes",
            "records are neither found nor kept there",
            "wait a minute after the start; if it stays so, UDP is blocked: overlay netcheck",
        )
    elif dht.problem:
        yield Finding(
            "dht",
            "dht",
            "warning",
            f"the DHT: {dht.problem}",
            "others may not find us there",
            "overlay status --published",
        )
    else:
        yield Finding("dht", "dht", "ok", f"{dht.nodes} nodes of the DHT are known")
