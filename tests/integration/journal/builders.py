"""Requests to accept, with as little said as a test needs."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from cluster.ids import new_id, new_ids
from cluster.journal.journal import Journal
from cluster.journal.records import (
    Address,
    Content,
    NewMessage,
    NewRequest,
    Part,
    Personal,
    Recipient,
    Waiting,
    encode,
)
from cluster.journal.scheduling import Decide


async def a_tenant(journal: Journal, name: str = "acme") -> str:
    return await journal.accounts.create_tenant(name)


def a_message(
    *emails: str, send_at: datetime | None = None, sandbox: bool = False, personal: Personal | None = None
) -> NewMessage:
    emails = emails or ("ada@example.com",)
    return NewMessage(
        id=new_id("msg_"),
        subject="Welcome",
        from_email="hello@mail.example.com",
        to_emails=emails,
        personal=encode(personal or Personal(to=tuple(Address(email) for email in emails))),
        recipients=tuple(Recipient(email, email.partition("@")[2]) for email in emails),
        send_at=send_at,
        expires_at=datetime.now(UTC) + timedelta(days=3),
        sandbox=sandbox,
    )


def some_messages(count: int) -> list[NewMessage]:
    """Messages as the API makes those of one request: their ids are made together."""
    return [replace(a_message(f"u{i}@example.com"), id=id) for i, id in enumerate(new_ids("msg_", count))]


def a_request(tenant_id: str, *messages: NewMessage, batch_id: str | None = None) -> NewRequest:
    return NewRequest(
        id=new_id("req_"),
        tenant_id=tenant_id,
        content=encode(Content(from_=Address("hello@mail.example.com"), parts=(Part("text/plain", "Hello"),))),
        categories=("greetings",),
        batch_id=batch_id,
        messages=messages or (a_message(),),
        events=(b"events",),
        created_at=datetime.now(UTC),
    )


def each(decide: Callable[[Waiting], int | str]) -> Decide:
    """Decides on a page delivery by delivery."""

    async def decide_all(page: Sequence[Waiting]) -> list[int | str]:
        return [decide(waiting) for waiting in page]

    return decide_all
