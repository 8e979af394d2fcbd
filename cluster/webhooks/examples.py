"""Events for the test of an endpoint: one of each kind, of a message that does not exist."""

from typing import Any

from cluster.events import (
    Bounced,
    Clicked,
    Deferred,
    Delivered,
    Dropped,
    Event,
    GroupResubscribed,
    GroupUnsubscribed,
    Opened,
    Processed,
    SpamReported,
    Unsubscribed,
    name_of,
)
from cluster.ids import new_id, new_ids
from cluster.webhooks.bundles import OwedEvent
from cluster.webhooks.endpoints import ALL, Endpoint

RECIPIENT = "example@test.com"
CATEGORY = "cat facts"


def example_events(endpoint: Endpoint, now: float) -> list[OwedEvent]:
    """At least one event. ``now``: in Unix seconds."""
    message_id = new_id("msg_")
    common: dict[str, Any] = {
        "at": now,
        "tenant_id": endpoint.tenant_id,
        "message_id": message_id,
        "recipient": RECIPIENT,
        "categories": (CATEGORY,),
    }
    attempt: dict[str, Any] = {"attempt": 1, "mx_host": "mx.test.com", "mx_ip": "192.0.2.25", "tls_version": "TLSv1.3"}
    reader: dict[str, Any] = {"ip": "192.0.2.80", "user_agent": "Mozilla/5.0 (X11; Linux x86_64)"}
    ids = iter(new_ids("evt_", 12))
    events: list[Event] = [
        Processed(id=next(ids), **common),
        Deferred(
            id=next(ids),
            **common,
            **attempt,
            smtp_response="450 4.2.0 try again later",
            reason="450 4.2.0 try again later",
            next_attempt_at=now + 60,
        ),
        Delivered(id=next(ids), **common, **attempt, smtp_response="250 2.0.0 OK"),
        Bounced(id=next(ids), **common, **attempt, bounce_type="hard", reason="550 5.1.1 no such user"),
        Bounced(id=next(ids), **common, **attempt, bounce_type="block", reason="554 5.7.1 not accepted here"),
        Dropped(id=next(ids), **common, reason="Bounced Address"),
        Opened(id=next(ids), **common, **reader),
        Clicked(id=next(ids), **common, **reader, url="https://www.example.com/"),
        SpamReported(id=next(ids), **common, reason="abuse"),
        Unsubscribed(id=next(ids), **common, **reader),
        GroupUnsubscribed(id=next(ids), **common, **reader, asm_group_id=10),
        GroupResubscribed(id=next(ids), **common, **reader, asm_group_id=10),
    ]
    wanted = [event for event in events if ALL in endpoint.events or name_of(event) in endpoint.events]
    return [
        OwedEvent(event=event, sequence=number, smtp_id=f"<{message_id}@example.com>")
        for number, event in enumerate(wanted or events[:1], 1)
    ]
