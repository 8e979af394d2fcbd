"""The events of a test post."""

from datetime import UTC, datetime

from cluster.events import name_of
from cluster.webhooks.endpoints import EVENT_NAMES, Dialect, Endpoint
from cluster.webhooks.examples import example_events

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def names(*events: str) -> list[str]:
    endpoint = Endpoint(
        id="wh_1",
        tenant_id="tnt_1",
        dialect=Dialect.POSTRAY,
        url="https://hooks.example.com/",
        events=frozenset(events),
        created_at=NOW,
        updated_at=NOW,
    )
    return [name_of(one.event) for one in example_events(endpoint, NOW.timestamp())]


def test_one_of_each_kind_that_is_made() -> None:
    assert set(EVENT_NAMES) == set(names("*"))
    assert len(names("*")) == len(set(names("*")))


def test_only_what_the_endpoint_wants() -> None:
    assert names("click", "bounce") == ["bounce", "click"]


def test_always_one() -> None:
    assert names("webhook_disabled") == ["processed"]
