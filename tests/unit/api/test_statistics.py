"""The routes of statistics, over counts that a test sets."""

import csv
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from msgspec.structs import replace

from analytics.client import ClickHouseUnavailable
from analytics.metrics import METRICS as COUNTED
from analytics.metrics import PROVIDERS, Kind
from analytics.statistics import Count, Names
from api.stats.views import METRICS
from cluster.tenancy.settings import DEFAULTS
from tests.unit.api.conftest import World

PERIODS = ["/v3/stats", "/v3/stats/categories", "/v3/categories/stats", "/v3/mailbox_providers/stats"]
TENANT = "tnt_acme"
RANGES = [*PERIODS, "/v3/stats/summary", "/v3/categories/stats/sums"]
ROUTES = [*RANGES, "/v3/categories"]
DAYS = {"start_date": "2026-04-01", "end_date": "2026-04-03"}


@pytest.fixture
def key(world: World) -> str:
    return world.journal.issue_key("stats.read")


def a_count(day: str, name: str = "", zone: str = "UTC", **metrics: int) -> Count:
    start = int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).timestamp())
    return Count(start, name, dict.fromkeys(COUNTED, 0) | metrics)


def query_of(path: str) -> dict[str, str]:
    named = {"categories": "a"} if path.endswith(("/stats/categories", "/categories/stats")) else {}
    return {} if path == "/v3/categories" else {**DAYS, **named}


