"""The journal's part for sender domains and their signing keys."""

from cluster.journal.database import JournalPart, Rejected, execute, rows
from cluster.journal.records import DkimKey, SenderDomain, SigningDomain
from cluster.policy.routes.domains import a_labels, mail_domain, parents


class SenderDomains(JournalPart):
    """Sender domains with their signing keys."""

    async def create(
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

    async def is_verified(self, tenant_id: str, domain: str) -> bool:
        row = await self._database.row("is_verified_domain", tenant_id=tenant_id, domain=a_labels(domain))
        assert row is not None
        return bool(row[0])

    async def of_tenant(self, tenant_id: str) -> list[SenderDomain]:
        """The tenant's domains, one item per active signing key."""
        found = await self._database.rows("sender_domains", tenant_id=tenant_id)
        return [
            SenderDomain(id=id, domain=domain, verified=verified, selector=selector, public_key=public_key)
            for id, domain, verified, selector, public_key in found
        ]

    async def sealed(self, limit: int) -> list[tuple[str, bytes]]:
        """At most ``limit`` values that are sealed with the cluster's secret, each as (description, sealed bytes)."""
        return [(what, bytes(sealed)) for what, sealed in await self._database.rows("sealed", limit=limit)]

    async def signing(self, tenant_id: str, domain: str) -> SigningDomain | None:
        """The verified sender domain that signs the tenant's mail from ``domain``, as in ``Tenant.sender_domain``:
        itself, or the closest parent that includes its sub-domains. None when there is none."""
        name = a_labels(domain)
        found = await self._database.rows(
            "signing", tenant_id=tenant_id, domains=[name, *parents(name)] if name else []
        )
        if not found:
            return None
        sender_domain, return_path = found[0][:2]
        keys = tuple(
            DkimKey(algorithm=algorithm, selector=selector, sealed_private_key=bytes(sealed))
            for _, _, algorithm, selector, sealed in found
            if sealed is not None
        )
        return SigningDomain(domain=sender_domain, return_path=return_path, keys=keys)
