"""Which queued deliveries an operator means: the filters that bounce, send-now and reroute share, and the search.

A call looks at a bounded part of the queue, in the order of acceptance, and says where the next one goes on; so a queue
of millions is searched without holding anything up, and the operator sees how far it has come.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from api.admin.naming import NameFinder
from api.http.refusals import Fault
from api.http.texts import check_name
from cluster.ids import is_id
from cluster.journal.journal import Journal
from cluster.journal.queue_control import QueueFilter, QueueMark, UnfinishedDelivery
from cluster.journal.site_actions import SiteAction
from cluster.journal.suspensions import Suspension
from cluster.lookup.semaphore import Semaphore
from cluster.policy.routes.domains import mail_domain

SiteOf = Callable[[str], Awaitable[str]]
"""The site of a domain's mail; "" when there is none to be found."""

PART = 10_000
"""Deliveries that one call looks at: some 50 ms of reading."""
PART_BY_SITE = 500
"""When each may be of another domain, whose site is to be looked up: the DNS may take its time to fail."""
LOOKUPS_AT_ONCE = 100
PAGE = 1000
"""Deliveries that one transaction changes."""
LONGEST_AGE_S = 366 * 86_400
FILTERS = ("message_id", "domain", "site", "tenant_id", "batch_id", "pool")


class QueueQuery(Struct, frozen=True, kw_only=True):
    """Which deliveries are meant; at least one filter, and all of them must match. Of a domain, a site and a tenant an
    unambiguous beginning of the name will do."""

    message_id: str | None = None
    domain: str | None = None
    """Of the recipient."""
    site: str | None = None
    tenant_id: str | None = None
    """Its id or its name."""
    batch_id: str | None = None
    pool: str | None = None
    """The pool that the message names; "default": none, too."""
    older_than_s: float | None = None
    """Accepted more than so many seconds ago."""
    all: bool = False
    """Everything that is queued: the one filter that is needed then."""
    dry_run: bool = False
    after: str = ""
    """What the last answer gave as ``next``; the names are then those that it gave as ``names``."""


class QueueNames(Struct, frozen=True, kw_only=True):
    """What the names of a query were taken for, for the next call: what was unambiguous may not be so by then."""

    domain: str | None = None
    site: str | None = None
    tenant_id: str | None = None


class FoundDeliveries(Struct, frozen=True, kw_only=True):
    """What matches in one part of the queue."""

    queued: list[UnfinishedDelivery]
    names: QueueNames
    next: str | None
    """Where the next call goes on; None at the end of the queue."""