async def got(world: World, key: str, path: str, **query: Any) -> Any:
    answer = await world.request("GET", path, key, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def as_csv(world: World, path: str, **query: Any) -> list[list[str]]:
    key = world.journal.issue_key("stats.export")
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/csv"}
    answer = await world.client.get(path, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.reader(answer.text.splitlines()))


def shown(**metrics: int) -> dict[str, int]:
    return dict.fromkeys(METRICS, 0) | metrics


async def test_each_day_and_the_empty_ones_with_zeroes(world: World, key: str) -> None:
    world.counts = [a_count("2026-04-02", processed=5, delivered=4)]
    assert await got(world, key, "/v3/stats", **DAYS) == [
        {"date": "2026-04-01", "stats": [{"metrics": shown()}]},
        {"date": "2026-04-02", "stats": [{"metrics": shown(requests=5, processed=5, delivered=4)}]},
        {"date": "2026-04-03", "stats": [{"metrics": shown()}]},
    ]
    [asked] = world.counted
    assert (asked.tenant_id, asked.kind, len(asked.starts)) == (TENANT, Kind.ALL, 3)


async def test_some_of_the_days(world: World, key: str) -> None:
    days = await got(world, key, "/v3/stats", **DAYS, limit=1, offset=1)
    assert [day["date"] for day in days] == ["2026-04-02"]
    assert len(world.counted[0].starts) == 1
    assert world.counted[0].end - world.counted[0].starts[0] == 86_400
    assert await got(world, key, "/v3/stats", **DAYS, offset=9) == []


async def test_days_are_those_of_the_tenants_time_zone(world: World, key: str) -> None:
    world.journal.settings[TENANT] = replace(DEFAULTS, time_zone="Asia/Kathmandu")
    world.counts = [a_count("2026-04-02", zone="Asia/Kathmandu", opens=1)]
    days = await got(world, key, "/v3/stats", **DAYS)
    assert [day["stats"][0]["metrics"]["opens"] for day in days] == [0, 1, 0]
    assert world.counted[0].starts[0] == datetime(2026, 4, 1, tzinfo=ZoneInfo("Asia/Kathmandu")).timestamp()


async def test_a_summary(world: World, key: str) -> None:
    world.counts = [a_count("2026-04-01", processed=2, clicks=1)]
    assert await got(world, key, "/v3/stats/summary", **DAYS) == {
        **DAYS,
        "metrics": shown(requests=2, processed=2, clicks=1),
    }
    world.counts = []
    assert (await got(world, key, "/v3/stats/summary", **DAYS))["metrics"] == shown()


async def test_categories_in_both_forms(world: World, key: str) -> None:
    world.counts = [a_count("2026-04-02", "b", delivered=1), a_count("2026-04-02", "a", delivered=2)]
    query = {"start_date": "2026-04-01", "end_date": "2026-04-02", "categories": ["b", "a", "b"]}
    assert await got(world, key, "/v3/stats/categories", **query) == {
        "stats": [
            {"date": "2026-04-01", "category": "b", "metrics": shown()},
            {"date": "2026-04-01", "category": "a", "metrics": shown()},
            {"date": "2026-04-02", "category": "b", "metrics": shown(delivered=1)},
            {"date": "2026-04-02", "category": "a", "metrics": shown(delivered=2)},
        ]
    }
    days = await got(world, key, "/v3/categories/stats", **query)
    assert [day["date"] for day in days] == ["2026-04-01", "2026-04-02"]
    assert days[1]["stats"] == [
        {"type": "category", "name": "b", "metrics": shown(delivered=1)},
        {"type": "category", "name": "a", "metrics": shown(delivered=2)},
    ]
    assert [(one.kind, one.names) for one in world.counted] == [(Kind.CATEGORY, ("b", "a"))] * 2


async def test_sums_of_categories(world: World, key: str) -> None:
    world.counts = [a_count("2026-04-01", "b", opens=9), a_count("2026-04-01", "a", opens=2)]
    query = {**DAYS, "sort_by_metric": "opens", "sort_by_direction": "asc", "limit": "2", "offset": "1"}
    answer = await world.request("GET", "/v3/categories/stats/sums", key, **query, aggregated_by="day")
    assert answer.json() == {
        "date": "2026-04-01",
        "stats": [
            {"type": "category", "name": "b", "metrics": shown(opens=9)},
            {"type": "category", "name": "a", "metrics": shown(opens=2)},
        ],
    }
    assert answer.headers["X-Postray-Ignored"] == "aggregated_by"
    [asked] = world.counted
    assert (asked.sort_by, asked.descending, asked.limit, asked.offset) == ("opens", False, 2, 1)
    assert (len(asked.starts), asked.end - asked.starts[0]) == (1, 3 * 86_400)
    await got(world, key, "/v3/categories/stats/sums", **DAYS, sort_by_metric="requests")
    assert world.counted[1].sort_by == "processed"


async def test_providers(world: World, key: str) -> None:
    world.counts = [a_count("2026-04-02", "google.com", opens=1), a_count("2026-04-03", "other", drops=2)]
    days = await got(world, key, "/v3/mailbox_providers/stats", **DAYS)
    assert [[one["name"] for one in day["stats"]] for day in days] == [["google.com", "other"]] * 3
    assert days[1]["stats"][0] == {"type": "mailbox_provider", "name": "google.com", "metrics": shown(opens=1)}
    world.counts = []
    days = await got(world, key, "/v3/mailbox_providers/stats", **DAYS, mailbox_providers=["other", "google.com"])
    assert [one["name"] for one in days[0]["stats"]] == ["other", "google.com"]
    assert world.counted[1].names == ("other", "google.com")
    assert {"google.com", "yahoodns.net", "other"} <= set(PROVIDERS)


async def test_names_of_categories(world: World, key: str) -> None:
    world.counts = ["receipt", "receipts"]
    assert await got(world, key, "/v3/categories", category="rec", limit=2, offset=4) == [
        {"category": "receipt"},
        {"category": "receipts"},
    ]
    assert world.counted == [Names(tenant_id=TENANT, prefix="rec", limit=2, offset=4)]


async def test_csv_files(world: World) -> None:
    numbers = ["1" if name in ("requests", "processed") else "0" for name in METRICS]
    day = {"start_date": "2026-04-01", "end_date": "2026-04-01"}
    world.counts = [a_count("2026-04-01", processed=1)]
    assert await as_csv(world, "/v3/stats", **day) == [["date", *METRICS], ["2026-04-01", *numbers]]
    assert await as_csv(world, "/v3/stats/summary", **day) == [
        ["start_date", "end_date", *METRICS],
        ["2026-04-01", "2026-04-01", *numbers],
    ]
    world.counts = [a_count("2026-04-01", "a,b", processed=1)]
    for path in ("/v3/stats/categories", "/v3/categories/stats"):
        rows = await as_csv(world, path, **day, categories="a,b")
        assert rows == [["date", "category", *METRICS], ["2026-04-01", "a,b", *numbers]]
    assert await as_csv(world, "/v3/categories/stats/sums", **day) == [["category", *METRICS], ["a,b", *numbers]]
    world.counts = [a_count("2026-04-01", "other", processed=1)]
    assert await as_csv(world, "/v3/mailbox_providers/stats", **day) == [
        ["date", "mailbox_provider", *METRICS],
        ["2026-04-01", "other", *numbers],
    ]
    world.counts = ["a"]
    assert await as_csv(world, "/v3/categories") == [["category"], ["a"]]


@pytest.mark.parametrize("path", ROUTES)
async def test_scopes(world: World, key: str, path: str) -> None:
    async def asked(key: str, accept: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", "Accept": accept}
        return await world.client.get(path, headers=headers, params=query_of(path))

    assert (await asked(key, "application/json")).status_code == 200
    without = await asked(key, "text/csv")
    assert (without.status_code, without.json()["errors"][0]["message"]) == (
        403,
        "Missing required scope: stats.export",
    )
    other = await asked(world.journal.issue_key("mail.send"), "*/*")
    assert (other.status_code, other.json()["errors"][0]["message"]) == (403, "Missing required scope: stats.read")


@pytest.mark.parametrize("path", RANGES)
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"start_date": None}, "start_date"),
        ({"start_date": "2026-02-30"}, "start_date"),
        ({"start_date": "1776938402"}, "start_date"),
        ({"end_date": "2026-4-1"}, "end_date"),
        ({"end_date": "2026-03-31"}, "end_date"),
        ({"tags": "x"}, "tags"),
    ],
)
async def test_what_is_refused(world: World, key: str, path: str, change: dict[str, str | None], field: str) -> None:
    query = {name: value for name, value in {**query_of(path), **change}.items() if value is not None}
    answer = await world.request("GET", path, key, **query)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field), answer.text
    assert world.counted == []


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        *((path, {"aggregated_by": "year"}, "aggregated_by") for path in PERIODS),
        *((path, {"start_date": "1999-01-01"}, "start_date") for path in PERIODS),
        ("/v3/stats/categories", {"categories": [str(n) for n in range(11)]}, "categories"),
        ("/v3/categories/stats", {"categories": []}, "categories"),
        ("/v3/categories/stats/sums", {"sort_by_metric": "love"}, "sort_by_metric"),
        ("/v3/categories/stats/sums", {"sort_by_direction": "up"}, "sort_by_direction"),
        ("/v3/categories/stats/sums", {"limit": "501"}, "limit"),
        ("/v3/mailbox_providers/stats", {"mailbox_providers": ["other", "gmail"]}, "mailbox_providers[1]"),
        ("/v3/categories", {"limit": "0"}, "limit"),
    ],
)
async def test_what_some_refuse(world: World, key: str, path: str, change: dict[str, Any], field: str) -> None:
    answer = await world.request("GET", path, key, **{**query_of(path), **change})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field), answer.text


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        *(
            (path, {"start_date": day}, "A date is a day of the calendar, as YYYY-MM-DD")
            for path in RANGES
            for day in ("2026-04-01T00:00:00Z", "2026-02-30")
        ),
        ("/v3/categories/stats", {"categories": [str(n) for n in range(11)]}, "At most 10 values"),
        ("/v3/categories", {"category": "x" * 256}, "At most 255 characters"),
        ("/v3/stats", {"limit": "x"}, "Must be an integer, not a string"),
    ],
)
async def test_what_is_wrong_is_told_in_words(
    world: World, key: str, path: str, change: dict[str, Any], said: str
) -> None:
    answer = await world.request("GET", path, key, **{**query_of(path), **change})
    assert [error["message"] for error in answer.json()["errors"]] == [said]


@pytest.mark.parametrize("path", ROUTES)
async def test_without_the_event_store_it_is_asked_later(world: World, key: str, path: str) -> None:
    world.counts = ClickHouseUnavailable("down")
    answer = await world.request("GET", path, key, **query_of(path))
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_days_of_other_ages(world: World, key: str, day: str) -> None:
    summary = await got(world, key, "/v3/stats/summary", start_date=day, end_date=day)
    assert summary["metrics"] == shown()
