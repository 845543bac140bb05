"""What the system grants, and who else is on it: buffers, descriptors, versions, VPNs, proxies of the environment, the clock."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from gateway.doctor.findings import Finding
from gateway.doctor.limits import DOCTOR_FILES_SHARE, DOCTOR_SKEW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.doctor.facts import Facts

_RELEASED: Final = 1_767_225_600.0
"""2026-01-01: no clock that is right says less."""
_FAR: Final = 4_102_444_800.0
"""2100-01-01: nor more."""

_CARRIER: Final = ip_network("100.64.0.0/10")
_VPNS: Final = {
    "tailscaled": "Tailscale",
    "netbird": "NetBird",
    "zerotier-one": "ZeroTier",
    "nebula": "Nebula",
    "openvpn": "OpenVPN",
    "wg-quick": "WireGuard",
    "mullvad-daemon": "Mullvad",
}
_RESOLVERS: Final = {
    "systemd-resolve": "systemd-resolved",
    "dnsmasq": "dnsmasq",
    "unbound": "unbound",
    "AdGuardHome": "AdGuard Home",
    "pihole-FTL": "Pi-hole",
    "named": "BIND",
    "avahi-daemon": "Avahi",
}
NEIGHBOURS: Final = frozenset({*_VPNS, *_RESOLVERS})
"""The programs that are looked for, by the names that the kernel has for them (15 characters at most)."""


def check(facts: Facts) -> Iterator[Finding]:
    """Findings about the machine."""
    yield from _buffers(facts)
    yield from _descriptors(facts)
    yield from _versions(facts)
    yield from _neighbours(facts)
    yield from _proxies(facts)
    yield from _clock(facts)


def _buffers(facts: Facts) -> Iterator[Finding]:
    machine = facts.machine
    granted = [size for size in (machine.receive_buffer, machine.send_buffer) if size is not None]
    if not granted:
        return
    wanted = machine.wanted_buffer
    if min(granted) >= wanted:
        yield Finding(
            "udp-buffers", "machine", "ok", f"UDP sockets may have {min(granted) // 1024} KB of buffer"
        )
        return
    yield Finding(
        "udp-buffers",
        "machine",
        "warning",
        f"UDP sockets get {min(granted) // 1024} KB of buffer, of {wanted // 1024} KB that tunnels ask for",
        "on fast links packets are dropped, and transfers are slower",
        f"sudo sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}",
    )


def _descriptors(facts: Facts) -> Iterator[Finding]:
    files = facts.machine.open_files
    if files is None:
        return
    used, most = files
    if used > most * DOCTOR_FILES_SHARE:
        yield Finding(
            "descriptors",
            "machine",
            "problem",
            f"the gateway has {used} of {most} descriptors in use",
            "new connections are refused when there are none left",
            "ulimit -n 65536 before `overlay up`, or LimitNOFILE=65536 in its unit",
        )
    elif most < 1024:
        yield Finding(
            "descriptors",
            "machine",
            "warning",
            f"the gateway may have {most} descriptors only",
            "each connection through the proxy takes two",
            "ulimit -n 65536 before `overlay up`, or LimitNOFILE=65536 in its unit",
        )
    else:
        yield Finding("descriptors", "machine", "ok", f"{used} of {most} descriptors are in use")


def _versions(facts: Facts) -> Iterator[Finding]:
    status = facts.status
    if status is not None and status.version != facts.version:
        yield Finding(
            "version-skew",
            "machine",
            "warning",
            f"the gateway that runs is {status.version}, this command is {facts.version}",
            "one of them may not know what the other says",
            "overlay down, then overlay up",
        )


def _neighbours(facts: Facts) -> Iterator[Finding]:
    machine = facts.machine
    carrier = sorted(
        name
        for name, addresses in machine.interfaces.items()
        if any(ip_address(address) in _CARRIER for address in addresses if ":" not in address)
    )
    vpns = sorted({title for name, title in _VPNS.items() if name in machine.programs})
    if vpns or carrier:
        who = ", ".join([*vpns, *(f"{name} has an address in 100.64.0.0/10" for name in carrier)])
        yield Finding(
            "other-vpn",
            "machine",
            "note",
            f"also here: {who}",
            "we make no interface and no route, so both work; its DNS may answer before the system asks ours",
            "none needed; names under .overlay open by proxy in any case",
        )
    resolvers = sorted({title for name, title in _RESOLVERS.items() if name in machine.programs})
    if resolvers:
        yield Finding(
            "resolvers",
            "dns",
            "note",
            f"also here: {', '.join(resolvers)}",
            "names of this machine go through it",
            "overlay dns status tells which of them can send .overlay to us",
        )
    for other in machine.others:
        yield Finding(
            "other-gateway",
            "machine",
            "note",
            f"another gateway runs here: process {other.pid}",
            "each needs a home and ports of its own",
            f"that one was started as: {other.command}",
        )


def _proxies(facts: Facts) -> Iterator[Finding]:
    proxies = sorted(name for name in facts.machine.proxies if not name.lower().startswith("no_"))
    if not proxies:
        return
    exempt = ",".join(value for name, value in facts.machine.proxies.items() if name.lower() == "no_proxy")
    skips = any(part.strip().lstrip(".*") == "overlay" for part in exempt.split(","))
    yield Finding(
        "environment-proxy",
        "proxy",
        "note",
        f"{', '.join(proxies)} name{'s' if len(proxies) == 1 else ''} another proxy"
        + (", not for .overlay" if skips else ""),
        "programs that obey ask the system for .overlay"
        if skips
        else "programs that obey send .overlay there, and it knows no such name",
        "curl --proxy socks5h://… overrides it; NO_PROXY=.overlay leaves .overlay to the system's resolver",
    )


def _clock(facts: Facts) -> Iterator[Finding]:
    if not _RELEASED <= facts.now <= _FAR:
        yield Finding(
            "clock",
            "clock",
            "problem",
            "the clock of this machine is wrong by years",
            "records and invites look expired, or not yet good, and certificates too",
            "sudo timedatectl set-ntp true, or set it by `date`",
        )
        return
    skews = [(abs(beacon.skew), beacon) for beacon in facts.beacons if beacon.skew is not None]
    if not skews:
        return
    least, beacon = min(skews, key=lambda entry: entry[0])  # one beacon may be wrong; all of them are seldom
    if least > DOCTOR_SKEW_SECONDS:
        ahead = "ahead of" if (beacon.skew or 0) > 0 else "behind"
        yield Finding(
            "clock",
            "clock",
            "problem",
            f"the clock of this machine is {least:.0f} s {ahead} that of {len(skews)} beacon{'s' if len(skews) > 1 else ''}",
            "records and invites look expired, or not yet good",
            "sudo timedatectl set-ntp true, or set it by `date`",
        )
    else:
        yield Finding(
            "clock", "clock", "ok", f"the clock agrees with a beacon's within {max(least, 1):.0f} s"
        )