class QueueSearch:
    """``site_of``: as deliveries are placed now."""

    def __init__(
        self,
        journal: Journal,
        site_of: SiteOf,
        names: NameFinder,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._site_of = site_of
        self._names = names
        self._clock = clock

    async def part(self, query: QueueQuery, *, by_site: bool = False) -> FoundDeliveries:
        """The next part; ``by_site``: of the size for looking up sites. The query was checked with ``check_query``.
        Raises Invalid for names that are not known."""
        mark = mark_of(query.after) or QueueMark()
        names = await self.named(query)
        before = None
        if query.older_than_s is not None:
            before = self._clock() - timedelta(seconds=query.older_than_s)
        filter = QueueFilter(
            message_id=query.message_id,
            domain=names.domain,
            tenant_id=names.tenant_id,
            batch_id=query.batch_id,
            pool=query.pool,
            accepted_before=before,
        )
        size = PART_BY_SITE if by_site or names.site is not None else PART
        part = await self._journal.queue_control.part(filter, mark, size)
        queued = part.queued if names.site is None else await self._of_site(part.queued, names.site)
        following = f"{part.next.message_id}.{part.next.recipient_no}" if part.next else None
        return FoundDeliveries(queued=queued, names=names, next=following)

    async def named(self, query: QueueQuery) -> QueueNames:
        """The names that a query means. Raises Invalid."""
        if query.after:
            return QueueNames(domain=query.domain, site=query.site, tenant_id=query.tenant_id)
        if query.message_id is not None:
            await self._names.check_message(query.message_id)
        if query.batch_id is not None:
            await self._names.check_batch(query.batch_id)
        if query.pool is not None:
            await self._names.check_pool(query.pool)
        return QueueNames(
            domain=None if query.domain is None else await self._names.domain(query.domain),
            site=None if query.site is None else await self._names.site(query.site),
            tenant_id=None if query.tenant_id is None else await self._names.tenant(query.tenant_id),
        )

    async def record(self, query: QueueQuery, names: QueueNames, action: str, done: str, reason: str = "") -> None:
        """Keep what an operator has done to a part of the queue among the actions of its site. ``done``: in words."""
        made = SiteAction(
            at=self._clock(),
            site=names.site or "",
            tenant_id=names.tenant_id or "",
            action=action,
            detail=", ".join([done, *_described(query, names)]) + (f": {reason}" if reason else ""),
            made_by="operator",
        )
        await self._journal.site_actions.record([made])

    async def suspended(self, queued: Sequence[UnfinishedDelivery], suspensions: Sequence[Suspension]) -> int:
        """How many of these are of a site or a tenant that is suspended."""
        held = {(one.site, one.tenant_id) for one in suspensions}
        sites = await self._sites(queued) if any(site for site, _ in held) else {}

        def is_suspended(one: UnfinishedDelivery) -> bool:
            places = ("", sites.get(one.domain, ""))
            return any((site, tenant) in held for site in places for tenant in ("", one.tenant_id))

        return sum(map(is_suspended, queued))

    async def _of_site(self, queued: Sequence[UnfinishedDelivery], site: str) -> list[UnfinishedDelivery]:
        sites = await self._sites(queued)
        return [delivery for delivery in queued if sites[delivery.domain] == site]

    async def _sites(self, queued: Sequence[UnfinishedDelivery]) -> dict[str, str]:
        """The sites of their domains."""
        semaphore = Semaphore(LOOKUPS_AT_ONCE)

        async def look(domain: str) -> str:
            async with semaphore:
                return await self._site_of(domain)

        domains = sorted({delivery.domain for delivery in queued})
        return dict(zip(domains, await asyncio.gather(*map(look, domains)), strict=True))


def pages(queued: Sequence[UnfinishedDelivery]) -> Iterator[Sequence[UnfinishedDelivery]]:
    """Deliveries, as many at a time as one transaction changes."""
    for start in range(0, len(queued), PAGE):
        yield queued[start : start + PAGE]


def check_query(query: QueueQuery, faults: list[Fault], what: str) -> None:
    """What can be wrong with a query by itself. ``what`` it does to the whole queue, in words."""
    filters = {name: getattr(query, name) for name in FILTERS}
    for name, text in filters.items():
        check_name(text, name, faults)
    if query.older_than_s is None and not query.all and not any(text is not None for text in filters.values()):
        faults.append(Fault(f"At least one filter is required, or all: nothing {what} the whole queue by mistake"))
    if query.message_id is not None and not is_id("msg_", query.message_id):
        faults.append(Fault("Not the id of a message", "message_id"))
    if query.after and query.domain is not None and mail_domain(query.domain) is None:
        faults.append(Fault("Not a domain name", "domain"))
    if query.older_than_s is not None and not 0 <= query.older_than_s <= LONGEST_AGE_S:
        faults.append(Fault("An age in seconds, to a year", "older_than_s"))
    if query.after and mark_of(query.after) is None:
        faults.append(Fault("after is what an answer gave as next", "after"))


def mark_of(after: str) -> QueueMark | None:
    """The place in the queue that an answer gave as ``next``; None where it is none."""
    message_id, _, number = after.partition(".")
    return QueueMark(message_id, int(number)) if number.isdecimal() and len(number) < 10 else None


def _described(query: QueueQuery, names: QueueNames) -> list[str]:
    """The filters in words, but for the site and the tenant, which actions name by themselves."""
    asked = [
        ("message", query.message_id),
        ("domain", names.domain),
        ("batch", query.batch_id),
        ("pool", query.pool),
        ("older than", query.older_than_s),
    ]
    return [f"{name} {value}" for name, value in asked if value is not None]
