"""The journal's part for delivery: claims and outcomes.

The queue table has a row per unfinished delivery. PROCESSING and SENDING are leases: ``due_at`` is when the scheduler
may take the row back. The claim is the only fence against a cancel and against a second owner.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.events import Delivered, Event, encode_batch
from cluster.ids import made_at
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.day_tables import span
from cluster.journal.ending import Finished, ends, finish, tally
from cluster.journal.event_log import append
from cluster.journal.mail_in import open_windows
from cluster.journal.records import (
    Claimed,
    ClaimSuppression,
    DueDelivery,
    ListedOutcome,
    Outcome,
    OutcomeWithEvent,
    keys,
)
from cluster.journal.suppressions import suppress
from cluster.journal.tenant_rates import count_ends
from cluster.policy.lifecycle import Status
from cluster.tenancy.rates import end_of


class QueueAges(Struct, frozen=True, kw_only=True):
    """How the queue stands."""

    unfinished: int
    """Deliveries; lags by some seconds at most."""
    oldest_at: datetime | None
    """When the oldest unfinished message was accepted, scheduled ones among them; None when there is none."""
    overdue_s: float
    """For how long what is due first has been due; 0 when nothing is."""


class Settlement(Struct, frozen=True):
    """The result of ``settle``: counts of deliveries that a host had accepted from a former life of an actor."""

    finished: int
    known: int
    """The journal had their outcome already."""
    claimed_again: int
    """Those of ``finished`` that were claimed again meanwhile, so that the message may arrive twice."""


class Queue(JournalPart):
    """Claims deliveries and commits their outcomes."""

    async def claim(self, wanted: Sequence[DueDelivery], *, owner: int, lease_s: float) -> list[Claimed]:
        """Claim deliveries for transmission: once this returns, they can no longer be cancelled. Those with a
        ``suppression`` may not be sent.

        For a delivery that is missing from the result the claim missed: it was cancelled, paused, finished, has
        expired, was moved to another pool or route, or another transaction or owner has it. The caller forgets it.
        """
        claimed = await self._database.rows(
            "claim",
            owner=owner,
            lease_s=lease_s,
            pools=[waiting.pool for waiting in wanted],
            routes=[waiting.route for waiting in wanted],
            **keys(wanted),
            **span(waiting.message_id for waiting in wanted),
        )
        return [_claimed(*row) for row in claimed]

    async def commit(self, results: Sequence[OutcomeWithEvent], *, owner: int, window_s: float = 0.0) -> None:
        """Write outcomes, their events and the entries of suppression lists in one transaction. A deferral applies only
        to deliveries that ``owner`` has claimed. ``window_s``: for how long after a host took a message its failure may
        be reported, 0 for no time."""
        at = datetime.now(UTC)
        events = [event for _, event in results]
        sole = [(o, e) for o, e in results if o.status is not Status.QUEUED and o.sole_recipient]
        shared = [(o, e) for o, e in results if o.status is not Status.QUEUED and not o.sole_recipient]
        ended = [o for o, _ in (*sole, *shared)]
        deferred = [o for o, _ in results if o.status is Status.QUEUED]
        listed = [o.listed for o in ended if isinstance(o, ListedOutcome)]
        if not listed and not window_s and not shared:
            async with self._database.connection() as connection:
                await self._commit_sole(connection, sole, deferred, events, at, owner)
            return
        async with self._database.transaction() as connection:
            finished = await finish(connection, [o for o, _ in shared], at)
            await self._commit_sole(connection, sole, deferred, events, at, owner)
            await self._count(connection, finished, shared, at)
            if listed:
                await suppress(connection, listed)
            if window_s:
                await open_windows(connection, ended, window_s, at)

    async def _commit_sole(
        self,
        connection: AsyncConnection[Row],
        sole: Sequence[OutcomeWithEvent],
        deferred: Sequence[Outcome],
        events: list[Event],
        at: datetime,
        owner: int,
    ) -> None:
        ended = [outcome for outcome, _ in sole]
        await execute(
            connection,
            "commit_sole_recipients",
            at=at,
            owner=owner,
            shard=self._database.shard,
            events=encode_batch(events),
            counts_as=[end_of(event) if outcome.is_counted else None for outcome, event in sole],
            deferred_ids=[o.message_id for o in deferred],
            deferred_nos=[o.recipient_no for o in deferred],
            due_ats=[o.due_at for o in deferred],
            reasons=[o.error_message for o in deferred],
            **keys(ended),
            **ends(ended),
        )

    async def _count(
        self, connection: AsyncConnection[Row], finished: Finished, results: Sequence[OutcomeWithEvent], at: datetime
    ) -> None:
        """Tally what ``finish`` has ended, and count it for the rates of tenants. A repeated result counts once."""
        await tally(connection, self._database.shard, finished.changes, at)
        counting = [event for o, event in results if o.is_counted and (o.message_id, o.recipient_no) in finished.ended]
        await count_ends(connection, self._database.shard, counting)

    async def settle(
        self, accepted: Sequence[tuple[Outcome, Delivered]], *, window_s: float = 0.0, restored_from: float = math.inf
    ) -> Settlement:
        """Finish deliveries that a host accepted from a former life of an actor, whichever actor owns them now. Call
        this before the leases of that life are taken back. A repeated call only writes the events, whose ids are
        stable, to the log again. ``window_s``: as in ``commit``. ``restored_from``: in a restored journal, when its
        backup began, in seconds since the epoch: it does not have the claims of what was accepted later.
        """
        at = datetime.now(UTC)
        outcomes = [outcome for outcome, _ in accepted]
        async with self._database.transaction() as connection:
            claimed = {(m, n): times for m, n, times in await rows(connection, "times_claimed", **keys(outcomes))}
            # (claims so far, the attempt that was accepted)
            times = [(claimed.get((o.message_id, o.recipient_no), 0), event.attempt) for o, event in accepted]
            # Fewer claims than attempts: it was finished, and a client may have queued it again since (retry).
            standing = [
                outcome
                for (outcome, event), (now, then) in zip(accepted, times, strict=True)
                if now >= then or event.at >= restored_from
            ]
            finished = await finish(connection, standing, at)
            await append(connection, [event for _, event in accepted])
            await self._count(connection, finished, accepted, at)
            if window_s:
                await open_windows(connection, standing, window_s, at)
        again = sum(now > then for now, then in times)
        return Settlement(len(standing), len(outcomes) - len(standing), again)

    async def unclaim(self, deliveries: Sequence[tuple[str, int]], *, owner: int) -> int:
        """Put deliveries (message id, recipient number) back in the queue that the owner may have claimed without
        receiving the answer; returns how many it had."""
        return await self._database.execute(
            "unclaim",
            owner=owner,
            message_ids=[message_id for message_id, _ in deliveries],
            recipient_nos=[recipient_no for _, recipient_no in deliveries],
        )

    async def backlog(self) -> int:
        """The number of deliveries in the queue, in a few milliseconds at most. That of a long queue is some seconds
        old."""
        row = await self._database.row("backlog")
        assert row is not None
        return int(row[0])

    async def ages(self) -> QueueAges:
        """The size of the queue, as in ``backlog``, and how old what waits in it is."""
        row = await self._database.row("queue_ages")
        assert row is not None
        unfinished, first, overdue_s = row
        return QueueAges(
            unfinished=int(unfinished),
            oldest_at=made_at(first) if first is not None else None,
            overdue_s=max(0.0, overdue_s or 0.0),
        )

    async def count_backlog(self) -> None:
        """Estimate the backlog again, from a sample of bounded size: Postgres loses the count when it crashes."""
        await self._database.execute("count_backlog")


def _claimed(
    message_id: str,
    recipient_no: int,
    recipient: str,
    domain: str,
    tenant_id: str,
    request_id: str,
    batch_id: str | None,
    attempts: int,
    sole_recipient: bool,
    created_at: datetime,
    send_at: datetime,
    dated_at: datetime,
    expires_at: datetime,
    personalization: bytes,
    suppressed: list[str] | None,
) -> Claimed:
    """A ``Claimed`` from the columns that the statement ``claim`` returns."""
    return Claimed(
        message_id=message_id,
        recipient_no=recipient_no,
        recipient=recipient,
        domain=domain,
        tenant_id=tenant_id,
        request_id=request_id,
        batch_id=batch_id,
        attempts=attempts,
        sole_recipient=sole_recipient,
        created_at=created_at,
        send_at=send_at,
        dated_at=dated_at,
        expires_at=expires_at,
        personalization=personalization,
        suppression=None if suppressed is None else ClaimSuppression(suppressed[0], tuple(suppressed[1:])),
    )
