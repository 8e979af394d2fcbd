"""The journal's part for messages that crash delivery actors: strikes, and setting aside (policy/limits/strikes.py).

Every step may be repeated: when a life ends between two steps, the next life starts again with the first.
"""

from datetime import UTC, datetime

from msgspec import Struct

from cluster.ids import same_moment
from cluster.journal.database import JournalPart, execute, rows
from cluster.journal.day_tables import span
from cluster.journal.ending import Ended, append_dropped, finish, tally
from cluster.journal.records import Outcome
from cluster.policy.lifecycle import Status, Transition, after
from cluster.policy.limits.strikes import SetAside, SetAsideScope, Strike, decide, reason_for


class Struck(Struct, frozen=True, kw_only=True):
    """A message that a life of a delivery actor was at work on when it ended."""

    tenant_id: str
    message_id: str
    shared: bool = False
    """Whether it was at work on the content that the messages of its request share."""


class StrikeResult(Struct, frozen=True):
    """The result of a strike."""

    strikes: int
    """The strikes of the message, this one included; 0 when it is finished or unknown."""
    aside: SetAside | None
    ended: int
    """How many deliveries were set aside."""


class Strikes(JournalPart):
    """Records strikes and sets messages aside."""

    async def record(self, struck: Struck, *, life: int, actor: str) -> StrikeResult:
        """Record that a life of an actor ended over a message, and set messages aside that have too many strikes. Call
        this before that life's leases are taken back.

        Deliveries that another actor is sending are left unchanged. A repeated call changes nothing.
        """
        key = {"tenant_id": struck.tenant_id, "message_id": struck.message_id}
        async with self._database.transaction() as connection:
            await execute(connection, "strike", life=life, shared=struck.shared, actor=actor, **key)
            strikes = [Strike(*row) for row in await rows(connection, "strikes_of_request", **key)]
        own = len({strike.life for strike in strikes if strike.message_id == struck.message_id})
        aside = decide(strikes, struck.message_id) if own else None
        if aside is None:
            return StrikeResult(own, None, 0)
        message_ids = [struck.message_id]
        if aside.scope is SetAsideScope.REQUEST:
            first, last = same_moment(struck.message_id)
            found = await self._database.rows("unfinished_of_request", first=first, last=last, **key)
            message_ids = [message_id for (message_id,) in found]
        ended = 0
        for message_id in message_ids:
            reason = reason_for(aside, message_id, struck.message_id)
            ended += await self._set_aside(struck.tenant_id, message_id, life, reason)
        return StrikeResult(own, aside, ended)

    async def _set_aside(self, tenant_id: str, message_id: str, life: int, reason: str) -> int:
        """queued | processing | sending (by no live actor) → failed; returns how many deliveries."""
        async with self._database.transaction() as connection:
            key = {"tenant_id": tenant_id, "message_id": message_id}
            # As in every command: lock the message first, then its deliveries.
            ((_, categories, _),) = await rows(connection, "lock_message", **key, **span([message_id]))
            locked = await rows(connection, "lock_set_aside", life=life, **key)
            if not locked:
                return 0
            at = datetime.now(UTC)
            outcomes = [
                Outcome(
                    tenant_id=tenant_id,
                    message_id=message_id,
                    recipient_no=recipient_no,
                    status=after(Status(status), Transition.SET_ASIDE),
                    sole_recipient=sole_recipient,
                    error_message=reason,
                )
                for recipient_no, _, _, sole_recipient, status in locked
            ]
            finished = await finish(connection, outcomes, at)
            ended = [
                Ended(tenant_id, message_id, recipient, batch_id, categories) for _, recipient, batch_id, _, _ in locked
            ]
            await append_dropped(connection, ended, reason, at)
            await tally(connection, self._database.shard, finished.changes, at)
        return len(locked)
