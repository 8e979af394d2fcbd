"""The journal's part for delivery: claims and outcomes.

The queue table holds a row per unfinished delivery. PROCESSING and SENDING are leases: ``due_at`` says when the
scheduler may take the row back. The claim is the only fence against a cancel and against a second owner.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from cluster.events import Delivered, encode_batch
from cluster.journal.database import JournalPart, execute, rows
from cluster.journal.ending import ends, finish, tally
from cluster.journal.event_log import append
from cluster.journal.records import Claimed, DueDelivery, Outcome, OutcomeWithEvent, keys
from cluster.policy.lifecycle import Status


class Settlement(Struct, frozen=True):
    """What became of deliveries that a former life was told to be accepted."""

    finished: int
    known: int
    """Their ends were in the journal already."""
    claimed_again: int
    """Of the finished: claimed again meanwhile, so that the message may arrive twice."""


class Queue(JournalPart):
    """The work that is left."""

    async def claim(self, wanted: Sequence[DueDelivery], *, owner: int, lease_s: float) -> list[Claimed]:
        """Claim deliveries for transmission: once this returns, they cannot be cancelled any more.

        What is missing from the answer was cancelled, is finished, was moved to another pool or route, or is in other
        hands: forget it.
        """
        claimed = await self._database.rows(
            "claim",
            owner=owner,
            lease_s=lease_s,
            pools=[waiting.pool for waiting in wanted],
            routes=[waiting.route for waiting in wanted],
            **keys(wanted),
        )
        return [_claimed(*row) for row in claimed]

    async def commit(self, results: Sequence[OutcomeWithEvent], *, owner: int) -> None:
        """Write outcomes and their events, in one transaction. Only what ``owner`` has claimed is deferred."""
        at = datetime.now(UTC)
        events = [event for _, event in results]
        ended = [o for o, _ in results if o.status is not Status.QUEUED]
        deferred = [o for o, _ in results if o.status is Status.QUEUED]
        if all(o.sole_recipient for o in ended):
            await self._database.execute(
                "commit_alone",
                at=at,
                owner=owner,
                shard=self._database.shard,
                events=encode_batch(events),
                deferred_ids=[o.message_id for o in deferred],
                deferred_nos=[o.recipient_no for o in deferred],
                due_ats=[o.due_at for o in deferred],
                reasons=[o.error_message for o in deferred],
                **keys(ended),
                **ends(ended),
            )
            return
        async with self._database.transaction() as connection:
            changes = await finish(connection, ended, at)
            if deferred:
                await execute(
                    connection,
                    "defer",
                    owner=owner,
                    due_ats=[o.due_at for o in deferred],
                    errors=[o.error_message for o in deferred],
                    **keys(deferred),
                )
            await append(connection, events)
            await tally(connection, self._database.shard, changes, at)

    async def settle(self, accepted: Sequence[tuple[Outcome, Delivered]]) -> Settlement:
        """Finish deliveries of which a former life of an actor knows that a host accepted them, no matter which actor
        holds them now. To be done before the leases of that life are taken back. Doing it twice changes nothing, but
        that the events, whose ids are stable, are in the log twice.
        """
        at = datetime.now(UTC)
        outcomes = [outcome for outcome, _ in accepted]
        async with self._database.transaction() as connection:
            claimed = {(m, n): times for m, n, times in await rows(connection, "times_claimed", **keys(outcomes))}
            # Claims so far, and the attempt at which it was accepted.
            times = [(claimed.get((o.message_id, o.recipient_no), 0), event.attempt) for o, event in accepted]
            # Fewer claims than attempts: it was finished, and then queued anew by a client who wants it sent again.
            standing = [o for o, (now, then) in zip(outcomes, times, strict=True) if now >= then]
            changes = await finish(connection, standing, at)
            await append(connection, [event for _, event in accepted])
            await tally(connection, self._database.shard, changes, at)
        again = sum(now > then for now, then in times)
        return Settlement(len(standing), len(outcomes) - len(standing), again)

    async def unclaim(self, deliveries: Sequence[tuple[str, int]], *, owner: int) -> int:
        """Give back deliveries (message id, recipient number) that the owner may have claimed without learning of it;
        returns how many it had."""
        return await self._database.execute(
            "unclaim",
            owner=owner,
            message_ids=[message_id for message_id, _ in deliveries],
            recipient_nos=[recipient_no for _, recipient_no in deliveries],
        )

    async def backlog(self) -> int:
        """Deliveries in the queue: in constant time, and behind by some seconds at most."""
        row = await self._database.row("backlog")
        assert row is not None
        return int(row[0])

    async def count_backlog(self) -> None:
        """Have the backlog estimated anew, from a sample of bounded size; Postgres forgets it when it crashes."""
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
) -> Claimed:
    """From the columns of the claim."""
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
    )
