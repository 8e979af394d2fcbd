"""From claimed deliveries to jobs: shared contents, sending domains, and composing.

signing.py owns the cache of sending domains, contents.py that of contents. Composing is pure (actors/compose). Messages
of usual size are composed in the event loop, in slices: there is a delivery actor for each core, and threads would only
compete with it. Large messages would block the loop, so they are composed in a thread (large.py).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from actors.compose.message import Draft, WireMessage, draft_message, finish
from actors.compose.multibuffer import why_one_at_a_time
from actors.compose.skeleton import Skeleton
from actors.compose.templated import Version
from actors.compose.tracking.fields import feedback_id
from actors.compose.transform import Addressee, SharedBy
from actors.delivery.contents import LARGE_BYTES, Compiled, Contents, Template, TransformOf, untransformed
from actors.delivery.job import Job, Uncomposed
from actors.delivery.marker import Marker
from actors.delivery.signing import Author, NoSendingDomain, SendingDomain, SendingDomains
from actors.smtp.commands import Envelope
from cluster.journal.excerpts import decode_references
from cluster.journal.journal import Journal
from cluster.journal.records import Claimed, PreparedPersonalization, decode_personalization
from cluster.message.composable import NOT_COMPOSED
from cluster.message.dsn import Dsn
from cluster.message.header_fields import NotComposable, address
from cluster.message.return_address import Named, Purpose, return_address
from cluster.peers import PeerGone
from cluster.policy.routes.domains import domain_of
from cluster.routing.offer import Shared, decode_shared
from cluster.settings import DEFAULT_LIMITS, MessageSettings
from cluster.suppression.address import compared
from cluster.templates.compiled import Filled, TextFault
from cluster.templates.handlebars.errors import TooMuch
from cluster.templates.store import CompiledTemplates
from cluster.templates.texts import TemplateUse
from cluster.tracking.tokens import TokenKey

log = logging.getLogger(__name__)

EXPECTED_BYTES = 64 * 1024 * 1024
"""Limit on the bytes of shared contents that are not fetched yet: each is held in the object store of its node."""
SLICE = 16
"""Messages composed before they are yielded and the event loop runs other tasks: some milliseconds, and two rounds of
eight signatures (compose/multibuffer.py)."""
LOOP_STEPS = 2000
LOOP_VALUES = 64 * 1024
"""The steps and characters of values within which a template is filled in the event loop: some milliseconds at most. A
message that takes more is large. An order of a hundred lines with five values takes 1,200 steps, in two texts."""
LOOP_S = 0.005
"""After templates were filled for so long, in seconds, the event loop runs other tasks."""
_NOTHING_ASKED = Dsn()

Stored = tuple[bytes, Mapping[bytes, bytes]]
"""An encoded content, and its files by their SHA-256."""
Made = list[Job | Uncomposed]
"""What became of a group of deliveries."""


class ComposeOrder(Struct, frozen=True):
    """What one message is composed from."""

    deliveries: tuple[Claimed, ...]
    compiled: Compiled
    personalization: PreparedPersonalization
    domain: str
    """Domain of the author (RFC 5322 From), in canonical form."""
    sending: SendingDomain | NoSendingDomain
    is_large: bool = False
    """Composing it may block the event loop for too long."""
    filled: Filled | None = None
    """The request's template with this message's data; None if composing has to fill it, or there is none."""
    addressee: Addressee | None = None
    """The recipient, if the order is for one copy."""

    @property
    def is_for_each(self) -> bool:
        """Whether each recipient gets a copy: then ``copies`` are composed instead of this order."""
        return self.compiled.scope is SharedBy.RECIPIENT and self.addressee is None

    def copies(self) -> "list[ComposeOrder]":
        """An order for each recipient."""
        return [replace(self, deliveries=(one,), addressee=_addressee(one, self.sending)) for one in self.deliveries]


def _addressee(delivery: Claimed, sending: SendingDomain | NoSendingDomain) -> Addressee:
    host = sending.unsubscribe_host if isinstance(sending, SendingDomain) else ""
    return Addressee(delivery.message_id, delivery.recipient_no, delivery.recipient, host)


class Composer:
    """Prepares jobs. ``marker`` names each message while it is worked on. ``newest_key`` gives the key of envelope
    senders. ``limits`` apply to composed messages. ``transform_of`` gives a request's transform."""

    def __init__(
        self,
        journal: Journal,
        sending_domains: SendingDomains,
        templates: CompiledTemplates[Version],
        marker: Marker,
        newest_key: Callable[[], TokenKey],
        limits: MessageSettings = DEFAULT_LIMITS,
        transform_of: TransformOf = untransformed,
    ) -> None:
        if reason := why_one_at_a_time():
            log.info("signatures are made one at a time reason=%r", reason)
        self._journal = journal
        self._sending_domains = sending_domains
        self._templates = templates
        self._marker = marker
        self._newest_key = newest_key
        self._limits = limits
        self._at_hand = Contents(limits, transform_of)
        self._expected: dict[str, Shared] = {}
        self._expected_bytes = 0

    def expect(self, contents: Mapping[str, Shared]) -> None:
        """Note shared contents (by request id), which can be fetched when they are needed."""
        for request_id, shared in contents.items():
            if request_id not in self._at_hand:
                self._release(request_id)
                self._expected[request_id] = shared
                self._expected_bytes += shared.size
        while self._expected_bytes > EXPECTED_BYTES and len(self._expected) > 1:
            self._release(next(iter(self._expected)))

    def _release(self, request_id: str) -> Shared | None:
        shared = self._expected.pop(request_id, None)
        if shared is not None:
            self._expected_bytes -= shared.size
        return shared

    async def gather(self, groups: Sequence[Sequence[Claimed]]) -> list[ComposeOrder | None]:
        """The order for each group; None for an empty group. A group: claimed deliveries of one message, for one
        transaction. Raises Unavailable when the journal is needed and does not answer."""
        compiled = await self._contents(groups)
        personalizations: list[PreparedPersonalization] = []
        authors: list[Author] = []
        for first in (group[0] for group in groups if group):
            personalization = decode_personalization(first.personalization)
            from_ = personalization.from_ or compiled[first.request_id].content.from_
            personalizations.append(personalization)
            authors.append((first.tenant_id, domain_of(from_.email)))
        sending = await self._sending_domains.find(set(authors))
        own = zip(personalizations, authors, strict=True)
        orders: list[ComposeOrder | None] = []
        clock = asyncio.get_running_loop().time
        until = clock() + LOOP_S
        for group in groups:
            if not group:
                orders.append(None)
                continue
            content = compiled[group[0].request_id]
            personalization, author = next(own)
            filled, is_large = self._filled(content, group[0], personalization)
            domain = sending[author]
            # Most messages have one recipient: theirs is the only copy.
            is_copy = len(group) == 1 and content.scope is SharedBy.RECIPIENT
            addressee = _addressee(group[0], domain) if is_copy else None
            orders.append(
                ComposeOrder(tuple(group), content, personalization, author[1], domain, is_large, filled, addressee)
            )
            if personalization.template_data and clock() > until:
                await asyncio.sleep(0)
                until = clock() + LOOP_S
        return orders

    def _filled(
        self, compiled: Compiled, first: Claimed, personalization: PreparedPersonalization
    ) -> tuple[Filled | None, bool]:
        """A message's template, filled unless that takes long, and whether the message is large."""
        size = compiled.size + len(first.personalization)
        may_grow = personalization.template_data or personalization.substitutions or compiled.transform is not None
        if size > LARGE_BYTES or not may_grow or isinstance(compiled.skeleton, NotComposable):
            return None, size > LARGE_BYTES
        slot = self._marker.name(first)
        filled, growth = _grown(compiled.skeleton, personalization, len(first.personalization))
        self._marker.done(slot)
        return filled, growth is None or size + growth > LARGE_BYTES

    async def compose(self, orders: Sequence[ComposeOrder | None]) -> AsyncIterator[Made]:
        """Yields the jobs of each order, in sequence, as soon as they are made; an empty list for None."""
        for start in range(0, len(orders), SLICE):
            for made in self._compose_all(orders[start : start + SLICE], datetime.now(UTC)):
                yield made
            await asyncio.sleep(0)
        self._at_hand.used({order.deliveries[0].request_id for order in orders if order})

    async def compose_large(self, order: ComposeOrder) -> Made:
        """The jobs of a large message, made in a thread. Its calls into C are short, so the event loop runs between
        them."""
        [made] = await asyncio.to_thread(self._compose_all, [order], datetime.now(UTC))
        self._at_hand.used({order.deliveries[0].request_id})
        return made

    def _compose_all(self, orders: Sequence[ComposeOrder | None], now: datetime) -> list[Made]:
        drafts = [self._draft(order, now) if order else None for order in orders]
        # Signing takes only a digest of each message, so no message can end the process there.
        wires = finish([draft for draft in drafts if isinstance(draft, Draft)])
        key = self._newest_key()
        made: list[Made] = []
        for order, draft in zip(orders, drafts, strict=True):
            if order is None:
                made.append([])
            elif isinstance(draft, NoSendingDomain):
                made.append(_uncomposed(order, draft.reason, is_final=draft.is_final))
            elif isinstance(draft, NotComposable):
                made.append(_not_composed(order, draft))
            else:
                slot = self._marker.name(order.deliveries[0])
                assert isinstance(order.sending, SendingDomain)
                made.append(_held_to(self._limits.max_bytes, order, next(wires), order.sending, key))
                self._marker.done(slot)
        return made

    def _draft(self, order: ComposeOrder, now: datetime) -> Draft | NotComposable | NoSendingDomain:
        if isinstance(order.sending, NoSendingDomain):
            return order.sending
        skeleton = self._skeleton(order)
        if isinstance(skeleton, NotComposable):
            return skeleton
        slot = self._marker.name(order.deliveries[0])
        draft = _draft(order, skeleton, order.sending, now)
        self._marker.done(slot)
        return draft

    def _skeleton(self, order: ComposeOrder) -> Skeleton | NotComposable:
        if order.compiled.is_ready:
            return order.compiled.skeleton
        slot = self._marker.name_content(order.deliveries[0])
        skeleton = order.compiled.skeleton
        self._marker.done(slot)
        return skeleton

    async def _contents(self, groups: Sequence[Sequence[Claimed]]) -> dict[str, Compiled]:
        """The contents of the groups' requests, by request id: cached, shared or from the journal. Raises
        Unavailable."""
        messages = Counter(group[0].request_id for group in groups if group)
        first = {group[0].request_id: group[0] for group in groups if group}
        found = {
            request_id: compiled for request_id in messages if (compiled := self._at_hand.get(request_id)) is not None
        }
        stored: dict[str, Stored] = {}
        for request_id in messages:
            if request_id not in found and (one := await self._at_hand_or_shared(request_id)) is not None:
                stored[request_id] = one
        missing = [request_id for request_id in messages if request_id not in found and request_id not in stored]
        if missing:
            for request_id, data in (await self._journal.messages.contents(missing)).items():
                hashes = [attachment.sha256 for attachment in decode_references(data).attachments]
                tenant_id = first[request_id].tenant_id
                stored[request_id] = data, await self._journal.messages.attachments(tenant_id, hashes) if hashes else {}
        for request_id, (data, files) in stored.items():
            use = decode_references(data).template
            template = None if use is None else await self._template(first[request_id].tenant_id, use)
            slot = self._marker.name_content(first[request_id])
            is_shared = messages[request_id] > 1 or request_id in self._at_hand
            found[request_id] = self._at_hand.add(request_id, data, files, template, is_shared=is_shared)
            self._marker.done(slot)
        return found

    async def _at_hand_or_shared(self, request_id: str) -> Stored | None:
        """A content that the journal need not be asked for."""
        encoded = self._at_hand.encoded(request_id)
        shared = self._release(request_id)
        if encoded is not None or shared is None:
            return encoded
        try:
            return decode_shared(await shared.handle)
        except PeerGone as gone:
            log.info("shared content gone reason=%r", gone.reason)
            return None

    async def _template(self, tenant_id: str, use: TemplateUse) -> Template:
        """The version of a template. Raises Unavailable."""
        try:
            version = await self._templates.get(tenant_id, use.texts)
        except TextFault as fault:
            return NotComposable(f"the version {use.version_id} of its template cannot be compiled: {fault}")
        return version or NotComposable(f"the version {use.version_id} of its template is missing")


