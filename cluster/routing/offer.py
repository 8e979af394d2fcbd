"""An offer to a delivery actor, as it travels: the deliveries, the contents that go with them, and the answer."""

from collections.abc import Awaitable, Mapping

import msgspec
from msgspec import Struct

from cluster.journal.records import Waiting

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Waiting])
_shared_encoder = msgspec.msgpack.Encoder()
_shared_decoder = msgspec.msgpack.Decoder(tuple[bytes, dict[bytes, bytes]])


class OfferAnswer(Struct, frozen=True):
    """What a delivery actor says to an offer: the positions it refused, and how many more it would take."""

    refused: list[int]
    room: int


class Shared(Struct, frozen=True):
    """A request's content and files as one piece (``encode_shared``), where delivery actors reach it."""

    handle: Awaitable[bytes]
    size: int
    """Bytes of it, held in the object store as long as anybody has the handle."""


def encode_offer(deliveries: list[Waiting]) -> bytes:
    return _encoder.encode(deliveries)


def decode_offer(batch: bytes) -> list[Waiting]:
    return _decoder.decode(batch)


def encode_shared(content: bytes, attachments: Mapping[bytes, bytes]) -> bytes:
    """A request's shared content and files as one piece."""
    return _shared_encoder.encode((content, attachments))


def decode_shared(data: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """(encoded content, files by sha256)."""
    return _shared_decoder.decode(data)
