"""POST /api/admin/bounce: ending queued deliveries that match, a part of the queue with each call.

A call looks at a bounded part of the queue, in transactions of bounded size, and says where the next one goes on; so a
queue of millions is searched without holding anything up, and whoever asks sees how far it has come. What is being sent
is left alone: the host may have it already. A delivery that is not being sent cannot bounce (policy/lifecycle.py), so
it ends as failed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from litestar.types import Guard
from msgspec import Struct

from actors.delivery.gate import Gate
from analytics.dropping import tell_dropped
from api.body import TypedBody
from api.errors import answers
from api.refusals import Fault, Invalid
from api.texts import check_text
from cluster.journal.operations import Queued, QueueFilter, QueueMark, SiteAction
from cluster.journal.store import Journal
from cluster.policy.domains import mail_domain, spelled_names

SiteOf = Callable[[str], Awaitable[str]]
"""The site of a domain's mail; "" when there is none to be found."""

PART = 10_000
"""Deliveries that one call looks at: some 50 ms of reading."""
PART_BY_SITE = 500
"""When each may be of another domain, whose site is to be looked up: the DNS may take its time to fail."""
PAGE = 1000
"""Deliveries that one transaction ends."""
LOOKUPS_AT_ONCE = 100
LONGEST_REASON = 1000
BY_OPERATOR = "bounced by the operator"


class BounceRequest(Struct, frozen=True, kw_only=True):
    """Which deliveries to end; at least one filter, and all of them must match."""

    domain: str | None = None
    """Of the recipient."""
    site: str | None = None
    tenant_id: str | None = None
    batch_id: str | None = None
    pool: str | None = None
    older_than_s: float | None = None
    """Accepted more than so many seconds ago."""
    reason: str = ""
    dry_run: bool = False
    after: str = ""
    """What the last answer gave as ``next``."""


class BounceAnswer(Struct, frozen=True, kw_only=True):
    """What became of this part of the queue."""

    matched: int
    ended: int
    being_sent: int
    """Of the matched: left alone. A few others may be, because somebody else was at work on them."""
    next: str | None
    """Where the next call goes on; null at the end of the queue."""


class BounceBody(TypedBody[BounceRequest]):
    decoder = msgspec.json.Decoder(BounceRequest)


class Bouncing:
    """One call."""

    def __init__(
        self,
        guard: Guard,
        journal: Journal,
        site_of: SiteOf,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._guard = guard
        self._journal = journal
        self._site_of = site_of
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        route = post(
            "/api/admin/bounce",
            status_code=200,
            dto=BounceBody,
            return_dto=None,
            guards=[self._guard],
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="End queued deliveries that match, in one part of the queue",
            tags=["operating"],
        )
        return [route(self.bounce)]

    async def bounce(self, data: JSONBody[BounceRequest]) -> BounceAnswer:
        mark = _check(data)
        before = None
        if data.older_than_s is not None:
            before = self._clock() - timedelta(seconds=data.older_than_s)
        filter = QueueFilter(
            domain=mail_domain(data.domain) if data.domain else None,
            tenant_id=data.tenant_id,
            batch_id=data.batch_id,
            pool=data.pool,
            accepted_before=before,
        )
        part = await self._journal.queue_part(filter, mark, PART if data.site is None else PART_BY_SITE)
        matched = part.queued if data.site is None else await self._of_site(part.queued, spelled_names(data.site))
        idle = [queued for queued in matched if not queued.sending]
        ended = 0 if data.dry_run else await self._end(idle, data)
        return BounceAnswer(
            matched=len(matched),
            ended=ended,
            being_sent=len(matched) - len(idle),
            next=f"{part.next.message_id}.{part.next.recipient_no}" if part.next else None,
        )

    async def _end(self, idle: Sequence[Queued], data: BounceRequest) -> int:
        reason = f"{BY_OPERATOR}: {data.reason}" if data.reason else BY_OPERATOR
        ended = 0
        for start in range(0, len(idle), PAGE):
            ended += await self._journal.give_up(idle[start : start + PAGE], reason, tell_dropped(reason))
        if ended:
            await self._journal.record_site_actions([_action(data, ended, self._clock())])
        return ended

    async def _of_site(self, queued: Sequence[Queued], site: str) -> list[Queued]:
        gate = Gate(LOOKUPS_AT_ONCE)

        async def look(domain: str) -> str:
            async with gate:
                return await self._site_of(domain)

        domains = sorted({delivery.domain for delivery in queued})
        sites = dict(zip(domains, await asyncio.gather(*map(look, domains)), strict=True))
        return [delivery for delivery in queued if sites[delivery.domain] == site]


def _check(data: BounceRequest) -> QueueMark:
    """Where to begin. Raises Invalid."""
    faults: list[Fault] = []
    check_text(data.reason, "reason", faults, longest=LONGEST_REASON)
    filters = {name: getattr(data, name) for name in ("domain", "site", "tenant_id", "batch_id", "pool")}
    for name, text in filters.items():
        if text is not None:
            check_text(text, name, faults, longest=255)
    if data.older_than_s is None and not any(text is not None for text in filters.values()):
        faults.append(Fault("At least one filter is required: nothing ends the whole queue by mistake"))
    if data.domain is not None and mail_domain(data.domain) is None:
        faults.append(Fault("Not a domain name", "domain"))
    if data.older_than_s is not None and not 0 <= data.older_than_s <= 366 * 86_400:
        faults.append(Fault("An age in seconds, to a year", "older_than_s"))
    message_id, _, number = data.after.partition(".")
    if data.after and not (number.isdecimal() and len(number) < 10):
        faults.append(Fault("after is what an answer gave as next", "after"))
    if faults:
        raise Invalid(faults)
    return QueueMark(message_id, int(number)) if data.after else QueueMark()


def _action(data: BounceRequest, ended: int, at: datetime) -> SiteAction:
    asked = [
        ("domain", data.domain and mail_domain(data.domain)),
        ("batch", data.batch_id),
        ("pool", data.pool),
        ("older than", data.older_than_s),
    ]
    words = [f"{ended} ended", *(f"{name} {value}" for name, value in asked if value is not None)]
    return SiteAction(
        at=at,
        site=spelled_names(data.site or ""),
        tenant_id=data.tenant_id or "",
        action="bounced",
        detail=", ".join(words) + (f": {data.reason}" if data.reason else ""),
        made_by="operator",
    )
