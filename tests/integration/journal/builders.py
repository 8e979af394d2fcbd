"""Requests to accept, and the state and the outcomes of their deliveries: the least that a test needs."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from cluster.dkim_keys import load_private_key, public_value
from cluster.events import Bounced, Deferred, Delivered, Dropped, decode_batch
from cluster.ids import new_id, new_ids
from cluster.journal.ending import Ended
from cluster.journal.journal import Journal
from cluster.journal.records import (
    Address,
    BodyPart,
    Content,
    DueDelivery,
    NewMessage,
    NewRequest,
    Outcome,
    OutcomeWithEvent,
    PreparedPersonalization,
    Recipient,
    encode,
)
from cluster.journal.scheduling import Decide
from cluster.policy.lifecycle import Status
from cluster.vault import Vault
from tests.domains import a_domain


async def a_tenant(journal: Journal, name: str = "acme") -> str:
    return await journal.tenants.create(name)


async def a_sender_domain(
    journal: Journal,
    tenant_id: str,
    domain: str = "mail.example.com",
    *,
    private_key: bytes,
    vault: Vault,
    selector: str = "s1",
    verified: bool = True,
    subdomain: str = "",
) -> None:
    """A sender domain with one active key (PEM)."""
    await a_domain(
        journal,
        tenant_id,
        domain,
        verified=verified,
        selector=selector,
        public_key=public_value(load_private_key(private_key)),
        sealed_private_key=vault.seal(private_key),
        subdomain=subdomain,
    )


def a_message(
    *emails: str,
    send_at: datetime | None = None,
    sandbox: bool = False,
    personalization: PreparedPersonalization | None = None,
) -> NewMessage:
    emails = emails or ("ada@example.com",)
    return NewMessage(
        id=new_id("msg_"),
        subject="Welcome",
        from_email="hello@mail.example.com",
        to_emails=emails,
        personalization=encode(
            personalization or PreparedPersonalization(to=tuple(Address(email) for email in emails))
        ),
        recipients=tuple(Recipient(email, email.partition("@")[2]) for email in emails),
        send_at=send_at,
        expires_at=datetime.now(UTC) + timedelta(days=3),
        sandbox=sandbox,
    )


def some_messages(count: int) -> list[NewMessage]:
    """Messages as the API makes those of one request: their ids are made together."""
    return [replace(a_message(f"u{i}@example.com"), id=id) for i, id in enumerate(new_ids("msg_", count))]


def a_request(
    tenant_id: str, *messages: NewMessage, batch_id: str | None = None, author: str = "hello@mail.example.com"
) -> NewRequest:
    return NewRequest(
        id=new_id("req_"),
        tenant_id=tenant_id,
        content=encode(Content(from_=Address(author), parts=(BodyPart("text/plain", "Hello"),))),
        categories=("greetings",),
        batch_id=batch_id,
        messages=messages or (a_message(),),
        created_at=datetime.now(UTC),
    )


def each(decide: Callable[[DueDelivery], int | str]) -> Decide:
    """Decides on a page delivery by delivery."""

    async def decide_all(page: Sequence[DueDelivery]) -> list[int | str]:
        return [decide(waiting) for waiting in page]

    return decide_all


def with_event(outcome: Outcome) -> OutcomeWithEvent:
    """The outcome, and an event such as a delivery actor makes of it."""
    facts: dict[str, Any] = {
        "id": new_id("evt_"),
        "at": datetime.now(UTC).timestamp(),
        "tenant_id": outcome.tenant_id,
        "message_id": outcome.message_id,
        "recipient": "ada@example.com",
    }
    reason = outcome.error_message or ""
    match outcome.status:
        case Status.QUEUED:
            assert outcome.due_at is not None
            return outcome, Deferred(attempt=1, reason=reason, next_attempt_at=outcome.due_at.timestamp(), **facts)
        case Status.BOUNCED:
            return outcome, Bounced(attempt=1, bounce_type="hard", reason=reason, **facts)
        case Status.FAILED:
            return outcome, Dropped(reason=reason, **facts)
    return outcome, Delivered(attempt=1, **facts)


def waiting(tenant_id: str, message: NewMessage) -> list[DueDelivery]:
    return [DueDelivery(message.id, n, tenant_id, r.domain) for n, r in enumerate(message.recipients)]


def an_outcome(
    w: DueDelivery, status: Status, *, sole_recipient: bool = True, due_at: datetime | None = None
) -> OutcomeWithEvent:
    outcome = Outcome(
        tenant_id=w.tenant_id,
        message_id=w.message_id,
        recipient_no=w.recipient_no,
        status=status,
        sole_recipient=sole_recipient,
        due_at=due_at,
        error_message=None if status is Status.DELIVERED else "450 later",
    )
    return with_event(outcome)


async def sent(journal: Journal, tenant_id: str, delivered: int, bounced: int = 0) -> list[NewMessage]:
    """Mail to so many recipients, of whom the last bounced hard; returns the messages that were delivered."""
    messages = some_messages(delivered + bounced)
    await journal.intake.accept([a_request(tenant_id, *messages)])
    due = [one for message in messages for one in waiting(tenant_id, message)]
    await journal.queue.claim(due, owner=1, lease_s=60)
    ends = [an_outcome(one, Status.DELIVERED if i < delivered else Status.BOUNCED) for i, one in enumerate(due)]
    await journal.queue.commit(ends, owner=1)
    return messages[:delivered]


async def leased(journal: Journal, owner: int, limit: int = 10) -> list[DueDelivery]:
    """The due deliveries, leased to this owner."""
    return (await journal.scheduling.page_in(limit, 600, each(lambda _: owner))).leased


async def status(journal: Journal, tenant_id: str, message: NewMessage) -> Status:
    row = await journal.messages.find(tenant_id, message.id)
    assert row is not None
    return row.status


async def dropped(journal: Journal, reason: str) -> list[Ended]:
    """The log's events of deliveries that ended without a transaction, for this reason."""
    rows = await journal.event_log.after("recorder", 10_000)
    events = [event for row in rows for event in decode_batch(row.events)]
    return [
        Ended(event.tenant_id, event.message_id, event.recipient, event.batch_id, event.categories)
        for event in events
        if isinstance(event, Dropped) and event.reason == reason
    ]
