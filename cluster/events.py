"""Events, which are facts about one recipient of one message, and their encoding in the event log.

The transaction that changes a delivery also writes the events of the change to the event log, as one encoded batch
(``encode_batch``). Consumers, such as the recorder, decode it (``decode_batch``). The fields mean the same as in the
message timeline of the HTTP API.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from cluster.policy.forms import Form
from cluster.policy.replies.bounce_class import BounceType


# gc=False: events contain no containers but tuples of text, so they form no cycles, and there are thousands of them.
class _Event(Form, frozen=True, kw_only=True, tag_field="event", omit_defaults=True, gc=False):
    id: str
    """A replayed batch carries the same ids, so that a consumer recognises duplicates."""
    at: float
    """Seconds since the epoch."""
    tenant_id: str
    message_id: str
    recipient: str
    batch_id: str | None = None
    categories: tuple[str, ...] = ()


class _AttemptEvent(_Event, frozen=True, kw_only=True):
    attempt: int
    """1 for the first SMTP transaction."""
    site: str = ""
    """The site whose limits applied to the attempt."""
    mx_host: str = ""
    mx_ip: str = ""
    source_ip: str = ""
    tls_version: str = ""
    """OpenSSL's name of it (``TLSv1.3``); empty when the connection was not encrypted."""
    tls_cipher: str = ""
    smtp_response: str = ""
    """The raw reply, its lines joined with newlines; empty when there was no reply."""
    duration_ms: int = 0
    """Time from MAIL FROM to the last reply."""


class Processed(_Event, frozen=True, kw_only=True, tag="processed"):
    """The message was accepted for delivery to this recipient."""

    reason: str = ""
    """Why it is not sent just as it was asked for; usually empty."""


class Deferred(_AttemptEvent, frozen=True, kw_only=True, tag="deferred"):
    """A transient failure; another attempt follows."""

    reason: str
    bounce_class: str = ""
    """The class of the cause (cluster.policy.replies.bounce_class); "" in events older than the classes."""
    next_attempt_at: float


class Delivered(_AttemptEvent, frozen=True, kw_only=True, tag="delivered"):
    """A host took responsibility for the message (RFC 5321 §4.2.5)."""


class Bounced(_AttemptEvent, frozen=True, kw_only=True, tag="bounce"):
    """A permanent failure at the destination. One of type ``block`` is reported as the event ``blocked``."""

    bounce_type: BounceType
    bounce_class: str = ""
    """The class of the cause (cluster.policy.replies.bounce_class); "" in events older than the classes."""
    reason: str


class Dropped(_Event, frozen=True, kw_only=True, tag="dropped"):
    """The delivery is not attempted, or not any more: it was cancelled, given up or set aside, it expired before any
    attempt, its message cannot be composed, or its recipient is on a suppression list (the reason is its name)."""

    reason: str


class _Engagement(_Event, frozen=True, kw_only=True):
    """What a recipient, or a program on the way to one, did with a message."""

    ip: str = ""
    """The client's address, as far as settings keep it."""
    user_agent: str = ""
    machine: str = ""
    """The rule by which a program did it, not a person; "" for a person, as far as can be told."""


class Opened(_Engagement, frozen=True, kw_only=True, tag="open"):
    """The pixel of a message was fetched, or an image of the library that it shows."""

    image: str = ""
    """The image, unless it was the pixel."""


class Clicked(_Engagement, frozen=True, kw_only=True, tag="click"):
    """A link was followed."""

    url: str
    link_index: int = 0


class Unsubscribed(_Engagement, frozen=True, kw_only=True, tag="unsubscribe"):
    """The recipient unsubscribed from all mail of the tenant."""


class GroupUnsubscribed(_Engagement, frozen=True, kw_only=True, tag="group_unsubscribe"):
    """The recipient unsubscribed from mail of a group."""

    asm_group_id: int


class GroupResubscribed(_Engagement, frozen=True, kw_only=True, tag="group_resubscribe"):
    """The recipient took an unsubscribe back: from a group, or (0) from all mail."""

    asm_group_id: int = 0


class SpamReported(_Event, frozen=True, kw_only=True, tag="spam_report"):
    """The recipient reported the message as spam, and the host of the mailbox told us (RFC 5965)."""

    reason: str = ""
    """The type of the report, such as ``abuse``."""


