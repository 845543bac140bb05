"""unbound: a drop-in that makes our server the authority for `.overlay`.

It asks nobody on loopback unless told to, throws loopback addresses away where `private-address` is set, and with DNSSEC
has the root's proof that there is no `.overlay`; three lines are about these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.system_dns.base import found
from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.plan import Plan, PlannedFile, marked
from gateway.system_dns.settings_files import unbound_directories

if TYPE_CHECKING:
    from gateway.system_dns.facts import SystemFacts
    from gateway.system_dns.machine import Machine
    from gateway.system_dns.plan import Target
    from gateway.system_dns.report import FoundResolver

_CONFIG: Final = "/etc/unbound/unbound.conf"
_USUAL: Final = "/etc/unbound/unbound.conf.d"
_FILE: Final = "overlay.conf"


class Unbound:
    """See the module."""

    name = "unbound"
    title = "unbound"

    def find(self, facts: SystemFacts, machine: Machine) -> FoundResolver | None:
        """See Manager."""
        process = next(iter((*facts.serving(self.name), *facts.running(self.name))), None)
        return None if process is None else found(self.name, facts, process, self._obstacle(facts, machine))

    def plan(self, facts: SystemFacts, machine: Machine, target: Target) -> Plan:
        """See Manager."""
        restart = facts.restart(self.name)
        obstacle = self._obstacle(facts, machine)
        if restart is None or obstacle:
            raise SystemDnsError(f"unbound: {obstacle}")
        text = (
            "server:\n"
            '    do-not-query-localhost: no\n    domain-insecure: "overlay"\n    private-domain: "overlay"\n'
            f'stub-zone:\n    name: "overlay"\n    stub-addr: {target.server.ip}@{target.server.port}\n    stub-no-cache: yes\n'
        )
        check = facts.tools.get("unbound-checkconf")
        return Plan(
            self.name,
            target,
            files=(
                PlannedFile(
                    f"{_directory(machine)}/{_FILE}",
                    marked(text),
                    "names under .overlay are asked of our server; they are unsigned, and loopback addresses",
                ),
            ),
            checks=() if check is None else ((check,),),
            reloads=(restart,),
        )

    def places(self) -> tuple[str, ...]:
        """See Manager."""
        return (f"{_USUAL}/{_FILE}",)

    def _obstacle(self, facts: SystemFacts, machine: Machine) -> str:
        if _directory(machine) is None:
            return (
                f'it includes no directory of drop-ins; add to {_CONFIG}: include-toplevel: "{_USUAL}/*.conf"'
            )
        return "" if facts.restart(self.name) else "nothing here can restart it"


def _directory(machine: Machine) -> str | None:
    return next(iter(unbound_directories((machine.read(_CONFIG) or b"").decode(errors="replace"))), None)
