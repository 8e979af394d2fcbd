"""Commands over HTTP against a real journal: retry, fail, batches, and the official client's scheduled sends."""

import asyncio

import httpx
import pytest
import sendgrid

from api.scheduled_sends import settle_abandoned
from cluster.events import Dropped, decode_batch
from cluster.journal.records import DueDelivery, Outcome
from cluster.policy.lifecycle import Status
from tests.integration.api.conftest import Site
from tests.integration.journal.builders import with_event
from tests.unit.api.bodies import mail, to


async def sent(client: httpx.AsyncClient, count: int = 1, **fields: object) -> list[str]:
    body = mail(personalizations=[to(f"u{n}@bücher.example") for n in range(count)], **fields)
    answer = await client.post("/v3/mail/send", json=body)
    assert answer.status_code == 202, answer.text
    ids: list[str] = answer.json().get("message_ids") or [answer.json()["message_id"]]
    return ids


def waiting(site: Site, id: str) -> DueDelivery:
    return DueDelivery(id, 0, site.tenant_id, "xn--bcher-kva.example")


async def bounce(site: Site, id: str) -> None:
    await site.journal.queue.claim([waiting(site, id)], owner=1, lease_s=60)
    outcome = Outcome(
        tenant_id=site.tenant_id, message_id=id, recipient_no=0, status=Status.BOUNCED, error_message="550 no"
    )
    await site.journal.queue.commit([with_event(outcome)], owner=1)


async def test_retry_and_fail(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers) as client:
        (id,) = await sent(client)
        refused = await client.post(f"/v3/messages/{id}/retry")
        assert (refused.status_code, refused.json()["status"]) == (409, "queued")
        await bounce(site, id)
        assert (await client.get(f"/v3/messages/{id}")).json()["error_message"] == "550 no"
        retried = await client.post(f"/v3/messages/{id}/retry")
        assert (retried.status_code, retried.json()["status"]) == (200, "queued")
        (claimed,) = await site.journal.queue.claim([waiting(site, id)], owner=1, lease_s=60)
        assert claimed.recipient == "u0@xn--bcher-kva.example"
        refused = await client.post(f"/v3/messages/{id}/retry")
        assert (refused.status_code, refused.json()["status"]) == (409, "sending")
        failed = await client.post(f"/v3/messages/{id}/fail", json={"reason": "Stuck for 2 hours"})
        assert (failed.status_code, failed.json()["status"]) == (200, "failed")
        shown = (await client.get(f"/v3/messages/{id}")).json()
        assert (shown["status"], shown["error_message"]) == ("failed", "Stuck for 2 hours")
        events = [
            event for row in await site.journal.event_log.after("recorder", 10) for event in decode_batch(row.events)
        ]
        assert [event.reason for event in events if isinstance(event, Dropped)] == ["Stuck for 2 hours"]


async def test_a_batch_is_cancelled_in_one_call(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers, timeout=30) as client:
        batch_id = (await client.post("/v3/mail/batch")).json()["batch_id"]
        ids = [id for _ in range(3) for id in await sent(client, 1000, batch_id=batch_id)]
        await bounce(site, ids[1500])
        answer = (await client.post(f"/v3/mail/batch/{batch_id}/cancel")).json()
        assert (answer["batch_id"], answer["cancelled"]) == (batch_id, 2999)
        assert (answer["status_counts"]["cancelled"], answer["status_counts"]["bounced"]) == (2999, 1)
        assert (await client.get(f"/v3/mail/batch/{batch_id}")).json()["is_complete"]
        refused = await client.post(f"/v3/messages/{ids[1500]}/retry")
        assert (refused.status_code, refused.json()["status"]) == (409, "bounced")
        assert refused.json()["message"] == "The message's batch was cancelled; retry ignored"
        assert (await client.get(f"/v3/mail/batch/{batch_id}")).json()["is_complete"]


async def test_a_retry_opens_a_complete_batch_again(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers) as client:
        batch_id = (await client.post("/v3/mail/batch")).json()["batch_id"]
        (id,) = await sent(client, 1, batch_id=batch_id)
        await bounce(site, id)
        assert (await client.get(f"/v3/mail/batch/{batch_id}")).json()["is_complete"]
        (await client.post(f"/v3/messages/{id}/retry")).raise_for_status()
        reopened = (await client.get(f"/v3/mail/batch/{batch_id}")).json()
        assert (reopened["is_complete"], reopened["completed_at"]) == (False, None)
        assert reopened["status_counts"]["bounced"] == 0


async def test_scheduled_sends_with_the_official_client(site: Site) -> None:
    api = sendgrid.SendGridAPIClient(site.key, host=site.url).client
    scheduled = api.user.scheduled_sends
    batch_id = (await asyncio.to_thread(api.mail.batch.post)).to_dict["batch_id"]
    entry = {"batch_id": batch_id, "status": "pause"}
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers) as client:
        before = await sent(client, 3, batch_id=batch_id)
        created = await asyncio.to_thread(scheduled.post, request_body=entry)
        assert (created.status_code, created.to_dict) == (201, entry)
        held = [waiting(site, id) for id in (*before, *await sent(client, 3, batch_id=batch_id))]
        assert await site.journal.queue.claim(held, owner=1, lease_s=60) == []
        assert (await asyncio.to_thread(scheduled.get)).to_dict == [entry]
        assert (await asyncio.to_thread(scheduled._(batch_id).get)).to_dict == [entry]
        assert (await asyncio.to_thread(scheduled._(batch_id).delete)).status_code == 204
        assert len(await site.journal.queue.claim(held[:2], owner=1, lease_s=60)) == 2
        await asyncio.to_thread(scheduled.post, request_body=entry)
        changed = await asyncio.to_thread(scheduled._(batch_id).patch, request_body={"status": "cancel"})
        assert changed.status_code == 204
        (late,) = await sent(client, 1, batch_id=batch_id)
        assert (await client.get(f"/v3/messages/{late}")).json()["status"] == "cancelled"
        counts = (await client.get(f"/v3/mail/batch/{batch_id}")).json()["status_counts"]
        assert (counts["cancelled"], counts["processing"]) == (5, 2)


async def test_what_another_process_left_is_ended(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.scheduled_sends.ABANDONED_S", 0.0)
    batch_id = await site.journal.batches.create(site.tenant_id)
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers) as client:
        (id,) = await sent(client, batch_id=batch_id)
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
            patch.setattr(site.journal.scheduled_sends, "settle", killed)
            await site.journal.scheduled_sends.schedule(site.tenant_id, batch_id, "cancel")
        settling = asyncio.create_task(settle_abandoned(site.journal))
        async with asyncio.timeout(30):
            while (await client.get(f"/v3/messages/{id}")).json()["status"] != "cancelled":
                await asyncio.sleep(0.01)
        settling.cancel()


async def killed(*_: object) -> None:
    raise RuntimeError("killed")
