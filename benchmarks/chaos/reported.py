"""The part of the verdict on what hosts reported later: no report that was answered with 250 is lost, and what it says
is counted exactly once. Pure.

A failure is told of a message that counts as delivered: the recipient then has one ``bounce`` after ``delivered``, and
is on the list of bounces. Where the copy's reply was lost and the message was cancelled meanwhile, nothing is told. A
complaint is told of any message that the sink took. Without a 250 it is unknown whether a report took effect.
"""

from collections.abc import Iterator, Mapping

from benchmarks.chaos.mail import fate_of
from benchmarks.chaos.records import ReportKind, SentReport, VerdictFacts
from cluster.suppression.lists import SuppressionList

LISTS = {ReportKind.RETURNED: SuppressionList.BOUNCES, ReportKind.COMPLAINT: SuppressionList.SPAM_REPORTS}
RETURNED = {"delivered": 1, ReportKind.RETURNED.value: 1}
"""The final events of a recipient whose host took the message and returned it."""

Reports = Mapping[tuple[str, str, ReportKind], list[SentReport]]


def is_returned(recipient: str, ends: Mapping[str, int]) -> bool:
    """Whether a recipient with these final events had the message, and its host returned it."""
    return fate_of(recipient) == "returned" and ends == RETURNED


def complainers(facts: VerdictFacts) -> set[tuple[str, str]]:
    """Messages and recipients who complained. If the reply to the copy was lost, it is not sent again: the recipient is
    suppressed now."""
    return {(report.message_id, report.recipient) for report in facts.reports if report.kind is ReportKind.COMPLAINT}


def lost(facts: VerdictFacts) -> Iterator[str]:
    """Reports that were answered, and from which nothing followed."""
    listed = set(facts.listed)
    for (message_id, recipient, kind), reports in _reports(facts).items():
        if not any(report.answered_at for report in reports):
            continue
        events = facts.events.get((message_id, recipient), {})
        if kind is ReportKind.RETURNED and not events.get("delivered"):
            continue
        name = f"{kind} of {message_id} to {recipient}"
        if not events.get(kind):
            yield f"{name}: its report was answered, and there is no event"
        if (recipient, LISTS[kind]) not in listed:
            yield f"{name}: its report was answered, and {recipient} is not on the list {LISTS[kind]}"


def miscounted(facts: VerdictFacts) -> Iterator[str]:
    """Events and entries of lists that no report explains, or that came more than once."""
    reports = _reports(facts)
    for (message_id, recipient), events in facts.events.items():
        for kind in ReportKind:
            count = events.get(kind, 0)
            if count > 1:
                yield f"{message_id} to {recipient}: {count} events {kind}"
            is_made_up = kind is ReportKind.COMPLAINT or events.get("delivered")
            if count and is_made_up and (message_id, recipient, kind) not in reports:
                yield f"{message_id} to {recipient}: {kind} without a report"
    told = {
        (recipient, LISTS[kind])
        for (_, recipient), events in facts.events.items()
        for kind in ReportKind
        if events.get(kind)
    }
    for recipient, name in facts.listed:
        if name in LISTS.values() and (recipient, name) not in told:
            yield f"{recipient}: on the list {name}, without an event"


def unanswered(facts: VerdictFacts) -> Iterator[str]:
    """Reports that were never answered with 250, though they were sent again until long after the storm."""
    for report in facts.reports:
        if report.answered_at is None:
            yield (
                f"{report.kind} of {report.message_id} to {report.recipient}: "
                f"not answered with 250 in {report.tries} tries"
            )


def _reports(facts: VerdictFacts) -> Reports:
    found: dict[tuple[str, str, ReportKind], list[SentReport]] = {}
    for report in facts.reports:
        found.setdefault((report.message_id, report.recipient, report.kind), []).append(report)
    return found
