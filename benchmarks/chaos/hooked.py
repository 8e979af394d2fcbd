"""What the endpoint of a run was promised: every event at least once, always under one id, in an order that
``sequence`` tells. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from benchmarks.chaos.records import StoredEvent
from benchmarks.hook_log import HookedEvent, Post

PLACES = {"processed": 0, "deferred": 1, "bounce": 3}
"""The order of a delivery's events. A host may report a failure of what it took, so a bounce is last; others are 2."""
ENGAGEMENT = ("open", "click", "unsubscribe", "group_unsubscribe", "group_resubscribe", "spam_report")


def missing(posts: Sequence[Post], events: Sequence[StoredEvent]) -> Iterator[str]:
    """The events that no answered post had."""
    known = {event.event_id for post in posts if post.is_answered for event in post.events}
    for event in events:
        if event.event_id not in known:
            yield f"{event.event_id} ({event.event} of {event.message_id} to {event.recipient}): not at the endpoint"


def contradictions(posts: Sequence[Post], events: Sequence[StoredEvent]) -> Iterator[str]:
    """What the endpoint heard that ClickHouse does not know, or knows otherwise, and orders that cannot be.

    An event may have two sequence numbers: where the journal fell silent after a commit, the same event is written to
    the log again. The lower one counts."""
    stored = {event.event_id: event for event in events}
    first: dict[str, HookedEvent] = {}
    for post in posts:
        for event in post.events:
            known = first.setdefault(event.event_id, event)
            if replace(known, sequence=event.sequence) != event:
                yield f"{event.event_id}: posted once as {known}, then as {event}"
            elif event.sequence < known.sequence:
                first[event.event_id] = event
    of_copies: defaultdict[tuple[str, str], list[HookedEvent]] = defaultdict(list)
    for event in first.values():
        if not event.message_id:
            continue  # an event of the tenant
        found = stored.get(event.event_id)
        if found is None:
            yield f"{event.event_id} ({event.event_type} of {event.message_id}): at the endpoint, not in ClickHouse"
        elif (found.event, found.message_id, found.recipient) != (
            event.event_type,
            event.message_id,
            event.recipient_email,
        ):
            yield f"{event.event_id}: posted as {event}, in ClickHouse {found}"
        if not event.sequence:
            yield f"{event.event_id}: without a sequence"
        of_copies[event.message_id, event.recipient_email].append(event)
    for (message_id, recipient), some in of_copies.items():
        numbers = [event.sequence for event in some]
        if len(set(numbers)) < len(numbers):
            yield f"{message_id} to {recipient}: sequence numbers that repeat: {sorted(numbers)}"
        ranks = [
            PLACES.get(event.event_type, 2)
            for event in sorted(some, key=lambda one: one.sequence)
            if event.event_type not in ENGAGEMENT
        ]
        if ranks != sorted(ranks):
            yield f"{message_id} to {recipient}: out of order by sequence: {ranks}"
