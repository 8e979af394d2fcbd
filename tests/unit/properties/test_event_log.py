"""The event log: what the outcome commits wrote is what the recorder reads, and nothing in a row stops it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.rows import columns
from cluster.events import (
    Bounced,
    Deferred,
    Delivered,
    Dropped,
    Event,
    Processed,
    decode_batch,
    encode_batch,
    name_of,
)

_COUNTS = st.integers(0, 2**63 - 1)
_EVENTS = st.lists(
    st.one_of(
        st.from_type(Processed),
        st.from_type(Dropped),
        *(st.builds(kind, attempt=_COUNTS, duration_ms=_COUNTS) for kind in (Deferred, Delivered, Bounced)),
    ),
    max_size=3,
)


@given(_EVENTS)
def test_a_batch_is_read_as_it_was_written(events: list[Event]) -> None:
    assert repr(decode_batch(encode_batch(events))) == repr(events)  # a float may be NaN, which equals nothing


@given(_EVENTS)
def test_every_event_has_a_name(events: list[Event]) -> None:
    for event in events:
        assert name_of(event) in ("processed", "deferred", "delivered", "bounce", "blocked", "dropped")


@given(st.binary(max_size=300))
def test_any_octets_are_a_batch_or_refused_with_the_errors_that_its_readers_know(data: bytes) -> None:
    try:
        decode_batch(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return


@given(_EVENTS, st.data())
def test_a_damaged_batch_is_refused_or_still_a_batch(events: list[Event], data: st.DataObject) -> None:
    encoded = bytearray(encode_batch(events))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        found = decode_batch(bytes(encoded))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return
    assert all(isinstance(event, Event) for event in found)


@given(_EVENTS)
def test_the_columns_of_any_events_are_made_or_refused_with_the_errors_that_the_recorder_knows(
    events: list[Event],
) -> None:
    try:
        columns(events)
    except (ValueError, OverflowError):
        return


@pytest.mark.parametrize("depth", [600, 100_000])
def test_a_row_nested_deeper_than_a_stack_is_refused(depth: int) -> None:
    with pytest.raises((msgspec.DecodeError, RecursionError)):
        decode_batch(b"\x91" * depth)
