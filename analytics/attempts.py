"""The posts of webhooks: as columns of the ClickHouse table ``webhook_attempts``, and reading them."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple

from analytics.client import ClickHouse
from analytics.rows import Table
from cluster.events import WebhookAttempt
from cluster.policy.forms import Form
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


class AttemptsWanted(Form, frozen=True, kw_only=True):
    """Which posts, the latest first."""

    tenant_id: str
    webhook_id: str
    limit: int = 50
    before_ms: int | None = None
    """With ``before_id``: only posts that stand after this one in the list."""
    before_id: str = ""
    has_failed: bool | None = None
    event_id: str | None = None


PAGE = """
SELECT {names} FROM webhook_attempts
WHERE webhook_id = {{webhook_id:String}} AND tenant_id = {{tenant_id:String}} {conditions}
ORDER BY at DESC, attempt_id DESC LIMIT 1 BY attempt_id LIMIT {{limit:UInt32}}
SETTINGS max_execution_time = 10
"""
BEFORE = (
    "AND at <= fromUnixTimestamp64Milli({before:Int64}) "
    "AND (toUnixTimestamp64Milli(at), attempt_id) < ({before:Int64}, {before_id:String})"
)
FAILED = "AND NOT (status BETWEEN 200 AND 299)"
TAKEN = "AND status BETWEEN 200 AND 299"
WITH_EVENT = "AND has(event_ids, {event_id:String})"


def attempts(client: ClickHouse, wanted: AttemptsWanted) -> list[WebhookAttempt]:
    """The posts to an endpoint. Raises ClickHouseUnavailable."""
    conditions, parameters = [], dict[str, Any]()
    if wanted.before_ms is not None:
        conditions.append(BEFORE)
        parameters |= {"before": wanted.before_ms, "before_id": wanted.before_id}
    if wanted.has_failed is not None:
        conditions.append(FAILED if wanted.has_failed else TAKEN)
    if wanted.event_id is not None:
        conditions.append(WITH_EVENT)
        parameters["event_id"] = wanted.event_id
    rows = client.rows(
        PAGE.format(names=", ".join(ATTEMPTS.columns), conditions=" ".join(conditions)),
        webhook_id=wanted.webhook_id,
        tenant_id=wanted.tenant_id,
        limit=wanted.limit,
        **parameters,
    )
    return [_attempt(row) for row in rows]


def _attempt(row: Sequence[Any]) -> WebhookAttempt:
    values = dict(zip(WebhookAttempt.__struct_fields__, row, strict=True))
    return WebhookAttempt(**values | {"at": values["at"] / 1000, "event_ids": tuple(values["event_ids"])})
