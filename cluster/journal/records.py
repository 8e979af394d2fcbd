"""The records that the journal stores, and the values that it exchanges with its callers.

``Content`` (once per request) and ``PreparedPersonalization`` (once per message) are stored encoded (msgpack).
Everything that SQL selects by also has its own column.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct, field

from cluster.access.terms import KeyTerms
from cluster.events import Event
from cluster.journal.idempotency import IdempotencyKey
from cluster.journal.suppressions import NewSuppression
from cluster.message.dsn import Dsn
from cluster.policy.forms import Form
from cluster.policy.lifecycle import Status
from cluster.templates.texts import TemplateUse
from cluster.tracking.choices import Tracking

# gc=False: there are thousands of them, and they form no cycles: they hold texts, times, tuples of such records, and
# what was decoded from JSON.


class Address(Struct, frozen=True, array_like=True, gc=False):
    """An addr-spec and its display name (RFC 5322 §3.4). Either may hold non-ASCII (RFC 6531)."""

    email: str
    name: str | None = None


class BodyPart(Struct, frozen=True, array_like=True):
    """One alternative of the body: its media type (``text/plain``, ``text/html``, …) and its text."""

    type: str
    value: str


class Attachment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The metadata of an attachment. Its bytes are stored once, under ``sha256``."""

    filename: str
    type: str = "application/octet-stream"
    inline: bool = False
    content_id: str | None = None
    sha256: bytes
    size: int


class Footer(Struct, frozen=True, array_like=True):
    """Text appended to the plain and to the html part (``mail_settings.footer``)."""

    text: str = ""
    html: str = ""


