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
_event_decoder = msgspec.msgpack.Decoder(OwedEvent)
_raw_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])


def split_bundle(data: bytes) -> list[msgspec.Raw]:
    """The events of a bundle in their stored form, which take a tenth of the memory. Raises msgspec.DecodeError."""
    return _raw_decoder.decode(data)


def decode_event(stored: msgspec.Raw) -> OwedEvent:
    """One event of ``split_bundle``. Raises msgspec.DecodeError."""
    return _event_decoder.decode(stored)


def joined(stored: Sequence[msgspec.Raw]) -> bytes:
    """A bundle of some events of ``split_bundle``."""
    return _encoder.encode(stored)


def encode_event(event: OwedEvent) -> msgspec.Raw:
    """The stored form of an event."""
    return msgspec.Raw(_encoder.encode(event))


def bundled(events: Sequence[OwedEvent]) -> Iterator[tuple[int, bytes]]:
    """The events in bundles within the bounds, in order: of each, the number of its events and its stored form."""
    return bundled_stored([encode_event(event) for event in events])


def bundled_stored(events: Sequence[msgspec.Raw]) -> Iterator[tuple[int, bytes]]:
    """Like ``bundled``, of events in their stored form."""
    some: list[msgspec.Raw] = []
    size = 0
    for event in events:
        some.append(event)
        size += len(event)
        if len(some) >= MOST_EVENTS or size >= MOST_BYTES:
            yield len(some), joined(some)
            some, size = [], 0
    if some:
        yield len(some), joined(some)
