"""The journal's part for the limits of tenants: the demands that API processes report, and the use of daily quotas."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date

from psycopg import AsyncConnection

from cluster.journal.database import JournalPart, Row, execute
from cluster.journal.records import NewRequest


class TenantLoad(JournalPart):
    async def exchange(self, process: str, demands: bytes) -> list[tuple[str, bytes, float]]:
        """Report the demands of a process; returns the name, the demands and the time of the report of each other
        process that lives."""
        found = await self._database.rows("exchange_demands", process=process, demands=demands)
        return [(name, bytes(encoded), at) for name, encoded, at in found]

    async def usage(self, tenant_ids: Collection[str], day: date) -> Mapping[str, tuple[int, int]]:
        """For each tenant with messages on this day (UTC): how many this journal's process has committed, and how many
        the others."""
        found = await self._database.rows("usage", shard=self._database.shard, tenant_ids=list(tenant_ids), day=day)
        return {tenant_id: (own, others) for tenant_id, own, others in found}


async def count_usage(connection: AsyncConnection[Row], shard: str, requests: Iterable[NewRequest]) -> None:
    """Count the messages of requests that use a quota in the transaction that accepts them."""
    counts: Counter[tuple[str, date]] = Counter()
    for request in requests:
        if request.uses_quota:
            counts[request.tenant_id, request.created_at.astimezone(UTC).date()] += len(request.messages)
    if counts:
        await execute(
            connection,
            "count_usage",
            shard=shard,
            tenant_ids=[tenant_id for tenant_id, _ in counts],
            days=[day for _, day in counts],
            messages=list(counts.values()),
        )
