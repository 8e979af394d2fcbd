"""From a decoded send request to its commit: all checks and the conversion, independent of HTTP.

The HTTP handler (handler.py) calls ``Sending`` for requests that it checks itself; the worker process (large/worker.py)
calls it for large ones.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Container, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from api.http import help_texts
from api.http.access import ROUTES, SEND_AT, Access
from api.http.refusals import Conflict, Fault, Forbidden, Invalid
from api.http.unknown_fields import NamingDecoder
from api.send.conversion import new_request
from api.send.defaults import apply_defaults
from api.send.drafts import Dialect, Draft
from api.send.notes import Notes
from api.send.request import Asm, MailSend
from api.send.resending import Former, former, resent
from api.send.templating import compile_subject, takes_long
from api.send.tracking import tracking_of
from api.send.validation import MOST_GROUPS_TO_DISPLAY, check
from cluster.ids import is_id
from cluster.intake.embedding import embed_images
from cluster.intake.senders import NOT_VERIFIED, first_unverified
from cluster.journal.idempotency import IdempotencyKey
from cluster.journal.journal import Journal
from cluster.journal.records import ApiKey, MessageRow, NewRequest
from cluster.journal.templates import ActiveTemplate
from cluster.lookup.ttl_cache import TtlCache
from cluster.policy.lifecycle import Status
from cluster.policy.routes.domains import domain_of
from cluster.policy.routes.routing import DEFAULT_POOL
from cluster.settings import DEFAULT_LIMITS, MessageSettings
from cluster.templates.handlebars.errors import TemplateError
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.links import base_url
from cluster.tenancy.settings import DEFAULTS
from cluster.tenancy.tenant import Tenant

BATCH_TTL_S = 5.0
"""How long an existing batch is cached."""
BATCHES_KEPT = 10_000

SUSPENDED = "The tenant is suspended"
DECODER = msgspec.json.Decoder(MailSend)
decode_mail = NamingDecoder(DECODER).decode
"""From a body to its request; fields that no request has are added to the notes."""


def _read(body: bytes, notes: Notes) -> Draft:
    return Draft(mail=decode_mail(body, notes))


SENDGRID = Dialect(access=ROUTES["POST /v3/mail/send"], read=_read)
"""The dialect of POST /v3/mail/send."""

Commit = Callable[[NewRequest], Awaitable[None]]
Pause = Callable[[], Awaitable[None]]


class Charging(Protocol):
    """Charges the tenant for messages."""

    async def charge(self, request: NewRequest) -> NewRequest:
        """Charge a request that is about to be committed; returns what to commit. Raises LimitExceeded, Unavailable."""

    def give_back(self, request: NewRequest) -> None:
        """Take back the charge of a request that was not committed."""


class Sent(Struct, frozen=True):
    """A committed request, and its value of X-Postray-Ignored; "" when nothing was ignored."""

    request: NewRequest
    ignored: str


class Sending:
    """Checks and commits requests, with a cache of existing batches."""

    def __init__(
        self,
        journal: Journal,
        directory: TenantDirectory,
        commit: Commit,
        charging: Charging,
        *,
        pools: Callable[[], Container[str]],
        lifetime_s: float,
        public_url: str,
        limits: MessageSettings = DEFAULT_LIMITS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``commit`` returns when the request is on disk. A message expires ``lifetime_s`` after its send time unless
        it sets its own lifetime. ``public_url``: what recipients reach the API under. ``pools`` returns those of
        the active routing. ``limits`` apply to the composed messages."""
        self._journal = journal
        self._commit = commit
        self._charging = charging
        self._lifetime = timedelta(seconds=lifetime_s)
        self._limits = limits
        self._public_url = public_url
        self._clock = clock
        self._directory = directory
        self._pools = pools
        # Negative answers are not cached, so that a new batch can be used at once.
        self._batches: TtlCache[tuple[str, str], bool] = TtlCache(BATCHES_KEPT, time.monotonic)

    async def sender(self, key: ApiKey) -> Tenant:
        """The key's tenant. Raises Forbidden when it may not send."""
        tenant = await self._directory.tenant(key.tenant_id)
        if tenant is None or tenant.is_suspended:
            why = f": {tenant.suspended_for}" if tenant is not None and tenant.suspended_for else ""
            raise Forbidden(f"{SUSPENDED}{why}", help=help_texts.TENANT_SUSPENDED)
        return tenant

    async def send(
        self,
        draft: Draft,
        notes: Notes,
        key: ApiKey,
        pause: Pause | None = None,
        named: IdempotencyKey | None = None,
        access: Access = SENDGRID.access,
    ) -> Sent:
        """Check a request and commit it. ``notes`` has what decoding found, and gets what the check finds. ``pause`` is
        awaited between long steps; None for a small request. ``named`` is the request's idempotency key, which is
        committed with it. ``access`` is what its route requires.

        Raises Forbidden when the tenant is suspended or a scope or a verified domain is missing, Invalid with all
        faults, LimitExceeded, and the errors of ``commit``.
        """
        mail = draft.mail
        tenant = await self.sender(key)
        if mail.scheduled:
            access.require(key, SEND_AT)
        if tenant.settings is not DEFAULTS and not draft.original:
            apply_defaults(mail, tenant.settings)
        template = await self._template(key.tenant_id, mail.template_id) if mail.template_id is not None else None
        if draft.settle is not None:
            draft.faults += await draft.settle(mail, self._journal, key, template, self._clock())
        checked = check(mail, self._limits, notes, template, is_submitted=bool(draft.original))
        if mail.batch_id is not None and not await self._has_batch(key.tenant_id, mail.batch_id):
            checked.faults.append(Fault("The batch does not exist", "batch_id", help_texts.BATCH))
        if mail.ip_pool_name and not self._has_pool(mail.ip_pool_name):
            checked.faults.append(Fault("The pool does not exist", "ip_pool_name", help_texts.POOL))
        if mail.asm is not None:
            checked.faults.extend(await self._group_faults(key.tenant_id, mail.asm))
        if checked.faults or draft.faults:
            raise Invalid(draft.all_faults(checked.faults), notes.header())
        sandbox = key.sandbox or mail.sandboxed
        if not sandbox:
            senders = notes.senders
            unverified = await first_unverified(self._directory, tenant, _sender_domains(mail, senders))
            if unverified is not None:
                field = _first_from(unverified, mail, senders)
                raise _not_verified(unverified, field and draft.path_in_body(field))
        if pause:
            await pause()
        request = new_request(
            mail,
            checked.files,
            tenant_id=key.tenant_id,
            key_id=key.id,
            tracking=tracking_of(mail, tenant, base_url(tenant.link_host, self._public_url)),
            sandbox=sandbox,
            now=self._clock(),
            lifetime=self._lifetime,
            template=template.use if template is not None else None,
            subjects=checked.subjects,
            original=draft.original,
            readdressed=draft.readdressed,
            dsn=draft.dsn,
        )
        if tenant.settings.image_embed_mode == "cid" and not sandbox:
            request = await embed_images(self._journal, request, self._limits.max_bytes, self._public_url)
        if named is not None:
            request = replace(request, idempotency=replace(named, ignored=notes.header()))
        if pause:
            await pause()
        return Sent(await self._committed(request), notes.header())

    async def send_again(self, row: MessageRow, key: ApiKey, named: IdempotencyKey | None = None) -> Sent:
        """Commit a message of the key's tenant that was accepted before as a new one. A sandbox message stays one.

        Raises Forbidden as ``send`` does, Conflict when something that the message needs is gone, LimitExceeded, and
        the errors of ``commit``.
        """
        tenant = await self.sender(key)
        if row.content_expired:
            raise Conflict("The content of the message is not kept any more", help=help_texts.NEW_EMAIL)
        first = await asyncio.to_thread(former, row)  # its texts may have megabytes
        sandbox = key.sandbox or row.status is Status.SANDBOX
        if not sandbox:
            unverified = await first_unverified(self._directory, tenant, first.sender_domains)
            if unverified is not None:
                raise _not_verified(unverified, None)
        pool = await self._journal.messages.pool_of(row.request_id)
        files = await self._parts(first, pool)
        again = partial(resent, first, files=files, pool=pool, key_id=key.id, sandbox=sandbox)
        request = await asyncio.to_thread(again, now=self._clock(), lifetime=self._lifetime)
        if named is not None:
            request = replace(request, idempotency=named)
        return Sent(await self._committed(request), "")

    async def _parts(self, first: Former, pool: str) -> dict[bytes, bytes]:
        """The message's attachments, by their SHA-256. Raises Conflict when something that the message names does not
        exist any more."""
        tenant_id = first.row.tenant_id
        if pool and not self._has_pool(pool):
            raise Conflict(f"The pool of the message does not exist any more: {pool}", help=help_texts.POOL)
        group_id = first.group_id
        if group_id is not None and not await self._journal.suppressions.groups_among(tenant_id, {group_id}):
            raise Conflict("The unsubscribe group of the message does not exist any more", help=help_texts.GROUPS)
        use = first.content.template
        if use is not None and not await self._journal.templates.use_texts_again(tenant_id, use.texts):
            raise Conflict("The template texts of the message are not kept any more", help=help_texts.NEW_EMAIL)
        hashes = {one.sha256 for one in first.content.attachments}
        files = await self._journal.messages.attachments(tenant_id, hashes) if hashes else {}
        if len(files) != len(hashes):
            raise Conflict("The attachments of the message are not kept any more", help=help_texts.NEW_EMAIL)
        return files

    async def _committed(self, request: NewRequest) -> NewRequest:
        """The request as it was charged and committed."""
        request = await self._charging.charge(request)
        try:
            await self._commit(request)
        except Exception:
            self._charging.give_back(request)
            raise
        return request

    async def _group_faults(self, tenant_id: str, asm: Asm) -> list[Fault]:
        """The groups that do not exist. A group is looked up each time: one that is deleted is refused at once."""
        shown = (asm.groups_to_display or [])[:MOST_GROUPS_TO_DISPLAY]
        named = [(asm.group_id, "asm.group_id")]
        named += [(id, f"asm.groups_to_display[{index}]") for index, id in enumerate(shown)]
        known = await self._journal.suppressions.groups_among(tenant_id, {id for id, _ in named if id is not None})
        return [
            Fault("The unsubscribe group does not exist", field, help_texts.GROUPS)
            for id, field in named
            if id is not None and id not in known
        ]

    def _has_pool(self, name: str) -> bool:
        return name == DEFAULT_POOL or name in self._pools()

    async def _template(self, tenant_id: str, id: str) -> ActiveTemplate | None:
        """The template as it is now: an activation acts at once, in every process. So it is not cached."""
        template = await self._journal.templates.active(tenant_id, id) if is_id("d-", id) else None
        try:
            if template is not None and takes_long(template):
                await asyncio.to_thread(compile_subject, template)
            elif template is not None:
                compile_subject(template)
        except TemplateError as error:  # an older version may have stored what this one does not know
            fault = Fault(f"The template's subject cannot be compiled: {error}", "template_id")
            raise Invalid([fault]) from error
        return template

    async def _has_batch(self, tenant_id: str, batch_id: str) -> bool:
        if not is_id("bat_", batch_id):
            return False
        if self._batches.get((tenant_id, batch_id)):
            return True
        exists = await self._journal.batches.exists(tenant_id, batch_id)
        if exists:
            self._batches.put((tenant_id, batch_id), True, BATCH_TTL_S)
        return exists


def _not_verified(domain: str, field: str | None) -> Forbidden:
    return Forbidden(f"{NOT_VERIFIED}: {domain}", field, help_texts.SENDER_DOMAIN)


def _sender_domains(mail: MailSend, senders: Sequence[tuple[str, str]]) -> set[str]:
    """The domains of all from addresses, shared and per personalization, and of ``senders`` (address and path)."""
    own = {one.from_.email for one in mail.personalizations or () if one.from_ is not None}
    of_fields = [email for email, _ in senders]
    return {domain_of(email) for email in (mail.from_ and mail.from_.email, *own, *of_fields) if email}


def _first_from(domain: str, mail: MailSend, senders: Sequence[tuple[str, str]]) -> str | None:
    """The path of the first sender with this domain."""
    shared = [(mail.from_, "from")]
    own = ((one.from_, f"personalizations[{index}].from") for index, one in enumerate(mail.personalizations or ()))
    named = ((mailbox.email, path) for mailbox, path in (*shared, *own) if mailbox is not None)
    return next((path for email, path in (*named, *senders) if email and domain_of(email) == domain), None)
