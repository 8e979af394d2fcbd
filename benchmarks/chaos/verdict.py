"""The verdict on a storm: which promises were kept, from the facts alone. Pure.

**The bound of duplicates.** A duplicate is possible only when the reply to an accepted message did not reach a delivery
actor that lived to record it. A connection carries one transaction at a time, and a reply is recorded before the next
one begins; so of each connection at most the *last* transaction can be unknown to its client. It is *in flight* if the
sink accepted the message, and

- sent no reply: it dropped the connection, went silent, or had no connection left; or
- sent one, received nothing more, and the connection ended with a reset: the reply was unread in the client's socket
when the client closed it, or was killed, however long before it had been sent; or
- sent one, received nothing more, and the connection ended within ``NOTED_S``: the client may have been killed between
reading the reply and recording it, which is not visible from outside.

A client that sent anything after the reply had read and recorded it. The recipients of these transactions are the
bound. More strictly, a message that was accepted n times must have been in flight for all of these but the one whose
reply was read; otherwise it is an inexcusable duplicate. All of this is the sink's own knowledge: it depends neither
on the party that is judged nor on a sample taken at the moment of a kill.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct

from benchmarks.chaos import feedback, hooked, reported
from benchmarks.chaos.mail import fate_of
from benchmarks.chaos.records import SentRequest, Stored, VerdictFacts
from benchmarks.sink_log import ConnectionEnded, Line, Receipt
from cluster.policy.limits.strikes import CONTENT, OWN

NOTED_S = 1.0
"""A running client has recorded a reply this long after it was sent, or has not read it: recording follows reading
within one iteration of its event loop."""
SET_ASIDE = (OWN, CONTENT)
"""The expected reasons of poison messages."""
DELIVERED = ("sent", "delivered")
ENDS = ("delivered", "bounce", "blocked", "dropped")
"""The final events; each recipient has exactly one, but for those whose host returned the message (``reported.py``)."""

Copy = tuple[str, str]
"""A message and one of its recipients."""


class ChaosVerdict(Struct, frozen=True, kw_only=True):
    """Counts are of messages unless stated otherwise; lists name what must not be."""

    promised: int
    """Accepted with a 202, or by SMTP with a 250."""
    submitted: int = 0
    """Those by SMTP. 0 in older records, as the next four."""
    resubmitted: int = 0
    """Messages that were submitted more than once: each is one message all the same."""
    reports: int = 0
    """Reports of failures and complaints that were answered with a 250."""
    returned: int = 0
    """Recipients whose host took a message and returned it later."""
    complaints: int = 0
    """Recipients who complained of a message."""
    unanswered: int
    """Requests without an answer."""
    reasons: dict[str, int]
    """The reasons, with their counts."""
    found: int
    """Messages without a 202 or 250 that are in the journal nevertheless; they are judged like all others."""
    recipients: int
    """Recipients of all messages in the journal."""
    delivered: int
    bounced: int
    failed: int
    cancelled: int
    set_aside: int = 0
    """Poison messages that were set aside, as required. 0 in older records."""
    suppressed: int = 0
    """Messages that were dropped because their recipient had unsubscribed. 0 in older records, as the next two."""
    unsubscribes: int = 0
    """Unsubscribes that were answered."""
    of_past_days: int = 0
    """Messages of past days that were promised. 0 in older records, as the next."""
    rewrites: int = 0
    """Partitions that were rewritten."""
    heard: int = 0
    """Events that the endpoint of webhooks was posted, each once. 0 in older records."""
    fetches: int = 0
    """Opens and clicks that were answered."""
    copies: int
    """Pairs of message and recipient, accepted by the sink."""
    duplicated: int
    """Messages and recipients that the sink accepted more than once."""
    surplus: int
    """Copies that the sink accepted beyond one for each recipient that postray reports as delivered."""
    bound: int
    """The limit of ``surplus``: see the module's docstring."""
    inexcusable: list[str]
    """Messages and recipients that the sink accepted more often than lost replies can explain."""
    lost: list[str]
    stuck: list[str]
    cancelled_but_sent: list[str]
    unsubscribed_but_sent: list[str] = []
    """Claimed after an answered unsubscribe, and not dropped."""
    disagreements: list[str]
    """Contradictions between journal, ClickHouse, sink and API."""
    unheard: list[str] = []
    """Events that the endpoint of webhooks did not get. Empty in older records."""
    lacking: list[str] = []
    """Copies of mail of past days that came without their file or a valid signature. Empty in older records."""
    late: list[str] = []
    """Changes of nodes after which delivery was not back to its rate in time. Empty in older records."""
    problems: list[str]
    """Failures that no fault explains: unexpected answers, an API that is down at rest, processes left behind."""

    @property
    def broken(self) -> list[str]:
        """The broken promises."""
        faults = {
            "lost": self.lost,
            "stuck": self.stuck,
            "cancelled but sent": self.cancelled_but_sent,
            "unsubscribed but sent": self.unsubscribed_but_sent,
            "disagreements": self.disagreements,
            "unheard by the endpoint": self.unheard,
            "without file or signature": self.lacking,
            "rate not back": self.late,
            "problems": self.problems,
            "inexcusable duplicates": self.inexcusable,
        }
        broken = [f"{name}: {len(found)}" for name, found in faults.items() if found]
        if self.surplus > self.bound:
            broken.append(f"copies beyond the bound: {self.surplus - self.bound}")
        return broken


