"""The journal's part that erases the data about recipients of a tenant: the jobs, and their steps. A step that is
repeated does nothing, so the process that erases may be killed between any two.

A job covers the messages that were accepted before it was requested; later ones are not touched. The clocks of nodes
differ, so messages of the second after the request are covered, too.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from cluster.events import WebhookDisabled
from cluster.ids import first_id, new_id, same_moment
from cluster.journal.database import JournalPart, Row, rows
from cluster.journal.queue_control import UnfinishedDelivery
from cluster.message.erased import owed_without
from cluster.message.mentions import Mentions
from cluster.policy.forms import Form
from cluster.suppression.address import compared
from cluster.webhooks.bundles import decode_event, encode_event, joined, split_bundle

CLOCKS_DIFFER_S = 1.0
AFTER_S = 2.0
"""How long after its request a job begins: by then all messages that it covers have been accepted."""
PAGE = 500
MOST_ADDRESSES = 5000
"""Of a job."""
BUNDLES = 20
TABLES = (
    "messages",
    "requests",
    "outcomes",
    "deliveries",
    "mail_in",
    "site_actions",
    "operator_audit",
    "suppressions",
    "suppression_imports",
    "event_log",
    "webhook_bundles",
    "erase_mentions",
    "erase_jobs",
)
"""The tables in which a job deletes or changes rows."""


class Stage(StrEnum):
    """What a job does next."""

    JOURNAL = "journal"
    MENTIONS = "mentions"
    """The addresses in messages to others."""
    BUNDLES = "bundles"
    EVENTS = "events"
    LAST = "last"
    """What replays of webhooks read before the events were erased, and files of delivery actors."""
    COMPACT = "compact"
    """The job's addresses are deleted, too; what was erased is being removed from the disk."""
    DONE = "done"


class EraseJob(Form, frozen=True):
    """A job that is not done. ``addresses`` are as addresses compare."""

    id: str
    tenant_id: str
    addresses: Sequence[str]
    created_at: datetime
    stage: str
    mark: int | None
    searched_to: str
    """The last message that was searched for mentions of the addresses."""

    @property
    def before(self) -> str:
        """The messages that it covers have smaller ids."""
        return first_id("msg_", self.created_at + timedelta(seconds=CLOCKS_DIFFER_S))


class EraseJobState(Struct, frozen=True):
    """A job as its tenant sees it."""

    id: str
    stage: str
    created_at: datetime
    finished_at: datetime | None


