"""What operators have put in force, as one process follows it: shaping, routing, suspensions, used-up warm-ups.

The journal holds it, so that every process of the cluster has the same, over restarts too; each looks once a second.
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
"""Looks, a second apart at most."""


class Change(Struct, frozen=True):
    """What one look found to be another: the shaping or the routing, and suspensions (site, tenant) that began, changed
    or ended. False when there was nothing."""

    policies: bool = False
    begun: frozenset[tuple[str, str]] = frozenset()
    ended: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.policies or self.begun or self.ended)


class InForce:
    """Before the first ``follow`` only the settings are in force. ``version`` rises whenever shaping or routing do."""

    def __init__(self, journal: Journal, vault: Vault, settings: DeliverySettings) -> None:
        self._journal = journal
        self._vault = vault
        self._settings = settings
        self.version = 0
        self.shaping = shaping_of("", settings)
        self.routing = Routing.parse("", settings.mode, settings.relay)
        self._unseen: dict[str, int] = {}
        """How many times in a row a source of a pool was not found on any machine."""
        self.absent: frozenset[str] = frozenset()
        """The sources of pools that no machine has: their mail leaves from others."""
        self._told: Callable[[], None] = lambda: None
        self._followed = 0
        """The version that was last told as a change."""
        self._suspensions: dict[tuple[str, str], datetime] = {}
        self._exhausted: frozenset[tuple[str, str]] = frozenset()
        self._hosts: dict[str, str] = {}
        """The sites of the hosts of domains that are sites of their own; at most ``APART_KEPT``."""
        self._hosts_learned = self._hosts_followed = 0
        """How often that changed, and how often when it was last told."""

    def on_policies(self, tell: Callable[[], None]) -> None:
        """``tell`` is called now, and whenever shaping or routing are others."""
        self._told = tell
        tell()

    async def follow(self) -> Change:
        """Look at the journal. Raises Unavailable."""
        version = await self._journal.policies.version()
        learned = self._hosts_learned
        suspensions = {(s.site, s.tenant_id): s.until for s in await self._journal.suspensions.active()}
        change = Change(
            version != self._followed or learned != self._hosts_followed,
            frozenset(key for key, until in suspensions.items() if self._suspensions.get(key) != until),
            frozenset(self._suspensions.keys() - suspensions.keys()),
        )
        if version != self.version:
            await self._load()
        if any(source.warm_up is not None for source in self.routing.sources.values()):
            day = today()
            self._exhausted = frozenset(
                (one.source, one.site)
                for one in await self._journal.warm_up.exhausted(day)
                # The cap may have been raised since: then there is more to ask for.
                if (cap := self.routing.cap(one.source, one.site, day)) is not None and one.granted >= cap
            )
        # Last, so that a change is told with the next look when the journal failed in this one.
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
            # They were checked before they were stored: another version of postray did it. What is in force stays.
            log.error("policies not understood version=%d reason=%r", policies.version, str(error))
        self.version = policies.version
        self._told()
        log.info("policies in force version=%d", self.version)

    def lies_on(self, domain: str, hosts: str) -> None:
        """Take note of the site of the hosts of a domain that is a site of its own: what is shipped for it holds."""
        if self._hosts.get(domain) != hosts:
            if len(self._hosts) >= APART_KEPT:
                del self._hosts[next(iter(self._hosts))]
            self._hosts[domain] = hosts
            self._hosts_learned += 1

    def hosts_of(self, site: str) -> str:
        """The site of the hosts, of a domain that is a site of its own; "" of other sites, and before it is known."""
        return self._hosts.get(site, "")

    @property
    def default_lifetime_s(self) -> float:
        """Of messages where neither they nor a rule name one."""
        return self._settings.lifetime_s

    def limits(self, site: str, source: str, domain: str = "") -> Limits:
        return self.shaping.limits(site, source=source, domain=domain, hosts=self.hosts_of(site))

    def triggers(self, site: str, source: str) -> tuple[Trigger, ...]:
        return self.shaping.triggers(site, source=source, hosts=self.hosts_of(site))

    def suspended_until(self, site: str, tenant_id: str) -> datetime | None:
        """Until when an operator or automation has suspended a site, or one tenant at it; "" is every tenant. The
        suspensions of every site count for each."""
        found = [
            until
            for name in (site, "")
            if (until := self._suspensions.get((name, tenant_id))) is not None and until > datetime.now(UTC)
        ]
        return max(found, default=None)

    def suspended_tenants(self, site: str) -> set[str]:
        """The tenants that are suspended at a site, or everywhere."""
        return {tenant_id for name, tenant_id in self._suspensions if tenant_id and name in (site, "")}

    def source_of(self, pool: str, message_id: str, site: str) -> str:
        """The source that a message leaves from. When no source of its pool may send to the site today, the one that
        it would leave from otherwise, to wait there for tomorrow."""
        if not self.routing.pools:
            return ""
        day = today()
        chosen = self.routing.choose_source(
            pool, message_id, site=site, day=day, exhausted=self._exhausted, absent=self.absent
        )
        if chosen is None:
            chosen = self.routing.waiting_source(pool, message_id, self.absent)
        return chosen

    def sources_are(self, machines: Iterable[Iterable[str]]) -> None:
        """Take note of the sources that each live machine has: one that is missed ``MISSED`` times in a row is absent,
        for after a change each machine looks at its own time. Without any machine, nothing is known of them."""
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
        """Whether machines have the sources of all pools, where there are pools."""
        if not self.routing.pools:
            return {}
        said = f"{DEGRADED}no machine has the addresses of {', '.join(sorted(self.absent))}: passed over"
        if waiting := self.routing.waiting_pools(self.absent):
            said += f"; mail of pools without another source waits: {', '.join(waiting)}"
        return {"sources": said if self.absent else None}

    def is_exhausted(self, source: str, site: str) -> bool:
        """Whether a source may send no more to a site today."""
        return (source, site) in self._exhausted

    def uses(self, source: str) -> bool:
        """Whether any mail leaves from a source; "" is the system's choice of address."""
        return not source or self.routing.serves(source, self.absent)

    def source(self, name: str) -> Source:
        """A source by its name; one that there is no more, or "", leaves everything to the system."""
        return self.routing.sources.get(name) or Source(name=name)


def today() -> date:
    """By which warm-ups count."""
    return datetime.now(UTC).date()