class Content(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all messages of one request share."""

    from_: Address
    reply_to: tuple[Address, ...] = ()
    subject: str = ""
    parts: tuple[BodyPart, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    categories: tuple[str, ...] = ()
    custom_args: dict[str, Any] = field(default_factory=dict)
    template_id: str | None = None
    template: TemplateUse | None = None
    asm: dict[str, Any] | None = None
    bypass: int = 0
    """The suppression lists that its messages pass (``cluster.suppression.lists.Bypass``)."""
    footer: Footer | None = None
    tracking_settings: dict[str, Any] = field(default_factory=dict)
    """As the request gave them, for reading. ``tracking`` is what acts."""
    tracking: Tracking | None = None
    original: bytes = b""
    """A submitted message (RFC 5322), with CRLF line ends and without Bcc, sent as docs/submission.md says. Then parts,
    attachments, headers and footer are empty; ``from_``, ``reply_to`` and ``subject`` repeat its header, for lists."""
    readdressed: bool = False
    """Each message of ``original`` names its own recipients in To."""
    reports_tls: bool = False
    """A TLS report: it is delivered even where the TLS that it reports on fails (RFC 8460 §3)."""


class PreparedPersonalization(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The values of one message (one personalization); those that it does not set come from ``Content``."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    from_: Address | None = None
    subject: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    substitutions: dict[str, str] = field(default_factory=dict)
    template_data: bytes = b""
    """The data for the request's template: a JSON object, or empty."""
    custom_args: dict[str, Any] = field(default_factory=dict)
    resent_from: str = ""
    """The message that this one is sent again from; "" for none."""
    dsn: Dsn | None = None
    is_notice: bool = False
    """postray's own mail, such as a forwarded report or a TLS report. It goes out as a message of the tenant that has
    the sender's domain, and feeds none of that tenant's rates and suppression lists."""


NOTICE, TLS_REPORT = "notice", "tls-report"
"""The categories of postray's own mail."""


def is_own_mail(categories: Sequence[str], key_id: str | None) -> bool:
    """Whether a request is postray's own mail, by what is still known once its body has gone: no key has sent it, and
    it has the category of such mail."""
    return key_id is None and list(categories) in ([NOTICE], [TLS_REPORT])


class Recipient(Struct, frozen=True, array_like=True, gc=False):
    """One envelope recipient of a new message: the mailbox (RFC 5321 §4.1.2) and its domain in A-label form."""

    email: str
    domain: str


class NewMessage(Struct, frozen=True, kw_only=True, gc=False):
    """A message to accept. A sandboxed one has no deliveries and is finished at once."""

    id: str
    subject: str
    from_email: str
    to_emails: tuple[str, ...]
    personalization: bytes
    recipients: tuple[Recipient, ...]
    send_at: datetime | None = None
    expires_at: datetime
    sandbox: bool = False
    told: bytes | None = None
    """What its events say of it beyond the others of its request (``cluster.webhooks.told``)."""


class NewRequest(Struct, frozen=True, kw_only=True):
    """One accepted request, as it is committed before the client receives its 202."""

    id: str
    tenant_id: str
    content: bytes
    categories: tuple[str, ...] = ()
    template_id: str | None = None
    batch_id: str | None = None
    pool: str = ""
    """The pool of sources to send from; "" is the default pool."""
    key_id: str | None = None
    """The API key or token that sent it; None where none did."""
    told: bytes | None = None
    """What events say of its messages (``cluster.webhooks.told``)."""
    group_id: int | None = None
    """The unsubscribe group of its messages."""
    bypass: int | None = None
    """The suppression lists that its messages pass (``cluster.suppression.lists.Bypass``); None: none."""
    attachments: dict[bytes, bytes] = field(default_factory=dict)
    """SHA-256 → file bytes."""
    idempotency: IdempotencyKey | None = None
    messages: tuple[NewMessage, ...]
    created_at: datetime
    uses_quota: bool = False
    remark: str = ""
    """What its ``processed`` events say as their reason."""

    @property
    def message_ids(self) -> list[str]:
        """In the order of its personalizations."""
        return [message.id for message in self.messages]

    def due(self, now: datetime) -> list["DueDelivery"]:
        """The deliveries whose send time has come."""
        return [
            DueDelivery(message.id, number, self.tenant_id, recipient.domain, self.pool)
            for message in self.messages
            if not message.sandbox and (message.send_at is None or message.send_at <= now)
            for number, recipient in enumerate(message.recipients)
        ]


class ApiKey(Struct, frozen=True, kw_only=True):
    """An API key without its secret."""

    id: str
    tenant_id: str
    scopes: frozenset[str]
    sandbox: bool
    terms: KeyTerms | None = None
    """None when the key has none: any time, any network, /v3."""


class Outcome(Struct, frozen=True, kw_only=True):
    """The result of one delivery attempt, to commit."""

    tenant_id: str
    message_id: str
    recipient_no: int
    status: Status
    """A finished status, or QUEUED for a deferral."""
    due_at: datetime | None = None
    """When a deferred delivery is due again."""
    sole_recipient: bool = True
    """Whether this is the only recipient of its message (the claim says so)."""
    error_message: str | None = None
    is_counted: bool = True
    """Whether it counts for the tenant's rates; False for postray's own mail."""


class ListedOutcome(Outcome, frozen=True, kw_only=True):
    """An outcome that puts the recipient on a suppression list."""

    listed: NewSuppression


OutcomeWithEvent = tuple[Outcome, Event]
"""The outcome of a delivery, and its event for the event log."""


class DueDelivery(Form, frozen=True, array_like=True, gc=False):
    """A delivery that is due, with only the fields that dispatch and a site queue need."""

    message_id: str
    recipient_no: int
    tenant_id: str
    domain: str
    pool: str = ""
    route: str = ""
    """The name of the route that an operator has moved it to; "" when the routing decides."""


class ClaimSuppression(Struct, frozen=True):
    """Why a claimed delivery is not sent."""

    name: str
    """Of the list: that of a ``SuppressionList``, or such as ``group 12``."""
    categories: tuple[str, ...]
    """Of its message."""


class Claimed(Struct, frozen=True, kw_only=True):
    """A delivery claimed for an SMTP transaction, with everything that composing needs except the shared content."""

    message_id: str
    recipient_no: int
    recipient: str
    domain: str
    """The recipient's domain in A-labels."""
    tenant_id: str
    request_id: str
    batch_id: str | None
    attempts: int
    """Attempts so far, this one included."""
    sole_recipient: bool
    created_at: datetime
    send_at: datetime
    """When its lifetime began."""
    dated_at: datetime
    """When it was first due: at acceptance, at its send time, or when its batch was resumed. It is the same in each
    attempt and is the message's Date (RFC 5322 §3.6.1)."""
    expires_at: datetime
    personalization: bytes
    suppression: ClaimSuppression | None = None


class Delivery(Protocol):
    """The key of a delivery: its message, and the number of the recipient in the message."""

    @property
    def message_id(self) -> str: ...

    @property
    def recipient_no(self) -> int: ...


def keys(deliveries: Sequence[Delivery]) -> dict[str, list[str] | list[int]]:
    """The keys of deliveries as parameters of a statement: one list per column."""
    return {
        "message_ids": [d.message_id for d in deliveries],
        "recipient_nos": [d.recipient_no for d in deliveries],
    }


class MessageRow(Struct, frozen=True, kw_only=True):
    """A message and its state."""

    id: str
    tenant_id: str
    request_id: str
    batch_id: str | None
    created_at: datetime
    send_at: datetime | None
    subject: str
    """As it was accepted, with the values in it."""
    content: bytes
    personalization: bytes
    status: Status
    retry_count: int
    next_retry_at: datetime | None
    finished_at: datetime | None
    error_message: str | None
    content_expired: bool = False
    """Its bodies have gone: ``content`` and ``personalization`` stand for them (cluster/journal/expired.py)."""


class MessagePage(Struct, frozen=True, kw_only=True):
    """A page of messages, newest first. ``total`` is exact up to 10,000 and a lower bound beyond."""

    messages: list[MessageRow]
    total: int
    total_is_exact: bool


class BatchCounts(Struct, frozen=True, kw_only=True):
    """The state of a batch. The counts by status sum to ``total``."""

    id: str
    created_at: datetime
    total: int
    by_status: dict[Status, int]
    completed_at: datetime | None


class Cancellation(Struct, frozen=True, kw_only=True):
    """The result of a cancel: whether it took effect, and the message's status now."""

    cancelled: bool
    status: Status


class CommandResult(Struct, frozen=True, kw_only=True):
    """The result of a retry or a fail: whether it took effect, and the message's status now."""

    done: bool
    status: Status
    under_way: bool = False
    """It had no effect because an SMTP transaction may be under way."""
    batch_cancelled: bool = False
    """It had no effect because the message's batch is cancelled."""
    content_expired: bool = False
    """It had no effect because the message's bodies have gone, or are going."""
    suppressed_by: tuple[str, ...] = ()
    """It only wrote ``dropped`` events, because these lists suppress all recipients who do not have the message."""


ScheduledStatus = Literal["pause", "cancel"]


class ScheduledSend(Struct, frozen=True):
    """A client's command for a whole batch."""

    batch_id: str
    status: ScheduledStatus


class LogRow(Struct, frozen=True, array_like=True):
    """A row of the event log: its position (tx, id) and an encoded batch of events."""

    tx: int
    id: int
    events: bytes


class DeliveryActor(Struct, frozen=True, array_like=True):
    """A delivery actor: its Ray name, the epoch of its current life, and the sources it can send from."""

    name: str
    epoch: int
    sources: frozenset[str] = frozenset()


_encoder = msgspec.msgpack.Encoder()
_contents = msgspec.msgpack.Decoder(Content)
_personals = msgspec.msgpack.Decoder(PreparedPersonalization)


encode: Callable[[Content | PreparedPersonalization], bytes] = _encoder.encode
"""Encode a record for storage; the bound method itself, called for each message of a request."""


def encode_stably(content: Content) -> bytes:
    """The encoded content, the same when a later release has more fields, for what is derived from it: the encoder
    writes a longer header of a map (msgpack's ``map 16``) for a record that may have more than 15 fields."""
    data = encode(content)
    return bytes([0x80 | data[2]]) + data[3:] if data[:2] == b"\xde\x00" and data[2] < 16 else data


def decode_content(data: bytes) -> Content:
    """Decode the shared content of a request."""
    return _contents.decode(data)


def decode_personalization(data: bytes) -> PreparedPersonalization:
    """Decode a message's personalization."""
    return _personals.decode(data)
