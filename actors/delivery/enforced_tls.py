"""What tenants require of TLS for their mail (enforced TLS), on the way to a connection.

TLS reports are the installation's own mail: what tenants and the receiving domain require does not hold for them
(RFC 8460 §3).
The requirement is part of the next hop, so mail with different requirements shares no connection. It is looked at last
before the transaction begins: a change holds within 5 s also for what waits, composed, for a connection.
"""

import asyncio
import logging

from msgspec.structs import replace

from actors.delivery.job import Job
from cluster.journal.journal import Unavailable
from cluster.lookup.ttl_cache import TtlCache
from cluster.policy.routes.next_hop import NextHop
from cluster.policy.routes.routing import Via
from cluster.tenancy.directory import TenantDirectory

log = logging.getLogger(__name__)

GONE_KEPT = 1000
GONE_S = 60.0
"""How long it is cached that a tenant does not exist: mail of a deleted one is being ended."""
UNAVAILABLE_S = 1.0


class EnforcedTls:
    """``directory`` has the tenants."""

    def __init__(self, directory: TenantDirectory) -> None:
        self._directory = directory
        self._gone: TtlCache[str, bool] = TtlCache(GONE_KEPT, asyncio.get_running_loop().time)

    def next_hop(self, job: Job, hop: NextHop) -> NextHop | None:
        """The next hop of a job with what its tenant requires now, ``hop`` itself if that is the same; None while it is
        not known (``learn``)."""
        if job.reports_tls:
            return hop if hop.tls.carries_reports else replace(hop, tls=hop.tls.for_reports, tenant_tls=None)
        tenant_id = job.deliveries[0].tenant_id
        tenant = self._directory.known(tenant_id)
        if tenant is None:
            return hop if self._gone.get(tenant_id) else None
        required = tenant.settings.tls
        if required is hop.tenant_tls or required == hop.tenant_tls:
            return hop
        # What is captured or discarded does not leave the installation.
        return replace(hop, tenant_tls=required) if hop.via in (Via.DIRECT, Via.RELAY) else hop

    async def learn(self, tenant_id: str) -> None:
        """Ask the journal for the tenant; returns after a pause when the journal does not answer."""
        try:
            if await self._directory.tenant(tenant_id) is None:
                self._gone.put(tenant_id, True, GONE_S)
        except Unavailable as error:
            log.warning("what a tenant requires is not known tenant=%s reason=%r", tenant_id, error.reason)
            await asyncio.sleep(UNAVAILABLE_S)
