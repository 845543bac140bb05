"""Facts about machines as `gateway.system_dns` sees them, for tests that need no machine."""

from __future__ import annotations

from typing import Any

from gateway.system_dns.facts import Listener, Process, SystemFacts
from gateway.system_dns.plan import Target
from tunnels.addresses import Address

TARGET = Target(Address.parse("127.0.0.1:5399"), "/home/bob/.local/state/overlay")
TOOLS = {
    "systemctl": "/usr/bin/systemctl",
    "dnsmasq": "/usr/sbin/dnsmasq",
    "unbound-checkconf": "/usr/sbin/unbound-checkconf",
    "nmcli": "/usr/bin/nmcli",
}


def facts(*programs: str, ip: str = "127.0.0.1", **known: Any) -> SystemFacts:
    """A machine with systemd where each of `programs`, command lines, listens on port 53 of `ip`."""
    processes = tuple(
        Process(number, line.split()[0].rpartition("/")[2][:15], tuple(line.split()))
        for number, line in enumerate(programs, start=100)
    )
    listeners = tuple(Listener("udp", ip, 53, process.pid) for process in processes)
    usual: dict[str, Any] = {
        "nameservers": (ip,),
        "processes": processes,
        "listeners": listeners,
        "tools": TOOLS,
        "has_systemd": True,
        "is_root": True,
    }
    return SystemFacts(**usual | known)
