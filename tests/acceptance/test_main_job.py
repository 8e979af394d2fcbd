"""The main job, from outside: an HTTP request, delivered and signed mail, and its timeline in the API."""

import asyncio
import base64
import email
import email.policy
import re
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import sendgrid

from tests.acceptance.running import Client, RunningPostray, mail
from tests.dkim_verifier import verdicts

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def parsed(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, policy=email.policy.default)


async def test_one_mail_is_delivered_signed_and_told(client: Client) -> None:
    (message_id,) = await client.send(personalizations=[{"to": [{"email": "one@example.com", "name": "Ada"}]}])
    message = await client.until(
        f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered" and len(m["events"] or []) == 2
    )
    processed, delivered = message["events"]
    assert processed["event_type"] == "processed"
    assert delivered["event_type"] == "delivered"
    assert delivered["smtp_response"].startswith("250")
    assert delivered["metadata"]["tls_version"] == "TLSv1.3"
    assert delivered["metadata"]["mx_host"]
    (raw,) = await client.captured("one@example.com")
    assert verdicts(raw, await key_records(client)) == [True, True]
    assert raw.index(b" a=rsa-sha256;") < raw.index(b" a=ed25519-sha256;")
    assert parsed(raw)["Message-ID"] == f"<{message_id}@mail.example.com>"


async def key_records(client: Client) -> dict[str, str]:
    """The records of the domain's two signing keys, by name."""
    (domain,) = (await client.api.get("/v3/whitelabel/domains")).json()
    return {record["host"]: record["data"] for record in (domain["dns"]["dkim1"], domain["dns"]["dkim2"])}


async def test_a_thousand_personalizations_are_a_thousand_mails(client: Client) -> None:
    batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
    personalizations = [
        {"to": [{"email": f"bulk{i}@example.com"}], "substitutions": {"-name-": f"Number {i}"}} for i in range(1000)
    ]
    ids = await client.send(
        personalizations=personalizations,
        content=[{"type": "text/plain", "value": "Dear -name-,\nwelcome."}],
        batch_id=batch_id,
    )
    assert len(set(ids)) == 1000
    batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
    assert batch["total_messages"] == sum(batch["status_counts"].values()) == 1000
    assert batch["status_counts"]["delivered"] == 1000
    for i in (0, 499, 999):
        (raw,) = await client.captured(f"bulk{i}@example.com")
        assert parsed(raw).get_content().splitlines()[0] == f"Dear Number {i},"
    listed = (await client.page.get("/api/messages", params={"search": "bulk", "page_size": 1})).json()
    assert listed["total"] == 1000


async def test_an_attachment_and_an_inline_image_arrive_as_they_were(client: Client) -> None:
    data = bytes(range(256)) * 300
    (message_id,) = await client.send(
        personalizations=[{"to": [{"email": "files@example.com"}]}],
        content=[{"type": "text/plain", "value": "See."}, {"type": "text/html", "value": '<img src="cid:logo">'}],
        attachments=[
            {"content": base64.b64encode(data).decode(), "filename": "dåta.bin"},
            {
                "content": base64.b64encode(PNG).decode(),
                "filename": "logo.png",
                "type": "image/png",
                "disposition": "inline",
                "content_id": "logo",
            },
        ],
    )
    await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
    (raw,) = await client.captured("files@example.com")
    by_name = {part.get_filename(): part for part in parsed(raw).walk() if part.get_filename()}
    assert by_name["dåta.bin"].get_payload(decode=True) == data
    assert by_name["logo.png"].get_payload(decode=True) == PNG
    assert by_name["logo.png"]["Content-ID"] == "<logo>"


async def test_a_blind_copy_gets_the_mail_and_is_not_in_it(client: Client) -> None:
    (message_id,) = await client.send(
        personalizations=[
            {
                "to": [{"email": "seen@example.com"}],
                "cc": [{"email": "copied@example.org"}],
                "bcc": [{"email": "hidden@example.net"}],
            }
        ]
    )
    await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
    for recipient in ("seen@example.com", "copied@example.org", "hidden@example.net"):
        (raw,) = await client.captured(recipient)
        assert b"hidden" not in raw.lower()
        assert parsed(raw)["Cc"] == "copied@example.org"


async def test_the_sendgrid_client_needs_only_another_host(postray: RunningPostray, client: Client) -> None:
    from sendgrid.helpers.mail import Mail

    official = sendgrid.SendGridAPIClient(postray.key, host=postray.run.url)
    message = Mail("hello@mail.example.com", "sendgrid@example.com", "From their client", "plain", "<b>html</b>")
    answer = await asyncio.to_thread(official.send, message)
    assert answer.status_code == 202
    message_id = answer.headers["X-Message-Id"]
    await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
    (raw,) = await client.captured("sendgrid@example.com")
    assert parsed(raw)["Subject"] == "From their client"


