"""The server of metrics.bind: the page and nothing else."""

from collections.abc import AsyncIterator

import httpx
import pytest

from cluster.monitoring.server import MetricsServer
from tests.monitoring import no_metrics


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    server = MetricsServer("127.0.0.1:0", no_metrics())
    url = await server.start()
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        assert await server.problem() is None
        yield client
    await server.stop()
    assert await server.problem() is not None


async def test_the_page_is_answered(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=")
    assert "\npostray_disk_free_bytes " in answer.text
    accept = "application/openmetrics-text; version=1.0.0"
    answer = await client.get("/metrics?name=x", headers={"accept": accept})
    assert answer.headers["content-type"].startswith(accept) and answer.text.endswith("# EOF\n")
    answer = await client.head("/metrics")
    assert answer.status_code == 200 and int(answer.headers["content-length"]) > 100 and not answer.content


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metricsx", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/api/admin/sites", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
    ],
)
async def test_nothing_else_is(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    assert (await client.request(method, path)).status_code == status


async def test_what_is_told_of_the_node_is_told_once() -> None:
    server = MetricsServer("127.0.0.1:0", no_metrics())
    await server.start()
    names = {one.name for one in await server.metrics()}
    await server.stop()
    assert "postray_http_requests_total" in names
    assert not {name for name in names if name.startswith(("postray_scrape", "postray_disk", "postray_actor"))}
