"""The journal's part for tenants: their record, what operators do with them, and which of them changed."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct
from psycopg.errors import UniqueViolation

from cluster.ids import new_id
from cluster.journal.database import JournalPart, Rejected, Row, execute, rows
from cluster.journal.site_actions import SiteAction, write_actions
from cluster.journal.tenant_rates import rates_of
from cluster.tenancy import limits, settings
from cluster.tenancy.limits import RequestLimits
from cluster.tenancy.rates import Rate
from cluster.tenancy.settings import TenantSettings
from cluster.tenancy.tenant import NO_OTHERS, Tenant


class NameTaken(Rejected):
    """Another tenant has this name."""


class TenantRecord(Struct, frozen=True, kw_only=True):
    """A tenant as operators see it."""

    id: str
    name: str
    created_at: datetime
    suspended_at: datetime | None
    """Since when it is suspended; None when it is not."""
    suspended_for: str
    """Why it is suspended, where a rate that passed its limit did that; "" otherwise."""
    pause_over_rates: bool | None
    """Whether a rate that passes its limit suspends it; None: as the setting tenants.pause_over_rates says."""
    bounce_rate: float | None
    """The share of the last 1,000 recipients that bounced hard, from 0 to 1; None with fewer than 100."""
    complaint_rate: float | None
    """The share of the last 10,000 recipients delivered to that complained; None with fewer than 1,000."""


class Deletion(StrEnum):
    """The result of deleting a tenant."""

    DELETED = "deleted"
    """Its data is erased in the background."""
    NOT_SUSPENDED = "not suspended"
    UNFINISHED = "unfinished"
    """Mail of it is still queued or being sent."""


class GivenLimits(Struct, frozen=True, kw_only=True):
    """The limits that the operator gave a tenant, and those that the tenant gave itself. The lower of both applies."""

    by_operator: RequestLimits
    own: RequestLimits


class Tenants(JournalPart):
    """Creates, reads and changes tenants. Everything that belongs to a tenant changes the tenant (migration 0011)."""

    async def create(self, name: str) -> str:
        """Create a tenant; returns its id. Raises NameTaken."""
        tenant_id = new_id("tnt_")
        if await self._database.row("create_tenant", id=tenant_id, name=name) is None:
            raise NameTaken(f"another tenant has the name {name!r}")
        return tenant_id

    async def named(self, name: str) -> str | None:
        """The id of the tenant with this name, the oldest if an older version let several have it; None when there is
        none."""
        row = await self._database.row("tenant_named", name=name)
        return row[0] if row else None

    async def find(self, tenant_id: str) -> Tenant | None:
        """The record of a tenant that requests and deliveries need; None when there is none or it is deleted."""
        row = await self._database.row("tenant", id=tenant_id)
        if row is None:
            return None
        id, name, is_suspended, suspended_for, resumed_at, set_, given, own, *held, link_host, number = row
        domains, with_subdomains, *below = held
        return Tenant(
            id=id,
            name=name,
            number=number,
            is_suspended=is_suspended,
            suspended_for=suspended_for,
            resumed_at=resumed_at,
            settings=settings.decode(set_),
            limits=limits.lower_of(limits.decode(given), limits.decode(own)),
            senders=dict(zip(domains, with_subdomains, strict=True)),
            others=dict(zip(*below, strict=True)) or NO_OTHERS,
            link_host=link_host or "",
        )

    # What operators do

    async def record(self, tenant_id: str) -> TenantRecord | None:
        """A tenant; None when there is none or it is deleted."""
        row = await self._database.row("tenant_record", id=tenant_id)
        return _record(row) if row else None

    async def page(self, after: str, limit: int, name: str | None = None) -> list[TenantRecord]:
        """At most ``limit`` tenants with an id above ``after``, in the order of their ids, which is that of their
        creation; all of them, or those with a name."""
        found = await self._database.rows("tenant_records", after=after, limit=limit, name=name)
        return [_record(row) for row in found]

    async def rename(self, tenant_id: str, name: str) -> TenantRecord | None:
        """Give a tenant another name; None when there is no such tenant. Raises NameTaken."""
        try:
            async with self._database.transaction() as connection:
                found = await rows(connection, "lock_operated_tenant", id=tenant_id)
                if not found:
                    return None
                [[is_shared]] = await rows(connection, "is_shared_name", id=tenant_id, name=name)
                if is_shared and found[0][0] != name:
                    raise NameTaken(f"another tenant has the name {name!r}")
                if found[0][0] != name:
                    await execute(connection, "rename_tenant", id=tenant_id, name=name)
        except Rejected as error:
            if isinstance(error.__cause__, UniqueViolation):
                raise NameTaken(f"another tenant has the name {name!r}") from error
            raise
        return await self.record(tenant_id)

    async def suspend(self, tenant_id: str) -> TenantRecord | None:
        """Suspend a tenant: it may not send, and what is queued waits. None when there is no such tenant. A suspended
        tenant stays as it is."""
        return await self._switch("suspend_tenant", tenant_id, "suspended")

    async def resume(self, tenant_id: str) -> TenantRecord | None:
        """End a tenant's suspension, and count its rates from now on; None when there is no such tenant."""
        return await self._switch("resume_tenant", tenant_id, "resumed", "forget_ends", "forget_rates")

    async def set_pausing(self, tenant_id: str, pause: bool | None) -> TenantRecord | None:
        """Set whether a rate that passes its limit suspends a tenant, None: as the settings say. None when there is no
        such tenant."""
        await self._database.execute("set_pausing", id=tenant_id, pause=pause)
        return await self.record(tenant_id)

    async def _switch(self, statement: str, tenant_id: str, action: str, *further: str) -> TenantRecord | None:
        """``further``: statements for a tenant that the first has changed."""
        async with self._database.transaction() as connection:
            if not await rows(connection, "lock_operated_tenant", id=tenant_id):
                return None
            if await execute(connection, statement, id=tenant_id):
                done = SiteAction(at=datetime.now(UTC), tenant_id=tenant_id, action=action, made_by="operator")
                await write_actions(connection, [done])
                for one in further:
                    await execute(connection, one, id=tenant_id)
            return _record((await rows(connection, "tenant_record", id=tenant_id))[0])

    async def delete(self, tenant_id: str) -> Deletion | None:
        """Delete a suspended tenant without unfinished mail; None when there is no such tenant. From then on it does
        not exist for requests; cluster/journal/erasure.py erases what it had. Raises TookTooLong."""
        async with self._database.searching() as connection:
            found = await rows(connection, "lock_operated_tenant", id=tenant_id)
            if not found:
                return None
            if not found[0][1]:
                return Deletion.NOT_SUSPENDED
            [[has_unfinished]] = await rows(connection, "has_unfinished", id=tenant_id)
            if has_unfinished:
                return Deletion.UNFINISHED
            await execute(connection, "delete_tenant", id=tenant_id)
        return Deletion.DELETED

    # What it may set

    async def given_limits(self, tenant_id: str) -> GivenLimits | None:
        """The limits of a tenant; None when there is no such tenant."""
        return _given(await self._database.rows("tenant_limits", id=tenant_id))

    async def limit(self, tenant_id: str, by_operator: RequestLimits) -> GivenLimits | None:
        """Replace the operator's limits of a tenant; None when there is no such tenant."""
        stored = limits.encode(by_operator).decode()
        return _given(await self._database.rows("store_limits", id=tenant_id, limits=stored))

    async def limit_itself(self, tenant_id: str, own: RequestLimits) -> GivenLimits | None:
        """Replace the limits that a tenant gives itself; None when there is no such tenant."""
        stored = limits.encode(own).decode()
        return _given(await self._database.rows("store_own_limits", id=tenant_id, limits=stored))

    async def change_settings(
        self, tenant_id: str, change: Callable[[TenantSettings], TenantSettings]
    ) -> TenantSettings | None:
        """Replace a tenant's settings by what ``change`` returns for them; returns the new settings, or None when there
        is no such tenant. The tenant is locked meanwhile, so concurrent changes lose nothing. What ``change`` raises
        leaves the settings as they were."""
        async with self._database.transaction() as connection:
            found = await rows(connection, "lock_settings", id=tenant_id)
            if not found:
                return None
            changed = change(settings.decode(found[0][0]))
            await execute(connection, "store_settings", id=tenant_id, settings=settings.encode(changed).decode())
        return changed

    async def changed(self, since: int | None) -> tuple[int, frozenset[str]]:
        """A cursor for the next call, and the ids of the tenants that changed since the one that returned ``since``;
        none for None. A tenant may be named again while the transaction that changed it is the oldest that runs."""
        row = await self._database.row("changed_tenants", since=since)
        assert row is not None
        cursor, ids = row
        return cursor, frozenset(ids)


def _record(row: Row) -> TenantRecord:
    id, name, created_at, suspended_at, suspended_for, pause_over_rates, *windows = row
    rates = rates_of(*windows)
    return TenantRecord(
        id=id,
        name=name,
        created_at=created_at,
        suspended_at=suspended_at,
        suspended_for=suspended_for,
        pause_over_rates=pause_over_rates,
        bounce_rate=rates.bounces.share(Rate.BOUNCES),
        complaint_rate=rates.complaints.share(Rate.COMPLAINTS),
    )


def _given(found: list[Row]) -> GivenLimits | None:
    if not found:
        return None
    by_operator, own = found[0]
    return GivenLimits(by_operator=limits.decode(by_operator), own=limits.decode(own))