async def test_a_scheduled_mail_waits_for_its_time_and_another_is_cancelled(client: Client) -> None:
    due = int(time.time()) + 7
    waits, cancelled = await client.send(
        personalizations=[{"to": [{"email": "later@example.com"}]}, {"to": [{"email": "never@example.com"}]}],
        send_at=due,
    )
    assert (await client.message(waits))["status"] == "queued"
    answer = await client.api.post(f"/v3/messages/{cancelled}/cancel")
    assert answer.json() == {"message_id": cancelled, "status": "cancelled", "message": "Cancelled before delivery"}
    message = await client.until(f"/v3/messages/{waits}", lambda m: m["status"] == "delivered")
    sent = [e for e in message["events"] or [] if e["event_type"] == "delivered"]
    assert all(_epoch(event["timestamp"]) >= due for event in sent)
    late = await client.api.post(f"/v3/messages/{waits}/cancel")
    assert late.status_code == 409
    assert (await client.message(cancelled))["status"] == "cancelled"
    assert await client.captured("never@example.com") == []


def _epoch(timestamp: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(timestamp).timestamp()


async def test_sandbox_mode_sends_nothing(client: Client) -> None:
    (message_id,) = await client.send(
        personalizations=[{"to": [{"email": "sandbox@example.com"}]}],
        mail_settings={"sandbox_mode": {"enable": True}},
    )
    assert (await client.message(message_id))["status"] == "sandbox"
    assert await client.captured("sandbox@example.com") == []


async def test_an_actor_may_open_all_the_files_that_the_system_allows(postray: RunningPostray) -> None:
    limits = Path(f"/proc/{postray.pid_of('delivery-0-0')}/limits").read_text()
    (files,) = [line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")]
    assert files[0] == files[1]


async def test_a_killed_delivery_actor_loses_nothing(postray: RunningPostray, client: Client) -> None:
    batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
    for part in range(4):
        personalizations = [{"to": [{"email": f"kill{part * 250 + i}@example.com"}]} for i in range(250)]
        await client.send(personalizations=personalizations, batch_id=batch_id)
        if part == 1:
            # Some are being sent, some wait, some are not yet submitted.
            postray.kill_actor("delivery-0-0")
    batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
    assert batch["status_counts"]["delivered"] == batch["total_messages"] == 1000
    listed = (await client.page.get("/api/messages", params={"search": "kill", "page_size": 1})).json()
    assert listed["total"] >= 1000
    missing = [i for i in range(0, 1000, 50) if not await client.captured(f"kill{i}@example.com")]
    assert missing == []


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(postray: RunningPostray) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        for _ in range(64):
            yield b"x" * 1024 * 1024
            sent += 1

    async with httpx.AsyncClient(base_url=postray.run.url, timeout=30, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {postray.key}", "Content-Type": "application/json"}
        try:
            answer = await http.post("/v3/mail/send", content=endless(), headers=headers)
            assert answer.status_code == 413
            assert answer.json()["detail"] == "Request body exceeds maximum size of 20 MB"
        except httpx.TransportError:
            pass  # it closed the connection instead of reading
        announced = await http.post("/v3/mail/send", content=b"x" * (21 * 1024 * 1024), headers=headers)
        assert announced.status_code == 413
    assert sent < 64


async def test_the_schema_and_the_health_are_public(postray: RunningPostray) -> None:
    async with httpx.AsyncClient(base_url=postray.run.url, timeout=30, trust_env=False) as http:
        assert (await http.get("/healthz")).status_code == 200
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        schema = (await http.get("/schema/openapi.json")).json()
        assert schema["openapi"].startswith("3.1")
        assert {"202", "400", "401", "403", "413", "422", "503"} <= schema["paths"]["/v3/mail/send"]["post"][
            "responses"
        ].keys()


async def test_the_printed_curl_is_true(postray: RunningPostray) -> None:
    command = postray.output[postray.output.index("curl -i") :]
    body = re.search(r"-d '(.*?)'\n", command, re.DOTALL)
    url = re.search(r"curl -i (\S+)", command)
    key = re.search(r"Bearer \$\(cat (\S+)\)", command)
    assert body and url and key
    assert postray.key not in postray.output  # it goes to a file here
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {Path(key[1]).read_text()}", "Content-Type": "application/json"}
        answer = await http.post(url[1], content=body[1], headers=headers)
    assert answer.status_code == 202
    assert mail()["from"]["email"] in body[1]
