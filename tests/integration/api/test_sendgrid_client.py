"""The official sendgrid client, unmodified but for its host."""

import asyncio
import base64
from typing import Any

import pytest
import sendgrid
from python_http_client.exceptions import (  # type: ignore[import-untyped]
    BadRequestsError,
    UnauthorizedError,
)
from sendgrid.helpers.mail import (
    Asm,
    Attachment,
    BatchId,
    Bcc,
    BypassListManagement,
    Category,
    Content,
    CustomArg,
    GroupId,
    GroupsToDisplay,
    Header,
    Mail,
    MailSettings,
    SendAt,
    To,
)
from sendgrid.helpers.mail.bypass_unsubscribe_management import BypassUnsubscribeManagement

from cluster.journal.records import DueDelivery, decode_content
from cluster.policy.lifecycle import Status
from cluster.tenancy.granting import add_key
from tests.integration.api.conftest import Site


def client(site: Site, key: str | None = None) -> Any:
    return sendgrid.SendGridAPIClient(key or site.key, host=site.url)


async def test_it_sends(site: Site) -> None:
    message = Mail(
        from_email=("hello@mail.example.com", "Acme"),
        to_emails=[To("ada@example.com", "Ada")],
        subject="Welcome",
        plain_text_content="Welcome, Ada!",
        html_content="<p>Welcome, Ada!</p>",
    )
    message.add_bcc(Bcc("audit@example.com"))
    message.add_header(Header("X-Campaign", "april"))
    message.add_category(Category("onboarding"))
    message.add_custom_arg(CustomArg("user_id", "u_1"))
    message.add_attachment(Attachment(base64.b64encode(b"%PDF").decode(), "a.pdf", "application/pdf", "attachment"))
    response = await asyncio.to_thread(client(site).send, message)
    assert response.status_code == 202
    row = await site.journal.messages.find(site.tenant_id, response.headers["X-Message-Id"])
    assert row is not None and row.status is Status.QUEUED
    assert [attachment.filename for attachment in decode_content(row.content).attachments] == ["a.pdf"]
    assert [len(request.messages) for request in site.offered] == [1]


async def test_it_sends_one_message_for_each_recipient_of_its_own(site: Site) -> None:
    message = Mail(
        from_email="hello@mail.example.com",
        to_emails=[
            To(f"user{number}@example.com", substitutions={"-name-": f"User {number}"}, subject="Hi -name-")
            for number in range(3)
        ],
        html_content=Content("text/html", "<p>-name-</p>"),
        is_multiple=True,
    )
    response = await asyncio.to_thread(client(site).send, message)
    assert response.status_code == 202
    (request,) = site.offered
    assert sorted(message.subject for message in request.messages) == ["Hi User 0", "Hi User 1", "Hi User 2"]


async def test_it_makes_a_template_and_sends_with_it(site: Site) -> None:
    api = client(site).client
    made = await asyncio.to_thread(api.templates.post, request_body={"name": "Order", "generation": "dynamic"})
    id = made.to_dict["id"]
    version = {"name": "1", "subject": "Order {{number}}", "html_content": "<p>{{name}}</p>", "active": 0}
    message = Mail(
        from_email="hello@mail.example.com",
        to_emails=[
            To(f"user{number}@example.com", dynamic_template_data={"name": "<Ada>", "number": number})
            for number in (2**53 + 1, 2)
        ],
        is_multiple=True,
    )
    message.template_id = id
    made = await asyncio.to_thread(api.templates._(id).versions.post, request_body=version)
    with pytest.raises(BadRequestsError) as refused:
        await asyncio.to_thread(client(site).send, message)
    assert refused.value.to_dict["errors"][0]["field"] == "template_id"
    await asyncio.to_thread(api.templates._(id).versions._(made.to_dict["id"]).activate.post)
    response = await asyncio.to_thread(client(site).send, message)
    assert response.status_code == 202
    (request,) = site.offered
    assert {message.subject for message in request.messages} == {"Order 9007199254740993", "Order 2"}
    for sent in request.messages:
        shown = (await asyncio.to_thread(api.messages._(sent.id).get)).to_dict
        assert (shown["subject"], shown["html_content"]) == (sent.subject, "<p>&lt;Ada&gt;</p>")
        assert "<Ada>" in shown["plain_content"]
    listed = await asyncio.to_thread(api.templates.get, query_params={"generations": "legacy,dynamic", "page_size": 18})
    assert [one["id"] for one in listed.to_dict["result"]] == [id]
    assert (await asyncio.to_thread(api.templates._(id).delete)).status_code == 204


