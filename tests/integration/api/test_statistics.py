"""Statistics over HTTP, from a real ClickHouse to SendGrid's client."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import sendgrid
from msgspec.structs import replace

from analytics.client import ClickHouse
from analytics.rows import columns
from analytics.statistics import Names, Statistics, categories, statistics
from analytics.tallies import SETTLED_S, Tallies
from cluster.events import Event, Opened
from cluster.tenancy.granting import add_key
from tests.integration.api.conftest import Site
from tests.unit.analytics.samples import bounced, delivered, processed

DAY = "2026-04-23"
AT = datetime(2026, 4, 23, 23, 50, tzinfo=UTC).timestamp()


@pytest.fixture
async def asked(site: Site, clickhouse: ClickHouse) -> Site:
    """The API over the statistics of some events, of which some are counted and some are not yet."""
    now = [AT]
    tallies = Tallies(clickhouse, lambda: now[0])

    async def recorder(method: str, wanted: Statistics | Names) -> Any:
        if isinstance(wanted, Names):
            return categories(clickhouse, wanted, tallies.uncounted)
        return statistics(clickhouse, wanted, tallies.uncounted)

    common: dict[str, Any] = {"tenant_id": site.tenant_id, "categories": ("receipt",), "recipient": "ada@gmail.com"}
    first: list[Event] = [
        processed(1, at=AT, **common),
        delivered(2, at=AT + 1, **common | {"site": "google.com"}),
        Opened(id="evt_open", at=AT + 2, message_id="msg_1", **common),
        bounced(3, at=AT, **common),
        processed(4, at=AT, **common | {"tenant_id": "tnt_other"}),
    ]
    later: list[Event] = [Opened(id="evt_again", at=AT + 900, message_id="msg_1", **common)]
    for events in (first, later, first):
        values = columns(events)
        tallies.note(values)
        clickhouse.insert(values)
        now[0] += 1000 + SETTLED_S
        if events is first:
            tallies.step()
    site.recorder = recorder
    scopes = ("stats.read", "stats.export", "suppressions.read")
    site.key = (await add_key(site.journal, site.tenant_id, "statistics", scopes)).secret
    return site


def of(metrics: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in metrics.items() if count}


async def test_sendgrids_client_reads_them(asked: Site) -> None:
    client = sendgrid.SendGridAPIClient(asked.key, host=asked.url).client
    dates = {"start_date": DAY, "end_date": "2026-04-24"}

    async def got(call: Any, **query: Any) -> Any:
        response = await asyncio.to_thread(call.get, query_params={**dates, **query})
        assert response.status_code == 200
        return response.to_dict

    first = {"requests": 1, "processed": 1, "delivered": 1, "bounces": 1, "opens": 1, "unique_opens": 1}
    assert [(day["date"], of(day["stats"][0]["metrics"])) for day in await got(client.stats)] == [
        (DAY, first),
        ("2026-04-24", {"opens": 1}),
    ]
    assert [day["date"] for day in await got(client.stats, aggregated_by="month")] == ["2026-04-01"]
    (day, _) = await got(client.categories.stats, categories="receipt")
    assert [(one["type"], one["name"], of(one["metrics"])) for one in day["stats"]] == [("category", "receipt", first)]
    sums = await got(client.categories.stats.sums, sort_by_metric="opens")
    assert [(one["name"], of(one["metrics"])) for one in sums["stats"]] == [("receipt", first | {"opens": 2})]
    (day, _) = await got(client.mailbox_providers.stats, mailbox_providers="google.com")
    assert of(day["stats"][0]["metrics"]) == first
    response = await asyncio.to_thread(client.categories.get)
    assert response.to_dict == [{"category": "receipt"}]
    classified = await got(client.suppression.bounces.classifications)
    assert classified["result"] == [{"date": DAY, "stats": [{"classification": "Invalid Address", "count": 1}]}]


async def test_days_follow_the_setting_of_the_tenant(asked: Site) -> None:
    async with httpx.AsyncClient(base_url=asked.url, headers=asked.headers) as http:
        await asked.journal.tenants.change_settings(
            asked.tenant_id, lambda settings: replace(settings, time_zone="Asia/Tokyo")
        )
        deadline = time.monotonic() + 10
        while True:
            answer = await http.get("/v3/stats", params={"start_date": DAY, "end_date": "2026-04-24"})
            days = {day["date"]: of(day["stats"][0]["metrics"]) for day in answer.json()}
            if days[DAY] == {} or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.05)
        assert (days[DAY], days["2026-04-24"]["opens"]) == ({}, 2)
        listed = await http.get(
            "/v3/stats/categories", params={"start_date": DAY, "categories": "receipt", "end_date": DAY}
        )
        assert [(one["date"], one["category"]) for one in listed.json()["stats"]] == [(DAY, "receipt")]
        csv = await http.get("/v3/stats/summary", params={"start_date": DAY}, headers={"Accept": "text/csv"})
        assert csv.text.splitlines()[0].startswith("start_date,end_date,blocks,")
