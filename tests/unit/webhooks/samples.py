"""Endpoints, and events as endpoints are owed them."""

from datetime import UTC, datetime
from typing import Any

from cluster.events import Event, WebhookDisabled
from cluster.webhooks.bundles import OwedEvent
from cluster.webhooks.endpoints import Dialect, Endpoint

MADE = datetime(2026, 4, 23, 10, tzinfo=UTC)


def owed(event: Event | WebhookDisabled, **changes: Any) -> OwedEvent:
    facts: dict[str, Any] = {
        "sequence": 700_001,
        "smtp_id": "<msg_1@mail.example.com>",
        "custom_args": {"user_id": "u_12345", "tries": 3, "plan": {"name": "gold"}},
        "asm_group_id": 4,
    }
    return OwedEvent(event=event, **facts | changes)


def disabled() -> WebhookDisabled:
    return WebhookDisabled(
        id="evt_9", at=1_776_938_402.12, tenant_id="tnt_1", webhook_id="wh_1", url="https://a.example/", reason="gone"
    )


def endpoint(**changes: Any) -> Endpoint:
    facts: dict[str, Any] = {
        "id": "wh_1",
        "tenant_id": "tnt_1",
        "dialect": Dialect.POSTRAY,
        "url": "https://a.example/",
    }
    return Endpoint(**facts | {"created_at": MADE, "updated_at": MADE} | changes)
