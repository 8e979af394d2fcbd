"""What became of a job: judged, written down, and answered by the site: back-off, automation, suspensions."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from actors.delivery.committer import Committer
from actors.delivery.job import Hop, Job, NoRoute, Report
from actors.delivery.outcomes import (
    Circumstances,
    Said,
    is_ambiguous,
    tell,
    utc_now,
    verdict_on,
    verdicts_of,
)
from actors.delivery.put_off import PutOff
from actors.delivery.site import Ready, Site
from actors.smtp.protocol import ConnectError, SmtpFailure
from actors.smtp.transaction import TransactionResult
from cluster.journal.site_actions import SiteAction
from cluster.policy.lifecycle import Status
from cluster.policy.replies.automation import Action
from cluster.policy.replies.effects import CARRIED, OfSite, Settled, Unreached, effects_of
from cluster.policy.replies.triggers import ActionKind, ReplyFacts
from cluster.policy.replies.verdict import Judgement, Verdict
from cluster.policy.routes.mx import FAILURE_TTL_S
from cluster.routing.active_policy import InForce
from cluster.settings import DeliverySettings

log = logging.getLogger(__name__)

ACTIONS_KEPT = 1000
"""Until they are in the journal; the oldest are dropped beyond."""

After = Callable[[Site, Job, Hop, Report], None]


class Suspended(Struct, frozen=True):
    """What automation has suspended, for the journal: so that it holds for every share, and over restarts."""

    site: str
    action: Action
    until: datetime


class Reporter:
    """``after`` is called when a job's deliveries are no longer ours to hold."""

    def __init__(
        self,
        committer: Committer,
        in_force: InForce,
        settings: DeliverySettings,
        *,
        put_off: PutOff,
        random: Callable[[], float],
        clock: Callable[[], float],
        after: After,
    ) -> None:
        self._committer = committer
        self._in_force = in_force
        self._settings = settings
        self._put_off = put_off
        self._random = random
        self._clock = clock
        self._after = after
        self.actions: list[SiteAction] = []
        """To be recorded in the journal."""
        self.suspended: list[Suspended] = []
        """To be made known to all."""
        self.shut: list[tuple[Site, list[Ready], list[Job]]] = []
        """What waited at sites that were suspended: to be given back."""

    def report(self, site: Site, job: Job, hop: Hop, report: Report) -> None:
        """Take what became of a job."""
        verdicts = verdicts_of(job, report)
        duration_ms = round(report.duration * 1000) if isinstance(report, TransactionResult) else 0
        self._committer.add(tell(job, hop, verdicts, duration_ms, self._circumstances(site, job, verdicts)))
        self._back_off(site, job, report, verdicts[0].verdict)
        if is_ambiguous(report):
            log.warning(
                "connection lost after end of data site=%s message=%s", site.destination, job.deliveries[0].message_id
            )
        heard: list[Said] = []
        accepted = 0
        for delivery, said in zip(job.deliveries, verdicts, strict=True):
            site.stats.add(said.verdict.judgement, hop.mx_host, said.response or said.reason)
            if said.verdict.judgement is Judgement.ACCEPTED:
                accepted += 1
                continue
            facts = Settled(
                code=said.code,
                enhanced=said.enhanced,
                attempts=delivery.attempts,
                next_host=site.throttle.limits.next_host,
            )
            effects = effects_of(said.verdict, None, facts)
            if effects.next_elsewhere:
                self._put_off.note(delivery.message_id, delivery.recipient_no, hop.mx_host)
            if effects.tells_automation:
                heard.append(said)
        self._automate(site, job, accepted, heard)
        site.ended(job.deliveries[0].tenant_id)
        self._after(site, job, hop, report)

    def passed_over(self, site: Site, job: Job, failure: SmtpFailure | TransactionResult) -> None:
        """Take a failure after which the job is tried elsewhere at once: automation hears of what the host said."""
        if isinstance(failure, ConnectError):
            facts = Unreached(has_reply=failure.reply is not None)
            if not effects_of(verdict_on(failure), failure.stage, facts).tells_automation:
                return
        self._automate(site, job, 0, verdicts_of(job, failure))

    def _back_off(self, site: Site, job: Job, report: Report, verdict: Verdict) -> None:
        """What the end of a job means for its site as a whole."""
        effects = CARRIED
        if isinstance(report, ConnectError | NoRoute):
            facts = Unreached(
                is_backing_off=self._clock() < site.blocked_until,
                is_own_site=site.destination.site == job.deliveries[0].domain,
                is_connected=bool(site.pool.open),
            )
            effects = effects_of(verdict, report.stage if isinstance(report, ConnectError) else None, facts)
        match effects.site:
            case OfSite.WORKS:
                site.worked()
            case OfSite.BACKS_OFF | OfSite.BACKS_OFF_FOR_DNS:
                wait = site.failed() if effects.site is OfSite.BACKS_OFF else site.failed(FAILURE_TTL_S)
                log.warning("site failed site=%s wait_s=%.0f reason=%r", site.destination, wait, str(report))

    def _circumstances(self, site: Site, job: Job, verdicts: list[Said]) -> Circumstances:
        limits = site.throttle.limits
        if any(said.verdict.judgement is Judgement.DEFERRED for said in verdicts):
            place = site.destination
            limits = self._in_force.limits(place.site, place.source, job.deliveries[0].domain)
        return Circumstances(
            now=utc_now(),
            jitter=self._random(),
            site=site.destination.site,
            accepted_status=Status.SENT if site.destination.is_relay else Status.DELIVERED,
            retry_schedule_s=limits.retry_schedule_s,
            lifetime_s=limits.lifetime_s,
            default_lifetime_s=self._settings.lifetime_s,
        )

    # Automation

    def _automate(self, site: Site, job: Job, accepted: int, heard: list[Said]) -> None:
        """``heard``: what was said to others than the accepted ones."""
        now = self._clock()
        if accepted:
            self._take_note(site, site.adjustments.on_accepted(accepted, now))
        for fact in {_facts(said, job) for said in heard}:
            self._take_note(site, site.adjustments.on_reply(fact, now))

    def _take_note(self, site: Site, actions: Sequence[Action]) -> None:
        for action in actions:
            place = site.destination
            log.warning(
                "automation site=%s action=%s detail=%r trigger=%s", place, action.kind, action.detail, action.trigger
            )
            until = datetime.now(UTC) + timedelta(seconds=action.until - self._clock())
            if action.kind in (ActionKind.SUSPEND, ActionKind.SUSPEND_TENANT):
                self.suspended.append(Suspended(place.site, action, until))
                back = site.suspend(action.tenant_id, action.until)
                jobs = site.pool.take_back() if not action.tenant_id else []
                self.shut.append((site, back, jobs))
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


def _facts(said: Said, job: Job) -> ReplyFacts:
    return ReplyFacts(
        code=said.code,
        enhanced=said.enhanced or "",
        text=said.response or said.reason,
        bounce_class=said.verdict.bounce_class,
        domain=job.deliveries[0].domain,
        tenant_id=job.deliveries[0].tenant_id,
    )
