from datetime import UTC, datetime
from typing import Any

import pytest

from analytics.client import ClickHouseUnavailable
from analytics.metrics import METRICS, Kind
from analytics.statistics import Count
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.classifications import CLASSES
from tests.unit.api.conftest import World

PATH = "/v3/suppression/bounces/classifications"


@pytest.fixture
def key(world: World) -> str:
    return world.journal.issue_key("suppressions.read")


def a_count(day: str, name: str, count: int) -> Count:
    start = int(datetime.fromisoformat(f"{day}T00:00Z").timestamp())
    return Count(start, name, dict.fromkeys(METRICS, 0) | {"bounces": count - 1, "blocks": 1})


async def got(world: World, key: str, path: str = PATH, **query: str) -> Any:
    answer = await world.request("GET", path, key, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_bounce_class_has_one_classification() -> None:
    assert sorted(one for classes in CLASSES.values() for one in classes) == sorted(BounceClass)


async def test_totals_by_day_the_most_frequent_first(world: World, key: str) -> None:
    world.counts = [
        a_count("2026-04-01", "spam", 4),
        a_count("2026-04-01", "bad_mailbox", 3),
        a_count("2026-04-01", "bad_domain", 2),
        a_count("2026-04-02", "", 1),
    ]
    assert await got(world, key, start_date="2026-04-01", end_date="2026-04-02") == {
        "result": [
            {
                "date": "2026-04-01",
                "stats": [
                    {"classification": "Invalid Address", "count": 5},
                    {"classification": "Content", "count": 4},
                ],
            },
            {"date": "2026-04-02", "stats": [{"classification": "Unclassified", "count": 1}]},
        ]
    }
    [asked] = world.counted
    assert [str(datetime.fromtimestamp(one, UTC)) for one in (asked.starts[0], asked.end)] == [
        "2026-04-01 00:00:00+00:00",
        "2026-04-03 00:00:00+00:00",
    ]
    assert (asked.kind, asked.names) == (Kind.CLASS, ())


async def test_one_classification_by_domain(world: World, key: str) -> None:
    world.counts = [a_count("2026-04-01", "a.example", 2), a_count("2026-04-01", "b.example", 1)]
    assert await got(world, key, f"{PATH}/Mailbox%20Unavailable", end_date="2026-04-30") == {
        "result": [
            {"date": "2026-04-01", "stats": [{"domain": "a.example", "count": 2}, {"domain": "b.example", "count": 1}]}
        ]
    }
    [asked] = world.counted
    assert (len(asked.starts), asked.kind) == (30, Kind.CLASS_DOMAIN)
    assert asked.names == ("mailbox_full", "mailbox_disabled")


async def test_the_events_without_a_class_are_unclassified(world: World, key: str) -> None:
    assert await got(world, key, f"{PATH}/Unclassified") == {"result": []}
    assert world.counted[0].names == ("expired", "other", "")


@pytest.mark.parametrize(("path", "name"), [(PATH, "classification"), (f"{PATH}/Content", "domain")])
async def test_a_csv_file_takes_a_further_scope(world: World, key: str, path: str, name: str) -> None:
    today = str(datetime.now(UTC).date())
    refused = await world.client.get(path, headers={"Authorization": f"Bearer {key}", "Accept": "text/csv"})
    assert (refused.status_code, refused.json()["detail"]) == (403, "Missing required scope: stats.export")
    assert world.counted == []
    key = world.journal.issue_key("suppressions.read", "stats.export")
    world.counts = [a_count(today, "spam", 4)]
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/csv"}
    answer = await world.client.get(path, headers=headers)
    assert answer.headers["content-type"].startswith("text/csv")
    stated = "Content" if name == "classification" else "spam"
    assert answer.text.splitlines() == [f"date,{name},count", f"{today},{stated},4"]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        (PATH, {"start_date": "2026-02-30"}, "start_date"),
        (PATH, {"end_date": "1776938402"}, "end_date"),
        (PATH, {"start_date": "2026-1-1"}, "start_date"),
        (PATH, {"start_date": "20260401"}, "start_date"),
        (PATH, {"start_date": "2026-W14-3"}, "start_date"),
        (PATH, {"start_time": "1"}, "start_time"),
        (f"{PATH}/spam", {}, "classification"),
    ],
)
async def test_what_is_refused(world: World, key: str, path: str, query: dict[str, str], field: str) -> None:
    answer = await world.request("GET", path, key, **query)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
async def test_days_of_other_ages(world: World, key: str, day: str) -> None:
    assert await got(world, key, start_date=day, end_date=day) == {"result": []}
    assert await got(world, key, end_date=day) == {"result": []}


async def test_without_the_event_store_it_is_asked_later(world: World, key: str) -> None:
    world.counts = ClickHouseUnavailable("down")
    answer = await world.request("GET", PATH, key)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
