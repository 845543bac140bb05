"""A way into the dashboard, for who may use the control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.answers.base import Answers
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.control.dashboard import LoginReport


class DashboardAnswers(Answers):
    """`overlay dash`."""

    async def dashboard_login(self) -> LoginReport:
        dashboard = self.parts.dashboard
        if dashboard is None:
            raise GatewayError(
                "dash: this gateway has no dashboard; turn it on with [dashboard] enabled, or start it without --no-dashboard"
            )
        return dashboard.login()
