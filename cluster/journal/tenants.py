"""The journal's part for tenants: their record, and which of them changed."""

from collections.abc import Callable

from cluster.ids import new_id
from cluster.journal.database import JournalPart, execute, rows
from cluster.tenancy import limits, settings
from cluster.tenancy.settings import TenantSettings
from cluster.tenancy.tenant import NO_OTHERS, Tenant


class Tenants(JournalPart):
    """Creates and reads tenants. Everything that belongs to a tenant changes the tenant (migration 0011)."""

    async def create(self, name: str) -> str:
        """Create a tenant; returns its id."""
        tenant_id = new_id("tnt_")
        await self._database.execute("create_tenant", id=tenant_id, name=name)
        return tenant_id

    async def named(self, name: str) -> str | None:
        """The id of the tenant with this name; None when there is none."""
        row = await self._database.row("tenant_named", name=name)
        return row[0] if row else None

    async def find(self, tenant_id: str) -> Tenant | None:
        """The record of a tenant; None when there is none or it is deleted."""
        row = await self._database.row("tenant", id=tenant_id)
        if row is None:
            return None
        id, name, is_suspended, stored_settings, stored_limits, domains, with_subdomains, *below, link_host = row
        return Tenant(
            id=id,
            name=name,
            is_suspended=is_suspended,
            settings=settings.decode(stored_settings),
            limits=limits.decode(stored_limits),
            senders=dict(zip(domains, with_subdomains, strict=True)),
            others=dict(zip(*below, strict=True)) or NO_OTHERS,
            link_host=link_host or "",
        )

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
