"""The figures for Prometheus, made when they are asked for."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING

from gateway.answers.live import LiveAnswers
from gateway.control.metrics import MetricsReport
from gateway.metrics import text

if TYPE_CHECKING:
    from gateway.control.status import StatusReport


class MetricsAnswers(LiveAnswers):
    """`GET /v1/metrics`, and what the door of Prometheus shows."""

    @abstractmethod
    async def status(self, *, with_contacts: bool = True) -> StatusReport:
        """As the facade has it."""

    async def metrics(self) -> MetricsReport:
        return MetricsReport(text=(await self.metrics_text()).decode(), served_at=self.parts.metrics_url())

    async def metrics_text(self) -> bytes:
        """In Prometheus's text format."""
        status = await self.status(with_contacts=False)
        live = await self.live()
        counts = self.parts.counts()
        contacts = self.parts.config.metrics.contacts
        return await asyncio.to_thread(text, status, live, counts, contacts=contacts)
