"""The filters that bounce, send-now and reroute share, and the search of the queue.

A call reads a bounded part of the queue, in the order of acceptance, and returns the start of the next call. So a queue
of millions is searched without blocking other work, and the operator sees the progress.
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
"""Returns the site of a domain's mail; "" when it is not found."""

PART = 10_000
"""The most deliveries that one call reads: some 50 ms."""
PART_BY_SITE = 500
"""The same when sites must be looked up. Each delivery may have another domain, and a DNS lookup may fail slowly."""
LOOKUPS_AT_ONCE = 100
PAGE = 1000
"""The most deliveries that one transaction changes."""
LONGEST_AGE_S = 366 * 86_400
FILTERS = ("message_id", "domain", "site", "tenant_id", "batch_id", "pool")


class QueueQuery(Struct, frozen=True, kw_only=True):
    """Which deliveries are meant; at least one filter, and all of them must match. Of a domain, a site and a tenant an
    unambiguous beginning of the name will do."""

    message_id: str | None = None
    domain: str | None = None
    """The recipient's domain."""
    site: str | None = None
    tenant_id: str | None = None
    """Its id or its name."""
    batch_id: str | None = None
    pool: str | None = None
    """The pool that the message names; "default" also matches messages without one."""
    older_than_s: float | None = None
    """Matches deliveries that were accepted more than this many seconds ago."""
    all: bool = False
    """Matches all queued deliveries, without another filter."""
    dry_run: bool = False
    after: str = ""
    """``next`` of the last response; the names are then its ``names``."""


class QueueNames(Struct, frozen=True, kw_only=True):
    """What the names of a query were taken for, for the next call: what was unambiguous may not be so by then."""

    domain: str | None = None
    site: str | None = None
    tenant_id: str | None = None


class FoundDeliveries(Struct, frozen=True, kw_only=True):
    """The matches in one part of the queue."""

    queued: list[UnfinishedDelivery]
    names: QueueNames
    next: str | None
    """The start of the next call; None at the end of the queue."""


class QueueSearch:
    """Searches the queue for an operator's query. ``site_of`` uses the active routing."""

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
        """The next part; with ``by_site`` it has the size for site lookups. The query must have passed ``check_query``.
        Raises Invalid for unknown names."""
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
        return FoundDeliveries(queued=queued, names=names, next=after_of(part.next))

    async def named(self, query: QueueQuery) -> QueueNames:
        """The resolved names of a query. Raises Invalid for unknown ones."""
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
        """Record an operator's command on a part of the queue as an action on its site. ``done`` describes it."""
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
        """How many of these belong to a suspended site or tenant."""
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
    """The deliveries in chunks, one for each transaction."""
    for start in range(0, len(queued), PAGE):
        yield queued[start : start + PAGE]


def check_query(query: QueueQuery, faults: list[Fault], what: str) -> None:
    """Check a query without the journal. ``what`` describes the command's effect on the whole queue."""
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


def after_of(mark: QueueMark | None) -> str | None:
    """A queue position as a response's ``next``."""
    return None if mark is None else f"{mark.message_id}.{mark.recipient_no}"


def mark_of(after: str) -> QueueMark | None:
    """The queue position from a response's ``next``; None when it is malformed."""
    message_id, _, number = after.partition(".")
    return QueueMark(message_id, int(number)) if number.isdecimal() and len(number) < 10 else None


def _described(query: QueueQuery, names: QueueNames) -> list[str]:
    """The filters in words, except site and tenant, which are fields of an action."""
    asked = [
        ("message", query.message_id),
        ("domain", names.domain),
        ("batch", query.batch_id),
        ("pool", query.pool),
        ("older than", query.older_than_s),
    ]
    return [f"{name} {value}" for name, value in asked if value is not None]
