"""The MTA-STS policies of domains (RFC 8461), fetched once and cached for their max_age.

This module owns the cache and its refreshing. A cached policy is used at once and refreshed in the background; a failed
refresh does not remove it (§3.3, §5.1). The cache is in memory, so a restarted process fetches policies again.
``cluster.policy.tls.policy`` applies the policies.
"""

import asyncio
import logging
from collections.abc import Callable

from msgspec import Struct

from cluster.lookup.mta_sts_fetch import PolicyServers
from cluster.lookup.resolver import Resolver
from cluster.lookup.semaphore import Semaphore
from cluster.lookup.ttl_cache import TtlCache
from cluster.policy.routes import mx
from cluster.policy.tls.failure import TlsFault
from cluster.policy.tls.mta_sts import StsPolicy, record_id
from cluster.tasks import end_all

log = logging.getLogger(__name__)

LOOK_S = 300.0
"""Time between look-ups of a domain's TXT record, and between attempts to fetch a policy (RFC 8461 §3.3: five minutes).
It is also the minimum time for which a policy is cached."""
REFRESH_S = 86400.0
"""RFC 8461 §3.3 suggests fetching a cached policy again once a day, even if its id is unchanged."""
FETCHES_AT_ONCE = 50


MOST_BYTES = 16 * 1024 * 1024
"""Limit for all cached policies together. Most have a few hundred bytes; one may have 64 KB."""


class _Kept(Struct):
    policy: StsPolicy
    id: str
    look_at: float
    refresh_at: float


def _weigh(kept: _Kept) -> int:
    return sum(map(len, kept.policy.mx))


class StsPolicies:
    """The policies of all domains. ``clock`` is monotonic, in seconds. ``failed`` is called for each policy that could
    not be fetched."""

    def __init__(
        self,
        resolver: Resolver,
        servers: PolicyServers,
        *,
        entries: int,
        clock: Callable[[], float],
        failed: Callable[[str, TlsFault], None],
    ) -> None:
        self._resolver = resolver
        self.servers = servers
        """The hosts that publish policies."""
        self._clock = clock
        self._failed = failed
        self._kept: TtlCache[str, _Kept] = TtlCache(entries, clock, most_bytes=MOST_BYTES, weigh=_weigh)
        # A separate cache, so that the many domains without a policy do not evict the few with one.
        self._without: TtlCache[str, bool] = TtlCache(entries, clock)
        self._lookups: dict[str, asyncio.Task[StsPolicy | None]] = {}
        self._semaphore = Semaphore(FETCHES_AT_ONCE)

    async def of_domain(self, domain: str) -> StsPolicy | None:
        """The domain's policy; None when it has none, or when none can be fetched."""
        name = mx.lookup_name(domain)
        if isinstance(name, mx.Unroutable):
            return None
        kept = self._kept.get(name)
        if kept is None:
            if self._without.get(name):
                return None
            # Shielded: when one waiter is cancelled, the others still need the answer.
            return await asyncio.shield(self._look(name))
        if self._clock() >= kept.look_at:
            self._look(name)
        return kept.policy

    def kept(self, domain: str) -> StsPolicy | None:
        """The cached policy of a domain; None when none is cached."""
        name = mx.lookup_name(domain)
        kept = self._kept.get(name) if isinstance(name, str) else None
        return kept.policy if kept is not None else None

    async def settled(self) -> None:
        """Wait until the background refreshes have ended."""
        await asyncio.gather(*self._lookups.values())

    async def close(self) -> None:
        await end_all(self._lookups.values())

    def _look(self, name: str) -> asyncio.Task[StsPolicy | None]:
        task = self._lookups.get(name)
        if task is None:
            task = self._lookups[name] = asyncio.create_task(self._refresh(name))
            task.add_done_callback(lambda _: self._lookups.pop(name))
        return task

    async def _refresh(self, name: str) -> StsPolicy | None:
        found = await self._resolver.texts(f"_mta-sts.{name}")
        kept = self._kept.get(name)
        published = record_id(found.texts) if isinstance(found, mx.Found) else None
        if kept is not None:
            kept.look_at = self._clock() + LOOK_S
            if published is None or (published == kept.id and self._clock() < kept.refresh_at):
                return kept.policy
        elif published is None:
            self._without.put(name, True, LOOK_S)
            return None
        async with self._semaphore:
            fetched = await self.servers.fetch(name)
        if isinstance(fetched, TlsFault):
            log.info("no policy domain=%s failure=%s reason=%s", name, fetched.failure, fetched.reason)
            self._failed(name, fetched)
            if kept is not None:
                return kept.policy
            self._without.put(name, True, LOOK_S)
            return None
        now = self._clock()
        keep_s = max(float(fetched.max_age_s), LOOK_S)
        refresh_at = now + min(keep_s / 2, REFRESH_S)
        self._kept.put(name, _Kept(fetched, published or "", now + LOOK_S, refresh_at), keep_s)
        return fetched
