"""Windows: a rule of the Name Resolution Policy Table, shown as PowerShell for an administrator to run.

The table has no ports, so that our server must have port 53, on a loopback address of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.system_dns.plan import MARK, Plan
from gateway.system_dns.report import FoundResolver

if TYPE_CHECKING:
    from gateway.system_dns.facts import SystemFacts
    from gateway.system_dns.machine import Machine
    from gateway.system_dns.plan import Target

_PORT: Final = 53
_SPARE: Final = "127.53.53.53"


class Windows:
    """See the module."""

    name = "windows"
    title = "Windows (NRPT)"

    def find(self, facts: SystemFacts, machine: Machine) -> FoundResolver | None:
        """See Manager."""
        if facts.platform != "win32":
            return None
        return FoundResolver(manager=self.name, is_asked=True, why="Windows asks whom its policy table names")

    def plan(self, facts: SystemFacts, machine: Machine, target: Target) -> Plan:
        """See Manager."""
        is_usable = target.server.port == _PORT
        server = target.server.ip if is_usable else _SPARE
        add = f"Add-DnsClientNrptRule -Namespace '.overlay' -NameServers '{server}' -Comment '{MARK.replace('`', '')}'"
        remove = "Get-DnsClientNrptRule | Where-Object { $_.Namespace -contains '.overlay' } | Remove-DnsClientNrptRule -Force"
        notes = (
            ()
            if is_usable
            else (
                f'the table has no ports: set [dns] host = "{_SPARE}" and port = {_PORT} in gateway.toml first',
            )
        )
        return Plan(
            self.name,
            target,
            files=(),
            reloads=((add,), ("Clear-DnsClientCache",)),
            notes=notes,
            undo=((remove,), ("Clear-DnsClientCache",)),
            shown_only="run it in PowerShell as an administrator of the Windows machine",
        )

    def places(self) -> tuple[str, ...]:
        """See Manager."""
        return ()