class WebhookDisabled(Struct, frozen=True, kw_only=True, tag_field="event", tag="webhook_disabled", gc=False):
    """An endpoint is posted to no more, because it fails. An event of a tenant, not of a message."""

    id: str
    at: float
    tenant_id: str
    webhook_id: str
    url: str
    reason: str


class WebhookAttempt(
    Form, frozen=True, kw_only=True, tag_field="event", tag="webhook_attempt", omit_defaults=True, gc=False
):
    """One post to an endpoint, and its answer."""

    id: str
    at: float
    """When it began."""
    tenant_id: str
    webhook_id: str
    url: str
    attempt: int
    """1 for the first post of these events."""
    event_ids: tuple[str, ...]
    request_headers: str
    """Lines, without secrets."""
    request_body: str
    """Cut."""
    request_bytes: int
    status: int = 0
    """Of the answer; 0 where there was none."""
    answer_headers: str = ""
    answer_body: str = ""
    """Cut."""
    error: str = ""
    """Why there was no answer."""
    duration_ms: int = 0


class ProcessedTogether(
    Struct, frozen=True, kw_only=True, tag_field="event", tag="processed_together", omit_defaults=True, gc=False
):
    """The compact form in the log of one ``Processed`` event for each recipient of a request."""

    at: float
    tenant_id: str
    batch_id: str | None
    categories: tuple[str, ...]
    ids: list[str]
    message_ids: list[str]
    recipients: list[str]
    reason: str = ""

    def events(self) -> list[Processed]:
        """The events. Raises ValueError when the lists differ in length."""
        return [
            Processed(
                id=id,
                at=self.at,
                tenant_id=self.tenant_id,
                message_id=message_id,
                recipient=recipient,
                batch_id=self.batch_id,
                categories=self.categories,
                reason=self.reason,
            )
            for id, message_id, recipient in zip(self.ids, self.message_ids, self.recipients, strict=True)
        ]


MOST_TOGETHER = 1000
"""Recipients in one row of the log; consumers read row by row."""
_PLACES = 100_000
"""Of the events of one row in ``numbered``."""

Engagement = Opened | Clicked | Unsubscribed | GroupUnsubscribed | GroupResubscribed
Event = Processed | Deferred | Delivered | Bounced | Dropped | SpamReported | Engagement

Logged = Event | WebhookDisabled | WebhookAttempt

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Logged | ProcessedTogether])


def encode_batch(events: Sequence[Logged]) -> bytes:
    """One row of the event log."""
    return _encoder.encode(events)


def encode_together(events: ProcessedTogether) -> bytes:
    """One row of the event log."""
    return _encoder.encode([events])


def decode_row(data: bytes) -> list[Logged]:
    """All that one row of the log tells. Raises msgspec.DecodeError or ValueError when the row is malformed."""
    found: list[Logged] = []
    for one in _decoder.decode(data):
        if type(one) is ProcessedTogether:
            found += one.events()
        else:
            found.append(one)  # type: ignore[arg-type]  # mypy does not narrow by type()
    return found


def decode_batch(data: bytes) -> list[Event]:
    """The events of messages in one row of the log. Raises msgspec.DecodeError or ValueError when the row is
    malformed."""
    return [one for one in decode_row(data) if not isinstance(one, WebhookDisabled | WebhookAttempt)]


def numbered(row_id: int, found: Sequence[Logged]) -> list[tuple[int, Logged]]:
    """What a row of the log tells, each with its sequence number: by it, a message's events are in the order in which
    they happened, since each was written after the one before it was committed. ``row_id``: of the row. Raises
    ValueError for a row that tells too much."""
    if len(found) > _PLACES:
        raise ValueError(f"a row of {len(found)} events")
    return [(row_id * _PLACES + index, one) for index, one in enumerate(found)]


def last_number(row_id: int) -> int:
    """The greatest sequence number that an event of this row can have."""
    return row_id * _PLACES + _PLACES - 1


def name_of(event: Logged) -> str:
    """The event's public name: its tag, or ``blocked`` for a bounce of type ``block``."""
    if isinstance(event, Bounced) and event.bounce_type == "block":
        return "blocked"
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
