"""Endpoints, and what they are owed: the least that a test needs."""

from datetime import UTC, datetime
from typing import Any

from cluster.ids import new_id
from cluster.journal.journal import Journal
from cluster.webhooks.bundles import OwedEvent, decode_event, split_bundle
from cluster.webhooks.endpoints import Dialect, Endpoint
from tests.integration.journal.stored import sql


async def an_endpoint(journal: Journal, tenant_id: str, url: str = "https://hooks.example.com/", **fields: Any) -> str:
    """Add an endpoint; returns its id."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {"dialect": Dialect.POSTRAY, "created_at": now, "updated_at": now} | fields
    endpoint = Endpoint(id=new_id("wh_"), tenant_id=tenant_id, url=url, **values)
    assert await journal.webhooks.add(endpoint, 100)
    return endpoint.id


async def owed(dsn: str, webhook_id: str) -> list[OwedEvent]:
    """What an endpoint is owed, in order."""
    found = await sql(dsn, f"SELECT events FROM webhook_bundles WHERE webhook_id = '{webhook_id}' ORDER BY id")
    return [decode_event(event) for (data,) in found for event in split_bundle(bytes(data))]
