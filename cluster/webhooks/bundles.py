"""Bundles: the events that one endpoint is owed, as the journal keeps them.

A bundle is stored without a dialect, so that a body is the same in each attempt, whatever is changed at the endpoint
meanwhile in the code that writes bodies.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from cluster.events import Event, WebhookDisabled

MOST_EVENTS = 1000
"""Of a bundle, and of a post."""
MOST_BYTES = 256 * 1024
"""Of a bundle, which its last event may exceed."""


class OwedEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event, and what a post says of its message."""

    event: Event | WebhookDisabled
    sequence: int = 0
    """Rises within a message (``cluster.events.numbered``); 0 in events from before it was kept."""
    smtp_id: str = ""
    """The message's Message-ID (RFC 5322 §3.6.4), in angle brackets."""
    custom_args: dict[str, Any] = msgspec.field(default_factory=dict)
    """Empty once the message is gone."""
    asm_group_id: int = 0
    """The unsubscribe group of the message; 0: none."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[OwedEvent])


def encode_bundle(events: Sequence[OwedEvent]) -> bytes:
    """The stored form."""
    return _encoder.encode(events)


def decode_bundle(data: bytes) -> list[OwedEvent]:
    """The events of a bundle. Raises msgspec.DecodeError for what ``encode_bundle`` did not make."""
    return _decoder.decode(data)


def bundled(events: Sequence[OwedEvent]) -> Iterator[tuple[int, bytes]]:
    """The events in bundles within the bounds, in order: of each, the number of its events and its stored form."""
    some: list[bytes] = []
    size = 0
    for event in events:
        some.append(encoded := _encoder.encode(event))
        size += len(encoded)
        if len(some) >= MOST_EVENTS or size >= MOST_BYTES:
            yield len(some), _joined(some)
            some, size = [], 0
    if some:
        yield len(some), _joined(some)


def _joined(encoded: list[bytes]) -> bytes:
    return _encoder.encode([msgspec.Raw(one) for one in encoded])