def judge(facts: VerdictFacts) -> ChaosVerdict:
    """The verdict on these facts."""
    receipts = [line for line in facts.sink if isinstance(line, Receipt)]
    copies = Counter((r.message_id, recipient) for r in receipts if r.accepted for recipient in r.recipients)
    flown = Counter((r.message_id, recipient) for r in in_flight(facts.sink) for recipient in r.recipients)
    told = {key for key, events in facts.events.items() if events.get("delivered")}
    by_status = Counter(message.status for message in facts.stored)
    by_number = {sent.number: sent for sent in facts.sent}
    accepted = {sent.number for sent in facts.sent if sent.outcome == "accepted"}
    return ChaosVerdict(
        promised=sum(len(by_number[number].message_ids) for number in accepted),
        submitted=sum(len(sent.message_ids) for sent in facts.sent if sent.submitted),
        resubmitted=sum(sent.submitted and sent.tries > 1 for sent in facts.sent),
        reports=sum(report.answered_at is not None for report in facts.reports),
        returned=sum(reported.is_returned(recipient, _ends(events)) for (_, recipient), events in facts.events.items()),
        complaints=sum("spam_report" in events for events in facts.events.values()),
        unanswered=sum(sent.outcome == "unanswered" for sent in facts.sent),
        reasons=Counter(sent.reason for sent in facts.sent if sent.outcome == "unanswered"),
        found=sum(message.number not in accepted for message in facts.stored),
        recipients=sum(len(message.recipients) for message in facts.stored),
        delivered=sum(by_status[status] for status in DELIVERED),
        bounced=by_status["bounced"],
        failed=by_status["failed"],
        cancelled=by_status["cancelled"],
        set_aside=sum(map(_is_set_aside, facts.stored)),
        suppressed=sum(map(feedback.is_suppressed, facts.stored)),
        unsubscribes=sum(done.answered_at is not None for done in facts.unsubscribes),
        of_past_days=sum(len(sent.message_ids) for sent in facts.past),
        rewrites=len(facts.rewritten_at),
        heard=len({event.event_id for post in facts.posts for event in post.events}),
        fetches=sum(fetch.is_answered for fetch in facts.fetches),
        copies=copies.total(),
        duplicated=sum(count > 1 for count in copies.values()),
        surplus=sum(count - (copy in told) for copy, count in copies.items()),
        bound=flown.total(),
        inexcusable=[
            f"{message_id} to {recipient}: {count} copies, {flown[message_id, recipient]} in flight"
            for (message_id, recipient), count in copies.items()
            if count - ((message_id, recipient) in told) > flown[message_id, recipient]
        ],
        lost=[
            *_unknown(facts),
            *feedback.unsubscribes_lost(facts),
            *reported.lost(facts),
            *(f"{m} to {r}: said delivered, not at the sink" for m, r in sorted(told - set(copies))),
        ],
        stuck=_stuck(facts),
        cancelled_but_sent=list(_sent_after_cancel(facts, receipts)),
        unsubscribed_but_sent=list(feedback.unsubscribed_but_sent(facts, receipts)),
        disagreements=[*_disagreements(facts, copies), *hooked.contradictions(facts.posts, facts.each_event)],
        lacking=facts.lacking,
        late=facts.late,
        unheard=list(hooked.missing(facts.posts, facts.each_event)),
        problems=facts.problems,
    )


def in_flight(sink: Iterable[Line]) -> list[Receipt]:
    """The accepted messages whose reply may have been lost: see the module's docstring."""
    last: dict[int, Receipt] = {}
    ended: dict[int, ConnectionEnded] = {}
    for line in sink:
        if isinstance(line, Receipt):
            last[line.session] = line
        else:
            ended[line.session] = line
    return [
        receipt
        for session, receipt in last.items()
        if receipt.accepted and (not receipt.replied or _reply_may_be_lost(receipt, ended.get(session)))
    ]