class RecipientErasure(JournalPart):
    """Takes jobs and does their steps."""

    async def add(self, tenant_id: str, emails: Sequence[str], *, after_s: float = AFTER_S) -> str:
        """Request the erasure of these addresses; returns the job's id."""
        id = new_id("ers_")
        addresses = list(dict.fromkeys(map(compared, emails)))
        await self._database.execute("add_erase_job", id=id, tenant_id=tenant_id, addresses=addresses, after_s=after_s)
        return id

    async def find(self, tenant_id: str, id: str) -> EraseJobState | None:
        row = await self._database.row("find_erase_job", tenant_id=tenant_id, id=id)
        return EraseJobState(*row) if row else None

    async def next(self) -> EraseJob | None:
        """The job that has waited longest; None when none can go on now."""
        row = await self._database.row("next_erase_job")
        return EraseJob(*row) if row else None

    async def postpone(self, job: EraseJob, wait_s: float) -> None:
        await self._database.execute("postpone_erase_job", id=job.id, wait_s=wait_s)

    async def begin(self, job: EraseJob, stage: Stage) -> None:
        await self._database.execute("begin_erase_stage", id=job.id, stage=stage.value)

    async def forget(self, job: EraseJob) -> None:
        """Everything is erased: the job forgets its addresses and begins its last stage."""
        await self._database.execute("forget_erased", id=job.id, stage=Stage.COMPACT.value)

    async def finish(self, job: EraseJob) -> None:
        await self._database.execute("finish_erase_job", id=job.id)

    async def is_log_read(self, job: EraseJob) -> bool:
        """Whether every consumer has read what was logged before the job's stage began."""
        row = await self._database.row("is_log_read_to", mark=job.mark)
        assert row is not None
        return bool(row[0])

    async def unfinished(self, job: EraseJob) -> list[UnfinishedDelivery]:
        """Some deliveries to the addresses. Reads the whole queue when there are none."""
        async with self._database.searching() as connection:
            found = await rows(
                connection,
                "unfinished_to",
                tenant_id=job.tenant_id,
                before=job.before,
                addresses=job.addresses,
                limit=PAGE,
            )
        return [UnfinishedDelivery(*row) for row in found]

    async def messages(self, job: EraseJob, after: str) -> tuple[bool, str | None]:
        """Erase the messages to the addresses in one page of the tenant's messages. Returns whether all of them were
        erased (one that is still to be delivered to other recipients is not), and where the next page begins; None
        after the last."""
        addresses = frozenset(job.addresses)
        page = await self._database.rows(
            "recipients_of_messages", tenant_id=job.tenant_id, after=after, before=job.before, limit=PAGE
        )
        ids = [id for id, emails in page if not addresses.isdisjoint(map(compared, emails))]
        erased = await self._database.rows("erase_messages_to", tenant_id=job.tenant_id, ids=ids) if ids else []
        for request_id, message_id in {request_id: message_id for message_id, request_id in erased}.items():
            first, last = same_moment(message_id)
            await self._database.execute("erase_request", request_id=request_id, first=first, last=last)
        return len(erased) == len(ids), page[-1][0] if len(page) == PAGE else None

    async def mail_in(self, job: EraseJob) -> None:
        """Erase mail that came in from the addresses or about them."""
        mentions = Mentions(job.addresses)

        def is_about(row: Row) -> bool:
            _, sender, recipients, why, original = row
            return mentions.are_in("\n".join((sender, why, *recipients))) or (
                original is not None and mentions.are_in_mail(original)
            )

        await self._in_pages("mail_in_after", "erase_these_mail_in", is_about, 0, tenant_id=job.tenant_id)

    async def replies(self, job: EraseJob) -> None:
        """Empty replies of hosts, queries of operators and lines of uploaded lists that name the addresses, where they
        are kept apart from messages."""
        mentions = Mentions(job.addresses)

        def is_about(row: Row) -> bool:
            return any(map(mentions.are_in, row[1:]))

        await self._in_pages("site_actions_after", "empty_site_actions", is_about, 0)
        await self._in_pages("audit_after", "empty_audit", is_about, 0)
        await self._in_pages("faulty_imports_after", "empty_import_faults", is_about, "", tenant_id=job.tenant_id)

    async def _in_pages(
        self, search: str, change: str, is_about: Callable[[Row], bool], after: Any, **parameters: Any
    ) -> None:
        while page := await self._database.rows(search, after=after, limit=PAGE, **parameters):
            about = await asyncio.to_thread(list, filter(is_about, page))
            if ids := [row[0] for row in about]:
                await self._database.execute(change, ids=ids)
            after = page[-1][0]

    async def suppressions(self, job: EraseJob) -> None:
        """Replace the addresses on the lists by their erased form."""
        key = secrets.token_bytes(32)
        await self._database.execute("add_suppression_key", tenant_id=job.tenant_id, key=key)
        await self._database.execute("hash_suppressions", tenant_id=job.tenant_id, addresses=job.addresses)

    async def bundles(self, job: EraseJob) -> tuple[bool, int]:
        """Remove events about the addresses from what is owed to the tenant's endpoints, and the addresses from others.
        Returns whether all of them were erased (those that are being posted are not), and how many were found."""
        mentions = Mentions(job.addresses)
        is_whole, found, at = True, 0, ("", 0)
        while page := await self._database.rows(
            "bundles_after", tenant_id=job.tenant_id, webhook_id=at[0], after=at[1], limit=BUNDLES
        ):
            for webhook_id, id, events, is_held in page:
                at = (webhook_id, id)
                kept, changed = await asyncio.to_thread(_bundle_without, bytes(events), job, mentions)
                found += changed
                if changed and (is_held or not await self._shorten(webhook_id, id, kept)):
                    is_whole = False
        return is_whole, found

    async def _shorten(self, webhook_id: str, id: int, kept: Sequence[msgspec.Raw]) -> bool:
        if not kept:
            return await self._database.execute("remove_bundle", webhook_id=webhook_id, id=id) > 0
        changed = await self._database.execute(
            "shorten_bundle", webhook_id=webhook_id, id=id, events=joined(kept), count=len(kept)
        )
        return changed > 0

    async def is_replaying(self, job: EraseJob) -> bool:
        """Whether a replay of past events to endpoints of the tenant is under way."""
        row = await self._database.row("is_replaying", tenant_id=job.tenant_id)
        assert row is not None
        return bool(row[0])


def _bundle_without(events: bytes, job: EraseJob, mentions: Mentions) -> tuple[list[msgspec.Raw], int]:
    """What is left of a bundle, and how many of its events were removed or changed."""
    addresses, stored = frozenset(job.addresses), split_bundle(events)
    kept, changed = list[msgspec.Raw](), 0
    for one in stored:
        owed = decode_event(one)
        if isinstance(owed.event, WebhookDisabled) or owed.event.message_id >= job.before:
            kept.append(one)
        elif compared(owed.event.recipient) in addresses:
            changed += 1
        elif (new := owed_without(owed, mentions)) == owed:
            kept.append(one)
        else:
            kept.append(encode_event(new))
            changed += 1
    return kept, changed
