"""`overlay metrics` prints what Prometheus reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from tests.gateway.cli.conftest import Alone, Overlay


async def test_the_figures_are_printed_as_prometheus_reads_them(overlay: Overlay) -> None:
    done = await overlay("metrics")
    assert done.code == 0
    assert "overlay_gateway_streams" in {family.name for family in text_string_to_metric_families(done.out)}
    assert (await overlay("metrics", "--json")).json["text"].startswith("# HELP")


def test_without_a_gateway_there_are_none(alone: Alone) -> None:
    assert alone("metrics").code == 5
