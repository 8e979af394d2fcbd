"""The part of the verdict on what readers did: unsubscribes hold, and opens and clicks are counted. Pure.

**Unsubscribes.** One that was answered is on its list, and no message that was claimed afterwards is sent. The harness
does not see claims. It knows that a message cannot be claimed before it is accepted, nor before its send time: if
either is after the answer, the claim was.

**Opens and clicks.** There are no more events than there were requests. An answered one has its event, unless the
process that answered was killed before it could write it: within ``WRITTEN_S``, or, where Postgres was away, so long
after it was back.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

from benchmarks.chaos.records import Fetch, FetchKind, ReportKind, Span, Stored, VerdictFacts
from benchmarks.sink_log import Receipt
from cluster.suppression.lists import ALL_SUPPRESSED, SuppressionList

WRITTEN_S = 2.0
RECOVERED_S = 6.0
"""So long after an outage Postgres has recovered, and every process has found it again."""


def is_suppressed(message: Stored) -> bool:
    """Whether it was not sent because its recipients have unsubscribed."""
    return message.status == "failed" and message.error_message == ALL_SUPPRESSED


def unsubscribes_lost(facts: VerdictFacts) -> Iterator[str]:
    """Unsubscribes that were answered and are not on their list."""
    listed = set(facts.listed)
    for done in facts.unsubscribes:
        name = SuppressionList.GROUP if done.from_group else SuppressionList.UNSUBSCRIBES
        if done.answered_at is not None and (done.recipient, name) not in listed:
            yield f"{done.recipient}: its unsubscribe was answered, and is on no list"


def unsubscribed_but_sent(facts: VerdictFacts, receipts: Iterable[Receipt]) -> Iterator[str]:
    """Messages that were claimed after an answered unsubscribe, and were not dropped."""
    since = _earliest((done.recipient, done.answered_at) for done in facts.unsubscribes if done.answered_at is not None)
    arrived = {receipt.message_id for receipt in receipts}
    for message in facts.stored:
        for recipient in message.recipients:
            if recipient not in since or message.claimed_after <= since[recipient]:
                continue
            if message.message_id in arrived:
                yield f"{message.message_id} to {recipient}: at the sink, claimed after its unsubscribe"
            elif message.status not in (None, "cancelled") and not is_suppressed(message):
                yield f"{message.message_id} to {recipient}: {message.status}, claimed after its unsubscribe"


def suppressed_unasked(facts: VerdictFacts) -> Iterator[str]:
    """Messages that were not sent, though their recipients had neither unsubscribed nor complained before. (Before its
    outcome is known, a recipient can complain only of a copy whose reply was lost.)"""
    unsubscribes = ((done.recipient, done.asked_at) for done in facts.unsubscribes)
    complaints = ((one.recipient, one.asked_at) for one in facts.reports if one.kind is ReportKind.COMPLAINT)
    asked = _earliest(chain(unsubscribes, complaints))
    for message in facts.stored:
        if is_suppressed(message) and message.finished_at is not None:
            for recipient in message.recipients:
                if recipient not in asked or asked[recipient] > message.finished_at:
                    yield f"{message.message_id} to {recipient}: suppressed without an unsubscribe"


def miscounted(facts: VerdictFacts) -> Iterator[str]:
    """Recipients with more opens or clicks than they made, or with fewer than must have been written."""
    made = Counter((fetch.message_id, fetch.recipient, fetch.kind.value) for fetch in facts.fetches)
    sure = Counter(
        (fetch.message_id, fetch.recipient, fetch.kind.value) for fetch in facts.fetches if is_sure(fetch, facts)
    )
    counted = Counter(
        {
            (message_id, recipient, kind): events[kind]
            for (message_id, recipient), events in facts.events.items()
            for kind in map(str, FetchKind)
            if kind in events
        }
    )
    for key in sorted(made.keys() | counted.keys()):
        if not sure[key] <= counted[key] <= made[key]:
            message_id, recipient, kind = key
            yield (
                f"{message_id} to {recipient}: {counted[key]} events {kind}, made {made[key]}, "
                f"{sure[key]} of them certainly written"
            )


def is_sure(fetch: Fetch, facts: VerdictFacts) -> bool:
    """Whether its event must have been written: see the module's docstring."""
    written_by = fetch.at + WRITTEN_S
    for began, ended in sorted(facts.journal_away):
        if began <= written_by and ended + RECOVERED_S >= fetch.at:
            written_by = max(written_by, ended + RECOVERED_S)
    return fetch.is_answered and not any(_meet(death, (fetch.at - WRITTEN_S, written_by)) for death in facts.api_killed)


def _earliest(moments: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The earliest moment of each recipient."""
    found: dict[str, float] = {}
    for recipient, at in moments:
        found[recipient] = min(at, found.get(recipient, at))
    return found


def _meet(one: Span, other: Span) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