def _grown(
    skeleton: Skeleton, personalization: PreparedPersonalization, values_bytes: int
) -> tuple[Filled | None, int | None]:
    """The template with a message's data, and the most octets that its values and a transform add to the shared
    content; None for either if finding out would block the event loop for too long. ``values_bytes``: octets of the
    substitutions."""
    filled = None
    if personalization.template_data:
        try:
            filled = skeleton.fill(personalization.template_data, steps=LOOP_STEPS, values=LOOP_VALUES)
        except TooMuch:
            return None, None
    return filled, skeleton.growth(personalization, values_bytes, filled)


def _held_to(most_bytes: int, order: ComposeOrder, wire: WireMessage, sending: SendingDomain, key: TokenKey) -> Made:
    if len(wire.data) > most_bytes:
        size = len(wire.data)
        return _not_composed(order, NotComposable(f"the message has {size} bytes, more than {most_bytes}"))
    return _addressed(order, wire, sending, key)


def _not_composed(order: ComposeOrder, fault: NotComposable) -> Made:
    return _uncomposed(order, f"{NOT_COMPOSED}{fault}", is_final=True)


def _uncomposed(order: ComposeOrder, reason: str, *, is_final: bool) -> Made:
    return [Uncomposed(delivery, reason, is_final) for delivery in order.deliveries]


