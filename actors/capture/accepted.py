"""The accepted message of a captured mail: its state from the journal, its timeline from the event store.

It connects to the journal when the first message is looked up: the sink itself needs none. It reads, and changes
nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from analytics.queries import MessageEvents
from analytics.timeline import Timeline, events_of
from cluster.ids import is_id
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import Address, MessageRow, decode_content, decode_personalization
from cluster.policy.lifecycle import Status
from cluster.tracking.keys import TokenKeys
from cluster.tracking.tokens import Kind
from cluster.vault import Vault, WrongKey

log = logging.getLogger(__name__)

TRACKED = "/t/c/"
"""What stands in the URL of a tracked link, before its token."""


class AcceptedMessage(Struct, frozen=True, kw_only=True):
    """What the page shows of a message."""

    id: str
    tenant_id: str
    status: Status
    subject: str
    """As it was accepted, before substitution."""
    sender: Address
    recipients: list[tuple[str, list[Address]]]
    """By kind: To, Cc, Bcc."""
    created_at: datetime
    send_at: datetime | None
    finished_at: datetime | None
    retry_count: int
    next_retry_at: datetime | None
    error_message: str | None
    batch_id: str | None
    template_id: str | None
    categories: list[str]
    timeline: MessageEvents | None
    """None when the event store cannot be read now."""


class AcceptedMessages:
    """Finds accepted messages of all tenants."""

    def __init__(
        self,
        open_journal: Callable[[], Awaitable[Journal]],
        timeline: Timeline,
        vault: Vault,
    ) -> None:
        """``vault`` opens the keys of tracked links."""
        self._open_journal = open_journal
        self._vault = vault
        self._timeline = timeline
        self._journal: Journal | None = None
        self._opening = asyncio.Lock()

    async def find(self, message_id: str) -> AcceptedMessage | None:
        """A message by its id; None when there is none. Raises Unavailable."""
        if not is_id("msg_", message_id):
            return None
        journal = await self._opened()
        tenant_id = await journal.messages.tenant_of(message_id)
        row = await journal.messages.find(tenant_id, message_id) if tenant_id is not None else None
        return None if row is None else _shown(row, await events_of(self._timeline, row.tenant_id, row.id))

    async def targets(self, urls: Iterable[str]) -> Mapping[str, str]:
        """Where those of these links lead that are tracked, by URL; none while the journal is away."""
        tokens = {url: url.rpartition("/")[2] for url in urls if TRACKED in url}
        if not tokens:
            return {}
        try:
            keys = TokenKeys(await self._opened(), self._vault)
            await keys.load()
            named = {url: await keys.read(token, Kind.CLICK) for url, token in tokens.items()}
        except (Unavailable, WrongKey) as error:
            log.warning("targets of links not shown reason=%r", str(error))
            return {}
        return {url: one.target.url for url, one in named.items() if one is not None and one.target is not None}

    async def _opened(self) -> Journal:
        async with self._opening:
            if self._journal is None:
                self._journal = await self._open_journal()
            return self._journal

    async def close(self) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            await journal.close()


def _shown(row: MessageRow, timeline: MessageEvents | None) -> AcceptedMessage:
    content, own = decode_content(row.content), decode_personalization(row.personalization)
    kinds = (("To", own.to), ("Cc", own.cc), ("Bcc", own.bcc))
    return AcceptedMessage(
        id=row.id,
        tenant_id=row.tenant_id,
        status=row.status,
        subject=own.subject or content.subject,
        sender=own.from_ or content.from_,
        recipients=[(kind, list(addresses)) for kind, addresses in kinds if addresses],
        created_at=row.created_at,
        send_at=row.send_at,
        finished_at=row.finished_at,
        retry_count=row.retry_count,
        next_retry_at=row.next_retry_at,
        error_message=row.error_message,
        batch_id=row.batch_id,
        template_id=content.template_id,
        categories=list(content.categories),
        timeline=timeline,
    )
