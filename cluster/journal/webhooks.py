"""The journal's part for the endpoints of webhooks: their owners set them up, and see how they answer."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from cluster.journal.database import JournalPart, Rejected, Row, execute, rows
from cluster.webhooks.endpoints import Dialect, Endpoint


class TooManyEndpoints(Rejected):
    """The tenant has as many endpoints as it may have."""


class Standing(Struct, frozen=True, kw_only=True):
    """How an endpoint answers, and what waits for it."""

    failures: int = 0
    """Posts in a row that failed; of several at the same time, one counts."""
    failed_since: datetime | None = None
    next_at: datetime | None = None
    """Nothing is posted before."""
    disabled_at: datetime | None = None
    """When it was disabled because it failed."""
    disabled_reason: str = ""
    last_at: datetime | None = None
    """When it last answered, or failed to."""
    last_status: int | None = None
    """Of the last answer; None where there was none."""
    last_error: str = ""
    last_ms: int = 0
    rate: float = 0.0
    """Events a second that it took over the last minute."""
    posted: int = 0
    """Events that it took."""
    dropped: int = 0
    """Events that waited too long or were too many."""
    waiting: int = 0
    """Events that it is owed."""
    oldest: datetime | None = None
    """Since when the oldest of them waits."""


class Webhooks(JournalPart):
    """The endpoints of tenants."""

    async def add(self, endpoint: Endpoint, most: int) -> bool:
        """Add an endpoint; returns False when the tenant is deleted. Raises TooManyEndpoints if it has ``most``."""
        ((has_tenant, added),) = await self._database.rows("add_webhook", most=most, **_values(endpoint))
        if has_tenant and not added:
            raise TooManyEndpoints(f"a tenant has at most {most} endpoints")
        return bool(added)

    async def of(self, tenant_id: str, id: str) -> Endpoint | None:
        """One endpoint of a tenant."""
        found = await self._database.rows("webhook_of", tenant_id=tenant_id, id=id)
        return _endpoint(found[0]) if found else None

    async def of_tenant(self, tenant_id: str) -> list[Endpoint]:
        """The endpoints of a tenant, oldest first."""
        return [_endpoint(row) for row in await self._database.rows("webhooks_of_tenant", tenant_id=tenant_id)]

    async def find(self, id: str) -> Endpoint | None:
        """One endpoint of any tenant."""
        found = await self._database.rows("find_webhook", id=id)
        return _endpoint(found[0]) if found else None

    async def page(self, tenant_id: str | None, after: str, limit: int) -> list[Endpoint]:
        """Endpoints by id, those after ``after``: of a tenant, or of all."""
        found = await self._database.rows("page_of_webhooks", tenant_id=tenant_id, after=after, limit=limit)
        return [_endpoint(row) for row in found]

    async def all(self) -> list[Endpoint]:
        """Every endpoint."""
        return [_endpoint(row) for row in await self._database.rows("all_webhooks")]

    async def version(self) -> int:
        """A number that rises with each change of an endpoint."""
        ((version,),) = await self._database.rows("webhooks_version")
        return int(version)

    async def change(self, tenant_id: str, id: str, change: Callable[[Endpoint], Endpoint]) -> Endpoint | None:
        """Change an endpoint as it is now; None when there is none. One that is set to enabled or resumed begins anew:
        what it is owed goes out at once."""
        async with self._database.transaction() as connection:
            found = await rows(connection, "lock_webhook", tenant_id=tenant_id, id=id)
            if not found:
                return None
            before = _endpoint(found[0])
            after = change(before)
            await execute(connection, "change_webhook", **_values(after))
        return after

    async def revive(self, id: str) -> None:
        """Forget the failures of an endpoint, and that it is disabled: what it is owed goes out at once."""
        await self._database.execute("revive_webhook", id=id)

    async def remove(self, tenant_id: str, id: str) -> bool:
        """Remove an endpoint and what it is owed; returns False when there was none."""
        return await self._database.execute("remove_webhook", tenant_id=tenant_id, id=id) > 0

    async def standings(self, ids: Sequence[str]) -> dict[str, Standing]:
        """How endpoints answer, by id."""
        found = await self._database.rows("webhook_standings", ids=list(ids))
        return {row[0]: Standing(**dict(zip(Standing.__struct_fields__, row[1:], strict=True))) for row in found}


def _values(endpoint: Endpoint) -> dict[str, Any]:
    values = asdict(endpoint)
    return values | {
        "dialect": endpoint.dialect.value,
        **{name: sorted(values[name]) for name in ("events", "categories", "key_ids")},
    }


def _endpoint(row: Row) -> Endpoint:
    values = dict(zip(_COLUMNS, row, strict=True))
    for name in ("events", "categories", "key_ids"):
        values[name] = frozenset(values[name])
    for name in ("sealed_secret", "sealed_former", "sealed_oauth"):
        values[name] = bytes(values[name]) if values[name] is not None else None
    return Endpoint(**values | {"dialect": Dialect(values["dialect"])})


_COLUMNS = Endpoint.__struct_fields__
"""In the order in which the statements select them."""
