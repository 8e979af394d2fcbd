"""The journal's part for posting what endpoints are owed: leases, and settling.

A lease is held by one life of the process that posts. The next life frees what earlier ones held, so a crash costs no
event; one that was posted and not settled is posted again, with the same id.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.events import WebhookAttempt, WebhookDisabled, encode_batch
from cluster.ids import new_id
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.policy.webhooks.failing import Health, PostResult, after
from cluster.webhooks.endpoints import origin

MOST_ATTEMPTS_IN_ROW = 100
"""Posts that one row of the event log tells of: some 100 KB of single events."""
MOST_IDS_IN_ROW = 5000
"""Events of these posts, 30 bytes each."""


class LeasedBundle(Struct, frozen=True, kw_only=True):
    """A bundle under a lease."""

    webhook_id: str
    id: int
    events: bytes
    count: int
    since: datetime
    attempts: int
    """Posts of it that failed."""
    failures: int
    """Those of its endpoint, in a row."""


class FailingEndpoints(Struct, frozen=True):
    """Endpoints whose last posts failed."""

    failing: int
    """Those that are tried still."""
    disabled: int
    """Those that were disabled because they failed, and that their owners have not enabled again."""
    longest_s: float
    """For how long the first of those that are tried still has failed; 0 when there is none."""


class Ask(Struct, frozen=True):
    """How much to lease for an endpoint: bundles until they have so many events or bytes, but at least one."""

    events: int
    bytes: int


class PostEnded(Struct, frozen=True, kw_only=True):
    """A post to settle."""

    webhook_id: str
    result: PostResult
    events: int
    """How many it had."""
    rate: float
    """Events a second that the endpoint took of late."""
    attempt: WebhookAttempt
    jitter: float
    version: datetime
    """``updated_at`` of the endpoint that was posted to: what came of it tells nothing of it once it is changed."""
    counts: bool = True
    """Whether it tells how the endpoint is (``failing.counting``)."""


class Left(Struct, frozen=True, kw_only=True):
    """Events of a bundle that are still owed."""

    count: int
    attempts: int
    due_at: datetime
    events: bytes | None = None
    """None: all of the bundle."""


class BundleEnded(Struct, frozen=True, kw_only=True):
    """A bundle to settle: what is left of it."""

    webhook_id: str
    id: int
    left: tuple[Left, ...] = ()


class Untold(Struct, frozen=True, kw_only=True):
    """An endpoint that was disabled, of which its owner is still to be told."""

    webhook_id: str
    tenant_id: str
    name: str
    url: str
    email: str
    disabled_at: datetime
    reason: str


class Settled(Struct, frozen=True, kw_only=True):
    """What a settlement found."""

    healths: dict[str, Health]
    """By endpoint. One that was removed is absent."""
    disabled: tuple[WebhookDisabled, ...]


class WebhookPosting(JournalPart):
    """Leases bundles, and settles posts."""

    async def begin_life(self) -> int:
        """A number for this life of the process. What earlier ones held is due."""
        ((life,),) = await self._database.rows("begin_webhook_life")
        await self._database.execute("free_webhook_bundles", life=life)
        return int(life)

    async def failing(self) -> FailingEndpoints:
        """How many endpoints fail, of all tenants."""
        row = await self._database.row("failing_webhooks")
        assert row is not None
        return FailingEndpoints(*row)

    async def owed(self) -> list[str]:
        """The endpoints that are owed something that is due, and may be posted to."""
        return [id for (id,) in await self._database.rows("owed_webhooks")]

    async def lease(self, life: int, asked: Mapping[str, Ask], lease_s: float) -> list[LeasedBundle]:
        """Lease what is due of the endpoints that may be posted to now, the first of each first."""
        found = await self._database.rows(
            "lease_webhook_bundles",
            life=life,
            webhook_ids=list(asked),
            most_events=[ask.events for ask in asked.values()],
            most_bytes=[ask.bytes for ask in asked.values()],
            lease_s=lease_s,
        )
        leased = [
            LeasedBundle(webhook_id=a, id=b, events=bytes(c), count=d, since=e, attempts=f, failures=g)
            for a, b, c, d, e, f, g in found
        ]
        # The statement returns them in any order. Those that have waited longest are first.
        leased.sort(key=lambda bundle: (bundle.since, bundle.id))
        return leased

    async def settle(
        self,
        life: int,
        posts: Sequence[PostEnded],
        bundles: Sequence[BundleEnded],
        *,
        schedule_s: Sequence[float],
        tells: bool,
    ) -> Settled:
        """Store what came of posts, in the order in which they ended, and of bundles, in one transaction: with it the
        log has their attempts, and the endpoints that were disabled. ``schedule_s``: waits between probes. ``tells``:
        whether owners are told by mail."""
        async with self._database.transaction() as connection:
            ids = sorted({post.webhook_id for post in posts})
            states = {row[0]: row for row in await rows(connection, "lock_webhook_states", webhook_ids=ids)}
            healths = {id: Health(**dict(zip(_HEALTH, row[5:], strict=True))) for id, row in states.items()}
            current = [
                post for post in posts if post.webhook_id in states and post.version == states[post.webhook_id][4]
            ]
            disabled: list[WebhookDisabled] = []
            recovered: set[str] = set()
            for post in current:
                if not post.counts:
                    continue
                before = healths[post.webhook_id]
                health = after(before, post.result, schedule_s, post.jitter)
                if health.is_disabled and not before.is_disabled:
                    disabled.append(_disabled(states[post.webhook_id], health))
                if before.is_failing and not health.failures:
                    recovered.add(post.webhook_id)
                healths[post.webhook_id] = health
            if healths:
                told = {one.webhook_id for one in disabled if tells and states[one.webhook_id][3]}
                await _set_states(connection, posts, current, healths, told)
            await _settle_bundles(connection, life, bundles)
            if recovered:
                await execute(connection, "hasten_webhook_bundles", webhook_ids=sorted(recovered))
            log_rows = _log_rows([post.attempt for post in posts], disabled)
            if log_rows:
                await execute(connection, "append_log", batches=log_rows)
        return Settled(healths=healths, disabled=tuple(disabled))

    async def untold(self, limit: int) -> list[Untold]:
        """Disabled endpoints whose owners are still to be told."""
        found = await self._database.rows("untold_webhooks", limit=limit)
        return [Untold(**dict(zip(Untold.__struct_fields__, row, strict=True))) for row in found]

    async def told(self, webhook_id: str) -> None:
        """The owner was told, or cannot be."""
        await self._database.execute("webhook_told", webhook_id=webhook_id)


_HEALTH = Health.__struct_fields__
"""In the order in which ``lock_webhook_states`` selects them."""


async def _set_states(
    connection: AsyncConnection[Row],
    posts: Sequence[PostEnded],
    current: Sequence[PostEnded],
    healths: Mapping[str, Health],
    told: set[str],
) -> None:
    """``current``: those of the posts whose endpoint was not changed since; the others were taken, or not, no more."""
    last = {post.webhook_id: post for post in current}
    taken = dict.fromkeys(healths, 0)
    for post in posts:
        if post.webhook_id in taken and post.result.is_taken:
            taken[post.webhook_id] += post.events
    lasts = [last.get(id) for id in healths]
    await execute(
        connection,
        "set_webhook_states",
        webhook_ids=list(healths),
        failures=[health.failures for health in healths.values()],
        failed_since=[health.failed_since for health in healths.values()],
        failed_at=[health.failed_at for health in healths.values()],
        next_at=[health.next_at for health in healths.values()],
        disabled_at=[health.disabled_at for health in healths.values()],
        disabled_reasons=[health.disabled_reason for health in healths.values()],
        untold=[id in told for id in healths],
        last_at=[post and post.result.ended for post in lasts],
        last_statuses=[(post and post.result.status) or None for post in lasts],
        last_errors=[post and post.result.error for post in lasts],
        last_ms=[post and post.attempt.duration_ms for post in lasts],
        rates=[post and post.rate for post in lasts],
        posted=list(taken.values()),
    )


async def _settle_bundles(connection: AsyncConnection[Row], life: int, bundles: Sequence[BundleEnded]) -> None:
    taken = [bundle for bundle in bundles if not bundle.left]
    back = [(bundle, left) for bundle in bundles for left in bundle.left if left.events is None]
    split = [(bundle, left) for bundle in bundles for left in bundle.left if left.events is not None]
    if taken:
        await execute(connection, "take_webhook_bundles", life=life, **_keys(taken))
    if back:
        await execute(connection, "put_back_webhook_bundles", life=life, **_keys(b for b, _ in back), **_lefts(back))
    if split:
        await execute(
            connection,
            "split_webhook_bundles",
            life=life,
            events=[left.events for _, left in split],
            counts=[left.count for _, left in split],
            **_keys(bundle for bundle, _ in split),
            **_lefts(split),
        )


def _keys(bundles: Iterable[BundleEnded]) -> dict[str, list[Any]]:
    pairs = [(bundle.webhook_id, bundle.id) for bundle in bundles]
    return {"webhook_ids": [webhook_id for webhook_id, _ in pairs], "ids": [id for _, id in pairs]}


def _lefts(pairs: Sequence[tuple[BundleEnded, Left]]) -> dict[str, list[Any]]:
    return {"attempts": [left.attempts for _, left in pairs], "due_at": [left.due_at for _, left in pairs]}


def _disabled(state: Row, health: Health) -> WebhookDisabled:
    assert health.disabled_at is not None
    return WebhookDisabled(
        id=new_id("evt_"),
        at=health.disabled_at.timestamp(),
        tenant_id=state[1],
        webhook_id=state[0],
        url=origin(state[2]),
        reason=health.disabled_reason,
    )


def _log_rows(attempts: Sequence[WebhookAttempt], disabled: Sequence[WebhookDisabled]) -> list[bytes]:
    """Rows of the event log. Attempts are apart from what is posted to endpoints, which need not read them."""
    found = [encode_batch(part) for part in _parts(attempts)]
    return [*found, encode_batch(disabled)] if disabled else found


def _parts(attempts: Sequence[WebhookAttempt]) -> Iterator[Sequence[WebhookAttempt]]:
    """The attempts in rows within the bounds, in order."""
    start = ids = 0
    for end, attempt in enumerate(attempts, 1):
        ids += len(attempt.event_ids)
        if end - start >= MOST_ATTEMPTS_IN_ROW or ids >= MOST_IDS_IN_ROW or end == len(attempts):
            yield attempts[start:end]
            start, ids = end, 0
