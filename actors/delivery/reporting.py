"""Reports on jobs: the verdicts are recorded, and the site reacts with backoff and automation. The deliveries are then
released."""

import logging
from collections.abc import Callable

from actors.delivery.automation import Automation
from actors.delivery.committer import Committer
from actors.delivery.deferring_hosts import DeferringHosts
from actors.delivery.held import HeldDeliveries, key_of
from actors.delivery.job import Hop, Job, NoRoute, Report
from actors.delivery.lanes import OwnLanes
from actors.delivery.outcomes import (
    Circumstances,
    DeliveryVerdict,
    build_outcomes,
    is_ambiguous,
    utc_now,
    verdict_on,
    verdicts_of,
)
from actors.delivery.site import LONGEST_BACK_OFF_S, Site
from actors.delivery.site_turns import SiteTurns
from actors.smtp.protocol import ConnectError, SmtpFailure
from actors.smtp.transaction import TransactionResult
from cluster.metrics import Counters, Histogram
from cluster.policy.balance.loads import Rates
from cluster.policy.lifecycle import Transition
from cluster.policy.replies.effects import CARRIED, OfSite, Settled, Unreached, effects_of
from cluster.policy.replies.putting_off import why_put_off
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import Judgement, Verdict
from cluster.policy.routes.mx import FAILURE_TTL_S
from cluster.routing.active_policy import ActivePolicy
from cluster.tenancy.directory import TenantDirectory

log = logging.getLogger(__name__)


class Reporter:
    """``lifetime_s``: how long a delivery is tried if shaping sets no lifetime. ``awaits_reports``: whether a host that
    took a message may still report its failure. ``clock``: monotonic seconds."""

    attempts = Counters("postray_attempts_total", "Attempts at deliveries, by what came of them.", "result", Judgement)
    latency = Histogram(
        "postray_delivery_latency_seconds",
        "From when a message was first due, at its acceptance or its send time, until a host took it for a recipient.",
        (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 28_800, 86_400),
    )

    def __init__(
        self,
        committer: Committer,
        active_policy: ActivePolicy,
        directory: TenantDirectory,
        automation: Automation,
        deferring_hosts: DeferringHosts,
        held: HeldDeliveries,
        turns: SiteTurns,
        lanes: OwnLanes,
        rates: Rates,
        *,
        lifetime_s: float,
        awaits_reports: bool,
        random: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._committer = committer
        self._active_policy = active_policy
        self._directory = directory
        self._automation = automation
        self._deferring_hosts = deferring_hosts
        self._held = held
        self._turns = turns
        self._lanes = lanes
        self._rates = rates
        self._lifetime_s = lifetime_s
        self._awaits_reports = awaits_reports
        self._random = random
        self._clock = clock

    def report(self, site: Site, job: Job, hop: Hop, report: Report) -> None:
        """Process the final report on a job."""
        verdicts = verdicts_of(job, report)
        duration_ms = 0
        if isinstance(report, TransactionResult):
            duration_ms = round(report.duration * 1000)
            site.stats.transactions += 1
            site.stats.spent_s += report.duration
        circumstances = self._circumstances(site, job, verdicts)
        outcomes = build_outcomes(job, hop, verdicts, duration_ms, circumstances)
        self._committer.add(outcomes)
        self._rates.carried(site.destination)
        self._back_off(site, job, report, verdicts[0].verdict)
        if is_ambiguous(report):
            log.warning(
                "connection lost after end of data site=%s message=%s", site.destination, job.deliveries[0].message_id
            )
        heard: list[DeliveryVerdict] = []
        accepted = 0
        for delivery, said, (outcome, _) in zip(job.deliveries, verdicts, outcomes, strict=True):
            self.attempts[said.verdict.judgement] += 1
            site.stats.add(said.verdict.judgement, hop.mx_host, said.response or said.reason)
            if outcome.due_at is not None or site.putting_off is not None:
                due_in_s = None if outcome.due_at is None else (outcome.due_at - circumstances.now).total_seconds()
                site.heard(said.verdict, is_said=said.code != 0, attempts=delivery.attempts, due_in_s=due_in_s)
            if said.verdict.judgement is Judgement.ACCEPTED:
                accepted += 1
                self.latency.observe((circumstances.now - delivery.dated_at).total_seconds())
                continue
            facts = Settled(
                code=said.code,
                enhanced=said.enhanced,
                attempts=delivery.attempts,
                next_host=site.throttle.limits.next_host,
            )
            effects = effects_of(said.verdict, None, facts)
            if effects.next_elsewhere:
                self._deferring_hosts.note(key_of(delivery), hop.mx_host)
            if effects.tells_automation:
                heard.append(said)
        self._automation.on_replies(site, job, accepted, heard)
        site.ended(job.deliveries[0].tenant_id)
        self._held.release(job.deliveries)
        if site.queue and site.is_low:
            self._turns.look_at(site)
        self._lanes.look()

    def passed_over(self, site: Site, job: Job, failure: SmtpFailure | TransactionResult) -> None:
        """Process a failure after which the job is tried elsewhere at once: only automation gets the host's reply."""
        if isinstance(failure, ConnectError):
            facts = Unreached(has_reply=failure.reply is not None)
            if not effects_of(verdict_on(failure), failure.stage, facts).tells_automation:
                return
        self._automation.on_replies(site, job, 0, verdicts_of(job, failure))

    def _back_off(self, site: Site, job: Job, report: Report, verdict: Verdict) -> None:
        """Apply the effect of a report on the site as a whole."""
        effects = CARRIED
        if isinstance(report, ConnectError | NoRoute):
            facts = Unreached(
                is_backing_off=self._clock() < site.blocked_until,
                is_own_site=site.destination.site == job.deliveries[0].domain,
                is_connected=bool(site.pool.open),
                is_of_tenant=isinstance(report, ConnectError) and self._requires_tls(job, report.stage),
            )
            effects = effects_of(verdict, report.stage if isinstance(report, ConnectError) else None, facts)
        match effects.site:
            case OfSite.WORKS:
                site.worked()
            case OfSite.BACKS_OFF | OfSite.BACKS_OFF_FOR_DNS:
                why = why_put_off(verdict, is_said=False)
                wait = site.failed(LONGEST_BACK_OFF_S if effects.site is OfSite.BACKS_OFF else FAILURE_TTL_S, why)
                log.warning("site failed site=%s wait_s=%.0f reason=%r", site.destination, wait, str(report))

    def _requires_tls(self, job: Job, stage: Stage) -> bool:
        """Whether a failure at this stage is one of the TLS that the job's tenant requires."""
        tenant = self._directory.known(job.deliveries[0].tenant_id)
        return stage in (Stage.STARTTLS, Stage.TLS) and tenant is not None and tenant.settings.tls is not None

    def _circumstances(self, site: Site, job: Job, verdicts: list[DeliveryVerdict]) -> Circumstances:
        limits, tenant = site.throttle.limits, None
        if any(said.verdict.judgement is Judgement.DEFERRED for said in verdicts):
            place = site.destination
            limits = self._active_policy.limits(place.site, place.source, job.deliveries[0].domain)
            tenant = self._directory.known(job.deliveries[0].tenant_id)
        return Circumstances(
            now=utc_now(),
            jitter=self._random(),
            site=site.destination.site,
            acceptance=Transition.RELAYED if site.destination.is_relay or self._awaits_reports else Transition.ACCEPTED,
            retry_schedule_s=limits.retry_schedule_s,
            lifetime_s=limits.lifetime_s,
            default_lifetime_s=self._lifetime_s,
            at_least_until=tenant.tries_until if tenant is not None else None,
        )
