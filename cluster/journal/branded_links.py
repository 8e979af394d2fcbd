"""The journal's part for branded links: the hosts of tenants' own for tracking, unsubscribe and image URLs."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg.types.json import Jsonb

from cluster.journal.database import JournalPart, Row, execute, rows


class BrandedLink(Struct, frozen=True, kw_only=True):
    """A host of a tenant. ``findings``: what the last look at its records found, by record; empty before it."""

    id: int
    tenant_id: str
    domain: str
    subdomain: str
    is_default: bool
    is_valid: bool
    checked_at: datetime | None
    findings: dict[str, Any]

    @property
    def host(self) -> str:
        return f"{self.subdomain}.{self.domain}"


class BrandedLinks(JournalPart):
    """Creates, reads and changes branded links. A default one is the tenant's only default."""

    async def create(
        self, tenant_id: str, domain: str, subdomain: str, *, is_default: bool, most: int
    ) -> BrandedLink | None:
        """Create a link; None when the tenant has ``most`` of them. Raises Rejected when any tenant has the host."""
        async with self._database.transaction() as connection:
            await rows(connection, "lock_tenant", id=tenant_id)
            if is_default:
                await execute(connection, "no_default_link", tenant_id=tenant_id)
            made = await rows(
                connection,
                "create_link",
                tenant_id=tenant_id,
                domain=domain,
                subdomain=subdomain,
                is_default=is_default,
                most=most,
            )
        return _link(made[0]) if made else None

    async def is_return_path(self, domain: str, subdomain: str) -> bool:
        """Whether the host is the return path of a sender domain, of any tenant."""
        return await self._database.row("is_return_path", domain=domain, subdomain=subdomain) is not None

    async def of_tenant(self, tenant_id: str, limit: int) -> list[BrandedLink]:
        """At most ``limit`` links, the oldest first."""
        return [_link(row) for row in await self._database.rows("links", tenant_id=tenant_id, limit=limit)]

    async def find(self, tenant_id: str, id: int) -> BrandedLink | None:
        row = await self._database.row("link", tenant_id=tenant_id, id=id)
        return _link(row) if row else None

    async def default(self, tenant_id: str, domain: str | None) -> BrandedLink | None:
        """The link for mail from a domain, or for all mail: the default one first, then the oldest."""
        row = await self._database.row("default_link", tenant_id=tenant_id, domain=domain)
        return _link(row) if row else None

    async def in_use(self, tenant_id: str) -> str | None:
        """The host that the tenant's links lead to: of the valid ones the default, or the oldest; None without one."""
        row = await self._database.row("link_in_use", tenant_id=tenant_id)
        return row[0] if row else None

    async def hosts(self, tenant_id: str) -> list[str]:
        """The hosts of all valid links of the tenant."""
        return [host for (host,) in await self._database.rows("link_hosts", tenant_id=tenant_id)]

    async def set_default(self, tenant_id: str, id: int, is_default: bool) -> BrandedLink | None:
        """Make a link the default one, or not; None when the tenant does not have it."""
        async with self._database.transaction() as connection:
            await rows(connection, "lock_tenant", id=tenant_id)
            if await rows(connection, "link", tenant_id=tenant_id, id=id) and is_default:
                await execute(connection, "no_default_link", tenant_id=tenant_id)
            changed = await rows(connection, "set_default_link", tenant_id=tenant_id, id=id, is_default=is_default)
        return _link(changed[0]) if changed else None

    async def checked(
        self, tenant_id: str, id: int, is_valid: bool | None, findings: dict[str, Any]
    ) -> BrandedLink | None:
        """Store the result of a look; ``is_valid`` None leaves that as it is. None when the tenant does not have it."""
        row = await self._database.row(
            "link_checked", tenant_id=tenant_id, id=id, is_valid=is_valid, findings=Jsonb(findings)
        )
        return _link(row) if row else None

    async def delete(self, tenant_id: str, id: int) -> bool:
        """False when the tenant does not have it."""
        return bool(await self._database.execute("delete_link", tenant_id=tenant_id, id=id))


def _link(row: Row) -> BrandedLink:
    id, tenant_id, domain, subdomain, is_default, is_valid, checked_at, findings = row
    return BrandedLink(
        id=id,
        tenant_id=tenant_id,
        domain=domain,
        subdomain=subdomain,
        is_default=is_default,
        is_valid=is_valid,
        checked_at=checked_at,
        findings=findings or {},
    )
