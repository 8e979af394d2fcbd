"""The journal's part for the names that operators type: the domains, pools, batches and tenants that exist."""

from cluster.journal.database import JournalPart

DOMAINS_SAMPLE = 10_000
"""How many deliveries at each end of the queue are sampled for their domains."""


class KnownNames(JournalPart):
    """Looks up and checks names."""

    async def queued_domains(self, most: int) -> list[str]:
        """At most ``most`` domains with queued mail, from the oldest and the newest deliveries."""
        return [domain for (domain,) in await self._database.rows("queued_domains", limit=most, sample=DOMAINS_SAMPLE)]

    async def is_queued_domain(self, domain: str) -> bool:
        """Whether any mail is queued for a domain. Reads the whole queue when there is none."""
        return await self._database.row("is_queued_domain", domain=domain) is not None

    async def is_queued_pool(self, pool: str) -> bool:
        """Whether any queued mail names a pool. Reads the whole queue when there is none."""
        return await self._database.row("is_queued_pool", pool=pool) is not None

    async def is_batch(self, batch_id: str) -> bool:
        """Whether any tenant has this batch."""
        return await self._database.row("is_batch", batch_id=batch_id) is not None

    async def tenants_like(self, text: str, most: int) -> list[tuple[str, str]]:
        """(id, name) of at most ``most`` tenants; first those whose id or name is this text or begins with it."""
        return [(id, name) for id, name in await self._database.rows("tenants_like", text=text, limit=most)]
