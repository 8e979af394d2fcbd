"""The verdict on what hosts report later: nothing that was answered is lost, and everything is counted once."""

import email
from email.policy import default
from typing import Any

import pytest
from msgspec.structs import replace

from benchmarks.chaos import mail, report_mail
from benchmarks.chaos.records import ReportKind, SentReport, Stored, VerdictFacts
from benchmarks.chaos.verdict import judge
from benchmarks.sink_log import Receipt
from cluster.mail_in.reading import read_report
from cluster.mail_in.report import Kind
from cluster.suppression.lists import ALL_SUPPRESSED
from tests.unit.benchmarks.test_feedback import facts_of

RETURNED = "r0-0-0.returned@one.example.org"
COMPLAINS = "r0-0-1.complains@one.example.org"
SENDER = f"b+{'0' * 26}{'a' * 32}@mail.example.com"
BOTH = {"processed": 1, "delivered": 1, "bounce": 1}


def report(
    kind: ReportKind = ReportKind.RETURNED, answered_at: float | None = 130.0, asked_at: float = 116.0
) -> SentReport:
    recipient = RETURNED if kind is ReportKind.RETURNED else COMPLAINS
    return SentReport(
        message_id="msg_0", recipient=recipient, kind=kind, asked_at=asked_at, answered_at=answered_at, tries=3
    )


def facts(
    recipient: str,
    status: str,
    events: dict[str, int],
    *reports: SentReport,
    error_message: str | None = None,
    **known: Any,
) -> VerdictFacts:
    """One message to one recipient that is at the sink."""
    stored = Stored(
        message_id="msg_0",
        number=None,
        recipients=(recipient,),
        batch_id=None,
        status=status,
        finished_at=120.0,
        error_message=error_message,
    )
    at_sink = Receipt(at=115.0, session=1, message_id="msg_0", recipients=(recipient,), accepted=True, replied=True)
    return facts_of(
        stored=[stored], events={("msg_0", recipient): events}, sink=[at_sink], reports=list(reports), **known
    )


def broken(found: VerdictFacts) -> list[str]:
    """The lines of the verdict, but that no request is known for the message."""
    verdict = judge(found)
    lines = [*verdict.lost, *verdict.stuck, *verdict.disagreements, *verdict.inexcusable]
    return [line for line in lines if "never sent" not in line]


def test_a_returned_message_bounced_and_its_recipient_is_listed() -> None:
    kept = facts(RETURNED, "bounced", BOTH, report(), listed=[(RETURNED, "bounces")])
    assert broken(kept) == []
    verdict = judge(kept)
    assert (verdict.reports, verdict.returned, verdict.complaints) == (1, 1, 0)
    assert len(broken(replace(kept, listed=[]))) == 1, "not on the list"


@pytest.mark.parametrize(
    ("status", "events", "answered_at", "said"),
    [
        ("sent", {"processed": 1, "delivered": 1}, 130.0, "its report was answered, and there is no event"),
        ("sent", {"processed": 1, "delivered": 1}, None, "not answered with 250 in 3 tries"),
        ("bounced", {"processed": 1, "bounce": 1}, 130.0, "bounce, but the sink would have taken it"),
        ("bounced", BOTH | {"bounce": 2}, 130.0, "2 events bounce"),
        ("sent", BOTH, 130.0, "sent in the journal, events ['bounce']"),
    ],
)
def test_what_a_report_says_is_counted_once(
    status: str, events: dict[str, int], answered_at: float | None, said: str
) -> None:
    listed = [(RETURNED, "bounces")] if "bounce" in events else []
    lines = broken(facts(RETURNED, status, events, report(answered_at=answered_at), listed=listed))
    assert any(said in line for line in lines), lines


def test_a_report_on_a_message_that_was_cancelled_tells_nothing() -> None:
    cancelled = facts(RETURNED, "cancelled", {"processed": 1, "dropped": 1}, report())
    assert [line for line in broken(cancelled) if "report" in line] == []


def test_a_bounce_without_a_report_is_a_fault() -> None:
    found = facts(RETURNED, "bounced", BOTH, listed=[(RETURNED, "bounces")])
    assert broken(found) == [f"msg_0 to {RETURNED}: bounce without a report"]


def test_a_complaint_is_told_once_and_the_message_stays_delivered() -> None:
    events = {"processed": 1, "delivered": 1, "spam_report": 1}
    kept = facts(COMPLAINS, "sent", events, report(ReportKind.COMPLAINT), listed=[(COMPLAINS, "spam_reports")])
    assert broken(kept) == [] and judge(kept).complaints == 1
    assert len(broken(replace(kept, listed=[]))) == 1
    assert len(broken(replace(kept, reports=[]))) == 1
    twice = {("msg_0", COMPLAINS): {**events, "spam_report": 2}}
    assert broken(replace(kept, events=twice)) == [f"msg_0 to {COMPLAINS}: 2 events spam_report"]


def test_who_complained_of_a_copy_whose_reply_was_lost_gets_no_other() -> None:
    events = {"processed": 1, "dropped": 1, "spam_report": 1}
    complained = report(ReportKind.COMPLAINT)
    known: dict[str, Any] = {"listed": [(COMPLAINS, "spam_reports")]}
    found = facts(COMPLAINS, "failed", events, complained, error_message=ALL_SUPPRESSED, **known)
    assert [line for line in broken(found) if "inexcusable" not in line and "in flight" not in line] == []
    later = facts(
        COMPLAINS, "failed", events, report(ReportKind.COMPLAINT, asked_at=125.0), error_message=ALL_SUPPRESSED, **known
    )
    assert any("suppressed without" in line for line in broken(later))


def test_who_is_listed_without_an_event_is_a_fault() -> None:
    found = facts_of(listed=[(COMPLAINS, "spam_reports")])
    assert judge(found).disagreements == [f"{COMPLAINS}: on the list spam_reports, without an event"]


def test_windows_that_stay_open_are_stuck() -> None:
    assert judge(facts_of(windows=2)).broken == ["stuck: 1"]


def test_reports_are_read_as_what_they_are() -> None:
    failed = read_report(report_mail.failure_report(SENDER, RETURNED, "report-1"))
    assert failed.kind is Kind.FAILED and failed.recipients[0].final_recipient == RETURNED
    assert failed.recipients[0].diagnostic == report_mail.REPLY
    complained = read_report(report_mail.complaint(SENDER, COMPLAINS, "report-2"))
    assert complained.kind is Kind.COMPLAINT and SENDER in complained.returned_ids.senders


def test_a_submission_says_whose_it_is() -> None:
    draft = mail.RequestDraft(fates=(("ok",),), delay_s=7.0, batch=True, submitted=True)
    octets = mail.submission(draft, 12, now=1000.0, batch_id="bat_1")
    message = email.message_from_bytes(octets, policy=default)
    assert message["X-SMTPAPI"] == '{"category": "chaos-12", "send_at": 1007, "batch_id": "bat_1"}'
    assert message["Message-ID"] == "<chaos-12@mail.example.com>" and b"\n" not in octets.replace(b"\r\n", b"")
