"""dnsmasq, run by itself or by NetworkManager: a drop-in beside its own.

Answers under `.overlay` are loopback addresses, which `stop-dns-rebind` throws away unless told otherwise. dnsmasq reads
its configuration when it starts, and at no signal, so that it is restarted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.system_dns.base import found
from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.plan import Plan, PlannedFile, marked
from gateway.system_dns.settings_files import dnsmasq_directories

if TYPE_CHECKING:
    from gateway.system_dns.facts import Process, SystemFacts
    from gateway.system_dns.machine import Machine
    from gateway.system_dns.plan import Target
    from gateway.system_dns.report import FoundResolver

_USUAL: Final = "/etc/dnsmasq.d"
_CONFIG: Final = "/etc/dnsmasq.conf"
_FILE: Final = "overlay.conf"
_OF_NETWORK_MANAGER: Final = "/etc/NetworkManager/dnsmasq.d"
_OF_OTHERS: Final = ("libvirt", "lxc", "lxd", "incus", "waydroid")
"""Words in the command line of a dnsmasq that serves virtual machines or containers, and not this machine."""


class Dnsmasq:
    """dnsmasq as a service of its own."""

    name = "dnsmasq"
    title = "dnsmasq"

    def find(self, facts: SystemFacts, machine: Machine) -> FoundResolver | None:
        """See Manager."""
        process = _running(facts, managed=False)
        if process is None:
            return None
        obstacle = ""
        if _directory(machine, process) is None:
            obstacle = f"it reads no directory of drop-ins; add conf-dir={_USUAL} to {_CONFIG}"
        elif facts.restart(self.name) is None:
            obstacle = "nothing here can restart it"
        return found(self.name, facts, process, obstacle)

    def plan(self, facts: SystemFacts, machine: Machine, target: Target) -> Plan:
        """See Manager."""
        process = _running(facts, managed=False)
        directory = _USUAL if process is None else _directory(machine, process)
        restart = facts.restart(self.name)
        if directory is None or restart is None:
            raise SystemDnsError(f"dnsmasq: {self.find(facts, machine).obstacle}")  # type: ignore[union-attr]
        return _plan(self.name, facts, target, directory, restart)

    def places(self) -> tuple[str, ...]:
        """See Manager."""
        return (f"{_USUAL}/{_FILE}",)


class NetworkManager:
    """The dnsmasq that NetworkManager runs; where NetworkManager leaves names to systemd-resolved, that is told instead."""

    name = "network-manager"
    title = "NetworkManager with dnsmasq"

    def find(self, facts: SystemFacts, machine: Machine) -> FoundResolver | None:
        """See Manager."""
        process = _running(facts, managed=True)
        if process is None:
            return None
        obstacle = "" if _reload(facts) else "nmcli is missing, which makes it read its files"
        return found(self.name, facts, process, obstacle)

    def plan(self, facts: SystemFacts, machine: Machine, target: Target) -> Plan:
        """See Manager."""
        reload = _reload(facts)
        if reload is None:
            raise SystemDnsError("nmcli is missing, which makes NetworkManager read its files")
        return _plan(self.name, facts, target, _OF_NETWORK_MANAGER, reload)

    def places(self) -> tuple[str, ...]:
        """See Manager."""
        return (f"{_OF_NETWORK_MANAGER}/{_FILE}",)


def _reload(facts: SystemFacts) -> tuple[str, ...] | None:
    tool = facts.tools.get("nmcli")
    return None if tool is None else (tool, "general", "reload", "dns-full")


def _running(facts: SystemFacts, *, managed: bool) -> Process | None:
    """A dnsmasq for this machine, of NetworkManager or not; that which programs ask, if one is."""
    for process in (*facts.serving("dnsmasq"), *facts.running("dnsmasq")):
        line = " ".join(process.arguments)
        if ("NetworkManager" in line) == managed and not any(word in line for word in _OF_OTHERS):
            return process
    return None


def _directory(machine: Machine, process: Process) -> str | None:
    config = (machine.read(_CONFIG) or b"").decode(errors="replace")
    return next(iter(dnsmasq_directories(process.arguments, config)), None)


def _plan(name: str, facts: SystemFacts, target: Target, directory: str, reload: tuple[str, ...]) -> Plan:
    path = f"{directory}/{_FILE}"
    server = f"{target.server.ip}#{target.server.port}"
    text = f"server=/overlay/{server}\nrebind-domain-ok=/overlay/\n"
    check = facts.tools.get("dnsmasq")
    return Plan(
        name,
        target,
        files=(
            PlannedFile(
                path,
                marked(text),
                "names under .overlay are asked of our server; their answers are loopback addresses",
            ),
        ),
        checks=() if check is None else ((check, "--test", f"--conf-file={path}"),),
        reloads=(reload,),
    )
