"""Decides which delivery actor carries what, and writes it to the journal; the scheduler's process runs it.

The decisions are pure (cluster/policy/balance). Nothing is kept here but since when split sites are quiet. Several
processes may do this at once: of two assignments made of the same one, the journal takes the first.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from math import exp

from msgspec.structs import replace

from cluster.journal.balance import Reported
from cluster.journal.journal import Journal, Unavailable
from cluster.metrics import Counter, Gauge
from cluster.policy.balance.assignment import Assignment
from cluster.policy.balance.balancing import MATTERS_PER_MIN, balanced
from cluster.policy.balance.loads import SMOOTHED_S, ActorLoad
from cluster.policy.balance.splitting import split
from cluster.policy.routes.membership import ACTOR_ALIVE_S, ring_of
from cluster.policy.routes.ownership import Candidate
from cluster.routing.assignments import Assignments

log = logging.getLogger(__name__)

EVERY_S = 5.0
REPORTED_S = 30.0
"""While a live actor has not reported for this long, nothing is decided: it would look idle."""
COUNTED_S = 300.0
"""Reports of actors that are gone count for this long, less and less: their destinations are somewhere else now."""
BETWEEN_S = 30.0
"""Time between two changes: what one has moved shows in the reports first."""


class Balancing:
    """``split_sites``: the numbers of shares by the settings. ``now``: seconds since the epoch. ``matters_per_min``: as
    in ``balanced``."""

    changes = Counter("postray_assignment_changes_total", "Changes of the assignment of destinations to actors.")
    named = Gauge(
        "postray_assignment_destinations", "Destinations in the assignment.", lambda self: len(self.assignment.placed)
    )
    split = Gauge(
        "postray_assignment_split_sites",
        "Sites in more shares than one, since one actor could not carry them.",
        lambda self: sum(one.shares > 1 for one in self.assignment.splits.values()),
    )

    def __init__(
        self,
        journal: Journal,
        split_sites: Mapping[str, int],
        *,
        now: Callable[[], float],
        matters_per_min: float = MATTERS_PER_MIN,
    ) -> None:
        self._journal = journal
        self._split_sites = split_sites
        self._now = now
        self._matters_per_min = matters_per_min
        self._assignments = Assignments(journal)
        self._quiet_since: Mapping[str, float] = {}
        self._members: tuple[Candidate, ...] = ()

    @property
    def assignment(self) -> Assignment:
        return self._assignments.known

    async def run(self) -> None:
        """Decide until cancelled."""
        while True:
            try:
                await self.round()
            except Unavailable as error:
                log.warning("not balanced reason=%r", error.reason)
            await asyncio.sleep(EVERY_S)

    async def round(self) -> Assignment | None:
        """Decide once. Returns the assignment if it has changed. Raises Unavailable."""
        live = await self._journal.membership.live(ACTOR_ALIVE_S)
        current = await self._assignments.follow(live.version)
        ring = ring_of(live.members, current)
        members = ring.members
        is_new, self._members = members != self._members, members
        if any(one.ring != ring.name for one in live.members) or len(members) < 2:
            return None  # something still moves
        now = self._now()
        if not is_new and now < current.changed_at + BETWEEN_S:
            return None
        reports = await self._journal.balance.reports(COUNTED_S)
        if {one.name for one in members} - {one.name for one in reports if one.age_s < REPORTED_S}:
            return None
        decided = await asyncio.to_thread(self._decide, members, _counted(reports, {one.name for one in members}), now)
        if decided is current or not await self._journal.balance.assign(decided, current.version):
            return None
        self.changes += 1
        moved = sum(current.placed.get(place, "") != name for place, name in decided.placed.items())
        log.info("assignment=%d destinations=%d named_anew=%d", decided.version, len(decided.placed), moved)
        for name, one in decided.splits.items():
            if one != current.splits.get(name):
                log.info("site in shares site=%s shares=%d", name, one.shares)
        return await self._assignments.follow(decided.version)

    def _decide(self, members: Sequence[Candidate], reports: Sequence[ActorLoad], now: float) -> Assignment:
        current = self._assignments.known
        in_shares, self._quiet_since = split(
            members, reports, current, self._quiet_since, lambda site: self._split_sites.get(site, 1), now
        )
        found = balanced(members, reports, in_shares, now, matters_per_min=self._matters_per_min)
        return found if found is current else replace(found, version=current.version + 1)


def _counted(reports: Sequence[Reported], members: Collection[str]) -> list[ActorLoad]:
    """The reports, those of actors that are gone as their own smoothing would have lowered them."""
    return [one.load if one.name in members else one.load.times(exp(-one.age_s / SMOOTHED_S)) for one in reports]
