"""Bodies in our own dialect."""

from typing import Any

import msgspec
import pytest

from analytics.queries import Details, shown
from analytics.rows import COLUMNS, columns
from cluster.events import Event
from cluster.webhooks.bodies import own
from cluster.webhooks.endpoints import EVENT_NAMES
from tests.unit.analytics.samples import bounced, by_name, delivered, processed
from tests.unit.webhooks.samples import disabled, owed

COMMON = {"event_id", "event_type", "timestamp", "message_id", "recipient_email", "tenant_id", "metadata"}
OF_POSTS = {"event_id", "message_id", "tenant_id", "sequence", "batch_id", "categories", "custom_args"}
"""What a post says beside the timeline."""


def read(event: Any, **changes: Any) -> Any:
    return msgspec.json.decode(own.body([owed(event, **changes)], is_array=False))


def of_timeline(event: Event) -> Any:
    """The event as GET /v3/messages/{id} shows it."""
    stored = dict(zip(COLUMNS, (values[0] for values in columns([event])), strict=True))
    details = Details(**{name: stored[name] for name in Details.__struct_fields__})
    return msgspec.to_builtins(shown(stored["at"], stored["recipient"], stored["smtp_response"], details))


def test_a_delivery() -> None:
    assert read(delivered()) == {
        "event_id": "evt_00000000000000000000000003",
        "event_type": "delivered",
        "timestamp": "2026-04-23T10:00:05.120Z",
        "message_id": "msg_1",
        "recipient_email": "ada@example.com",
        "tenant_id": "tnt_1",
        "sequence": 700_001,
        "batch_id": "bat_1",
        "categories": ["onboarding", "welcome"],
        "custom_args": {"user_id": "u_12345", "tries": 3, "plan": {"name": "gold"}},
        "smtp_response": "250 2.0.0 OK",
        "metadata": {
            "attempt": 2,
            "site": "example.com",
            "mx_host": "mx1.example.com",
            "mx_ip": "192.0.2.1",
            "source_ip": "198.51.100.7",
            "tls_version": "TLSv1.3",
            "tls_cipher": "TLS_AES_256_GCM_SHA384",
            "duration_ms": 42,
        },
    }


@pytest.mark.parametrize("name", by_name())
def test_an_event_says_what_the_timeline_says(name: str) -> None:
    event = by_name()[name]
    posted = read(event)
    assert posted.keys() >= COMMON
    assert posted["event_type"] == name
    assert {key: value for key, value in posted.items() if key not in OF_POSTS} == of_timeline(event)


@pytest.mark.parametrize(
    "event",
    [
        bounced(attempt=0, smtp_response="", mx_host="", mx_ip="", source_ip="", tls_version="", tls_cipher=""),
        bounced(bounce_class="", site=""),
        delivered(duration_ms=0),
        processed(reason="", batch_id=None, categories=()),
    ],
)
def test_what_is_not_known_is_absent_as_from_the_timeline(event: Event) -> None:
    expected = {"metadata": {}} | of_timeline(event)
    assert {key: value for key, value in read(event).items() if key not in OF_POSTS} == expected


def test_every_event_that_an_endpoint_may_choose_has_a_kind() -> None:
    assert set(EVENT_NAMES) == by_name().keys()


def test_custom_args_of_a_message_that_is_gone_are_absent() -> None:
    assert "custom_args" not in read(delivered(), custom_args={}, smtp_id="", asm_group_id=0)


def test_a_message_without_batch_and_categories() -> None:
    posted = read(delivered(batch_id=None, categories=()))
    assert (posted["batch_id"], posted["categories"]) == (None, [])


def test_an_array_keeps_the_order() -> None:
    posted = msgspec.json.decode(own.body([owed(processed()), owed(delivered())], is_array=True))
    assert [one["event_type"] for one in posted] == ["processed", "delivered"]
    assert msgspec.json.decode(own.body([], is_array=True)) == []


def test_one_event_alone_is_no_array_and_two_are_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        own.body([owed(processed()), owed(delivered())], is_array=False)


def test_a_disabled_endpoint_is_told_to_others() -> None:
    assert read(disabled(), custom_args={}) == {
        "event_id": "evt_9",
        "event_type": "webhook_disabled",
        "timestamp": "2026-04-23T10:00:02.120Z",
        "message_id": None,
        "recipient_email": None,
        "tenant_id": "tnt_1",
        "sequence": 700_001,
        "metadata": {"webhook_id": "wh_1", "url": "https://a.example/", "reason": "gone"},
    }
