"""The journal's part for tenants, API keys, sender domains and their signing keys."""

from collections.abc import Iterable

from cluster.ids import new_id
from cluster.journal.database import JournalPart, Rejected, execute, rows
from cluster.journal.records import ApiKey, DkimKey, SenderDomain
from cluster.policy.routes.domains import a_labels, mail_domain


class Accounts(JournalPart):
    """Tenants, their API keys, and their sender domains with signing keys."""

    async def key_by_hash(self, hash: bytes) -> ApiKey | None:
        """The key with this SHA-256 hash that is not revoked; None when there is none."""
        row = await self._database.row("key_by_hash", hash=hash)
        if row is None:
            return None
        id, tenant_id, scopes, sandbox = row
        return ApiKey(id=id, tenant_id=tenant_id, scopes=frozenset(scopes), sandbox=sandbox)

    async def tenant_named(self, name: str) -> str | None:
        """The id of the tenant with this name; None when there is none."""
        row = await self._database.row("tenant_named", name=name)
        return row[0] if row else None

    async def create_tenant(self, name: str) -> str:
        """Create a tenant; returns its id."""
        tenant_id = new_id("tnt_")
        await self._database.execute("create_tenant", id=tenant_id, name=name)
        return tenant_id

    async def create_key(
        self, tenant_id: str, *, name: str, prefix: str, hash: bytes, scopes: Iterable[str], sandbox: bool
    ) -> str:
        """Create an API key; returns its id. ``hash`` is the SHA-256 of the key."""
        key_id = new_id("key_")
        await self._database.execute(
            "create_key",
            id=key_id,
            tenant_id=tenant_id,
            name=name,
            prefix=prefix,
            hash=hash,
            scopes=sorted(scopes),
            sandbox=sandbox,
        )
        return key_id

    async def create_domain(
        self, tenant_id: str, domain: str, *, verified: bool, selector: str, public_key: str, sealed_private_key: bytes
    ) -> None:
        """Create a sender domain with its first signing key. Raises Rejected when the tenant has it already or
        ``domain`` is not a mail domain."""
        name = mail_domain(domain)
        if name is None:
            raise Rejected(f"{domain[:80]!r} is not a mail domain")
        async with self._database.transaction() as connection:
            created = await rows(connection, "create_domain", tenant_id=tenant_id, domain=name, verified=verified)
            await execute(
                connection,
                "create_dkim_key",
                domain_id=created[0][0],
                selector=selector,
                public_key=public_key,
                sealed_private_key=sealed_private_key,
            )

    async def is_verified_domain(self, tenant_id: str, domain: str) -> bool:
        row = await self._database.row("is_verified_domain", tenant_id=tenant_id, domain=a_labels(domain))
        assert row is not None
        return bool(row[0])

    async def sender_domains(self, tenant_id: str) -> list[SenderDomain]:
        """The tenant's domains, one item per active signing key."""
        found = await self._database.rows("sender_domains", tenant_id=tenant_id)
        return [
            SenderDomain(id=id, domain=domain, verified=verified, selector=selector, public_key=public_key)
            for id, domain, verified, selector, public_key in found
        ]

    async def sealed(self, limit: int) -> list[tuple[str, bytes]]:
        """At most ``limit`` values that are sealed with the cluster's secret, each as (description, sealed bytes)."""
        return [(what, bytes(sealed)) for what, sealed in await self._database.rows("sealed", limit=limit)]

    async def dkim_key(self, tenant_id: str, domain: str) -> DkimKey | None:
        """The key that signs the tenant's mail from this domain; None when there is none."""
        row = await self._database.row("dkim_key", tenant_id=tenant_id, domain=a_labels(domain))
        if row is None:
            return None
        name, selector, sealed = row
        return DkimKey(domain=name, selector=selector, sealed_private_key=sealed)
