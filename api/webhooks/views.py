"""Endpoints as the API shows them."""

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType

from cluster.journal.webhooks import Standing
from cluster.policy.webhooks.failing import FAILING_FROM
from cluster.webhooks.endpoints import Dialect, Endpoint


class LastAnswer(Struct, frozen=True):
    """The last post. ``status`` is None, and ``error`` says why, where there was no answer."""

    at: datetime
    status: int | None
    error: str
    duration_ms: int


class EndpointView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint, and how it answers."""

    id: str
    dialect: Dialect
    name: str
    url: str
    enabled_events: list[str]
    categories: list[str]
    api_key_ids: list[str]
    batch: bool
    standard: bool
    enabled: bool
    paused: bool
    notify_email: str
    created_at: datetime
    updated_at: datetime
    status: str
    """active, failing, disabled (it failed for too long), paused, or off."""
    disabled_reason: str
    waiting: int
    """Events that it is owed."""
    oldest_waiting_since: datetime | None
    rate: float
    """Events a second that it took over the last minute."""
    posted: int
    dropped: int
    """Events that waited too long, or were too many."""
    failures: int
    """Posts in a row that failed."""
    next_post_at: datetime | None
    """Nothing is posted before, because it fails."""
    last_answer: LastAnswer | None
    signing_secret: str | UnsetType = UNSET
    """Only in the answers that make it."""


class Endpoints(Struct, frozen=True):
    """The endpoints of a tenant, oldest first."""

    webhooks: list[EndpointView]


def shown(endpoint: Endpoint, standing: Standing, secret: str | UnsetType = UNSET) -> EndpointView:
    """The view of an endpoint."""
    return EndpointView(
        id=endpoint.id,
        dialect=endpoint.dialect,
        name=endpoint.name,
        url=endpoint.url,
        enabled_events=sorted(endpoint.events),
        categories=sorted(endpoint.categories),
        api_key_ids=sorted(endpoint.key_ids),
        batch=endpoint.is_array,
        standard=endpoint.is_standard,
        enabled=endpoint.is_enabled and standing.disabled_at is None,
        paused=endpoint.is_paused,
        notify_email=endpoint.notify_email,
        created_at=endpoint.created_at,
        updated_at=endpoint.updated_at,
        status=_status(endpoint, standing),
        disabled_reason=standing.disabled_reason,
        waiting=standing.waiting,
        oldest_waiting_since=standing.oldest,
        rate=round(standing.rate, 2),
        posted=standing.posted,
        dropped=standing.dropped,
        failures=standing.failures,
        next_post_at=standing.next_at,
        last_answer=None
        if standing.last_at is None
        else LastAnswer(standing.last_at, standing.last_status, standing.last_error, standing.last_ms),
        signing_secret=secret,
    )


def _status(endpoint: Endpoint, standing: Standing) -> str:
    if not endpoint.is_enabled:
        return "off"
    if standing.disabled_at is not None:
        return "disabled"
    if endpoint.is_paused:
        return "paused"
    return "failing" if standing.failures >= FAILING_FROM else "active"
