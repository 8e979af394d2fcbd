"""Which domains a tenant may send from. Every way in asks, for each sender that a message names."""

import time
from collections.abc import Iterable

from cluster.journal.journal import Journal
from cluster.lookup.ttl_cache import TtlCache

VERIFIED_TTL_S = 5.0
"""How long a verified domain is believed without asking again."""
VERIFIED_KEPT = 10_000


class VerifiedDomains:
    """Only a yes is remembered, so that a new domain can be used at once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._verified: TtlCache[tuple[str, str], bool] = TtlCache(VERIFIED_KEPT, time.monotonic)

    async def first_unverified(self, tenant_id: str, domains: Iterable[str]) -> str | None:
        """The first of these domains that the tenant may not send from; None where it may use all. Raises
        Unavailable."""
        for domain in domains:
            if self._verified.get((tenant_id, domain)):
                continue
            if not await self._journal.accounts.is_verified_domain(tenant_id, domain):
                return domain
            self._verified.put((tenant_id, domain), True, VERIFIED_TTL_S)
        return None