def _reply_may_be_lost(receipt: Receipt, end: ConnectionEnded | None) -> bool:
    """For a message with a reply. ``end``: of its connection; None: the connection lasted until the sink ended."""
    if end is None:
        return False
    if end.heard_at > receipt.at:  # a client waits for the reply to its message before it sends anything more
        return False
    # If the last reply is older than the message, this message got no reply while its client was connected.
    return end.replied_at < receipt.at or end.reset or end.at - end.replied_at <= NOTED_S


def _unknown(facts: VerdictFacts) -> Iterator[str]:
    """Messages that were promised and are not in the journal."""
    stored = {message.message_id for message in facts.stored}
    for sent in facts.sent:
        for message_id in sent.message_ids:
            if message_id not in stored:
                yield f"{message_id} of request {sent.number}: promised, not in the journal"


def _stuck(facts: VerdictFacts) -> list[str]:
    stuck = list(facts.unfinished)
    named = {line.partition(" ")[0] for line in stuck}
    stuck += [
        f"{message.message_id}: without outcome and without delivery"
        for message in facts.stored
        if message.status is None and message.message_id not in named
    ]
    if facts.log_rows_left:
        stuck.append(f"{facts.log_rows_left} rows of the event log were not passed by all consumers")
    if facts.windows:
        stuck.append(f"{facts.windows} messages are waiting for reports, long after the time for them")
    stuck += reported.unanswered(facts)
    if facts.owed:
        stuck.append(f"{facts.owed} events wait for the endpoint")
    return stuck


def _sent_after_cancel(facts: VerdictFacts, receipts: Iterable[Receipt]) -> Iterator[str]:
    """Messages of which a copy reached the sink, accepted or not, after their cancel took effect."""
    last_at: dict[str, float] = defaultdict(float)
    for receipt in receipts:
        last_at[receipt.message_id] = max(last_at[receipt.message_id], receipt.at)
    stored = {message.message_id: message for message in facts.stored}
    for message in facts.stored:
        if message.status == "cancelled" and message.finished_at is not None:
            late_s = last_at[message.message_id] - message.finished_at
            if late_s > 0:
                yield f"{message.message_id}: at the sink {late_s:.3f} s after it was cancelled"
    for cancel in facts.cancels:
        known = stored.get(cancel.message_id)
        if cancel.status == 200 and known is not None and known.status != "cancelled":
            yield f"{cancel.message_id}: its cancel was answered with 200, and it is {known.status}"


def _disagreements(facts: VerdictFacts, copies: Counter[Copy]) -> Iterator[str]:
    by_number = {sent.number: sent for sent in facts.sent}
    cancels = {cancel.message_id for cancel in facts.cancels}
    complainers = reported.complainers(facts)
    for message in facts.stored:
        yield from _of_message(message, facts, complainers)
        if _is_poison(message) and message.status is not None and not _is_set_aside(message):
            yield f"{message.message_id}: poison, and not set aside: {message.status}, {message.error_message}"
        if message.status == "cancelled" and message.message_id not in cancels:
            yield f"{message.message_id}: cancelled, though nobody asked"
    yield from _of_requests(facts.stored, by_number)
    known = {message.message_id for message in facts.stored}
    for message_id, recipient in copies:
        if message_id not in known:
            yield f"{message_id} to {recipient}: at the sink, not in the journal"
    for message_id, recipient in facts.events:
        if message_id not in known:
            yield f"{message_id} to {recipient}: in ClickHouse, not in the journal"
    yield from _of_batches(facts)
    yield from _of_shown(facts)
    yield from feedback.suppressed_unasked(facts)
    yield from feedback.miscounted(facts)
    yield from reported.miscounted(facts)
    if facts.ended_left:
        yield f"{facts.ended_left} messages that ended on past days are still there, though these have gone"


