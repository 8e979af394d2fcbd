"""The journal's part for the names that operators type: which domains, pools, batches and tenants there are."""

from cluster.journal.database import JournalPart

DOMAINS_SAMPLE = 10_000
"""Deliveries at each end of the queue whose domains are listed."""


class KnownNames(JournalPart):
    """What is known by a name."""

    async def queued_domains(self, most: int) -> list[str]:
        """Domains that something is queued for, among the oldest and the newest deliveries; at most so many."""
        return [domain for (domain,) in await self._database.rows("queued_domains", limit=most, sample=DOMAINS_SAMPLE)]

    async def is_queued_domain(self, domain: str) -> bool:
        """Whether anything is queued for a domain: a look at the whole queue where there is nothing."""
        return await self._database.row("is_queued_domain", domain=domain) is not None

    async def is_queued_pool(self, pool: str) -> bool:
        """Whether anything is queued that names a pool: a look at the whole queue where there is nothing."""
        return await self._database.row("is_queued_pool", pool=pool) is not None

    async def is_batch(self, batch_id: str) -> bool:
        """Whether any tenant has this batch."""
        return await self._database.row("is_batch", batch_id=batch_id) is not None

    async def tenants_like(self, text: str, most: int) -> list[tuple[str, str]]:
        """(id, name) of tenants, those first whose id or name is this text or begins with it; at most so many."""
        return [(id, name) for id, name in await self._database.rows("tenants_like", text=text, limit=most)]
