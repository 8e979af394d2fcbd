"""POST /api/admin/suppressions/purge: what is asked of the journal, and what is refused."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from api.admin.unlisting import PART
from cluster.suppression.lists import SuppressionList
from tests.unit.api.operating import Operating

PATH = "/api/admin/suppressions/purge"
SINCE = datetime(2026, 4, 23, 10, tzinfo=timezone(timedelta(hours=2)))
BODY = {"rule": "wrong", "since": SINCE.isoformat()}


async def test_a_purge_is_done_in_parts(operating: Operating) -> None:
    asked: list[tuple[Any, ...]] = []
    parts = [{"bounces": PART}, {"bounces": 5, "blocks": 2}]

    async def purge_rule(*arguments: Any) -> dict[str, int]:
        asked.append(arguments)
        return parts.pop(0)

    async def made_by_rule(*arguments: Any) -> dict[str, int]:
        asked.append(arguments)
        return {"blocks": 3}

    operating.journal.suppressions = SimpleNamespace(purge_rule=purge_rule, made_by_rule=made_by_rule)
    answers = [(await operating.client.post(PATH, json=body)).json() for body in (BODY, BODY | {"list": "bounces"})]
    assert answers == [
        {"matched": PART, "deleted": PART, "by_list": {"bounces": PART}, "more": True},
        {"matched": 7, "deleted": 7, "by_list": {"bounces": 5, "blocks": 2}, "more": False},
    ]
    dry = await operating.client.post(PATH, json=BODY | {"dry_run": True})
    assert dry.json() == {"matched": 3, "deleted": 0, "by_list": {"blocks": 3}, "more": False}
    since = SINCE.astimezone(UTC)
    assert asked == [
        ("wrong", since, None, PART),
        ("wrong", since, SuppressionList.BOUNCES, PART),
        ("wrong", since, None),
    ]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["rule", "since"]),
        ({"rule": None, "since": None}, ["rule", "since"]),
        (BODY | {"rule": ""}, ["rule"]),
        (BODY | {"rule": "a\0b"}, ["rule"]),
        (BODY | {"rule": "x" * 201}, ["rule"]),
    ],
)
async def test_what_is_missing_is_named(operating: Operating, body: Any, fields: list[str]) -> None:
    response = await operating.client.post(PATH, json=body)
    assert response.status_code == 400, response.text
    assert await operating.faults(response) == fields


@pytest.mark.parametrize(
    "change",
    [{"since": "yesterday"}, {"since": "2026-04-23T10:00:00"}, {"rule": 5}, {"list": "friends"}, {"dry_run": 1}],
)
async def test_a_wrong_type_is_a_422(operating: Operating, change: dict[str, Any]) -> None:
    assert (await operating.client.post(PATH, json=BODY | change)).status_code == 422
