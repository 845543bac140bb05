"""All checks, and what they find, the subjects in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.doctor.checks import channels, home, machine, network, ports
from gateway.doctor.findings import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.doctor.facts import Facts
    from gateway.doctor.findings import Finding


def findings_of(facts: Facts, subjects: Collection[str] = ()) -> tuple[Finding, ...]:
    """Everything that is found, or what is about these subjects."""
    found = [
        finding
        for check in (home.check, channels.check, ports.check, machine.check, network.check)
        for finding in check(facts)
        if not subjects or finding.subject in subjects
    ]
    return tuple(sorted(found, key=lambda finding: SUBJECTS.index(finding.subject)))
