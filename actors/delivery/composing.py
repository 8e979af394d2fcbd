"""From claimed deliveries to jobs: shared contents, signing keys, and composing.

Owns the caches of compiled contents and of signers. Composing is pure (actors/compose) and done in the event loop, some
messages at a time: there is a delivery actor for each core, and threads would only take turns with it.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from actors.compose import rsa
from actors.compose.dkim import Signer, load_private_key
from actors.compose.fields import NotComposable, a_labels, address
from actors.compose.message import Draft, Wire, draft_message, finish
from actors.compose.mime import Skeleton, compile_content
from actors.delivery.envelope import Envelope
from actors.delivery.job import Job
from actors.dispatch import decode_shared
from cluster.journal.records import Claimed, Content, Personal, decode_content, decode_personal
from cluster.journal.store import Journal
from cluster.peers import PeerGone
from cluster.settings import DEFAULT_LIMITS, MessageSettings
from cluster.vault import Vault

log = logging.getLogger(__name__)

CACHED_BYTES = 64 * 1024 * 1024
"""Of contents and files behind the compiled skeletons, which hold about as much again."""
SIGNER_KEPT_S = 60.0
"""How long a signing key is used before the journal is asked for it again."""
SLICE = 16
"""Messages composed before the first of them leave, and the event loop may do something else: some milliseconds, and
two rounds of eight signatures (compose/rsa.py)."""

Made = list[Job | tuple[Claimed, str]]
"""The jobs of a group of deliveries; a delivery that cannot be composed comes with the reason instead."""


class Compiled(Struct, frozen=True):
    """A request's content, ready to be filled in, or why nothing can be made of it; and how large it is."""

    content: Content
    skeleton: Skeleton | NotComposable
    size: int


class Order(Struct, frozen=True):
    """What one message is made of."""

    deliveries: tuple[Claimed, ...]
    compiled: Compiled
    personal: Personal
    domain: str
    """Of the author (RFC 5322 From), in lower case."""
    signer: Signer | None


class Composer:
    """Prepares jobs. ``vault`` opens the private keys that the journal keeps sealed. ``limits``: of what messages
    become."""

    def __init__(self, journal: Journal, vault: Vault, limits: MessageSettings = DEFAULT_LIMITS) -> None:
        if reason := rsa.why_one_at_a_time():
            log.info("RSA signatures are made one at a time reason=%r", reason)
        self._journal = journal
        self._vault = vault
        self._limits = limits
        self._compiled: OrderedDict[str, Compiled] = OrderedDict()
        self._compiled_bytes = 0
        self._handles: dict[str, Awaitable[bytes]] = {}
        self._signers: dict[tuple[str, str], tuple[float, Signer | None]] = {}

    def expect(self, handles: Mapping[str, Any]) -> None:
        """Handles of shared contents (by request id) that can be awaited when they are needed."""
        for request_id, handle in handles.items():
            if request_id not in self._compiled:
                self._handles[request_id] = handle
        while len(self._handles) > 1000:
            self._handles.pop(next(iter(self._handles)))

    async def gather(self, groups: Sequence[Sequence[Claimed]]) -> list[Order | None]:
        """What composing each group takes: claimed deliveries of one message, to go in one transaction. None for one of
        nothing. Raises Unavailable when the journal cannot be asked for what is missing."""
        compiled = await self._contents({group[0].request_id for group in groups if group})
        orders: list[Order | None] = []
        for group in groups:
            if not group:
                orders.append(None)
                continue
            content = compiled[group[0].request_id]
            personal = decode_personal(group[0].personal)
            domain = (personal.from_ or content.content.from_).email.rpartition("@")[2].lower()
            signer = await self._signer(group[0].tenant_id, domain)
            orders.append(Order(tuple(group), content, personal, domain, signer))
        return orders

    async def compose(self, orders: Sequence[Order | None]) -> AsyncIterator[Made]:
        """The jobs of each order, in their order, as soon as they are made; none for None."""
        for start in range(0, len(orders), SLICE):
            for made in _compose_all(orders[start : start + SLICE], datetime.now(UTC), self._limits.max_bytes):
                yield made
            await asyncio.sleep(0)

    async def _contents(self, request_ids: set[str]) -> dict[str, Compiled]:
        found = {}
        for request_id in request_ids:
            if (compiled := self._compiled.get(request_id)) is not None:
                self._compiled.move_to_end(request_id)
                found[request_id] = compiled
        missing = [request_id for request_id in request_ids if request_id not in found]
        for request_id in missing:
            if (handle := self._handles.pop(request_id, None)) is not None and (shared := await _shared(handle)):
                found[request_id] = self._keep(request_id, *shared)
        missing = [request_id for request_id in missing if request_id not in found]
        if missing:
            for request_id, data in (await self._journal.contents(missing)).items():
                content = decode_content(data)
                hashes = [attachment.sha256 for attachment in content.attachments]
                files = await self._journal.attachments(hashes) if hashes else {}
                found[request_id] = self._keep(request_id, data, files)
        return found

    def _keep(self, request_id: str, data: bytes, files: Mapping[bytes, bytes]) -> Compiled:
        content = decode_content(data)
        size = len(data) + sum(map(len, files.values()))
        compiled = Compiled(content, _compile(content, files, self._limits), size)
        self._compiled[request_id] = compiled
        self._compiled_bytes += size
        while self._compiled_bytes > CACHED_BYTES and len(self._compiled) > 1:
            _, oldest = self._compiled.popitem(last=False)
            self._compiled_bytes -= oldest.size
        return compiled

    async def _signer(self, tenant_id: str, domain: str) -> Signer | None:
        now = asyncio.get_running_loop().time()
        known = self._signers.get((tenant_id, domain))
        if known is not None and known[0] > now:
            return known[1]
        key = await self._journal.dkim_key(tenant_id, domain)
        signer = None
        if key is not None:
            private_key = load_private_key(self._vault.open(key.sealed_private_key))
            signer = Signer(key.domain, key.selector, private_key)
        self._signers[tenant_id, domain] = (now + SIGNER_KEPT_S, signer)
        return signer


