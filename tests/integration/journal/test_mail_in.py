"""What follows from reports: each change happens once, whatever comes twice, and counts stay right."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cluster.events import Bounced, Deferred, Event, SpamReported, decode_batch
from cluster.journal.journal import Journal
from cluster.journal.mail_in import ArrivedMail, Complaint, Delay, Effect, Failure, NotFinished, ReportedMessage
from cluster.journal.records import NewMessage, Recipient
from cluster.journal.suppressions import NewSuppression
from cluster.policy.lifecycle import Status
from cluster.suppression.lists import SuppressionList
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, waiting

NOW = datetime.now(UTC)


def mail(digest: bytes = b"1", kind: str = "failed") -> ArrivedMail:
    return ArrivedMail(
        at=NOW, kind=kind, why="because", sender="", mailbox="b+x@bounces.example.com", size=1000, digest=digest
    )


def failure(recipient_no: int = 0, listed: NewSuppression | None = None) -> Failure:
    return Failure(
        recipient_no=recipient_no,
        bounce_type="hard",
        bounce_class="bad-mailbox",
        reason="550 5.1.1 no such user",
        response="550 5.1.1 no such user",
        reporter="mx.example.com",
        listed=listed,
    )


DELAY = Delay(recipient_no=0, bounce_class="", reason="4.4.1 no answer", response="", reporter="mx", until=None)


async def delivered(
    journal: Journal, *emails: str, batched: bool = True, status: Status = Status.DELIVERED, window_s: float = 0.0
) -> tuple[NewMessage, ReportedMessage]:
    tenant = await a_tenant(journal)
    batch_id = await journal.batches.create(tenant) if batched else None
    message = a_message(*(emails or ("ada@example.com",)))
    await journal.intake.accept([a_request(tenant, message, batch_id=batch_id)])
    wanted = waiting(tenant, message)
    await journal.queue.claim(wanted, owner=1, lease_s=60)
    outcomes = [an_outcome(one, status, sole_recipient=len(wanted) == 1) for one in wanted]
    await journal.queue.commit(outcomes, owner=1, window_s=window_s)
    found = await journal.mail_in.message(1, message.id)
    assert found is not None
    return message, found


async def status(journal: Journal, found: ReportedMessage) -> Status:
    row = await journal.messages.find(found.tenant_id, found.id)
    assert row is not None
    return row.status


async def counts(journal: Journal, found: ReportedMessage) -> dict[Status, int]:
    assert found.batch_id is not None
    batch = await journal.batches.counts(found.tenant_id, found.batch_id)
    assert batch is not None
    return {name: count for name, count in batch.by_status.items() if count}


async def of_kind(journal: Journal, kind: type[Event]) -> list[Any]:
    logged = await journal.event_log.after("recorder", 10_000)
    return [event for row in logged for event in decode_batch(row.events) if isinstance(event, kind)]


async def test_a_delivered_message_bounces_once(journal: Journal) -> None:
    _, found = await delivered(journal)
    listed = NewSuppression(
        tenant_id=found.tenant_id, email="ada@example.com", list=SuppressionList.BOUNCES, created_at=NOW
    )
    assert await journal.mail_in.take(mail(), found, [failure(listed=listed)]) == "ada@example.com bounced"
    assert await journal.mail_in.take(mail(), found, [failure(listed=listed)]) is None
    assert await journal.mail_in.take(mail(b"2"), found, [failure(listed=listed)]) == ""
    assert await status(journal, found) is Status.BOUNCED
    assert await counts(journal, found) == {Status.BOUNCED: 1}
    (event,) = await of_kind(journal, Bounced)
    assert (event.attempt, event.mx_host, event.smtp_response) == (1, "mx.example.com", "550 5.1.1 no such user")
    assert await journal.suppressions.entry(found.tenant_id, SuppressionList.BOUNCES, "ada@example.com")


async def test_two_reports_at_once_count_once(journal: Journal) -> None:
    _, found = await delivered(journal)
    done = await asyncio.gather(*(journal.mail_in.take(mail(bytes([n])), found, [failure()]) for n in range(4)))
    assert sorted(map(str, done)) == ["", "", "", "ada@example.com bounced"]
    assert await counts(journal, found) == {Status.BOUNCED: 1}


async def test_a_message_of_several_bounces_when_the_last_one_does(journal: Journal) -> None:
    message, found = await delivered(journal, "a@example.com", "b@example.com")
    await journal.mail_in.take(mail(b"1"), found, [failure(1)])
    assert await status(journal, found) is Status.DELIVERED
    assert await counts(journal, found) == {Status.DELIVERED: 1}
    assert await journal.mail_in.take(mail(b"2"), found, [failure(1)]) == ""
    assert await journal.mail_in.take(mail(b"3"), found, [failure(0)]) == "a@example.com bounced"
    assert await status(journal, found) is Status.BOUNCED
    assert await counts(journal, found) == {Status.BOUNCED: 1}
    assert [event.recipient for event in await of_kind(journal, Bounced)] == ["b@example.com", "a@example.com"]
    recipients = [Recipient("a@example.com", "example.com"), Recipient("b@example.com", "example.com")]
    retried = await journal.commands.retry(found.tenant_id, message.id, recipients, 3600)
    assert retried is not None and retried.done
    assert await counts(journal, found) == {Status.QUEUED: 1}


async def test_a_bounced_recipient_beside_one_that_is_under_way(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message("a@example.com", "b@example.com")
    await journal.intake.accept([a_request(tenant, message)])
    first, second = waiting(tenant, message)
    await journal.queue.claim([first, second], owner=1, lease_s=60)
    await journal.queue.commit([an_outcome(first, Status.DELIVERED, sole_recipient=False)], owner=1)
    found = await journal.mail_in.message(1, message.id)
    assert found is not None
    with pytest.raises(NotFinished):
        await journal.mail_in.take(mail(b"0"), found, [failure(1)])
    assert await journal.mail_in.page(10) == []
    assert await journal.mail_in.take(mail(b"1"), found, [failure(0)]) == "a@example.com bounced"
    await journal.queue.commit([an_outcome(second, Status.FAILED, sole_recipient=False)], owner=1)
    assert await status(journal, found) is Status.BOUNCED


async def test_mixed_outcomes_are_known_later(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch_id = await journal.batches.create(tenant)
    message = a_message("a@example.com", "b@example.com")
    await journal.intake.accept([a_request(tenant, message, batch_id=batch_id)])
    first, second = waiting(tenant, message)
    await journal.queue.claim([first, second], owner=1, lease_s=60)
    statuses = ((first, Status.BOUNCED), (second, Status.DELIVERED))
    await journal.queue.commit([an_outcome(one, end, sole_recipient=False) for one, end in statuses], owner=1)
    found = await journal.mail_in.message(1, message.id)
    assert found is not None
    assert await journal.mail_in.take(mail(b"1"), found, [failure(0)]) == ""
    assert await journal.mail_in.take(mail(b"2"), found, [failure(1)]) == "b@example.com bounced"
    assert await counts(journal, found) == {Status.BOUNCED: 1}


async def test_a_delay_is_an_event_and_no_more(journal: Journal) -> None:
    _, found = await delivered(journal)
    assert await journal.mail_in.take(mail(kind="delayed"), found, [DELAY]) == "ada@example.com delayed"
    assert await status(journal, found) is Status.DELIVERED
    assert len(await of_kind(journal, Deferred)) == 1
    await journal.mail_in.take(mail(b"2"), found, [failure()])
    assert await journal.mail_in.take(mail(b"3", kind="delayed"), found, [DELAY]) == ""


async def test_a_complaint_counts_once_and_suppresses(journal: Journal) -> None:
    _, found = await delivered(journal)
    complaint: list[Effect] = [Complaint(recipient_no=0, reason="abuse", ip="192.0.2.1")]
    assert await journal.mail_in.take(mail(), found, complaint) == "ada@example.com complained"
    assert await journal.mail_in.take(mail(b"2"), found, complaint) == ""
    (event,) = await of_kind(journal, SpamReported)
    assert (event.recipient, event.reason) == ("ada@example.com", "abuse")
    entry = await journal.suppressions.entry(found.tenant_id, SuppressionList.SPAM_REPORTS, "ada@example.com")
    assert entry is not None and entry.ip == "192.0.2.1"
    assert await counts(journal, found) == {Status.DELIVERED: 1}


async def test_a_window_ends_as_delivered(journal: Journal) -> None:
    _, found = await delivered(journal, status=Status.SENT, window_s=0.001)
    assert found.batch_id is not None
    batch = await journal.batches.counts(found.tenant_id, found.batch_id)
    assert batch is not None and batch.completed_at is None and batch.by_status[Status.SENT] == 1
    assert await journal.mail_in.confirm(10) == 1
    assert await journal.mail_in.confirm(10) == 0
    assert await status(journal, found) is Status.DELIVERED
    batch = await journal.batches.counts(found.tenant_id, found.batch_id)
    assert batch is not None and batch.completed_at is not None
    assert await counts(journal, found) == {Status.DELIVERED: 1}


async def test_a_report_within_the_window_wins(journal: Journal) -> None:
    _, found = await delivered(journal, status=Status.SENT, window_s=0.001)
    await journal.mail_in.take(mail(), found, [failure()])
    assert await journal.mail_in.confirm(10) == 0
    assert await counts(journal, found) == {Status.BOUNCED: 1}


async def test_a_window_lasts_until_all_recipients_are_finished(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message("a@example.com", "b@example.com")
    await journal.intake.accept([a_request(tenant, message)])
    first, second = waiting(tenant, message)
    await journal.queue.claim([first, second], owner=1, lease_s=60)
    sent = an_outcome(first, Status.SENT, sole_recipient=False)
    await journal.queue.commit([sent], owner=1, window_s=0.001)
    assert await journal.mail_in.confirm(10) == 0
    await journal.queue.commit([an_outcome(second, Status.BOUNCED, sole_recipient=False)], owner=1, window_s=3600)
    row = await journal.messages.find(tenant, message.id)
    assert row is not None and row.status is Status.SENT


async def test_no_window_is_open_longer_than_it_lasts(journal: Journal) -> None:
    _, found = await delivered(journal, status=Status.SENT, window_s=3600)
    assert await journal.mail_in.confirm(10) == 0
    assert await status(journal, found) is Status.SENT


async def test_what_came_is_listed_and_forgotten(journal: Journal) -> None:
    for number in range(5):
        await journal.mail_in.take(mail(bytes([number]), kind="not understood" if number % 2 else "auto reply"))
    listed = await journal.mail_in.page(2)
    assert [one.kind for one in listed] == ["auto reply", "not understood"]
    older = await journal.mail_in.page(10, before=listed[-1].id)
    assert len(older) == 3
    assert len(await journal.mail_in.page(10, kind="not understood")) == 2
    assert await journal.mail_in.forget(timedelta(days=1), 2, 100) == 3
    assert len(await journal.mail_in.page(10)) == 2
    assert await journal.mail_in.forget(timedelta(days=-1), 100, 100) == 2


async def test_a_message_that_is_gone_has_no_reports(journal: Journal) -> None:
    _, found = await delivered(journal)
    assert await journal.mail_in.message(2, found.id) is None
    assert await journal.mail_in.message(1, "msg_01K9ZQ4G8V2N7R5T0XWJ3C6DEF") is None
