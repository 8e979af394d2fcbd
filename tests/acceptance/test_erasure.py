"""After an erasure, no file of the data directory has the address, in any usual spelling."""

import asyncio
import base64
import re
import smtplib
import ssl
import time
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg
import pytest

from analytics.client import ClickHouse
from cluster.installation.embedded import EmbeddedPostgres, journal_dsn
from cluster.settings import ClickHouseSettings
from cluster.smtpd.envelope import Answer, Behaviour, ReceivedMessage, ServerReply
from cluster.smtpd.server import SmtpServer
from tests.acceptance.running import Client, RunningPostray
from tests.files import files_in
from tests.integration.analytics.old_parts import delete_soon
from tests.integration.webhooks.world import Hook, answering, served
from tests.waiting import until

NAME = "zoe.quinesentinel"
ADDRESS = f"{NAME}@example.net"
GONE = f"gone.{NAME}@example.net"
OTHER = "bob@example.net"
OLD_PARTS_S = 120.0
POLLED_S = 120.0


def spellings(text: str) -> list[bytes]:
    """The text as it is, in hex, in UTF-16, and in base64 at each of its three places."""
    plain = text.encode()
    coded = [base64.b64encode(b"x" * shift + plain)[4 if shift else 0 : -4] for shift in range(3)]
    return [plain, plain.hex().encode(), text.encode("utf-16-le"), *coded]


SPELLINGS = [spelling.lower() for spelling in spellings(NAME)]


def has_it(octets: bytes) -> bool:
    """In any case. (A regular expression takes a second for each file of the write-ahead log.)"""
    lowered = octets.lower()
    return any(spelling in lowered for spelling in SPELLINGS)


def files_with_it(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path, content in files_in(folder) if has_it(content))


def refused(address: str) -> Answer:
    if address == GONE:
        return ServerReply(550, f"5.1.1 <{address}>: no such mailbox {address}")
    return None


