"""From composed messages to the connections of their site."""

import logging
from datetime import timedelta

from actors.delivery.committer import Committer
from actors.delivery.composing import Made
from actors.delivery.deferring_hosts import DeferringHosts
from actors.delivery.enforced_tls import EnforcedTls
from actors.delivery.held import HeldDeliveries, key_of
from actors.delivery.job import Hop, Job, NoRoute, Uncomposed
from actors.delivery.outcomes import dropped, put_off, utc_now
from actors.delivery.reporting import Reporter
from actors.delivery.site_turns import SiteTurns, Taken
from cluster.metrics import Counter
from cluster.policy.routes.next_hop import Unreachable

log = logging.getLogger(__name__)

UNCOMPOSED_RETRY = timedelta(minutes=5)
"""Until the next attempt at a message that cannot be signed now: an operator must act first."""


class HandingOver:
    """``deferring_hosts`` decides with which host a job begins."""

    dropped = Counter("postray_not_composed_total", "Deliveries ended since no message can be composed for them.")
    put_off = Counter("postray_not_signed_total", "Attempts put off since the domain's signing keys cannot be used.")

    def __init__(
        self,
        held: HeldDeliveries,
        turns: SiteTurns,
        committer: Committer,
        reporter: Reporter,
        deferring_hosts: DeferringHosts,
        enforced_tls: EnforcedTls,
    ) -> None:
        self._held = held
        self._turns = turns
        self._committer = committer
        self._reporter = reporter
        self._deferring_hosts = deferring_hosts
        self._enforced_tls = enforced_tls

    def take(self, taken: Taken, made: Made) -> None:
        """Submit the jobs composed of claimed deliveries to their site's pool. A delivery that cannot be composed
        is dropped or put off; a job without a next hop is reported."""
        site, hop = taken.site, taken.deliveries[0].hop
        jobs = [job for job in made if isinstance(job, Job)]
        for uncomposed in (one for one in made if isinstance(one, Uncomposed)):
            self._end_attempt(uncomposed)
        if not jobs:
            self.forget(taken)
            return
        site.claimed()
        for job in jobs:
            if isinstance(hop, Unreachable):
                self._reporter.report(site, job, Hop(), NoRoute.of(hop))
            else:
                # Where it is not known yet, the courier finds it out before it sends anything.
                required = self._enforced_tls.next_hop(job, hop) or hop
                site.pool.submit(self._deferring_hosts.hop_for(job, required), job)

    def _end_attempt(self, uncomposed: Uncomposed) -> None:
        delivery, reason, now = uncomposed.delivery, uncomposed.reason, utc_now()
        self._held.release([delivery])
        if uncomposed.is_final:
            self.dropped += 1
            log.info("dropped message=%s recipient_no=%d reason=%r", *key_of(delivery), reason)
            self._committer.add([dropped(delivery, reason, now)])
        else:
            self.put_off += 1
            self._committer.add([put_off(delivery, reason, now, now + UNCOMPOSED_RETRY)])

    def forget(self, taken: Taken) -> None:
        """Nothing of ``taken`` will be sent: free its turn at the site."""
        taken.site.claimed()
        taken.site.ended(taken.deliveries[0].waiting.tenant_id)
        self._turns.look_at(taken.site)
