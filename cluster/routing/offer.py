"""The encoding of an offer to a delivery actor: the deliveries, their shared contents, and the answer."""

from collections.abc import Awaitable, Mapping

import msgspec

from cluster.journal.records import DueDelivery
from cluster.policy.forms import Form

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[DueDelivery])
_shared_encoder = msgspec.msgpack.Encoder()
_shared_decoder = msgspec.msgpack.Decoder(tuple[bytes, dict[bytes, bytes]])


class OfferAnswer(Form, frozen=True):
    """A delivery actor's answer to an offer: the indexes of refused deliveries, and how many more it would take."""

    refused: list[int]
    room: int


class Shared(Form, frozen=True):
    """A request's content and files, encoded by ``encode_shared``, in the object store."""

    handle: Awaitable[bytes]
    size: int
    """Size in bytes. The object store keeps them as long as a process holds the handle."""


def encode_offer(deliveries: list[DueDelivery]) -> bytes:
    return _encoder.encode(deliveries)


def decode_offer(batch: bytes) -> list[DueDelivery]:
    return _decoder.decode(batch)


def encode_shared(content: bytes, attachments: Mapping[bytes, bytes]) -> bytes:
    """A request's content and files (by sha256), as one piece."""
    return _shared_encoder.encode((content, attachments))


def decode_shared(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """(encoded content, files by sha256)."""
    return _shared_decoder.decode(data)
