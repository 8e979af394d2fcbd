"""When a batch will be done: collects what is left of it, the policies, and how its sites stand, for the arithmetic of
``cluster/policy/limits/estimate.py``."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from math import inf
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from cluster.journal.batches import BatchLeft, LeftOfBatch
from cluster.journal.journal import Journal
from cluster.journal.records import BatchCounts, DueDelivery
from cluster.journal.suspensions import NEVER
from cluster.lookup.ttl_cache import TtlCache
from cluster.policy.lifecycle import FINISHED
from cluster.policy.limits.estimate import Remaining, SiteEstimate, SiteStanding, Terms, about, estimate, in_all
from cluster.policy.limits.spreading import spread
from cluster.policy.routes.destinations import parse
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.router import Router
from cluster.routing.views import BatchEstimate, SiteOutlook

log = logging.getLogger(__name__)

MOST_DOMAINS = 200
"""Whose sites are looked up, those with most of the batch; what is left for others is counted, not estimated."""
LOOKUP_S = 0.2
"""How long each of at most five waits for the DNS may take."""
ANSWER_S = 1.0
MOST_SITES = 200
SHOWN = 50
FEWEST_SEEN = 30
"""By fewer deliveries of a sample nothing is said."""
KEPT_S = 5.0
"""An estimate is given again for so long: asking more often costs nothing, and samples are of ten seconds."""
KEPT = 200
MOST_WARM_UPS = 10_000

Key = tuple[str, str]
"""Source and site."""
Ask = Callable[..., Awaitable[Any]]
"""``ask(method, *arguments)`` calls the recorder."""


class CannotTell(Exception):
    """Nothing can be said about when a batch will be done. Its text is the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Part(Struct):
    """What is left of the batch for one source → site."""

    count: int = 0
    deferred: int = 0
    last_due_s: float = 0.0
    domain: str = ""
    """One of them, for limits that depend on it."""
    pool: str = ""
    """That of one of them."""
    moves: bool = False