def _draft(order: ComposeOrder, skeleton: Skeleton, sending: SendingDomain, now: datetime) -> Draft | NotComposable:
    first = order.deliveries[0]
    try:
        return draft_message(
            skeleton,
            order.personalization,
            sending.signer,
            message_id=f"<{first.message_id}@{order.domain}>",
            date=first.dated_at,
            signed_at=now,
            addressee=order.addressee,
            filled=order.filled,
            feedback_id=feedback_id(_campaign(order), first.tenant_id, order.domain),
        )
    except NotComposable as fault:
        return fault


def _campaign(order: ComposeOrder) -> str:
    """What Feedback-ID counts by: the batch, or else the first category."""
    categories = order.compiled.content.categories
    return order.deliveries[0].batch_id or (categories[0] if categories else "")


def _addressed(order: ComposeOrder, wire: WireMessage, sending: SendingDomain, key: TokenKey) -> Made:
    """The job, and the deliveries whose addresses fit no SMTP command: these fail without affecting the others."""
    on_wire: list[str] = []
    deliveries: list[Claimed] = []
    made: Made = []
    for delivery in order.deliveries:
        try:
            on_wire.append(address(delivery.recipient)[0])
            deliveries.append(delivery)
        except NotComposable as fault:
            made.append(Uncomposed(delivery, f"{NOT_COMPOSED}{fault}"))
    if deliveries:
        message_id = order.deliveries[0].message_id
        named = Named(
            purpose=Purpose.REPORTS,
            tenant_number=sending.tenant_number,
            message_id=message_id,
            recipient_no=deliveries[0].recipient_no if len(deliveries) == 1 else None,
        )
        sender = return_address(key, named, sending.return_path)
        asked = order.personalization.dsn or _NOTHING_ASKED
        envelope = Envelope(
            sender,
            tuple(on_wire),
            wire.smtputf8,
            envelope_id=asked.envelope_id or message_id,
            original_recipients=_original_recipients(deliveries, asked),
        )
        categories = order.compiled.content.categories
        made.append(
            Job(
                deliveries=tuple(deliveries),
                envelope=envelope,
                data=wire.data,
                categories=categories,
                downgraded=wire.downgraded,
                reports_tls=order.compiled.content.reports_tls,
                is_notice=order.personalization.is_notice,
            )
        )
    return made


def _original_recipients(deliveries: Sequence[Claimed], asked: Dsn) -> tuple[str, ...]:
    """ORCPT of each delivery's recipient as the submitter gave it; empty where it gave none."""
    if not asked.original_recipients:
        return ()
    return tuple([asked.original_recipients.get(compared(one.recipient), "") for one in deliveries])