async def test_nothing_is_left_of_an_erased_recipient(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("erasing")
    taken: list[ReceivedMessage] = []

    async def take(message: ReceivedMessage) -> None:
        taken.append(message)

    host = SmtpServer(take, behaviour=Behaviour(rcpt=refused))
    address, port = await host.start("127.0.0.1", 0)
    postray = RunningPostray(
        folder,
        POSTRAY_DELIVERY_MODE="relay",
        POSTRAY_DELIVERY_RELAY=f"{address}:{port}",
        POSTRAY_WEBHOOKS_ALLOW_NETWORKS="127.0.0.0/8",
        POSTRAY_WEBHOOKS_RETRY_SCHEDULE_S="1,600",
    )
    await asyncio.to_thread(postray.start)
    client = Client(postray)
    works, fails = Hook(), Hook()
    fails.answer = answering(503)
    async with served(works, fails):
        for hook in (works, fails):
            answer = await client.api.post("/v3/user/webhooks", json={"url": hook.url, "enabled_events": ["*"]})
            assert answer.status_code == 201, answer.text
        await fill(client, taken)
        await fill_mentions(client, postray)
        await until(lambda: all(NAME in str(hook.posts) for hook in (works, fails)), POLLED_S)
        listed = (await client.api.get("/v3/user/webhooks")).json()["webhooks"]
        for one in listed:
            path = f"/v3/user/webhooks/{one['id']}/deliveries"
            await client.until(path, lambda body: NAME in str(body))
        with psycopg.connect(journal_dsn(postray.settings), autocommit=True) as connection:
            connection.execute(b"CHECKPOINT")
        before = files_with_it(folder)
        assert any(file.startswith("postgres/base") for file in before), "the search finds nothing"
        assert any(file.startswith("postgres/pg_wal") for file in before)

        answer = await client.api.post("/v3/recipients/erasejob", json={"email_addresses": [ADDRESS, GONE]})
        assert answer.status_code == 202, answer.text
        await client.until(f"/v3/recipients/erasejob/{answer.json()['job_id']}", lambda job: job["status"] == "done")
        assert not [path for path in files_with_it(folder) if path.startswith("postgres/pg_wal")]
        for one in listed:
            assert NAME not in (await client.api.get(f"/v3/user/webhooks/{one['id']}/deliveries")).text
        # The lists still have both.
        for path in (f"/v3/asm/suppressions/global/{ADDRESS}", f"/v3/suppression/bounces/{GONE}"):
            assert NAME in (await client.api.get(path)).text
        suppressed = (await client.send(personalizations=[{"to": [{"email": OTHER}]}]))[0]
        await client.until(f"/v3/messages/{suppressed}", lambda m: m["status"] == "sent")
        events = (await client.api.get("/v3/events", params={"limit": 1000})).json()["events"]
        assert {event["recipient_email"] for event in events} == {OTHER}
    await client.close()
    await asyncio.to_thread(postray.stop)
    await host.stop(1.0)
    compact(folder)
    clickhouse_has_nothing(folder)
    assert files_with_it(folder) == []


async def fill(client: Client, taken: list[ReceivedMessage]) -> None:
    """Sends mail of several kinds to the address, and does what its recipient may do."""
    html = '<p>Hello {{name}}</p><a href="https://shop.example.com/offer">offer</a>'
    tracking = {"open_tracking": {"enable": True}, "click_tracking": {"enable": True}}
    (tracked,) = await client.send(
        personalizations=[{"to": [{"email": ADDRESS, "name": "Zoe"}], "custom_args": {"who": ADDRESS}}],
        content=[{"type": "text/html", "value": html}],
        tracking_settings=tracking | {"subscription_tracking": {"enable": True}},
    )
    await client.until(f"/v3/messages/{tracked}", lambda m: m["status"] == "sent")
    (source,) = [one.content for one in taken]
    text = re.sub(rb"=\r\n", b"", source).replace(b"=3D", b"=").decode()
    for kind in ("o", "c"):
        found = re.search(rf"/t/{kind}/[\w.-]+", text)
        assert found, text
        await client.api.get(found[0])
    unsubscribe = re.search(r"/t/u/[\w-]+", text)
    assert unsubscribe, text
    answer = await client.api.post(unsubscribe[0], data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    (bounced,) = await client.send(personalizations=[{"to": [{"email": GONE}]}])
    (several,) = await client.send(personalizations=[{"to": [{"email": OTHER}], "cc": [{"email": ADDRESS}]}])
    later = int((datetime.now(UTC) + timedelta(days=3)).timestamp())
    await client.send(personalizations=[{"to": [{"email": ADDRESS}], "send_at": later}])
    await client.until(f"/v3/messages/{bounced}", lambda m: m["status"] == "bounced" and len(m["events"] or ()) == 2)
    await client.until(f"/v3/messages/{several}", lambda m: m["status"] == "sent")

    def has_all(message: dict[str, Any]) -> bool:
        return {"open", "click", "unsubscribe"} <= {event["event_type"] for event in message["events"] or ()}

    await client.until(f"/v3/messages/{tracked}", has_all)


async def fill_mentions(client: Client, postray: RunningPostray) -> None:
    """Sends mail to another recipient that names the address, and a message that was to go to both."""
    named = {"email": ADDRESS, "name": "Zoe"}
    bob = {"to": [{"email": OTHER}], "substitutions": {"{{by}}": ADDRESS}, "custom_args": {"by": ADDRESS}}
    ids = await client.send(
        personalizations=[{"to": [named], "cc": [{"email": OTHER}]}, bob],
        reply_to=named,
        subject=f"From {ADDRESS}",
        headers={"X-By": ADDRESS},
        content=[{"type": "text/html", "value": f'<a href="mailto:{ADDRESS}">{{{{by}}}}</a>'}],
    )
    ids += [await asyncio.to_thread(submit, client, postray)]
    for id in ids:
        await client.until(f"/v3/messages/{id}", lambda m: m["status"] == "sent" and len(m["events"] or ()) >= 2)


def submit(client: Client, postray: RunningPostray) -> str:
    """Submits a message by SMTP whose header names the address beside its recipient, and whose texts do, encoded;
    returns its id."""
    message = EmailMessage()
    message["From"], message["Subject"] = "hello@mail.example.com", "Submitted"
    message["To"] = f"Zoe <{ADDRESS}>, Bob <{OTHER}>"
    message.set_content(f"Grüße an {ADDRESS}", cte="base64")
    message.add_alternative(f"<p>Grüße an {ADDRESS}</p>", subtype="html", cte="quoted-printable")
    run = postray.run
    assert run.submission is not None
    host, _, port = run.submission.rpartition(":")
    context = ssl._create_unverified_context()
    with smtplib.SMTP(host, int(port)) as server:
        server.starttls(context=context)
        server.login("apikey", postray.key)
        server.mail("hello@mail.example.com")
        server.rcpt(OTHER, [f"ORCPT=rfc822;{ADDRESS}"])
        code, said = server.data(message.as_bytes(policy=policy.SMTP))
    assert code == 250, said
    return said.decode().split()[1]


def compact(data_dir: Path) -> None:
    """Rewrite the tables: what was in free space of their pages goes, and what the log had of that."""
    server = EmbeddedPostgres(data_dir / "postgres")
    try:
        with psycopg.connect(server.start(), autocommit=True) as connection:
            for statement in (b"VACUUM FULL", b"SELECT pg_switch_wal()", b"CHECKPOINT"):
                connection.execute(statement)
    finally:
        server.stop()


def clickhouse_has_nothing(data_dir: Path) -> None:
    """No row names the address, and once old parts are gone, no file. The engine's parts are compressed: so short texts
    are in them as they are, which tests/integration/analytics shows."""
    client = ClickHouse.open(ClickHouseSettings(), data_dir)
    try:
        tables = client.rows(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
        )
        for (table,) in tables:
            found = client.rows(f"SELECT count() FROM {table} WHERE position(lower(toString(tuple(*))), '{NAME}') > 0")
            assert found == [(0,)], table
            delete_soon(client, table)
        deadline = time.monotonic() + OLD_PARTS_S
        while files_with_it(data_dir / "clickhouse") and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        client.close()
