"""Checks which domains a tenant may send from. Every entry point checks each sender that a message names."""

import time
from collections.abc import Iterable

from cluster.journal.journal import Journal
from cluster.lookup.ttl_cache import TtlCache

VERIFIED_TTL_S = 5.0
"""How long a verified domain is cached."""
VERIFIED_KEPT = 10_000


class VerifiedDomains:
    """A cache of verified domains. Negative answers are not cached, so that a new domain can be used at once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._verified: TtlCache[tuple[str, str], bool] = TtlCache(VERIFIED_KEPT, time.monotonic)

    async def first_unverified(self, tenant_id: str, domains: Iterable[str]) -> str | None:
        """The first of these domains that the tenant may not send from; None when it may use them all. Raises
        Unavailable when the journal does not answer."""
        for domain in domains:
            if self._verified.get((tenant_id, domain)):
                continue
            if not await self._journal.accounts.is_verified_domain(tenant_id, domain):
                return domain
            self._verified.put((tenant_id, domain), True, VERIFIED_TTL_S)
        return None