async def test_a_scheduled_batch(site: Site) -> None:
    api = client(site).client
    created = await asyncio.to_thread(api.mail.batch.post)
    assert created.status_code == 201
    batch_id = created.to_dict["batch_id"]
    message = Mail("hello@mail.example.com", "ada@example.com", "Later", "Later")
    message.send_at = SendAt(4_102_444_800)
    message.batch_id = BatchId(batch_id)
    assert (await asyncio.to_thread(client(site).send, message)).status_code == 202
    status = await asyncio.to_thread(api.mail.batch._(batch_id).get)
    assert (status.to_dict["total_messages"], status.to_dict["is_complete"]) == (1, False)
    assert status.to_dict["status_counts"]["queued"] == 1


async def test_it_reads_refusals(site: Site) -> None:
    with pytest.raises(UnauthorizedError) as unauthorized:
        await asyncio.to_thread(client(site, "SG.nonsense").client.scopes.get)
    assert "authorization grant is invalid" in unauthorized.value.to_dict["errors"][0]["message"]
    message = Mail("hello@mail.example.com", "ada@example.com", "Hi", "Hi").get() | {"categories": [""]}
    with pytest.raises(BadRequestsError) as refused:
        await asyncio.to_thread(client(site).send, message)
    assert refused.value.to_dict["errors"][0]["field"] == "categories[0]"
    scopes = await asyncio.to_thread(client(site).client.scopes.get)
    assert "mail.send" in scopes.to_dict["scopes"]


async def test_its_group_and_its_bypasses_decide_who_is_suppressed(site: Site) -> None:
    added = await add_key(site.journal, site.tenant_id, "lists", ["suppressions.read", "suppressions.write"])
    api = client(site, added.secret).client
    made = await asyncio.to_thread(api.asm.groups.post, request_body={"name": "News", "description": "Our news"})
    group: int = made.to_dict["id"]
    email = "Ünal@example.com"
    await asyncio.to_thread(
        api.asm.groups._(group).suppressions.post, request_body={"recipient_emails": [email.lower()]}
    )

    async def suppressed(asm: Asm | None = None, settings: MailSettings | None = None) -> str | None:
        message = Mail("hello@mail.example.com", email, "News", plain_text_content="News")
        if asm is not None:
            message.asm = asm
        if settings is not None:
            message.mail_settings = settings
        response = await asyncio.to_thread(client(site).send, message)
        wanted = DueDelivery(response.headers["X-Message-Id"], 0, site.tenant_id, "example.com")
        (claimed,) = await site.journal.queue.claim([wanted], owner=1, lease_s=60)
        return claimed.suppression.name if claimed.suppression is not None else None

    asm = Asm(GroupId(group), GroupsToDisplay([group]))
    by_all = MailSettings(bypass_list_management=BypassListManagement(True))
    by_list = MailSettings(bypass_unsubscribe_management=BypassUnsubscribeManagement(True))
    assert await suppressed() is None
    assert await suppressed(asm) == f"group {group}"
    assert await suppressed(asm, by_list) == f"group {group}", "passes the global list only"
    assert await suppressed(asm, by_all) is None
    await asyncio.to_thread(api.asm.suppressions._("global").post, request_body={"recipient_emails": [email]})
    assert await suppressed() == "unsubscribes"
    assert await suppressed(None, by_list) is None
    with pytest.raises(BadRequestsError) as refused:
        await suppressed(Asm(GroupId(group + 1)))
    assert refused.value.to_dict["errors"][0]["field"] == "asm.group_id"
