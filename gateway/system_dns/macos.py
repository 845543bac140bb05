"""macOS: a file in /etc/resolver, which its resolver watches by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.system_dns.plan import Plan, PlannedFile, marked
from gateway.system_dns.report import FoundResolver

if TYPE_CHECKING:
    from gateway.system_dns.facts import SystemFacts
    from gateway.system_dns.machine import Machine
    from gateway.system_dns.plan import Target

_FILE: Final = "/etc/resolver/overlay"


class MacOs:
    """See the module."""

    name = "macos"
    title = "macOS (/etc/resolver)"

    def find(self, facts: SystemFacts, machine: Machine) -> FoundResolver | None:
        """See Manager."""
        if facts.platform != "darwin":
            return None
        return FoundResolver(manager=self.name, is_asked=True, why="macOS asks whom /etc/resolver names")

    def plan(self, facts: SystemFacts, machine: Machine, target: Target) -> Plan:
        """See Manager."""
        text = f"nameserver {target.server.ip}\nport {target.server.port}\n"
        return Plan(
            self.name,
            target,
            files=(PlannedFile(_FILE, marked(text), "names under .overlay are asked of our server"),),
            reloads=(
                ("/usr/bin/dscacheutil", "-flushcache"),
                ("/usr/bin/killall", "-HUP", "mDNSResponder"),
            ),
            shown_only="" if facts.platform == "darwin" else "this is for macOS",
        )

    def places(self) -> tuple[str, ...]:
        """See Manager."""
        return (_FILE,)
