"""A journal in memory: it keeps what accept() was given, and answers what a test told it to. No SQL logic."""

import asyncio
from collections.abc import Sequence

from cluster.journal.records import (
    ApiKey,
    BatchCounts,
    Cancellation,
    Change,
    Ended,
    MessageFilter,
    MessagePage,
    MessageRow,
    NewRequest,
    Recipient,
    ScheduledSend,
    ScheduledStatus,
    SenderDomain,
    Tell,
)
from cluster.keys import new_key


class JournalDouble:
    def __init__(self) -> None:
        self.commits: list[list[NewRequest]] = []
        self.failures: list[Exception] = []
        """Raised by the next calls of accept, in order."""
        self.poisoned: set[str] = set()
        """A commit that holds one of these subjects raises what ``poison`` is."""
        self.poison: Exception = RuntimeError("unset")
        self.gate: asyncio.Event | None = None
        """accept waits for it."""
        self.keys: dict[bytes, ApiKey] = {}
        self.lookups = 0
        self.verified = {("tnt_acme", "mail.example.com"), ("tnt_acme", "xn--bcher-kva.example")}
        self.batches: set[tuple[str, str]] = set()
        self.counts: dict[tuple[str, str], BatchCounts] = {}
        self.rows: dict[tuple[str, str], MessageRow] = {}
        self.page = MessagePage(messages=[], total=0, total_is_exact=True)
        self.asked: list[tuple[MessageFilter, int, int]] = []
        self.cancellation: Cancellation | None = None
        self.cancel_events: list[bytes] = []
        self.change: Change | None = None
        """The answer to a retry or a fail."""
        self.commands: list[tuple[object, ...]] = []
        """What was commanded of messages and batches, in order."""
        self.told: list[bytes] = []
        """The events of what was ended by a command, of one delivery each."""
        self.cancelled_of_batch: int | None = None
        self.scheduled: dict[tuple[str, str], ScheduledStatus] = {}
        self.domains: list[SenderDomain] = []
        self.broken: Exception | None = None
        """Raised by every read."""

    def issue_key(self, *scopes: str, tenant_id: str = "tnt_acme", sandbox: bool = False) -> str:
        secret, _, hash = new_key(sandbox)
        self.keys[hash] = ApiKey(id="key_1", tenant_id=tenant_id, scopes=frozenset(scopes), sandbox=sandbox)
        return secret

    @property
    def requests(self) -> list[NewRequest]:
        return [request for commit in self.commits for request in commit]

    async def accept(self, requests: Sequence[NewRequest]) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        if any(message.subject in self.poisoned for request in requests for message in request.messages):
            raise self.poison
        self.commits.append(list(requests))

    async def key_by_hash(self, hash: bytes) -> ApiKey | None:
        self.lookups += 1
        return self.keys.get(hash)

    async def is_verified_domain(self, tenant_id: str, domain: str) -> bool:
        return (tenant_id, domain) in self.verified

    async def create_batch(self, tenant_id: str) -> str:
        self._read()
        batch_id = f"bat_{len(self.batches):026d}"
        self.batches.add((tenant_id, batch_id))
        return batch_id

    async def batch_exists(self, tenant_id: str, batch_id: str) -> bool:
        return (tenant_id, batch_id) in self.batches

    async def batch_counts(self, tenant_id: str, batch_id: str) -> BatchCounts | None:
        self._read()
        return self.counts.get((tenant_id, batch_id))

    async def message(self, tenant_id: str, message_id: str) -> MessageRow | None:
        self._read()
        return self.rows.get((tenant_id, message_id))

    async def messages(self, filter: MessageFilter, limit: int, offset: int) -> MessagePage:
        self._read()
        self.asked.append((filter, limit, offset))
        return self.page

    async def cancel(self, tenant_id: str, message_id: str, events: bytes) -> Cancellation | None:
        self.cancel_events.append(events)
        return self.cancellation

    async def retry(
        self, tenant_id: str, message_id: str, recipients: Sequence[Recipient], lifetime_s: float
    ) -> Change | None:
        self.commands.append((tenant_id, message_id, recipients, lifetime_s))
        return self.change

    async def fail(self, tenant_id: str, message_id: str, reason: str, tell: Tell) -> Change | None:
        self.commands.append((tenant_id, message_id, reason))
        self.told.append(tell([Ended(tenant_id, message_id, "ada@example.com", None, ("a",))]))
        return self.change

    async def cancel_batch(self, tenant_id: str, batch_id: str, tell: Tell) -> int | None:
        self._read()
        self.told.append(tell([Ended(tenant_id, "msg_1", "ada@example.com", batch_id, ())]))
        return self.cancelled_of_batch

    async def schedule(self, tenant_id: str, batch_id: str, status: ScheduledStatus, tell: Tell) -> bool:
        self._read()
        return self.scheduled.setdefault((tenant_id, batch_id), status) == status

    async def reschedule(self, tenant_id: str, batch_id: str, status: ScheduledStatus, tell: Tell) -> bool:
        self.commands.append((tenant_id, batch_id, status))
        return (tenant_id, batch_id) in self.scheduled

    async def scheduled_sends(self, tenant_id: str, batch_id: str | None = None) -> list[ScheduledSend]:
        entries = [ScheduledSend(batch, status) for (_, batch), status in self.scheduled.items()]
        return [entry for entry in entries if batch_id in (None, entry.batch_id)]

    async def sender_domains(self, tenant_id: str) -> list[SenderDomain]:
        self._read()
        return self.domains

    def _read(self) -> None:
        if self.broken is not None:
            raise self.broken
