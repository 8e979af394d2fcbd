"""The active policy in one process: shaping, routing, suspensions, and warm-ups whose cap is reached.

The journal stores it, so that all processes of the cluster share it and it outlives restarts. Each process polls the
journal once a second.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime

from msgspec import Struct

from cluster.context import DEGRADED
from cluster.journal.journal import Journal
from cluster.policies import BadPolicies, check_policies, shaping_of
from cluster.policy.limits.shaping import Limits
from cluster.policy.replies.triggers import Trigger
from cluster.policy.routes.routing import Routing, Source
from cluster.settings import DeliverySettings
from cluster.vault import Vault, WrongKey

log = logging.getLogger(__name__)

APART_KEPT = 100_000
MISSED = 3
"""Number of refreshes in a row without a source, after which the source counts as absent."""


RESUME_ALL = "postray suspend says why, postray resume --all ends it"


class PolicyChange(Struct, frozen=True):
    """The changes that one poll found: whether shaping or routing changed, and the suspensions (site, tenant) that
    began or changed, and those that ended. It is falsy when nothing changed."""

    policies: bool = False
    begun: frozenset[tuple[str, str]] = frozenset()
    ended: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.policies or self.begun or self.ended)


def today() -> date:
    """The day of warm-ups, in UTC."""
    return datetime.now(UTC).date()


class ActivePolicy:
    """Before the first ``follow``, only the settings apply. ``version`` rises when shaping or routing change."""

    def __init__(
        self, journal: Journal, vault: Vault, settings: DeliverySettings, *, today: Callable[[], date] = today
    ) -> None:
        self.today = today
        """The day of warm-ups, for all parts of the process."""
        self._journal = journal
        self._vault = vault
        self._settings = settings
        self.version = 0
        self.shaping = shaping_of("", settings)
        self.routing = Routing.parse("", settings.mode, settings.relay)
        self._unseen: dict[str, int] = {}
        """By source of a pool, the number of refreshes in a row in which no machine had it."""
        self.absent: frozenset[str] = frozenset()
        """The sources of pools that no machine has. Other sources of the pools send their mail."""
        self._told: Callable[[], None] = lambda: None
        self._followed = 0
        """The version that was last reported as a change."""
        self._suspensions: dict[tuple[str, str], datetime] = {}
        self._exhausted: frozenset[tuple[str, str]] = frozenset()
        self._hosts: dict[str, str] = {}
        """For domains that are their own sites, the sites of their hosts; at most ``APART_KEPT``."""
        self._hosts_learned = self._hosts_followed = 0
        """The number of changes of ``_hosts``, now and when it was last reported."""

    def on_policies(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` now and whenever shaping or routing change."""
        self._told = tell
        tell()

    async def follow(self) -> PolicyChange:
        """Poll the journal and return what changed. Raises Unavailable."""
        learned = self._hosts_learned
        in_force = await self._journal.suspensions.in_force()
        version = in_force.policies
        suspensions = {(s.site, s.tenant_id): s.until for s in in_force.suspensions}
        change = PolicyChange(
            version != self._followed or learned != self._hosts_followed,
            frozenset(key for key, until in suspensions.items() if self._suspensions.get(key) != until),
            frozenset(self._suspensions.keys() - suspensions.keys()),
        )
        if version != self.version:
            await self._load()
        if any(source.warm_up is not None for source in self.routing.sources.values()):
            day = self.today()
            self._exhausted = frozenset(
                (one.source, one.site)
                for one in await self._journal.warm_up.exhausted(day)
                # The cap may have been raised since; then the source may send more.
                if (cap := self.routing.cap(one.source, one.site, day)) is not None and one.granted >= cap
            )
        # Set last: when the journal fails during this poll, the next one reports the change.
        self._followed, self._suspensions, self._hosts_followed = version, suspensions, learned
        return change

    async def _load(self) -> None:
        policies = await self._journal.policies.active()
        if policies is None:
            return
        try:
            routing = self._vault.open(policies.routing).decode()
            self.shaping, self.routing = check_policies(self._settings, policies.shaping, routing)
        except (BadPolicies, WrongKey) as error:
            # They were checked before they were stored, so another version of postray stored them. The active policy
            # stays as it is.
            log.error("policies not understood version=%d reason=%r", policies.version, str(error))
        self.version = policies.version
        self._told()
        log.info("policies in force version=%d", self.version)

    def lies_on(self, domain: str, hosts: str) -> None:
        """Record the site of the hosts of a domain that is its own site: the shipped rules of that site apply to it."""
        if self._hosts.get(domain) != hosts:
            if len(self._hosts) >= APART_KEPT:
                del self._hosts[next(iter(self._hosts))]
            self._hosts[domain] = hosts
            self._hosts_learned += 1

    def hosts_of(self, site: str) -> str:
        """The site of the hosts of a domain that is its own site; "" for other sites, and while it is unknown."""
        return self._hosts.get(site, "")

    @property
    def default_lifetime_s(self) -> float:
        """The lifetime of messages for which neither the request nor a rule sets one, in seconds."""
        return self._settings.lifetime_s

    def limits(self, site: str, source: str, domain: str = "") -> Limits:
        return self.shaping.limits(site, source=source, domain=domain, hosts=self.hosts_of(site))

    def triggers(self, site: str, source: str) -> tuple[Trigger, ...]:
        return self.shaping.triggers(site, source=source, hosts=self.hosts_of(site))

    def suspended_until(self, site: str, tenant_id: str) -> datetime | None:
        """The end of the suspension of a site, or of one tenant at it ("" is every tenant), by an operator or by
        automation; None without a suspension. Suspensions of all sites count for each site."""
        found = [
            until
            for name in (site, "")
            if (until := self._suspensions.get((name, tenant_id))) is not None and until > datetime.now(UTC)
        ]
        return max(found, default=None)

    def suspended_tenants(self, site: str) -> set[str]:
        """The tenants that are suspended at a site, or at all sites."""
        return {tenant_id for name, tenant_id in self._suspensions if tenant_id and name in (site, "")}

    def source_of(self, pool: str, message_id: str, site: str) -> str:
        """The source of a message. When no source of its pool may send to the site today, the source that it would
        otherwise have; the message then waits there until tomorrow."""
        if not self.routing.pools:
            return ""
        day = self.today()
        chosen = self.routing.choose_source(
            pool, message_id, site=site, day=day, exhausted=self._exhausted, absent=self.absent
        )
        if chosen is None:
            chosen = self.routing.waiting_source(pool, message_id, self.absent)
        return chosen

    def sources_are(self, machines: Iterable[Iterable[str]]) -> None:
        """Record the sources of each live machine. A source that is missing ``MISSED`` times in a row becomes absent:
        after a change, machines poll at different times. Without a live machine, no source is absent."""
        if not self.routing.pools and not self.absent:
            return
        sources = list(machines)
        present = {name for some in sources for name in some}
        used = {name for weights in self.routing.pools.values() for name in weights} if sources else set()
        self._unseen = {name: self._unseen.get(name, 0) + 1 for name in used - present}
        absent = frozenset(name for name, times in self._unseen.items() if times >= MISSED)
        if gone := absent - self.absent:
            waiting = ",".join(self.routing.waiting_pools(absent)) or "none"
            log.warning(
                "no machine has the addresses of sources=%s: passed over; pools whose mail waits=%s",
                ",".join(sorted(gone)),
                waiting,
            )
        if back := (self.absent - absent) & used:
            log.info("a machine has the addresses of sources=%s again", ",".join(sorted(back)))
        self.absent = absent

    def readiness(self) -> dict[str, str | None]:
        """A problem while all delivery is suspended, and when machines lack the sources of pools. Without pools, and
        without such a suspension, empty."""
        found: dict[str, str | None] = {}
        if (until := self.suspended_until("", "")) is not None:
            found["delivery"] = f"{DEGRADED}all delivery is suspended until {until:%Y-%m-%d %H:%M} UTC: {RESUME_ALL}"
        return found | self._sources_readiness()

    def _sources_readiness(self) -> dict[str, str | None]:
        if not self.routing.pools:
            return {}
        said = f"{DEGRADED}no machine has the addresses of {', '.join(sorted(self.absent))}: passed over"
        if waiting := self.routing.waiting_pools(self.absent):
            said += f"; mail of pools without another source waits: {', '.join(waiting)}"
        return {"sources": said if self.absent else None}

    def is_exhausted(self, source: str, site: str) -> bool:
        """Whether a source has used its warm-up cap for a site today (UTC)."""
        return (source, site) in self._exhausted

    def uses(self, source: str) -> bool:
        """Whether the routing uses a source; "" is the system's choice of address."""
        return not source or self.routing.serves(source, self.absent)

    def source(self, name: str) -> Source:
        """The source with this name. For an unknown name or "", the system chooses the address."""
        return self.routing.sources.get(name) or Source(name=name)