class Estimating:
    """``ask`` calls the recorder, ``now`` is the time, ``clock`` monotonic seconds."""

    def __init__(
        self,
        journal: Journal,
        router: Router,
        active_policy: ActivePolicy,
        ask: Ask,
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._router = router
        self._active_policy = active_policy
        self._ask = ask
        self._now = now
        self._told: TtlCache[str, BatchEstimate | str] = TtlCache(KEPT, clock)

    async def estimate(self, tenant_id: str, counts: BatchCounts) -> BatchEstimate:
        """When a batch of this tenant will be done. Raises CannotTell, and Unavailable."""
        if not counts.total:
            raise CannotTell("it has no messages yet")
        if counts.total == sum(counts.by_status.get(status, 0) for status in FINISHED):
            raise CannotTell(
                "it is complete" if counts.completed_at else "all is sent: hosts may still report failures for a while"
            )
        told = self._told.get(counts.id)
        if told is None:
            try:
                told = await self._estimated(tenant_id, counts)
            except CannotTell as error:
                told = error.reason
            self._told.put(counts.id, told, KEPT_S)
        if isinstance(told, str):
            raise CannotTell(told)
        return told

    async def _estimated(self, tenant_id: str, counts: BatchCounts) -> BatchEstimate:
        left = await self._journal.batches.left(tenant_id, counts.id, counts.total)
        if any(group.waits_for == "paused" for group in left.groups):
            raise CannotTell("it is paused: nothing of it is sent until it is resumed")
        if left.seen is not None and left.seen < FEWEST_SEEN:
            raise CannotTell("what is left of it is too small a part of the queue to be found by a sample")
        if not left.groups:
            raise CannotTell("its last messages are ending just now")
        now = self._now()
        parts, others = await self._parts(tenant_id, left, now)
        granted = await self._granted(parts)
        parts = self._spread(parts, granted)
        keys = sorted(parts, key=lambda key: -parts[key].count)
        others += sum(parts[key].count for key in keys[MOST_SITES:])
        keys = keys[:MOST_SITES]
        standings = await self._standings(keys)
        found = {
            key: estimate(
                Remaining(count=part.count, deferred=part.deferred, last_due_s=part.last_due_s, moves=part.moves),
                self._terms(tenant_id, key, part, now, granted),
                standings.get(key),
            )
            for key, part in ((key, parts[key]) for key in keys)
        }
        return _told(found, parts, others, left, now)

    async def _parts(self, tenant_id: str, left: BatchLeft, now: datetime) -> tuple[dict[Key, _Part], int]:
        """What is left by source and site, and how many deliveries to domains that are not looked up."""
        by_domain: dict[str, int] = defaultdict(int)
        for group in left.groups:
            by_domain[group.domain] += group.count
        largest = set(sorted(by_domain, key=lambda domain: -by_domain[domain])[:MOST_DOMAINS])
        looked_up = [group for group in left.groups if group.lane is None and group.domain in largest]
        await self._router.prepare((_first(tenant_id, group) for group in looked_up), LOOKUP_S)
        parts: dict[Key, _Part] = defaultdict(_Part)
        others = 0
        for group in left.groups:
            places = self._places(tenant_id, group, group.domain in largest)
            if not places:
                others += group.count
                continue
            for number, place in enumerate(places):
                # As many as its messages that were seen: which source sends one depends on its id.
                count = group.count * (number + 1) // len(places) - group.count * number // len(places)
                _add(parts[place], group, count, now)
        return {key: part for key, part in parts.items() if part.count}, others

    def _places(self, tenant_id: str, group: LeftOfBatch, is_looked_up: bool) -> list[Key]:
        if group.lane is not None and (parked := parse(group.lane)) is not None:
            return [(parked.source, parked.site)]
        if not is_looked_up:
            return []
        found = (
            self._router.known_or_own(DueDelivery(id, 0, tenant_id, group.domain, group.pool, group.route))
            for id in group.message_ids
        )
        return [(place.source, place.site) for place in found]

    async def _standings(self, keys: Sequence[Key]) -> dict[Key, SiteStanding]:
        """Empty when the recorder does not answer: then limits alone tell."""
        try:
            async with asyncio.timeout(ANSWER_S):
                found: list[SiteStanding] = await self._ask("standings", list(keys))
        except Exception as error:
            # Whatever the problem with the recorder or the network is: the batch's counts must be answered.
            log.warning("no standings reason=%r", error)
            return {}
        return {(one.source, one.site): one for one in found}

    async def _granted(self, parts: Mapping[Key, _Part]) -> Mapping[Key, int]:
        """What sources in warm-up were granted today. Empty where none of these is in warm-up."""
        if all(self._active_policy.source(source).warm_up is None for source, _ in parts):
            return {}
        usage = await self._journal.warm_up.usage(self._active_policy.today(), MOST_WARM_UPS)
        return {(one.source, one.site): one.granted for one in usage}

    def _spread(self, parts: Mapping[Key, _Part], granted: Mapping[Key, int]) -> dict[Key, _Part]:
        """What a source in warm-up may not send today leaves from the others of its pool."""
        found = dict(parts)
        for (source, site), part in parts.items():
            if self._active_policy.source(source).warm_up is None or found[source, site] is not part:
                continue
            weights = self._active_policy.routing.weights(part.pool, self._active_policy.absent)
            counts = {name: parts[name, site].count for name in {*weights, source} if (name, site) in parts}
            allowed = {name: self._today((name, site), granted) for name in weights}
            spread_out = spread(counts, allowed, weights)
            for name in {**counts, **spread_out}:
                key, count = (name, site), spread_out.get(name, 0)
                had = found.get(key) or _Part(domain=part.domain, pool=part.pool)
                # What waits for another attempt stays with its source.
                found[key] = replace(had, count=count, deferred=min(had.deferred, count), moves=count > had.count)
        return {key: part for key, part in found.items() if part.count}

    def _today(self, key: Key, granted: Mapping[Key, int]) -> int | None:
        """What a source may still send to a site today; None sets no limit."""
        cap = self._active_policy.routing.cap(*key, self._active_policy.today())
        return None if cap is None else max(0, cap - granted.get(key, 0))

    def _terms(self, tenant_id: str, key: Key, part: _Part, now: datetime, granted: Mapping[Key, int]) -> Terms:
        source, site = key
        policy = self._active_policy
        limits = policy.limits(site, source, part.domain)
        of_tenant = policy.shaping.tenant_limits(site, tenant_id, source=source)
        untils = [until for who in ("", tenant_id) if (until := policy.suspended_until(site, who)) is not None]
        suspended_s = 0.0
        if untils:
            until = max(untils)
            suspended_s = inf if until.year >= NEVER else max(0.0, (until - now).total_seconds())
        return Terms(
            connections=limits.connections,
            message_rate=limits.message_rate.per_second if limits.message_rate else 0.0,
            tenant_rate=of_tenant.message_rate.per_second if of_tenant.message_rate else 0.0,
            retry_schedule_s=limits.retry_schedule_s,
            lifetime_s=min(limits.lifetime_s, policy.default_lifetime_s),
            suspended_s=suspended_s,
            allowances=self._allowances(key, granted.get(key, 0)),
            midnight_s=_midnight_s(policy.today(), now),
        )

    def _allowances(self, key: Key, granted: int) -> tuple[int | None, ...]:
        source, site = key
        plan = self._active_policy.source(source).warm_up
        if plan is None:
            return ()
        today = self._active_policy.today()
        days = max(0, (plan.ends() - today).days)
        caps = [plan.cap(site, today + timedelta(days=number)) for number in range(days)]
        return tuple(cap if number or cap is None else max(0, cap - granted) for number, cap in enumerate(caps))


def _first(tenant_id: str, group: LeftOfBatch) -> DueDelivery:
    return DueDelivery(group.message_ids[0], 0, tenant_id, group.domain, group.pool, group.route)


def _add(part: _Part, group: LeftOfBatch, count: int, now: datetime) -> None:
    part.count += count
    part.domain = part.domain or group.domain
    part.pool = part.pool or group.pool
    if group.waits_for in ("deferred", "scheduled"):
        part.last_due_s = max(part.last_due_s, (group.last_due_at - now).total_seconds())
    if group.waits_for == "deferred":
        part.deferred += count


def _midnight_s(today: date, now: datetime) -> float:
    """Until the day of warm-ups ends; at least a moment, as the clock may have passed it."""
    return max(1.0, (datetime.combine(today + timedelta(days=1), time(), UTC) - now).total_seconds())


def _told(
    found: Mapping[Key, SiteEstimate], parts: Mapping[Key, _Part], others: int, left: BatchLeft, now: datetime
) -> BatchEstimate:
    unknown = [one.unknown for one in found.values() if one.unknown]
    if unknown and len(unknown) == len(found):
        raise CannotTell(f"{next(site for _, site in found)}: {unknown[0]}")
    earliest_s, latest_s = in_all(list(found.values()))
    ordered = sorted(found, key=lambda key: -(found[key].latest_s or inf))
    return BatchEstimate(
        earliest_at=_at(earliest_s, now),
        latest_at=None if others else _at(latest_s, now),
        sites=tuple(_outlook(key, found[key], parts[key].count, now) for key in ordered[:SHOWN]),
        not_estimated=others + sum(parts[key].count for key in found if found[key].unknown),
        from_sample=left.seen is not None,
    )


def _at(seconds: float | None, now: datetime) -> datetime | None:
    return None if seconds is None else (now + timedelta(seconds=seconds)).replace(microsecond=0)


def _outlook(key: Key, one: SiteEstimate, count: int, now: datetime) -> SiteOutlook:
    source, site = key
    said = f"{site}: {one.limit}: " if one.limit else f"{site}: "
    if one.earliest_s is None or one.latest_s is None:
        said += one.unknown
    else:
        shortest, longest = about(one.earliest_s), about(one.latest_s)
        said += longest if shortest == longest else f"{shortest} to {longest}"
    if one.wait_for_days:
        said += f"; {one.wait_for_days:,} wait for tomorrow's warm-up"
    return SiteOutlook(
        site=site,
        source=source,
        recipients=count,
        binds=one.binds,
        earliest_at=_at(one.earliest_s, now),
        latest_at=_at(one.latest_s, now),
        wait_for_tomorrow=one.wait_for_days,
        said=said,
    )
