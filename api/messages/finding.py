"""Finds the message that a client names."""

from functools import partial

from api.http.existing import MESSAGE, ThingKind, existing, missing
from cluster.journal.journal import Journal
from cluster.journal.records import ApiKey, MessageRow
from cluster.policy.lifecycle import Status


async def message_of(journal: Journal, key: ApiKey, id: str, kind: ThingKind = MESSAGE) -> MessageRow:
    """A message of the key's tenant; a sandbox key sees only sandbox messages. ``kind`` is what the client calls it.
    Raises NotFound."""
    row = await existing(kind, id, partial(journal.messages.find, key.tenant_id))
    if key.sandbox and row.status is not Status.SANDBOX:
        raise missing(kind)
    return row
