"""Verification of sender domains: on demand, and by itself when a look is due.

One process of the cluster does both (the scheduler), so that its look-ups are bounded. What a look found is stored in
one commit; killed before it, the domain is looked at again.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from cluster.journal.journal import Journal, Unavailable
from cluster.lookup.resolver import Resolver
from cluster.metrics import Counter
from cluster.shared_calls import SharedCalls
from cluster.tenancy.domains.domain import KeyState, Look, SenderDomain
from cluster.tenancy.domains.findings import Kind, Status, outcome
from cluster.tenancy.domains.looking import Looking, SignProbe, key_findings
from cluster.tenancy.domains.records import Publishing, records
from cluster.tenancy.domains.schedule import next_look
from cluster.vault import Vault

log = logging.getLogger(__name__)

LOOK_S = 20.0
"""Time limit for the look-ups of one domain."""
LOOKS_AT_ONCE = 32
"""Domains that are looked at at one time."""
LOOKS_OF_A_TENANT = 4
"""Those of one tenant among them: one whose name servers do not answer must not keep others waiting."""
RETRY = timedelta(minutes=10)
"""When a look that was begun and not stored is due again."""
PAUSE_S = 10.0
"""Time between two rounds."""


class Verifier:
    """Looks domains up and stores what follows."""

    looks = Counter("postray_domain_looks_total", "Looks at the DNS records of sender domains.")
    wrong = Counter("postray_domain_looks_wrong_total", "Looks that found records of a verified domain wrong.")

    def __init__(
        self,
        journal: Journal,
        vault: Vault,
        resolver: Resolver,
        *,
        publishing: Callable[[], Publishing],
        sign_probe: SignProbe,
        now: Callable[[], datetime],
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``publishing``: what the records share now. ``now``: the time, UTC. ``random``: as random.random."""
        self._journal = journal
        self._vault = vault
        self._resolver = resolver
        self._publishing = publishing
        self._sign_probe = sign_probe
        self._now = now
        self._random = random
        self._sleep = sleep
        self._semaphore = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._of_tenant: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """Of the tenants whose domains are looked at now."""
        self._looking: SharedCalls[int, None] = SharedCalls()

    async def verify(self, id: int) -> None:
        """Look a domain's records up now and store what follows; nothing happens when there is no such domain.
        Concurrent callers share a look. Raises Unavailable."""
        await self._looking.get(id, self._verify)

    async def run(self) -> None:
        """Look at domains when it is time, until cancelled."""
        while True:
            try:
                await self.round()
            except Unavailable as error:
                log.warning("domains not looked at reason=%r", error.reason)
            await self._sleep(PAUSE_S)

    async def round(self) -> int:
        """Look at some of the domains whose look is due; returns how many. Raises Unavailable."""
        now = self._now()
        due = await self._journal.sender_domains.to_look_at(now, now + RETRY, LOOKS_AT_ONCE)
        for id, fault in zip(due, await asyncio.gather(*map(self.verify, due), return_exceptions=True), strict=True):
            if isinstance(fault, Unavailable):
                raise fault
            if isinstance(fault, BaseException):
                # What the owner of one domain publishes must not keep the others from being looked at.
                log.error("a look failed domain=%d", id, exc_info=fault)
        return len(due)

    async def close(self) -> None:
        await self._looking.close()

    async def _verify(self, id: int) -> None:
        found = await self._journal.sender_domains.find(id, None)
        if found is None:
            return
        of_tenant = self._of_tenant.setdefault(found.tenant_id, asyncio.Semaphore(LOOKS_OF_A_TENANT))
        async with of_tenant, self._semaphore:
            # Read again after the wait: keys that are made from now on are looked at next time.
            now = self._now()
            domain = await self._journal.sender_domains.find(id, None)
            if domain is None:
                return
            look = await self._look(domain, now)
        self.looks += 1
        if domain.verified_at is not None and look.is_wrong:
            self.wrong += 1
            log.warning("records of a verified domain are wrong domain=%s", domain.domain)
        if await self._journal.sender_domains.looked(id, look):
            activated = ",".join(look.activated) or "none"
            log.info("looked at domain=%s right=%s activated=%s", domain.domain, look.is_right, activated)

    async def _look(self, domain: SenderDomain, now: datetime) -> Look:
        publishing = self._publishing()
        async with self._resolver.uncached(LOOK_S) as lookups:
            looking = Looking(
                lookups,
                domain,
                publishing,
                private_key=lambda key: self._vault.open(key.sealed_private_key),
                sign_probe=self._sign_probe,
                random_label=f"postray-{secrets.token_hex(8)}",
            )
            looked = await looking.at(records(domain, publishing, now))
        findings = tuple(finding for _, finding in looked)
        result = outcome(key_findings(looked), [finding for finding in findings if finding.kind in (Kind.MX, Kind.SPF)])
        return Look(
            at=now,
            findings=findings,
            is_right=result.is_right,
            is_wrong=result.is_wrong,
            activated=result.activated,
            next_at=next_look(
                now,
                waits_since=_waits_since(domain, result.is_right, result.activated),
                has_failed=any(finding.status is Status.NOT_LOOKED_UP for finding in findings),
                random=self._random(),
            ),
        )


def _waits_since(domain: SenderDomain, is_right: bool, activated: tuple[str, ...]) -> datetime | None:
    """When the youngest key was made that still waits, or the domain itself while it is not verified; None when nothing
    waits."""
    pending = [key.created_at for key in domain.keys if key.state is KeyState.PENDING and key.selector not in activated]
    if domain.verified_at is None and not is_right:
        pending.append(domain.created_at)
    return max(pending, default=None)