async def _shared(handle: Awaitable[bytes]) -> tuple[bytes, dict[bytes, bytes]] | None:
    """What the handle holds; None when its holder is gone, and the journal must be asked."""
    try:
        return decode_shared(await handle)
    except PeerGone as gone:
        log.info("shared content gone reason=%r", gone.reason)
        return None


def _compile(content: Content, files: Mapping[bytes, bytes], limits: MessageSettings) -> Skeleton | NotComposable:
    try:
        return compile_content(content, files, limits)
    except NotComposable as fault:
        return fault


def _compose_all(orders: Sequence[Order | None], now: datetime, most_bytes: int) -> list[Made]:
    drafts = [_draft(order, now) if order else None for order in orders]
    wires = iter(finish([draft for draft in drafts if isinstance(draft, Draft)]))
    made: list[Made] = []
    for order, draft in zip(orders, drafts, strict=True):
        if order is None:
            made.append([])
        elif isinstance(draft, NotComposable):
            made.append(_not_composed(order, draft))
        elif len((wire := next(wires)).data) > most_bytes:
            size = len(wire.data)
            made.append(_not_composed(order, NotComposable(f"the message has {size} bytes, more than {most_bytes}")))
        else:
            made.append([_job(order, wire)])
    return made


def _not_composed(order: Order, fault: NotComposable) -> Made:
    return [(delivery, f"cannot be composed: {fault}") for delivery in order.deliveries]


def _draft(order: Order, now: datetime) -> Draft | NotComposable:
    first = order.deliveries[0]
    skeleton = order.compiled.skeleton
    if isinstance(skeleton, NotComposable):
        return skeleton
    try:
        return draft_message(
            skeleton,
            order.personal,
            order.signer,
            message_id=f"<{first.message_id}@{order.domain}>",
            date=first.created_at,
            signed_at=now,
            envelope=[delivery.recipient for delivery in order.deliveries],
        )
    except NotComposable as fault:
        return fault


def _job(order: Order, wire: Wire) -> Job:
    on_wire = tuple(address(delivery.recipient)[0] for delivery in order.deliveries)
    message_id = order.deliveries[0].message_id
    sender = return_path(message_id, order.domain)
    envelope = Envelope(sender, on_wire, wire.smtputf8, envelope_id=message_id)
    return Job(
        deliveries=order.deliveries, envelope=envelope, data=wire.data, categories=order.compiled.content.categories
    )


def return_path(message_id: str, domain: str) -> str:
    """The envelope sender: it names the message, so that a delivery status notification can be told to be about it
    (variable envelope return path)."""
    return f"b+{message_id.removeprefix('msg_').lower()}@{a_labels(domain)}"
