"""The journal's part for the rates at which tenants' mail bounces and draws complaints.

The transaction that ends deliveries, or that takes a report, also adds to its process's count (``tenant_ends``). From
time to time the counts move into the windows of the rates (``tenant_rates``), which are judged then.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.events import Event
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.site_actions import SiteAction, write_actions
from cluster.tenancy.rates import Ends, Passed, RateLimits, Rates, Window, counted, ends_of, newly_over, over

PAGE = 1000
"""Tenants in one transaction."""


class OverRate(Struct, frozen=True, kw_only=True):
    """A tenant whose rates have just passed a limit, or that is paused because one did."""

    tenant_id: str
    passed: Sequence[Passed]
    """Those that passed their limits since the last count."""
    is_paused: bool
    """It was suspended for it, just now."""


class TenantRates(JournalPart):
    """Counts what ended into rates."""

    async def count(self, limits: RateLimits, *, pause: bool) -> list[OverRate]:
        """Count what ended since the last call, for at most ``PAGE`` tenants; report and pause those over a limit.
        ``pause``: whether tenants without a choice of their own are paused. Each end counts once, even when several
        processes call this at the same time."""
        at = datetime.now(UTC)
        async with self._database.transaction() as connection:
            locked = {id: (own, held) for id, own, held in await rows(connection, "lock_ended_tenants", limit=PAGE)}
            if not locked:
                return []
            found: list[OverRate] = []
            stored: dict[str, Rates] = {}
            reasons: dict[str, str] = {}
            for row in await rows(connection, "take_ends", tenant_ids=list(locked)):
                tenant_id, ends, former = _counts(row)
                own, is_suspended = locked[tenant_id]
                now = stored[tenant_id] = counted(former, ends, limits)
                passed = newly_over(former, now, limits)
                pauses = now.is_over and not is_suspended and (pause if own is None else own)
                if pauses:
                    reasons[tenant_id] = "; ".join(map(str, over(now, limits)))
                if passed or pauses:
                    found.append(OverRate(tenant_id=tenant_id, passed=passed, is_paused=pauses))
            await _store(connection, stored)
            if reasons:
                await execute(connection, "pause_tenants", tenant_ids=list(reasons), reasons=list(reasons.values()))
            await write_actions(connection, _actions(found, reasons, at))
        return found


async def count_ends(connection: AsyncConnection[Row], shard: str, events: Iterable[Event]) -> None:
    """Count the ends that these events report, in the transaction that makes them. No delivery had ended before."""
    if ends := ends_of(events):
        await execute(
            connection,
            "count_ends",
            shard=shard,
            tenant_ids=list(ends),
            ended=[one.ended for one in ends.values()],
            hard=[one.hard for one in ends.values()],
            delivered=[one.delivered for one in ends.values()],
        )


async def _store(connection: AsyncConnection[Row], rates: Mapping[str, Rates]) -> None:
    windows = rates.values()
    await execute(
        connection,
        "store_rates",
        tenant_ids=list(rates),
        ended=[one.bounces.of for one in windows],
        hard=[one.bounces.bad for one in windows],
        is_over_bounces=[one.bounces.is_over for one in windows],
        delivered=[one.complaints.of for one in windows],
        complaints=[one.complaints.bad for one in windows],
        is_over_complaints=[one.complaints.is_over for one in windows],
    )


def _counts(row: Row) -> tuple[str, Ends, Rates]:
    tenant_id, ended, hard, delivered, complaints, *windows = row
    ends = Ends(ended=ended, hard=hard, delivered=delivered, complaints=complaints)
    return tenant_id, ends, rates_of(*windows)


def rates_of(
    ended: float | None,
    hard: float,
    is_over_bounces: bool,
    delivered: float,
    complaints: float,
    is_over_complaints: bool,
) -> Rates:
    """The rates from the columns of ``tenant_rates``; all are None where there is no row."""
    if ended is None:
        return Rates()
    return Rates(
        bounces=Window(of=ended, bad=hard, is_over=is_over_bounces),
        complaints=Window(of=delivered, bad=complaints, is_over=is_over_complaints),
    )


def _actions(found: Sequence[OverRate], reasons: Mapping[str, str], at: datetime) -> list[SiteAction]:
    actions = []
    for one in found:
        told = [(str(passed.rate), str(passed)) for passed in one.passed]
        if one.is_paused:
            told.append(("suspended", reasons[one.tenant_id]))
        actions += [
            SiteAction(at=at, tenant_id=one.tenant_id, action=action, detail=detail, made_by="automation")
            for action, detail in told
        ]
    return actions
