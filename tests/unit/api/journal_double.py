"""A journal in memory: it records the arguments of accept(), and answers as a test sets it. It has no SQL logic."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

from cluster.access.terms import KeyKind, terms_of
from cluster.ids import new_id
from cluster.journal.api_keys import KeyRecord
from cluster.journal.branded_links import BrandedLink
from cluster.journal.idempotency import FirstAnswer, IdempotencyKey
from cluster.journal.images import ImagePage
from cluster.journal.message_filter import MessageFilter
from cluster.journal.operator_audit import Doer
from cluster.journal.records import (
    ApiKey,
    BatchCounts,
    Cancellation,
    CommandResult,
    MessagePage,
    MessageRow,
    NewRequest,
    Recipient,
    ScheduledSend,
    ScheduledStatus,
)
from cluster.journal.templates import ActiveTemplate
from cluster.keys import new_key
from cluster.templates.texts import TemplateTexts
from cluster.tenancy.domains.domain import SenderDomain
from cluster.tenancy.limits import RequestLimits
from cluster.tenancy.settings import DEFAULTS, TenantSettings
from cluster.tenancy.tenant import Tenant


class JournalDouble:
    def __init__(self) -> None:
        self.commits: list[list[NewRequest]] = []
        self.failures: list[Exception] = []
        """Raised by the next calls of accept, in order."""
        self.poisoned: set[str] = set()
        """A commit that holds one of these subjects raises ``poison``."""
        self.poison: Exception = RuntimeError("unset")
        self.gate: asyncio.Event | None = None
        """accept waits for it."""
        self.keys: dict[bytes, ApiKey] = {}
        self.key_records: list[KeyRecord] = []
        """The keys that /v3/api_keys shows; those of ``keys`` only authenticate."""
        self.noted: list[tuple[Doer, str, str]] = []
        """What operators did: who, which command, to what."""
        self.outcomes: list[str] = []
        """Of what was noted, in its order."""
        self.operator_audit = SimpleNamespace(begin=self._begin_command, end=self._end_command)
        self.key_uses: list[Mapping[str, datetime]] = []
        self.lookups = 0
        self.verified = {("tnt_acme", "mail.example.com"), ("tnt_acme", "xn--bcher-kva.example")}
        self.suspended: dict[str, str] = {}
        """Suspended tenants, with the reason where no operator suspended them."""
        """Tenants."""
        self.changed_tenants: set[str] = set()
        """What the next poll for changes finds."""
        self.known_batches: set[tuple[str, str]] = set()
        self.counts: dict[tuple[str, str], BatchCounts] = {}
        self.rows: dict[tuple[str, str], MessageRow] = {}
        self.page = MessagePage(messages=[], total=0, total_is_exact=True)
        self.asked: list[tuple[MessageFilter, int, int]] = []
        self.cancellation: Cancellation | None = None
        self.change: CommandResult | None = None
        """The answer to a retry or a fail."""
        self.commanded: list[tuple[object, ...]] = []
        """The commands for messages and batches, in order."""
        self.cancelled_batches: list[tuple[str, str]] = []
        self.cancelled_of_batch: int | None = None
        self.scheduled: dict[tuple[str, str], ScheduledStatus] = {}
        self.domains: list[SenderDomain] = []
        self.broken: Exception | None = None
        """Raised by every read."""
        self.answers: dict[tuple[str, bool, str], FirstAnswer] = {}
        """By tenant, sandbox and idempotency key."""
        self.intake = SimpleNamespace(accept=self._accept)
        self.idempotency_keys = SimpleNamespace(first_answer=self._first_answer)
        self.link_hosts: dict[str, str] = {}
        self.settings: dict[str, TenantSettings] = {}
        """Those of tenants that have not the defaults."""
        self.tenants = SimpleNamespace(
            find=self._tenant, changed=self._changed_tenants, change_settings=self._change_settings
        )
        self.api_keys = SimpleNamespace(
            by_hash=self._key_by_hash,
            used=self._keys_used,
            create=self._create_key,
            find=self._key,
            of_tenant=self._keys_of_tenant,
        )
        self.limits: dict[str, RequestLimits] = {}
        """Those of tenants that have some of their own."""
        self.used: dict[str, tuple[int, int]] = {}
        """What tenants have used of the day: this process, and the others."""
        self.reports: list[tuple[str, bytes, float]] = []
        """What other processes report of their demands."""
        self.tenant_load = SimpleNamespace(exchange=self._exchange, usage=self._usage)
        self.sender_domains = SimpleNamespace(of_tenant=self._sender_domains, find=self._sender_domain)
        self.branded_links = SimpleNamespace(
            of_tenant=self._no_links,
            find=self._no_link,
            default=self._no_link,
            is_return_path=self._no_link,
            in_use=self._no_link,
        )
        self.images = SimpleNamespace(
            create=self._no_image,
            page=self._no_images,
            folders=self._no_folders,
            find=self._no_image,
            change=self._no_image,
            delete=self._no_image,
            public=self._no_image,
        )
        self.batches = SimpleNamespace(
            create=self._create_batch, exists=self._batch_exists, counts=self._batch_counts, cancel=self._cancel_batch
        )
        self.groups: set[tuple[str, int]] = set()
        """The unsubscribe groups of tenants."""
        self.suppressions = SimpleNamespace(groups_among=self._groups_among)
        self.active_templates: dict[tuple[str, str], ActiveTemplate] = {}
        self.template_texts: dict[tuple[str, bytes], TemplateTexts] = {}
        self.templates = SimpleNamespace(
            active=self._active_template, texts=self._template_texts, use_texts_again=self._use_texts_again
        )
        self.pools: dict[str, str] = {}
        """Of requests."""
        self.kept: set[bytes] = set()
        """The attachments that are stored, by their SHA-256."""
        self.messages = SimpleNamespace(
            find=self._message, page=self._messages, pool_of=self._pool_of, attachments=self._attachments
        )
        self.commands = SimpleNamespace(cancel=self._cancel, retry=self._retry, fail=self._fail)
        self.scheduled_sends = SimpleNamespace(
            schedule=self._schedule, reschedule=self._reschedule, entries=self._scheduled_sends
        )

    async def _begin_command(self, at: datetime, doer: Doer, command: str, subject: str) -> int:
        self.noted.append((doer, command, subject))
        self.outcomes.append("")
        return len(self.noted) - 1

    async def _end_command(self, id: int, outcome: str) -> None:
        self.outcomes[id] = outcome

    async def _groups_among(self, tenant_id: str, ids: Iterable[int]) -> set[int]:
        self._read()
        return {id for id in ids if (tenant_id, id) in self.groups}

    def issue_key(self, *scopes: str, tenant_id: str = "tnt_acme", sandbox: bool = False, kind: KeyKind = "api") -> str:
        secret, _, hash = new_key(sandbox, kind)
        terms = terms_of(kind, None, ())
        self.keys[hash] = ApiKey(
            id="key_1", tenant_id=tenant_id, scopes=frozenset(scopes), sandbox=sandbox, terms=terms
        )
        return secret

    @property
    def requests(self) -> list[NewRequest]:
        return [request for commit in self.commits for request in commit]

    async def _accept(self, requests: Sequence[NewRequest]) -> Collection[str]:
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        if any(message.subject in self.poisoned for request in requests for message in request.messages):
            raise self.poison
        taken = [request.id for request in requests if not self._claim(request)]
        self.commits.append([request for request in requests if request.id not in taken])
        return taken

    def _claim(self, request: NewRequest) -> bool:
        key = request.idempotency
        if key is None:
            return True
        mine = FirstAnswer(body_sha256=key.body_sha256, message_ids=request.message_ids, ignored=key.ignored)
        return self.answers.setdefault((request.tenant_id, key.sandbox, key.text), mine) is mine

    async def _first_answer(self, tenant_id: str, key: IdempotencyKey, now: datetime) -> FirstAnswer | None:
        self._read()
        return self.answers.get((tenant_id, key.sandbox, key.text))

    async def _key_by_hash(self, hash: bytes) -> ApiKey | None:
        self.lookups += 1
        return self.keys.get(hash)

    async def _keys_used(self, times: Mapping[str, datetime]) -> None:
        self._read()
        self.key_uses.append(times)

    async def _create_key(self, tenant_id: str, **fields: Any) -> KeyRecord:
        self._read()
        del fields["hash"]
        fields |= {"scopes": frozenset(fields["scopes"]), "created_at": datetime.now(UTC), "last_used_at": None}
        self.key_records.append(KeyRecord(id=new_id("key_"), tenant_id=tenant_id, **fields))
        return self.key_records[-1]

    async def _key(self, id: str) -> KeyRecord | None:
        self._read()
        return next((key for key in self.key_records if key.id == id), None)

    async def _keys_of_tenant(self, tenant_id: str, *, sandbox_only: bool, limit: int) -> list[KeyRecord]:
        self._read()
        return [key for key in self.key_records if key.tenant_id == tenant_id and key.sandbox >= sandbox_only][:limit]

    async def _tenant(self, tenant_id: str) -> Tenant | None:
        senders = {domain: False for tenant, domain in self.verified if tenant == tenant_id}
        limits = self.limits.get(tenant_id, RequestLimits())
        settings = self.settings.get(tenant_id, DEFAULTS)
        return Tenant(
            id=tenant_id,
            name=tenant_id,
            number=7,
            link_host=self.link_hosts.get(tenant_id, ""),
            is_suspended=tenant_id in self.suspended,
            suspended_for=self.suspended.get(tenant_id, ""),
            senders=senders,
            limits=limits,
            settings=settings,
        )

    async def _exchange(self, process: str, demands: bytes) -> list[tuple[str, bytes, float]]:
        self._read()
        return self.reports

    async def _usage(self, tenant_ids: Sequence[str], day: date) -> dict[str, tuple[int, int]]:
        self._read()
        return {tenant_id: self.used[tenant_id] for tenant_id in tenant_ids if tenant_id in self.used}

    async def _change_settings(
        self, tenant_id: str, change: Callable[[TenantSettings], TenantSettings]
    ) -> TenantSettings:
        self._read()
        self.settings[tenant_id] = change(self.settings.get(tenant_id, DEFAULTS))
        return self.settings[tenant_id]

    async def _changed_tenants(self, since: int | None) -> tuple[int, frozenset[str]]:
        changed, self.changed_tenants = frozenset(self.changed_tenants), set()
        return 1, changed

    async def _no_links(self, *_: object) -> list[BrandedLink]:
        self._read()
        return []

    async def _no_link(self, *_: object) -> BrandedLink | None:
        self._read()
        return None

    async def _no_images(self, *_: object, **__: object) -> ImagePage:
        self._read()
        return ImagePage(images=[], total=0)

    async def _no_folders(self, *_: object) -> list[str]:
        self._read()
        return []

    async def _no_image(self, *_: object, **__: object) -> None:
        self._read()

    async def _create_batch(self, tenant_id: str) -> str:
        self._read()
        batch_id = f"bat_{len(self.known_batches):026d}"
        self.known_batches.add((tenant_id, batch_id))
        return batch_id

    async def _batch_exists(self, tenant_id: str, batch_id: str) -> bool:
        return (tenant_id, batch_id) in self.known_batches

    async def _batch_counts(self, tenant_id: str, batch_id: str) -> BatchCounts | None:
        self._read()
        return self.counts.get((tenant_id, batch_id))

    async def _active_template(self, tenant_id: str, id: str) -> ActiveTemplate | None:
        self._read()
        return self.active_templates.get((tenant_id, id))

    async def _template_texts(self, tenant_id: str, sha256: bytes) -> TemplateTexts | None:
        self._read()
        return self.template_texts.get((tenant_id, sha256))

    async def _use_texts_again(self, tenant_id: str, sha256: bytes) -> bool:
        self._read()
        return (tenant_id, sha256) in self.template_texts

    async def _message(self, tenant_id: str, message_id: str) -> MessageRow | None:
        self._read()
        return self.rows.get((tenant_id, message_id))

    async def _messages(self, filter: MessageFilter, limit: int, offset: int) -> MessagePage:
        self._read()
        self.asked.append((filter, limit, offset))
        return self.page

    async def _pool_of(self, request_id: str) -> str:
        self._read()
        return self.pools.get(request_id, "")

    async def _attachments(self, tenant_id: str, hashes: Collection[bytes]) -> dict[bytes, bytes]:
        self._read()
        return dict.fromkeys(self.kept & set(hashes), b"a file")

    async def _cancel(self, tenant_id: str, message_id: str) -> Cancellation | None:
        self.commanded.append((tenant_id, message_id))
        return self.cancellation

    async def _retry(
        self,
        tenant_id: str,
        message_id: str,
        recipients: Sequence[Recipient],
        lifetime_s: float,
        group_id: int | None,
        bypass: int | None,
    ) -> CommandResult | None:
        terms = () if group_id is bypass is None else (group_id, bypass)
        self.commanded.append((tenant_id, message_id, recipients, lifetime_s, *terms))
        return self.change

    async def _fail(self, tenant_id: str, message_id: str, reason: str) -> CommandResult | None:
        self.commanded.append((tenant_id, message_id, reason))
        return self.change

    async def _cancel_batch(self, tenant_id: str, batch_id: str) -> int | None:
        self._read()
        self.cancelled_batches.append((tenant_id, batch_id))
        return self.cancelled_of_batch

    async def _schedule(self, tenant_id: str, batch_id: str, status: ScheduledStatus) -> bool:
        self._read()
        return self.scheduled.setdefault((tenant_id, batch_id), status) == status

    async def _reschedule(self, tenant_id: str, batch_id: str, status: ScheduledStatus) -> bool:
        self.commanded.append((tenant_id, batch_id, status))
        return (tenant_id, batch_id) in self.scheduled

    async def _scheduled_sends(self, tenant_id: str, batch_id: str | None = None) -> list[ScheduledSend]:
        entries = [ScheduledSend(batch, status) for (_, batch), status in self.scheduled.items()]
        return [entry for entry in entries if batch_id in (None, entry.batch_id)]

    async def _sender_domains(
        self, tenant_id: str | None, *, part: str = "", limit: int = 50, offset: int = 0
    ) -> list[SenderDomain]:
        self._read()
        return [domain for domain in self.domains if tenant_id in (None, domain.tenant_id)]

    async def _sender_domain(self, id: int, tenant_id: str | None) -> SenderDomain | None:
        return next((domain for domain in await self._sender_domains(tenant_id) if domain.id == id), None)

    def _read(self) -> None:
        if self.broken is not None:
            raise self.broken
