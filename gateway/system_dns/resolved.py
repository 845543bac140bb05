"""systemd-resolved: a delegate from systemd 258 on, before that a server of its global scope that is asked for `.overlay`.

Per-link servers would be lost with the link, and replace those that its network gave; the loopback link takes none. The global scope
is asked for everything else as well, beside the links; we refuse, and the links' answer counts. That is why it must not have servers
of its own: resolved asks one server of a scope, whichever answered last, and those know nothing of `.overlay`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.system_dns.errors import SystemDnsError
from gateway.system_dns.facts import STUBS
from gateway.system_dns.plan import Plan, PlannedFile, marked
from gateway.system_dns.report import FoundResolver
from gateway.system_dns.settings_files import drop_ins, ini_values

if TYPE_CHECKING:
    from gateway.system_dns.facts import SystemFacts
    from gateway.system_dns.machine import Machine
    from gateway.system_dns.plan import Target

_DROP_IN: Final = "/etc/systemd/resolved.conf.d/overlay.conf"
_DELEGATE: Final = "/etc/systemd/dns-delegate.d/overlay.dns-delegate"
_ANCHOR: Final = "/etc/dnssec-trust-anchors.d/overlay.negative"
_ANCHORS: Final = "dnssec-trust-anchors.d"
_DELEGATES_SINCE: Final = 258
_UNSIGNED: Final = (
    "home.arpa",
    "10.in-addr.arpa",
    *(f"{second}.172.in-addr.arpa" for second in range(16, 32)),
    "170.0.0.192.in-addr.arpa",
    "171.0.0.192.in-addr.arpa",
    "168.192.in-addr.arpa",
    "d.f.ip6.arpa",
    "ipv4only.arpa",
    "resolver.arpa",
    *("corp", "home", "internal", "intranet", "lan", "local", "private", "test"),
)
"""What resolved knows by itself to be unsigned, until a file of negative trust anchors is there: then it knows only what these say."""
_FILES: Final = "/run/systemd/resolve"


class Resolved:
    """See the module."""

    name = "systemd-resolved"
    title = "systemd-resolved"

    def find(self, facts: SystemFacts, machine: Machine) -> FoundResolver | None:
        """See Manager."""
        if not facts.running(self.name):
            return None
        is_asked, why = _who_asks(facts)
        return FoundResolver(
            manager=self.name, is_asked=is_asked, why=why, obstacle=self._obstacle(facts, machine)
        )

    def plan(self, facts: SystemFacts, machine: Machine, target: Target) -> Plan:
        """See Manager."""
        restart = facts.restart(self.name)
        if restart is None:
            raise SystemDnsError("systemd does not run here, so that nothing can restart systemd-resolved")
        server = str(target.server)
        if _has_delegates(facts, machine):
            path, text = _DELEGATE, f"[Delegate]\nDNS={server}\nDomains=overlay\n"
        else:
            path, text = _DROP_IN, f"[Resolve]\nDNS={server}\nDomains=~overlay\n"
        return Plan(
            self.name,
            target,
            files=(
                PlannedFile(
                    path, marked(text), "names under .overlay, and no others, are asked of our server"
                ),
                PlannedFile(
                    _ANCHOR,
                    marked("\n".join(("overlay", *_other_unsigned(machine), "")), ";"),
                    "where DNSSEC is on: nobody signs .overlay, which the root zone does not have; the others are resolved's own",
                ),
            ),
            reloads=(restart,),
        )

    def places(self) -> tuple[str, ...]:
        """See Manager."""
        return (_DROP_IN, _DELEGATE, _ANCHOR)

    def _obstacle(self, facts: SystemFacts, machine: Machine) -> str:
        if facts.restart(self.name) is None:
            return "systemd does not run here, so that nothing can restart it"
        if _has_delegates(facts, machine):
            return ""
        values = ini_values(drop_ins(machine, "resolved.conf", without=_DROP_IN), "Resolve")
        if values.get("DNS"):
            return (
                f"resolved.conf names servers for everything (DNS={values['DNS']}), and one of them would be asked for "
                ".overlay too; give them to your network connection instead, or use systemd 258 or newer"
            )
        if values.get("DNSOverTLS", "").split()[-1:] in (["yes"], ["true"], ["1"], ["on"]):
            return "resolved.conf demands TLS of every server (DNSOverTLS=yes), and ours on loopback has none; say opportunistic there"
        return ""


def _other_unsigned(machine: Machine) -> tuple[str, ...]:
    """What must stand beside us: nothing where an administrator has a file of that kind, else what resolved knew by itself."""
    others = (
        name
        for root in ("/usr/lib", "/usr/local/lib", "/run", "/etc")
        for name in machine.entries(f"{root}/{_ANCHORS}")
        if name.endswith(".negative") and f"{root}/{_ANCHORS}/{name}" != _ANCHOR
    )
    return () if any(others) else _UNSIGNED


def _who_asks(facts: SystemFacts) -> tuple[bool, str]:
    sources = facts.name_sources
    if any(each in STUBS for each in facts.nameservers):
        return True, f"resolv.conf names {facts.nameservers[0]}"
    if "resolve" in sources and ("dns" not in sources or sources.index("resolve") < sources.index("dns")):
        return True, "nsswitch.conf asks it (resolve)"
    if facts.resolv_conf_leads_to.startswith(_FILES):
        return (
            False,
            "it runs, but resolv.conf leads around it; link resolv.conf to stub-resolv.conf, or install libnss-resolve",
        )
    return False, "it runs, but programs here do not ask it"


def _has_delegates(facts: SystemFacts, machine: Machine) -> bool:
    """Whether this systemd has dns-delegate files."""
    tool = facts.tools.get("resolvectl")
    if tool is None:
        return False
    found = re.search(r"systemd ([0-9]+)", machine.run((tool, "--version")).output)
    return found is not None and int(found[1]) >= _DELEGATES_SINCE
