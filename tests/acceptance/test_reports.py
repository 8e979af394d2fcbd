"""Reports on mail, from outside: a host takes a message, and reports on it later by SMTP to the envelope sender. What
is true follows within seconds and once; what is made up changes nothing, and is listed with why."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiosmtplib
import httpx
import psycopg
import pytest

from benchmarks.hook_log import HookedEvent
from benchmarks.hook_process import HookProcess
from benchmarks.sink import SinkOptions
from benchmarks.sink_log import Receipt
from benchmarks.sink_process import SinkProcess
from cluster.installation.embedded import journal_dsn
from cluster.installation.ports import ANY_PORT, HeldPort
from cluster.settings import host_port
from tests.acceptance.running import MAX_WAIT_S, Client, RunningPostray
from tests.acceptance.test_operating import said
from tests.integration.mail_in.world import FEEDBACK, a_complaint, a_report

POLL_S = 0.02
FOLLOWS_S = 15.0
"""2 s are promised; a busy machine gets more."""
MAC_DIGIT = 50
"""The place of a digit of the MAC in an address (cluster/message/return_address.py)."""
TENANT_DIGIT = 32
"""The place of a digit of the tenant."""


class ReportingWorld:
    """A running postray, the host that it sends to, and the endpoint of its webhooks."""

    def __init__(self, folder: Path) -> None:
        self._host = SinkProcess(folder / "host", SinkOptions(reads=True))
        self._hook = HookProcess(folder / "hook")
        self._port = HeldPort(ANY_PORT)
        self.postray = RunningPostray(
            folder / "data",
            POSTRAY_DELIVERY_MODE="relay",
            POSTRAY_DELIVERY_RELAY=self._host.start(),
            POSTRAY_BOUNCE_BIND=self._port.bind,
            POSTRAY_BOUNCE_COMPLAINT_ADDRESSES=FEEDBACK,
            POSTRAY_WEBHOOKS_ALLOW_NETWORKS="127.0.0.0/8",
        )

    def start(self) -> None:
        self.postray.start()
        answer = httpx.post(
            f"{self.postray.run.url}/v3/user/webhooks",
            json={"url": f"http://{self._hook.start()}/events", "enabled_events": ["*"], "batch": True},
            headers={"Authorization": f"Bearer {self.postray.key}"},
            trust_env=False,
        )
        assert answer.status_code == 201, answer.text

    def stop(self) -> None:
        self.postray.stop()
        self._host.stop()
        self._hook.stop()

    def sender(self, id: str) -> str:
        """The envelope sender of a message that the host took."""
        (sender,) = {one.sender for one in self._host.lines() if isinstance(one, Receipt) and one.message_id == id}
        return sender

    def posted(self, id: str) -> list[HookedEvent]:
        """What the endpoint was posted about a message."""
        return [event for post in self._hook.posts() for event in post.events if event.message_id == id]


class Reporting:
    """What a test does with it, and a client of its API."""

    def __init__(self, world: ReportingWorld, client: Client) -> None:
        self.world = world
        self.client = client

    async def delivered(self, email: str) -> tuple[str, str, str]:
        """A message that the host took: its id, its batch and its envelope sender."""
        batch_id = (await self.client.api.post("/v3/mail/batch")).json()["batch_id"]
        (id,) = await self.client.send(personalizations=[{"to": [{"email": email}]}], batch_id=batch_id)
        await self.client.until(f"/v3/messages/{id}", lambda m: m["status"] == "sent" and len(m["events"] or []) == 2)
        await self.client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        return id, batch_id, self.world.sender(id)

    async def report(self, to: str, mail: bytes) -> None:
        """Send a report as a host does. Raises aiosmtplib.SMTPRecipientsRefused."""
        host, port = host_port(self.world.postray.settings.bounce.bind)
        async with aiosmtplib.SMTP(hostname=host, port=port, start_tls=True, validate_certs=False) as client:
            await client.sendmail("", to, mail)

    async def is_listed(self, name: str, email: str) -> bool:
        answer = await self.client.api.get(f"/v3/suppression/{name}/{email}")
        assert answer.status_code == 200, answer.text
        return bool(answer.json())

    async def events(self, id: str) -> list[str]:
        return [event["event_type"] for event in (await self.client.message(id))["events"] or []]

    async def counts(self, batch_id: str) -> dict[str, int]:
        batch = (await self.client.api.get(f"/v3/mail/batch/{batch_id}")).json()
        return {status: count for status, count in batch["status_counts"].items() if count}

    async def state(self, id: str, batch_id: str, email: str) -> dict[str, Any]:
        """Everything that a report on a message may change."""
        return {
            "status": (await self.client.message(id))["status"],
            "events": await self.events(id),
            "counts": await self.counts(batch_id),
            "bounces": await self.is_listed("bounces", email),
            "spam reports": await self.is_listed("spam_reports", email),
            "posted": sorted({event.event_id for event in self.world.posted(id)}),
        }

    def listed(self, id: str) -> list[dict[str, Any]]:
        return list(said(self.world.postray, "inbound", "list", "--message", id))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportingWorld]:
    world = ReportingWorld(tmp_path_factory.mktemp("reports"))
    world.start()
    yield world
    world.stop()


@pytest.fixture
async def reporting(world: ReportingWorld) -> AsyncIterator[Reporting]:
    client = Client(world.postray)
    yield Reporting(world, client)
    await client.close()


async def took_s(began: float, holds: Callable[[], Awaitable[bool]]) -> float:
    """How long after ``began`` it holds, in seconds."""
    while not await holds():
        assert time.monotonic() - began < MAX_WAIT_S
        await asyncio.sleep(POLL_S)
    return time.monotonic() - began


async def all_follow(began: float, **facts: Callable[[], Awaitable[bool]]) -> None:
    """All of these follow in time; prints when each did."""
    times = dict(zip(facts, await asyncio.gather(*(took_s(began, holds) for holds in facts.values())), strict=True))
    print("after the report, s: " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in times.items()))
    assert max(times.values()) < FOLLOWS_S, times


async def test_a_report_makes_a_message_bounce_within_seconds_and_once(reporting: Reporting) -> None:
    email = "gone.ok@example.com"
    id, batch_id, sender = await reporting.delivered(email)

    async def has_status() -> bool:
        return bool((await reporting.client.message(id))["status"] == "bounced")

    async def has_event() -> bool:
        return "bounce" in await reporting.events(id)

    async def is_counted() -> bool:
        return await reporting.counts(batch_id) == {"bounced": 1}

    async def is_listed() -> bool:
        return await reporting.is_listed("bounces", email)

    async def is_posted() -> bool:
        return any(event.event_type == "bounce" for event in reporting.world.posted(id))

    began = time.monotonic()
    await reporting.report(sender, a_report(email))
    await all_follow(
        began, status=has_status, event=has_event, batch=is_counted, suppression=is_listed, webhook=is_posted
    )
    (bounced,) = [e for e in (await reporting.client.message(id))["events"] if e["event_type"] == "bounce"]
    assert bounced["smtp_response"] == "550 5.1.1 No such user"

    before = await reporting.state(id, batch_id, email)
    await reporting.report(sender, a_report(email))  # the same
    await reporting.report(sender, a_report(email, diagnostic="smtp; 550 5.1.1 No such user, again"))  # another
    # What these had changed would come before what a later message changes.
    await reporting.delivered("after.ok@example.com")
    assert await reporting.state(id, batch_id, email) == before
    effects = [mail["effect"] for mail in reporting.listed(id)]
    assert effects == ["", f"{email} bounced"]
    (dropped,) = await reporting.client.send(personalizations=[{"to": [{"email": email}]}])
    await reporting.client.until(f"/v3/messages/{dropped}", lambda m: m["status"] == "failed")


async def test_a_complaint_is_told_within_seconds_and_once(reporting: Reporting) -> None:
    email = "annoyed.ok@example.com"
    id, batch_id, sender = await reporting.delivered(email)

    async def has_event() -> bool:
        return "spam_report" in await reporting.events(id)

    async def is_listed() -> bool:
        return await reporting.is_listed("spam_reports", email)

    async def is_posted() -> bool:
        return any(event.event_type == "spam_report" for event in reporting.world.posted(id))

    began = time.monotonic()
    await reporting.report(FEEDBACK, a_complaint(sender, email))
    await all_follow(began, event=has_event, suppression=is_listed, webhook=is_posted)
    before = await reporting.state(id, batch_id, email)
    assert before["status"] == "sent" and before["counts"] == {"sent": 1}
    await reporting.report(FEEDBACK, a_complaint(sender, email))
    await reporting.report(sender, a_complaint(sender, email))
    await reporting.delivered("afterwards.ok@example.com")
    assert await reporting.state(id, batch_id, email) == before
    assert [mail["effect"] for mail in reporting.listed(id)] == ["", f"{email} complained"]


def with_another(address: str, place: int) -> str:
    """The address with another digit at a place."""
    return f"{address[:place]}{'a' if address[place] != 'a' else 'b'}{address[place + 1 :]}"


@pytest.mark.parametrize("kind", ["report", "complaint"])
async def test_reports_that_are_made_up_change_nothing_and_are_listed_with_why(reporting: Reporting, kind: str) -> None:
    email, other = f"forged-{kind}.ok@example.com", f"other-{kind}.ok@example.com"
    id, batch_id, sender = await reporting.delivered(email)
    other_id, _, other_sender = await reporting.delivered(other)
    before = await reporting.state(id, batch_id, email)
    host = sender.partition("@")[2]
    made_up = {
        "no token": f"bounces@{host}",
        "another tenant": with_another(sender, TENANT_DIGIT),
        "a wrong MAC": with_another(sender, MAC_DIGIT),
    }
    for address in made_up.values():
        mail = a_report(email) if kind == "report" else a_complaint(address, email)
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused):  # by the server, so it is on no list
            await reporting.report(address, mail)
        if kind == "complaint":
            await reporting.report(FEEDBACK, mail)
    if kind == "complaint":
        newest = said(reporting.world.postray, "inbound", "list", "--limit", str(len(made_up)))
        assert [(mail["effect"], mail["why"][-1]) for mail in newest] == [("", "no address of ours is in it")] * 3
    # A report may be made up by who has seen one address; it proves nothing of another recipient, or another message.
    elsewhere = a_report(email) if kind == "report" else a_complaint(other_sender, email, "not-spam")
    await reporting.report(other_sender, elsewhere)
    (kept,) = reporting.listed(other_id)
    why = f"it names {email}, and the message went to {other}" if kind == "report" else "Feedback-Type"
    assert kept["effect"] == "" and why in " ".join(kept["why"])
    with psycopg.connect(journal_dsn(reporting.world.postray.settings), autocommit=True) as connection:
        connection.execute(
            "UPDATE outcomes SET finished_at = finished_at - interval '31 days' WHERE message_id = %s", [id]
        )
    await reporting.report(sender, a_report(email) if kind == "report" else a_complaint(sender, email))
    (old,) = reporting.listed(id)
    assert (old["effect"], old["why"][-1]) == ("", f"{id} ended more than 30 days ago")
    await reporting.delivered(f"last-{kind}.ok@example.com")
    assert await reporting.state(id, batch_id, email) == before