def _of_message(message: Stored, facts: VerdictFacts, complainers: Collection[Copy]) -> Iterator[str]:
    """Check a message's outcome and the events of its recipients against the behaviour of the sink."""
    if message.outcomes > 1:
        yield f"{message.message_id}: {message.outcomes} outcomes"
    ends: set[str] = set()
    for recipient in message.recipients:
        name = f"{message.message_id} to {recipient}"
        events = facts.events.get((message.message_id, recipient), {})
        if events.get("processed") != 1:
            yield f"{name}: {events.get('processed', 0)} processed events"
        if message.status is None:
            continue
        had = _ends(events)
        if reported.is_returned(recipient, had):
            ends.add("bounce")
            continue
        if sum(had.values()) != 1:
            yield f"{name}: {message.status} in the journal, events {had}"
        ends |= had.keys()
        is_dropped_complainer = had == {"dropped": 1} and (message.message_id, recipient) in complainers
        if not (feedback.is_suppressed(message) or is_dropped_complainer):
            yield from _of_fate(name, recipient, had, message.status)
    if message.status is not None and ends and message.status not in _statuses(ends):
        yield f"{message.message_id}: {message.status} in the journal, events {sorted(ends)}"


def _ends(events: Mapping[str, int]) -> dict[str, int]:
    return {event: count for event, count in events.items() if event in ENDS}


def _is_poison(message: Stored) -> bool:
    return any(fate_of(recipient) == "poison" for recipient in message.recipients)


def _is_set_aside(message: Stored) -> bool:
    """Whether it failed because delivery actors died over it."""
    return _is_poison(message) and message.status == "failed" and message.error_message in SET_ASIDE


def _of_fate(name: str, recipient: str, ends: Iterable[str], status: str) -> Iterator[str]:
    """A recipient that the sink accepts must have been delivered, one that it refuses must not, unless it was
    cancelled. A poison message can only be set aside."""
    if fate_of(recipient) == "poison":
        yield from (f"{name}: {end}, but it is poison" for end in ends if end != "dropped")
        return
    refused = fate_of(recipient) == "no"
    for end in ends:
        if refused and end == "delivered":
            yield f"{name}: said delivered, but the sink refuses it"
        if not refused and end != "delivered" and status != "cancelled":
            yield f"{name}: {end}, but the sink would have taken it"


def _statuses(ends: set[str]) -> tuple[str, ...]:
    """The possible statuses in the journal of a message whose recipients ended like this."""
    if "delivered" in ends:
        return DELIVERED
    if ends & {"bounce", "blocked"}:
        return ("bounced",)
    return ("failed", "cancelled")


def _of_requests(stored: Iterable[Stored], by_number: dict[int, SentRequest]) -> Iterator[str]:
    """A request is in the journal with all its messages, as sent, or not at all."""
    found: dict[int, list[Stored]] = defaultdict(list)
    for message in stored:
        if message.number is None or message.number not in by_number:
            yield f"{message.message_id}: in the journal, never sent"
        else:
            found[message.number].append(message)
    for number, messages in found.items():
        sent = by_number[number]
        if sorted(list(message.recipients) for message in messages) != sorted(sent.recipients):
            yield f"request {number}: {len(sent.recipients)} messages sent, others in the journal: {len(messages)}"
        ids = {message.message_id for message in messages}
        if sent.outcome == "accepted" and ids != set(sent.message_ids):
            yield f"request {number}: other ids in the journal than in its answer"


def _of_batches(facts: VerdictFacts) -> Iterator[str]:
    """Check the tallies, the API's counts and the messages of a batch."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for message in facts.stored:
        if message.batch_id is not None:
            counted[message.batch_id]["accepted"] += 1
            counted[message.batch_id][message.status or "unfinished"] += 1
    for batch_id in counted.keys() | facts.tallies.keys():
        expected = {status: count for status, count in counted[batch_id].items() if status != "unfinished"}
        tally = {status: count for status, count in facts.tallies.get(batch_id, {}).items() if count}
        if tally != expected:
            yield f"{batch_id}: tallied {tally}, in the journal {expected}"
        body = facts.batches_shown.get(batch_id)
        if body is None:
            continue
        shown = {status: count for status, count in body["status_counts"].items() if count}
        expected.pop("accepted", None)
        if shown != expected or body["total_messages"] != counted[batch_id]["accepted"] or not body["is_complete"]:
            yield f"{batch_id}: shown {shown} of {body['total_messages']}, in the journal {expected}"


def _of_shown(facts: VerdictFacts) -> Iterator[str]:
    """Check the API's answer for a message against the journal and ClickHouse."""
    stored = {message.message_id: message for message in facts.stored}
    for shown in facts.shown:
        message = stored[shown.message_id]
        events = sum(
            sum(facts.events.get((message.message_id, recipient), {}).values()) for recipient in message.recipients
        )
        if shown.status != message.status and message.status is not None:
            yield f"{shown.message_id}: shown as {shown.status}, in the journal {message.status}"
        if shown.events != events:
            yield f"{shown.message_id}: {shown.events} events shown, {events} in ClickHouse"
