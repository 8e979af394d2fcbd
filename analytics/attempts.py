"""The posts of webhooks as columns of the ClickHouse table ``webhook_attempts``. Pure."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple

from analytics.rows import Table
from cluster.events import WebhookAttempt
from cluster.times import milliseconds

ATTEMPTS = Table(
    "webhook_attempts",
    {
        "attempt_id": "String",
        "at": "DateTime64(3, 'UTC')",
        "tenant_id": "LowCardinality(String)",
        "webhook_id": "LowCardinality(String)",
        "url": "String",
        "attempt": "UInt32",
        "event_ids": "Array(String)",
        "request_headers": "String",
        "request_body": "String",
        "request_bytes": "UInt32",
        "status": "UInt16",
        "answer_headers": "String",
        "answer_body": "String",
        "error": "String",
        "duration_ms": "UInt32",
    },
)
"""In the order of the fields of ``WebhookAttempt``."""


def attempt_columns(attempts: Sequence[WebhookAttempt]) -> list[Sequence[Any]]:
    """The values, column by column; an empty list when there are no attempts."""
    whole: list[Sequence[Any]] = list(zip(*map(astuple, attempts), strict=True))
    if whole:
        whole[1] = [milliseconds(attempt.at) for attempt in attempts]
    return whole
