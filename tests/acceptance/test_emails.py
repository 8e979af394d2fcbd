"""The emails API of a running postray, sentence by sentence: sending, reading, the life of an email, tracking,
scheduling, attachments. Each test is a client with a key ``pii_…``."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cluster.demo import TENANT
from tests.acceptance.running import MAX_WAIT_S, Client, RunningPostray
from tests.acceptance.test_main_job import parsed
from tests.waiting import pauses

PATH = "/api/v1/emails"


class Mailer:
    """A client of the emails API."""

    def __init__(self, client: Client, key: str) -> None:
        self.client = client
        self.key = key
        self.headers = {"Authorization": f"Bearer {key}"}

    async def post(self, path: str = "", **request: Any) -> httpx.Response:
        headers = self.headers | request.pop("headers", {})
        return await self.client.api.post(f"{PATH}{path}", headers=headers, **request)

    async def get(self, path: str = "", **params: Any) -> dict[str, Any]:
        answer = await self.client.api.get(f"{PATH}{path}", headers=self.headers, params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def send(self, **fields: Any) -> str:
        answer = await self.post(json=email(**fields))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def until(self, id: str, status: str) -> dict[str, Any]:
        """The email once it has this status and its attempts are told."""
        deadline, again = asyncio.get_running_loop().time() + MAX_WAIT_S, pauses()
        while True:
            shown = await self.get(f"/{id}")
            if shown["status"] == status and (shown["attempts"] or status != "delivered"):
                return shown
            assert asyncio.get_running_loop().time() < deadline, shown
            await asyncio.sleep(next(again))


def email(**fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "to": ["user@example.com"],
        "subject": "Your receipt",
        "html": "<html><body><p>Thanks for <a href='https://example.com/order'>your order</a>.</p></body></html>",
        "text": "Thanks for your order.",
        "from_": "billing@mail.example.com",
    }
    return body | fields


@pytest.fixture(scope="module")
def key(postray: RunningPostray) -> str:
    """Made by the operator: a tenant itself makes at most ten a minute."""
    return added_key(postray, TENANT, "--kind", "piisend")


@pytest.fixture
async def mailer(client: Client, key: str) -> Mailer:
    return Mailer(client, key)


def added_key(postray: RunningPostray, tenant: str, *options: str) -> str:
    scopes = ("--scope", "emails:send", "--scope", "emails:read")
    made = postray.command("keys", "add", tenant, *scopes, *options, "--json")
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["api_key"])


async def a_key(client: Client, *scopes: str, **fields: Any) -> str:
    body = {"name": "receipts", "kind": "piisend", "scopes": list(scopes), **fields}
    answer = await client.api.post("/v3/api_keys", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["api_key"])


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


# POST /emails


async def test_sending_requires_a_key_with_the_scope(client: Client, mailer: Mailer) -> None:
    assert mailer.key.startswith("pii_")
    reader = Mailer(client, await a_key(client, "emails:read"))
    refused = await reader.post(json=email())
    assert (refused.status_code, refused.json()["detail"]) == (403, "Missing required scope: emails:send")
    assert (await client.api.post(PATH, json=email(), headers={"Authorization": ""})).status_code == 401
    assert (await client.api.get("/v3/messages", headers=mailer.headers)).status_code == 403
    # The demo's key has every scope and is of the other kind.
    assert (await client.api.post(PATH, json=email(to=["other@example.com"]))).status_code == 202


async def test_raw_content_with_every_field(mailer: Mailer) -> None:
    (domain,) = (await mailer.client.api.get("/v3/whitelabel/domains")).json()
    id = await mailer.send(
        to=["all@example.com"],
        cc=["finance@example.com"],
        reply_to=["support@mail.example.com"],
        template_id=None,
        template_vars={},
        domain_id=str(domain["id"]),
        track_opens=False,
        track_clicks=False,
        enable_unsubscribe=False,
        scheduled_at=None,
        attachments=[
            {
                "filename": "invoice.pdf",
                "content_type": "application/pdf",
                "content_b64": base64.b64encode(b"%PDF-1.4").decode(),
            }
        ],
    )
    await mailer.until(id, "delivered")
    raw = (await mailer.client.captured("all@example.com"))[0]
    message = parsed(raw)
    assert (message["From"], message["To"], message["Cc"]) == (
        "billing@mail.example.com",
        "all@example.com",
        "finance@example.com",
    )
    assert (message["Reply-To"], message["Subject"]) == ("support@mail.example.com", "Your receipt")
    html = message.get_body(("html",))
    assert html is not None and html.get_content().strip() == email()["html"]
    (attached,) = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("invoice.pdf", "application/pdf")
    assert attached.get_content() == b"%PDF-1.4"


async def test_a_template_with_its_vars_and_not_both(mailer: Mailer) -> None:
    api = mailer.client.api
    template_id = (await api.post("/v3/templates", json={"name": "receipt"})).json()["id"]
    version = {"name": "1", "subject": "Receipt for {{name}}", "html_content": "<p>{{name}}: {{sum}}</p>"}
    assert (await api.post(f"/v3/templates/{template_id}/versions", json=version)).status_code == 201
    raw = {"subject": None, "html": None, "text": None, "to": ["templated@example.com"]}
    id = await mailer.send(**raw, template_id=template_id, template_vars={"name": "Ada <A>", "sum": 12})
    shown = await mailer.until(id, "delivered")
    assert (shown["subject"], shown["html"]) == ("Receipt for Ada <A>", "<p>Ada &lt;A&gt;: 12</p>")
    refused = await mailer.post(json=email(template_id=template_id))
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "template_id")
    neither = await mailer.post(json=email(html=None, text=None))
    assert (neither.status_code, neither.json()["errors"][0]["field"]) == (400, "html")


async def test_a_domain_completes_or_holds_the_sender(mailer: Mailer) -> None:
    (domain,) = (await mailer.client.api.get("/v3/whitelabel/domains")).json()
    id = await mailer.send(domain_id=domain["id"], from_="orders")
    assert (await mailer.get(f"/{id}"))["from_"] == "orders@mail.example.com"
    refused = await mailer.post(json=email(domain_id=domain["id"], from_="a@example.org"))
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "from_")
    unknown = await mailer.post(json=email(domain_id="665f1c2ab8e1d3f7a0000001"))
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (400, "domain_id")


async def test_an_idempotency_key_deduplicates_retries(mailer: Mailer) -> None:
    headers = {"Idempotency-Key": f"order {id(mailer)} {datetime.now(UTC).isoformat()}"}
    body = email(to=["once@example.com"])
    twins = await asyncio.gather(*(mailer.post(json=body, headers=headers) for _ in range(5)))
    assert sorted(answer.status_code for answer in twins) == [200, 200, 200, 200, 202]
    assert len({answer.text for answer in twins}) == 1
    other = await mailer.post(json=email(subject="Another"), headers=headers)
    assert other.status_code == 409
    await mailer.until(twins[0].json()["id"], "delivered")
    assert len(await mailer.client.captured("once@example.com")) == 1


# GET /emails and GET /emails/{id}


async def test_reading_requires_its_own_scope(client: Client, mailer: Mailer) -> None:
    sender = Mailer(client, await a_key(client, "emails:send"))
    id = await sender.send()
    for path in ("", f"/{id}"):
        refused = await client.api.get(f"{PATH}{path}", headers=sender.headers)
        assert (refused.status_code, refused.json()["detail"]) == (403, "Missing required scope: emails:read")
    assert (await mailer.get(f"/{id}"))["id"] == id


async def test_the_list_has_status_limit_and_offset(mailer: Mailer) -> None:
    ids = [await mailer.send(scheduled_at=in_seconds(3600)) for _ in range(3)]
    page = await mailer.get(status="scheduled", limit=2)
    assert set(page) == {"data", "total", "limit", "offset"}
    assert ([one["id"] for one in page["data"]], page["limit"], page["offset"]) == (ids[:0:-1], 2, 0)
    further = await mailer.get(status="scheduled", limit=2, offset=2)
    assert further["data"][0]["id"] == ids[0] and further["total"] == page["total"] >= 3
    queued = await mailer.get(status="queued", limit=100)
    assert not {one["id"] for one in queued["data"]} & set(ids)
    for id in ids:
        assert (await mailer.post(f"/{id}/cancel")).status_code == 200
    cancelled = await mailer.get(status="cancelled", limit=3)
    assert {one["id"] for one in cancelled["data"]} == set(ids)


async def test_the_detail_has_attempts_bodies_attachments_and_times(mailer: Mailer) -> None:
    content = base64.b64encode(b"12 EUR").decode()
    id = await mailer.send(
        cc=["finance@example.com"],
        attachments=[{"filename": "receipt.txt", "content_type": "text/plain", "content_b64": content}],
    )
    shown = await mailer.until(id, "delivered")
    assert (shown["html"], shown["text"]) == (email()["html"], email()["text"])
    assert shown["attachments"] == [{"filename": "receipt.txt", "content_type": "text/plain", "size": 6}]
    times = [shown[name] for name in ("created_at", "sent_at", "delivered_at")]
    assert all(times) and times == sorted(times) and shown["scheduled_at"] is None
    (attempt,) = shown["attempts"]  # two recipients, one transaction
    assert {one["email"] for one in attempt["recipients"]} == {"user@example.com", "finance@example.com"}
    assert all(one["result"] == "delivered" and one["attempt"] == 1 for one in attempt["recipients"])
    assert attempt["host"] and attempt["reply"].startswith("250")
    assert attempt["tls"]["version"] == "TLSv1.3"
    assert shown["created_at"][:19] <= attempt["started_at"][:19] <= attempt["ended_at"][:19]


async def test_both_apis_see_the_same_mail(mailer: Mailer) -> None:
    client = mailer.client
    id = await mailer.send(to=["both@example.com"])
    (listed,) = (await client.api.get("/v3/messages", params={"to_email": "both@example.com"})).json()["messages"]
    assert listed["id"] == id
    assert (await client.message(id))["plain_content"] == email()["text"]
    (other,) = await client.send(personalizations=[{"to": [{"email": "back@example.com"}]}])
    shown = await mailer.until(other, "delivered")
    assert (shown["to"], shown["text"], shown["track_opens"]) == (["back@example.com"], "Welcome!", True)
    assert other in [one["id"] for one in (await mailer.get(limit=100))["data"]]


# The life of an email


async def test_a_suppressed_recipient_makes_it_fail_and_a_resend_is_a_new_email(mailer: Mailer) -> None:
    api = mailer.client.api
    address = "suppressed@example.com"
    assert (await api.post("/v3/suppression/bounces", json={"emails": [address]})).status_code == 201
    id = await mailer.send(to=[address])
    assert (await mailer.until(id, "failed"))["error"] == "All recipients suppressed"
    assert (await api.delete(f"/v3/suppression/bounces/{address}")).status_code == 204
    answer = await mailer.post(f"/{id}/resend")
    assert answer.status_code == 202 and answer.json()["resent_from"] == id
    again = await mailer.until(answer.json()["id"], "delivered")
    assert again["resent_from"] == id and again["id"] != id
    assert (await mailer.get(f"/{id}"))["status"] == "failed"
    (raw,) = await mailer.client.captured(address)
    assert parsed(raw)["Message-ID"] == f"<{again['id']}@mail.example.com>"


async def test_only_a_scheduled_email_is_cancelled(mailer: Mailer) -> None:
    sent = await mailer.send()
    await mailer.until(sent, "delivered")
    refused = await mailer.post(f"/{sent}/cancel")
    assert refused.status_code == 409
    assert refused.json()["detail"] == "Only a scheduled email can be cancelled; this one is delivered"
    scheduled = await mailer.send(to=["emails-never@example.com"], scheduled_at=in_seconds(7))
    cancelled = await mailer.post(f"/{scheduled}/cancel")
    assert (cancelled.status_code, cancelled.json()) == (200, {"id": scheduled, "status": "cancelled"})
    assert (await mailer.post(f"/{scheduled}/cancel")).status_code == 409


async def test_an_email_of_a_sandbox_key_is_only_checked(client: Client) -> None:
    sandbox = Mailer(client, await a_key(client, "emails:send", "emails:read", sandbox=True))
    answer = await sandbox.post(json=email(to=["emails-sandbox@example.com"]))
    assert (answer.status_code, answer.json()["status"]) == (202, "sandbox")
    assert (await sandbox.get(f"/{answer.json()['id']}"))["status"] == "sandbox"
    again = await sandbox.post(f"/{answer.json()['id']}/resend")
    assert (again.status_code, again.json()["status"]) == (202, "sandbox")
    assert {one["status"] for one in (await sandbox.get())["data"]} == {"sandbox"}


# Open and click tracking, unsubscribing


async def test_tracking_is_opt_in_per_email(mailer: Mailer) -> None:
    asked = {
        "plain": {},
        "opens": {"track_opens": True},
        "clicks": {"track_clicks": True},
        "unsubscribe": {"enable_unsubscribe": True},
    }
    ids = {name: await mailer.send(to=[f"{name}@example.com"], **flags) for name, flags in asked.items()}
    htmls, unsubscribes = {}, {}
    for name, id in ids.items():
        await mailer.until(id, "delivered")
        message = parsed((await mailer.client.captured(f"{name}@example.com"))[0])
        part = message.get_body(("html",))
        assert part is not None
        htmls[name], unsubscribes[name] = part.get_content().strip(), message["List-Unsubscribe"]
    assert htmls["plain"] == email()["html"]
    assert [name for name, html in htmls.items() if "/t/o/" in html] == ["opens"]
    assert [name for name, html in htmls.items() if "/t/c/" in html] == ["clicks"]
    assert [name for name, found in unsubscribes.items() if found] == ["unsubscribe"]


# Scheduling


async def test_a_scheduled_email_is_sent_at_its_time(mailer: Mailer) -> None:
    at = in_seconds(8)
    id = await mailer.send(to=["emails-later@example.com"], scheduled_at=at)
    shown = await mailer.get(f"/{id}")
    assert (shown["status"], shown["scheduled_at"]) == ("scheduled", at)
    delivered = await mailer.until(id, "delivered")
    assert datetime.fromisoformat(delivered["delivered_at"]) >= datetime.fromisoformat(at)
    assert delivered["scheduled_at"] == at


@pytest.mark.parametrize("at", ["2020-01-01T00:00:00Z", "tomorrow", ""])
async def test_a_time_must_be_in_the_future(mailer: Mailer, at: str) -> None:
    refused = await mailer.post(json=email(scheduled_at=at))
    assert (refused.status_code, [one["field"] for one in refused.json()["errors"]]) == (400, ["scheduled_at"])


# Attachments


async def test_up_to_five_files_of_5_mib_in_all(mailer: Mailer) -> None:
    def files(count: int, size: int) -> list[dict[str, str]]:
        content = base64.b64encode(b"x" * size).decode()
        return [
            {"filename": f"{n}.bin", "content_type": "application/octet-stream", "content_b64": content}
            for n in range(count)
        ]

    largest = 1024 * 1024
    id = await mailer.send(to=["five-files@example.com"], attachments=files(5, largest))
    shown = await mailer.until(id, "delivered")
    assert [one["size"] for one in shown["attachments"]] == [largest] * 5
    for attachments in (files(6, 1), [*files(4, largest), *files(1, largest + 1)]):
        refused = await mailer.post(json=email(attachments=attachments))
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "attachments")


@pytest.mark.parametrize("missing", ["filename", "content_type", "content_b64"])
async def test_an_attachment_needs_each_of_its_fields(mailer: Mailer, missing: str) -> None:
    attachment = {"filename": "a.txt", "content_type": "text/plain", "content_b64": "YQ=="}
    del attachment[missing]
    refused = await mailer.post(json=email(attachments=[attachment]))
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["field"]) == (400, "attachments[0]")
    assert missing in error["message"]


@pytest.fixture
async def others(postray: RunningPostray) -> AsyncIterator[Client]:
    """A client of another tenant."""
    name = f"other-{datetime.now(UTC).timestamp()}"
    assert postray.command("tenants", "add", name).returncode == 0
    client = Client(postray)
    client.api.headers["Authorization"] = f"Bearer {added_key(postray, name)}"
    yield client
    await client.close()


async def test_an_email_of_another_tenant_is_not_there(mailer: Mailer, others: Client) -> None:
    id = await mailer.send()
    assert (await others.api.get(f"{PATH}/{id}")).status_code == 404
    for command in ("cancel", "resend"):
        assert (await others.api.post(f"{PATH}/{id}/{command}")).status_code == 404
    assert (await others.api.get(PATH)).json()["total"] == 0
