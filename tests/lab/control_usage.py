"""Accounts and limits of the fake gateway."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.control.usage import (
    ChangedLimitsReport,
    DayUsageReport,
    LimitsReport,
    ResourceReport,
    SetLimitsRequest,
    TermsReport,
    UsageReport,
    UsageRowReport,
)
from tests.lab.control_zones import ALICE, ME

_WORDS = ("rate", "quota", "connections", "weight")


class FakeUsage:
    """A month with a few rows, and limits that are remembered."""

    usage_problem = ""
    asked_limits: SetLimitsRequest
    limits_set: dict[str, dict[str, Any]] | None = None

    async def usage(self, month: str | None = None) -> UsageReport:
        report = UsageReport(
            month=month or "2026-11", months=("2026-11", "2026-10"), problem=self.usage_problem
        )
        if report.month != "2026-11":
            return report
        web: dict[str, Any] = {"endpoint_id": ME, "petname": "bob", "service": "web"}
        return msgspec.structs.replace(
            report,
            rows=(
                UsageRowReport(**web, path="direct", sent=3_000_000_000, received=1_000_000),
                UsageRowReport(**web, path="relay", sent=1_000_000_000),
                UsageRowReport(
                    endpoint_id=ALICE,
                    petname="alice",
                    service="ssh",
                    side="used",
                    path="LAN",
                    sent=1000,
                    received=2000,
                ),
                UsageRowReport(service="web", sent=500),
            ),
            days=(
                DayUsageReport(day="2026-11-01", path="direct", sent=3_000_000_000, received=1_000_000),
                DayUsageReport(day="2026-11-01", path="relay", sent=1_000_000_000),
                DayUsageReport(day="2026-11-02", path="LAN", sent=1500, received=2000),
            ),
        )

    async def limits(self) -> LimitsReport:
        return LimitsReport(
            month="2026-11",
            terms=(
                TermsReport(scope="default", set_by="gateway.toml", rate=8_000_000),
                TermsReport(
                    scope="contacts.bob",
                    set_by="command",
                    rate=1_000_000,
                    quota=10_000_000_000,
                    connections=32,
                    weight=4,
                    used=2_500_000_000,
                    open=3,
                ),
                TermsReport(scope="services.web", set_by="both", quota=2**62, connections=9, used=100),
            ),
            resources=(
                ResourceReport(name="memory", used=120_000_000, most=1_000_000_000),
                ResourceReport(name="descriptors", used=1000, most=1024, short=True),
                ResourceReport(name="disk", left=5_000_000_000),
            ),
        )

    async def set_limits(self, request: SetLimitsRequest) -> ChangedLimitsReport:
        self.asked_limits = request
        scope = request.kind if request.name is None else f"{request.kind}s.{request.name}"
        before = (self.limits_set or {}).get(scope, {})
        asked = {word: value for word in _WORDS if (value := getattr(request, word)) is not None}
        now = {word: value for word, value in (before | asked).items() if word not in request.unset}
        self.limits_set = {**(self.limits_set or {}), scope: now}
        return ChangedLimitsReport(
            now=TermsReport(scope=scope, **now),
            before=TermsReport(scope=scope, **before),
            commanded=TermsReport(scope=scope, **now),
        )
