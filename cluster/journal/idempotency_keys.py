"""The journal's part for idempotency keys: what was answered to the first request with a key.

A key is committed with the mail of its request, so after a crash a repeat gets the first answer, and two requests with
one key never both send. Every way in for mail may use it; the key belongs to the tenant, whichever way it took.
"""

from collections.abc import Sequence
from datetime import datetime

from psycopg import AsyncConnection

from cluster.journal.database import JournalPart, Row, rows
from cluster.journal.idempotency import KEPT, FirstAnswer, IdempotencyKey
from cluster.journal.records import NewRequest


class IdempotencyKeys(JournalPart):
    """Finds first answers."""

    async def first_answer(self, tenant_id: str, key: IdempotencyKey, now: datetime) -> FirstAnswer | None:
        """The answer to the tenant's first request with this key; None when the key is free."""
        row = await self._database.row(
            "first_answer", tenant_id=tenant_id, sandbox=key.sandbox, key=key.text, since=now - KEPT
        )
        if row is None:
            return None
        body_sha256, message_ids, ignored = row
        return FirstAnswer(body_sha256=body_sha256, message_ids=message_ids, ignored=ignored)


async def claim(connection: AsyncConnection[Row], requests: Sequence[NewRequest]) -> frozenset[str]:
    """Take the keys of requests within the transaction that commits them. Returns the ids of the requests whose key is
    taken: they must not be committed."""
    named: dict[tuple[str, bool, str], tuple[NewRequest, IdempotencyKey]] = {}
    for request in requests:
        if (key := request.idempotency) is not None:
            named.setdefault((request.tenant_id, key.sandbox, key.text), (request, key))
    if not named:
        return frozenset()
    new = list(named.values())
    claimed = await rows(
        connection,
        "claim_idempotency_keys",
        tenant_ids=[request.tenant_id for request, _ in new],
        sandboxes=[key.sandbox for _, key in new],
        keys=[key.text for _, key in new],
        bodies=[key.body_sha256 for _, key in new],
        message_ids=["{" + ",".join(request.message_ids) + "}" for request, _ in new],
        ignored=[key.ignored for _, key in new],
        created_ats=[request.created_at for request, _ in new],
        kept=KEPT,
    )
    winners = {named[tenant_id, sandbox, key][0].id for tenant_id, sandbox, key in claimed}
    return frozenset(
        request.id for request in requests if request.idempotency is not None and request.id not in winners
    )
