"""The messages between the API process and its worker, over a stream socket: frames behind their length.

The parent sends ``Setup`` once, then for each request a ``WorkerJob`` and, unframed, the body. The worker sends a
``WorkerAnswer`` and then as many pages of deliveries to offer as the answer says.
"""

import pickle
from struct import Struct as Packed
from typing import TypeVar

import msgspec
from msgspec import Struct

from cluster.journal.records import ApiKey, DueDelivery
from cluster.settings import DEFAULT_LIMITS, MessageSettings

LENGTH = Packed("!I")
T = TypeVar("T", bound=Struct)


class Setup(Struct, frozen=True, kw_only=True):
    """What a worker must know. Holds a secret (``dsn``): it is sent over the socket, never as an argument."""

    dsn: str
    application: str
    """Of its own connections to the journal, and its shard of the tallies."""
    offer_grace_s: float
    lifetime_s: float
    limits: MessageSettings = DEFAULT_LIMITS
    max_body_bytes: int


class WorkerJob(Struct, frozen=True, kw_only=True):
    """A request; ``size`` bytes of its body follow."""

    key: ApiKey
    is_gzip: bool
    size: int


class Promised(Struct, frozen=True):
    """The ids of a request's messages, in order, and what X-Postray-Ignored says of it."""

    message_ids: list[str]
    ignored: str = ""


class WorkerAnswer(Struct, frozen=True, kw_only=True):
    """What became of it."""

    promised: Promised = Promised([])
    """Of what was committed."""
    refusal: bytes = b""
    """The exception that says why it was not, pickled."""
    pages: int = 0
    """Frames that follow, each of encoded deliveries."""
    resident_bytes: int = 0
    """What the worker still holds; 0 where the system does not say."""


decode_page = msgspec.msgpack.Decoder(list[DueDelivery]).decode


def frame(record: Struct | list[DueDelivery]) -> bytes:
    data = msgspec.msgpack.encode(record)
    return LENGTH.pack(len(data)) + data


def pickled(error: Exception) -> bytes:
    return pickle.dumps(error)


def unpickled(refusal: bytes) -> Exception:
    """What our own worker has pickled."""
    error = pickle.loads(refusal)
    assert isinstance(error, Exception)
    return error
