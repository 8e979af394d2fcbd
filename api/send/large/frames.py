"""The messages between the API process and its worker over a stream socket: frames with a length prefix.

The parent sends ``Setup`` once, then for each request a ``WorkerJob`` and, unframed, the body. The worker sends a
``WorkerAnswer`` and then as many pages of deliveries to offer as the answer says.
"""

import pickle
from datetime import datetime
from struct import Struct as Packed
from typing import Any

import msgspec
from msgspec import Struct

from api.send.drafts import Dialect
from api.send.sending import Sent
from cluster.journal.idempotency import FirstAnswer
from cluster.journal.records import ApiKey, DueDelivery
from cluster.settings import DEFAULT_LIMITS, MessageSettings
from cluster.tenancy.quota import QuotaLeft

LENGTH = Packed("!I")


class Setup(Struct, frozen=True, kw_only=True):
    """The worker's settings. ``dsn`` is a secret, so they are sent over the socket and never as an argument."""

    dsn: str
    application: str
    """The name of its connections to the journal, and its shard of the tallies."""
    offer_grace_s: float
    lifetime_s: float
    public_url: str
    """What recipients reach the API under."""
    limits: MessageSettings = DEFAULT_LIMITS
    max_body_bytes: int


class WorkerJob(Struct, frozen=True, kw_only=True):
    """A request; ``size`` bytes of its body follow."""

    key: ApiKey
    pools: frozenset[str]
    """The pools of the active routing."""
    dialect: bytes
    """Pickled."""
    is_gzip: bool
    size: int
    idempotency_key: str | None = None
    quota: QuotaLeft | None = None
    """What is left of the tenant's day; None without a quota."""


class Promised(Struct, frozen=True):
    """The ids of a request's messages, in order, and its value of X-Postray-Ignored."""

    message_ids: list[str]
    ignored: str = ""
    counted: bool = False
    """Whether they count for the tenant's daily quota."""
    is_repeat: bool = False
    """Whether they were answered to an earlier request with the same idempotency key."""
    send_at: datetime | None = None
    """The send time of the first one; None when it is sent now, or for a repeat."""
    sandbox: bool = False
    """Whether they are only checked; False for a repeat."""


def promised(sent: Sent) -> Promised:
    """The answer to a request that was committed."""
    request = sent.request
    first = request.messages[0]
    return Promised(request.message_ids, sent.ignored, request.uses_quota, send_at=first.send_at, sandbox=first.sandbox)


def repeated(first: FirstAnswer) -> Promised:
    """The answer to a repeat."""
    return Promised(first.message_ids, first.ignored, is_repeat=True)


class WorkerAnswer(Struct, frozen=True, kw_only=True):
    """The result of a job."""

    promised: Promised = Promised([])
    """The committed messages."""
    refusal: bytes = b""
    """The pickled exception when the request was refused or not committed."""
    pages: int = 0
    """The number of frames that follow, each with encoded deliveries."""
    resident_bytes: int = 0
    """The worker's memory; 0 when the system does not report it."""


decode_page = msgspec.msgpack.Decoder(list[DueDelivery]).decode


def frame(record: Struct | list[DueDelivery]) -> bytes:
    data = msgspec.msgpack.encode(record)
    return LENGTH.pack(len(data)) + data


def pickled(value: Exception | Dialect) -> bytes:
    return pickle.dumps(value)


def unpickled(data: bytes) -> Any:
    """Unpickle a value. The data comes only from the other one of the two processes."""
    return pickle.loads(data)
