"""The journal's part for delivery: leases, claims, outcomes, and the delivery actors that own them.

The queue table holds a row per unfinished delivery. PROCESSING and SENDING are leases: ``due_at`` says when the
scheduler may take the row back. The claim is the only fence against a cancel and against a second owner.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.journal.database import Database, Row, execute, rows
from cluster.journal.intake import tally
from cluster.journal.records import Claimed, Outcome, Waiting
from cluster.policy.lifecycle import Status


class Settlement(Struct, frozen=True):
    """What became of deliveries that a former life was told to be accepted."""

    finished: int
    known: int
    """Their ends were in the journal already."""
    claimed_again: int
    """Of the finished: claimed again meanwhile, so that the message may arrive twice."""


class Queue(Database):
    """The work that is left."""

    async def claim(self, wanted: Sequence[Waiting], *, owner: int, lease_s: float) -> list[Claimed]:
        """Claim deliveries for transmission: once this returns, they cannot be cancelled any more.

        What is missing from the answer was cancelled, is finished, was moved to another pool or route, or is in other
        hands: forget it.
        """
        claimed = await self._rows(
            "claim",
            owner=owner,
            lease_s=lease_s,
            pools=[waiting.pool for waiting in wanted],
            routes=[waiting.route for waiting in wanted],
            **keys(wanted),
        )
        return [_claimed(*row) for row in claimed]

    async def commit_outcomes(self, outcomes: Sequence[Outcome], *, owner: int, events: bytes) -> None:
        """States and their events, in one transaction."""
        at = datetime.now(UTC)
        ended = [o for o in outcomes if o.status is not Status.QUEUED]
        deferred = [o for o in outcomes if o.status is Status.QUEUED]
        if all(o.alone for o in ended):
            await self._execute(
                "commit_alone",
                at=at,
                owner=owner,
                shard=self.shard,
                events=events,
                deferred_ids=[o.message_id for o in deferred],
                deferred_nos=[o.recipient_no for o in deferred],
                due_ats=[o.due_at for o in deferred],
                reasons=[o.error_message for o in deferred],
                **keys(ended),
                **_ends(ended),
            )
            return
        async with self._transaction() as connection:
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
            await execute(connection, "append_log", batches=[events])
            await tally(connection, self.shard, changes, at)

    async def settle(self, outcomes: Sequence[Outcome], attempts: Sequence[int], *, events: bytes) -> Settlement:
        """Finish deliveries that a former life of an actor was told to be accepted, at its ``attempts``, whoever holds
        them now. To be done before the leases of that life are taken back. Doing it twice changes nothing, but that
        the events, whose ids are stable, are in the log twice.
        """
        at = datetime.now(UTC)
        async with self._transaction() as connection:
            claimed = {(m, n): times for m, n, times in await rows(connection, "times_claimed", **keys(outcomes))}
            times = [claimed.get((o.message_id, o.recipient_no), 0) for o in outcomes]
            # Fewer claims than attempts: it was finished, and then queued anew by a client who wants it sent again.
            standing = [o for o, now, then in zip(outcomes, times, attempts, strict=True) if now >= then]
            changes = await finish(connection, standing, at)
            await execute(connection, "append_log", batches=[events])
            await tally(connection, self.shard, changes, at)
        again = sum(now > then for now, then in zip(times, attempts, strict=True))
        return Settlement(len(standing), len(outcomes) - len(standing), again)

    async def unclaim(self, deliveries: Sequence[tuple[str, int]], *, owner: int) -> int:
        """Give back deliveries (message id, recipient number) that the owner may have claimed without learning of it;
        returns how many it had."""
        return await self._execute(
            "unclaim",
            owner=owner,
            message_ids=[message_id for message_id, _ in deliveries],
            recipient_nos=[recipient_no for _, recipient_no in deliveries],
        )

    async def contents(self, request_ids: Sequence[str]) -> dict[str, bytes]:
        """The encoded shared content of requests, by their ids."""
        return dict(await self._rows("contents", request_ids=list(request_ids)))

    async def attachments(self, hashes: Sequence[bytes]) -> dict[bytes, bytes]:
        """The bytes of attached files, by their sha256."""
        return dict(await self._rows("attachments", hashes=list(hashes)))

    async def register_actor(self, name: str, node_id: str) -> tuple[int, int]:
        """Begin a new life of a delivery actor: its epoch, and how many deliveries its last life left behind."""
        async with self._transaction() as connection:
            taken_back = 0
            for (former,) in await rows(connection, "epoch_of", name=name):
                taken_back = await execute(connection, "take_back", epoch=former)
            ((epoch,),) = await rows(connection, "new_epoch")
            await execute(connection, "register_actor", name=name, epoch=epoch, node_id=node_id)
        return epoch, taken_back

    async def retire_actor(self, name: str, epoch: int) -> int:
        """End a life: its leases go back to the queue; returns how many."""
        async with self._transaction() as connection:
            taken_back = await execute(connection, "take_back", epoch=epoch)
            await execute(connection, "forget_actor", name=name, epoch=epoch)
        return taken_back


async def finish(
    connection: AsyncConnection[Row], outcomes: Sequence[Outcome], at: datetime
) -> list[tuple[str, str | None, int]]:
    """End deliveries, and with them the messages that have no other left; returns the changes to tally."""
    changes: list[tuple[str, str | None, int]] = []
    alone = [o for o in outcomes if o.alone]
    if alone:
        finished = await rows(connection, "finish_alone", at=at, **keys(alone), **_ends(alone))
        changes += [(batch_id, status, messages) for batch_id, status, messages in finished]
    if shared := [o for o in outcomes if not o.alone]:
        changes += await _finish_shared(connection, shared, at)
    return changes


async def _finish_shared(
    connection: AsyncConnection[Row], outcomes: Sequence[Outcome], at: datetime
) -> list[tuple[str, str | None, int]]:
    """End recipients of messages that have several; two actors that end the last two must see each other."""
    message_ids = [outcome.message_id for outcome in outcomes]
    await rows(connection, "lock_messages", tenant_ids=[o.tenant_id for o in outcomes], message_ids=message_ids)
    await execute(connection, "finish_one_of_many", **keys(outcomes), **_ends(outcomes))
    folded = await rows(connection, "fold_finished", message_ids=sorted(set(message_ids)), at=at)
    return [(batch_id, status, messages) for batch_id, status, messages in folded]


def _claimed(
    message_id: str,
    recipient_no: int,
    recipient: str,
    domain: str,
    tenant_id: str,
    request_id: str,
    batch_id: str | None,
    attempts: int,
    alone: bool,
    created_at: datetime,
    send_at: datetime,
    dated_at: datetime,
    expires_at: datetime,
    personal: bytes,
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
        alone=alone,
        created_at=created_at,
        send_at=send_at,
        dated_at=dated_at,
        expires_at=expires_at,
        personal=personal,
    )


def keys(deliveries: Sequence[Waiting] | Sequence[Outcome]) -> dict[str, list[str] | list[int]]:
    return {
        "message_ids": [d.message_id for d in deliveries],
        "recipient_nos": [d.recipient_no for d in deliveries],
    }


def _ends(outcomes: Sequence[Outcome]) -> dict[str, list[str] | list[str | None]]:
    return {
        "statuses": [o.status.value for o in outcomes],
        "errors": [o.error_message for o in outcomes],
    }
