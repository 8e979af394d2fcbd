"""Shaping's automatic reactions to the replies of a site's hosts: fewer connections, a lower rate, a suspension.

The rules decide (``cluster.policy.replies.automation``). This module passes replies to them, performs their actions at
the site, and records the actions in the journal once a second.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from actors.delivery.giving_back import GivingBack
from actors.delivery.job import Job
from actors.delivery.outcomes import DeliveryVerdict
from actors.delivery.site import Site
from cluster.journal.journal import Journal
from cluster.journal.site_actions import SiteAction
from cluster.metrics import Counters
from cluster.policy.replies.automation import Action
from cluster.policy.replies.triggers import ActionKind, ReplyFacts

log = logging.getLogger(__name__)

ACTIONS_KEPT = 1000
"""Actions kept until they are in the journal; beyond that the oldest are dropped."""


class Suspended(Struct, frozen=True):
    """A suspension by automation, to be written to the journal: there it applies to every share, and outlives
    restarts."""

    site: str
    action: Action
    until: datetime


class Automation:
    """``clock``: monotonic seconds."""

    performed = Counters("postray_automation_actions_total", "What automation did at sites.", "action", ActionKind)

    def __init__(self, journal: Journal, giving_back: GivingBack, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._giving_back = giving_back
        self._clock = clock
        self.actions: list[SiteAction] = []
        """Actions to record in the journal."""
        self._suspended: list[Suspended] = []
        """Suspensions to write to the journal."""

    def on_replies(self, site: Site, job: Job, accepted: int, heard: list[DeliveryVerdict]) -> None:
        """Hosts of the site have accepted ``accepted`` deliveries of a job; ``heard``: the verdicts on the others."""
        now = self._clock()
        if accepted:
            self._perform(site, site.adjustments.on_accepted(accepted, now))
        for fact in {_facts(judged, job) for judged in heard}:
            self._perform(site, site.adjustments.on_reply(fact, now))

    async def record(self) -> None:
        """Record the actions since the last call. Raises Unavailable; the rest is recorded by the next call."""
        while self._suspended:
            one = self._suspended[0]
            reason = f"{one.action.trigger}: {one.action.reply}"
            await self._journal.suspensions.suspend(one.site, one.action.tenant_id, one.until, reason, "automation")
            del self._suspended[0]
        if actions := list(self.actions):
            await self._journal.site_actions.record(actions)
            del self.actions[: len(actions)]

    def _perform(self, site: Site, actions: Sequence[Action]) -> None:
        for action in actions:
            self.performed[action.kind] += 1
            place = site.destination
            log.warning(
                "automation site=%s action=%s detail=%r trigger=%s", place, action.kind, action.detail, action.trigger
            )
            until = datetime.now(UTC) + timedelta(seconds=action.until - self._clock())
            if action.kind in (ActionKind.SUSPEND, ActionKind.SUSPEND_TENANT):
                self._suspended.append(Suspended(place.site, action, until))
                self._giving_back.later(site.suspend(action.tenant_id, action.until))
            self.actions.append(
                SiteAction(
                    at=datetime.now(UTC),
                    source=place.source,
                    site=place.site,
                    tenant_id=action.tenant_id,
                    action=action.kind.value,
                    detail=f"{action.detail} ({action.trigger})" if action.trigger else action.detail,
                    reply=action.reply,
                    made_by="automation",
                )
            )
        del self.actions[:-ACTIONS_KEPT]


def _facts(judged: DeliveryVerdict, job: Job) -> ReplyFacts:
    return ReplyFacts(
        code=judged.code,
        enhanced=judged.enhanced or "",
        text=judged.response or judged.reason,
        bounce_class=judged.verdict.bounce_class,
        domain=job.deliveries[0].domain,
        tenant_id=job.deliveries[0].tenant_id,
    )
