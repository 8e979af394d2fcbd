"""Which messages a search in the console looks at."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.console.messages import is_indexed, within_days
from cluster.ids import made_at
from cluster.journal.message_filter import MessageFilter
from cluster.policy.lifecycle import Status

DAY = datetime(2026, 4, 23, tzinfo=UTC)


def wanted(**fields: Any) -> MessageFilter:
    return MessageFilter(tenant_id="tnt_1", **fields)


def test_only_the_days_that_are_meant() -> None:
    found = within_days(wanted(start=DAY, end=DAY + timedelta(days=1)))
    assert found.down_to is not None and found.after is not None
    assert timedelta() < DAY - made_at(found.down_to) < timedelta(minutes=5)
    assert timedelta() < made_at(found.after) - DAY - timedelta(days=1) < timedelta(minutes=5)
    assert (found.start, found.end) == (DAY, DAY + timedelta(days=1)), "to the moment, these decide"


def test_the_page_before_goes_on_within_them() -> None:
    before = "msg_" + "0" * 26
    assert within_days(wanted(end=DAY, after=before)).after == before
    late = "msg_" + "7" + "Z" * 25
    assert within_days(wanted(end=DAY, after=late)).after != late
    assert within_days(wanted(after=late)).after == late


@pytest.mark.parametrize("moment", [datetime.min, datetime.max])
def test_days_that_no_calendar_has_beside_them(moment: datetime) -> None:
    within_days(wanted(start=moment.replace(tzinfo=UTC), end=moment.replace(tzinfo=UTC)))


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, True),
        ({"batch_id": "bat_1"}, True),
        ({"start": DAY, "end": DAY}, True),
        ({"statuses": (Status.BOUNCED,)}, True),
        ({"statuses": (Status.QUEUED,)}, False),
        ({"statuses": (Status.DELIVERED,)}, False),
        ({"statuses": (Status.BOUNCED,), "batch_id": "bat_1"}, False),
        ({"to_email": "ada@example.com"}, False),
        ({"from_email": "ada@example.com"}, False),
        ({"subject": "Hello"}, False),
        ({"category": "news"}, False),
    ],
)
def test_what_an_index_finds(fields: dict[str, Any], found: bool) -> None:
    assert is_indexed(wanted(**fields)) is found
