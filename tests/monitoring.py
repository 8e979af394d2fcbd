"""What GET /metrics is asked of in tests."""

from pathlib import Path

from cluster.context import Facts
from cluster.monitoring.machine import MachineMetrics
from cluster.monitoring.page import MetricsPage
from cluster.monitoring.postgres import PostgresMetrics
from cluster.monitoring.scraping import Scraping


def no_metrics() -> MetricsPage:
    """The page of a node that has no actors."""

    async def look() -> Facts:
        return Facts(nodes=(), living=())

    async def call(actor: str, method: str, *arguments: object) -> object:
        raise AssertionError(f"{actor} was asked")

    return MetricsPage(
        Scraping("node", look, call, MachineMetrics(Path("/"), 0), PostgresMetrics(Path("/nowhere")), clock=lambda: 0.0)
    )
