"""A backup of a large journal, taken under load and while past days go, is restored into an empty folder, and goes on:
nothing that was in it is lost, and nothing is sent that is known to be delivered."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.chaos.carried import lacking
from benchmarks.chaos.mail import FIRST_OF_PAST
from benchmarks.chaos.past import past_request
from benchmarks.past_mail import begin_on, fill_day
from cluster.demo import TENANT
from cluster.installation.embedded import journal_dsn
from cluster.journal.journal import Journal
from tests.acceptance.running import Client, RunningPostray

LOAD_EVERY_S = 0.02
PAST_DAYS = 4
A_DAY = 30_000
"""Messages that ended on each of them, with bodies of 1.6 KB."""
LATER_S = 3600.0


def to(address: str) -> dict[str, Any]:
    return {"personalizations": [{"to": [{"email": address}]}]}


async def test_backup_under_load_and_restore_into_an_empty_folder(tmp_path: Path) -> None:
    before = RunningPostray(tmp_path / "before")
    before.start()
    client = Client(before)
    today = datetime.now(UTC).date()
    past = await a_past(before, today)
    send_at = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    (scheduled,) = await client.send(**to("later@example.com"), send_at=send_at)
    done(before, "suspend", "--site", "capture", "--for", "1h")
    held = [(await client.send(**to(f"held{n}@example.com")))[0] for n in range(20)]
    accepted: list[str] = []
    loading = asyncio.create_task(load(client, accepted))
    backup, kept = tmp_path / "backup", today - timedelta(days=1)
    pruning = asyncio.to_thread(done, before, "storage", "prune", "--before", f"{kept}", "--yes", "--json")
    backing_up = asyncio.to_thread(done, before, "backup", str(backup), "--with-secrets", "--json")
    pruned, told = map(json.loads, await asyncio.gather(pruning, backing_up))
    assert pruned["freed_bytes"] > A_DAY * (PAST_DAYS - 1) * 1600
    assert told["is_whole"] and not told["is_behind"]
    assert set(told["bytes"]) == {"postgres", "ledger", "clickhouse", "secrets"}
    assert told["bytes"]["postgres"] > A_DAY * 1600
    loading.cancel()
    # Of the days that went, only what is unfinished is left; nothing of the load is lost.
    ended = "SELECT count(*) FROM requests WHERE categories = ARRAY['ended']"
    assert asked(before, ended) == [(A_DAY,)]
    known = {id for (id,) in asked(before, "SELECT id FROM messages")}
    assert len(accepted) > 50 and known >= {*accepted, *past.values()}
    # What the backup has unfinished is delivered after it; then everything is lost but what the disk has.
    done(before, "resume", "--site", "capture")
    for message_id in held:
        await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
    (lost,) = await client.send(**to("lost@example.com"))
    await client.until(f"/v3/messages/{lost}", lambda m: len(m["events"] or []) == 2)
    await client.close()
    before.kill()

    # With what survives: all of it is known to be delivered.
    after = RunningPostray(tmp_path / "after")
    report = json.loads(done(after, "restore", str(backup), "--surviving", str(before.data_dir), "--json"))
    assert report["ended"] >= len(held)
    lost_ids = [json.loads(line)["message_id"] for line in lines(after, "lost.jsonl")]
    assert lost in lost_ids and not {*held, scheduled, *past.values()} & {*lost_ids}
    assert not {*held, scheduled} & {json.loads(line)["message_id"] for line in lines(after, "in-doubt.jsonl")}
    after.start()
    client = Client(after)
    ready = (await client.api.get("/readyz")).json()
    assert ready["status"] == "ready" and "all delivery is suspended" in ready["parts"]["delivery"]
    (new,) = await client.send(**to("new@example.com"))
    for message_id in held:
        message = await client.message(message_id)
        assert (message["status"], len(message["events"])) == ("delivered", 2)
    assert (await client.message(scheduled))["status"] in ("queued", "scheduled")
    assert (await client.message(new))["status"] != "delivered"
    done(after, "resume", "--all")
    await client.until(f"/v3/messages/{new}", lambda m: m["status"] == "delivered" and len(m["events"] or []) == 2)
    assert await client.captured("held0@example.com") == []
    await client.until("/readyz", lambda ready: "delivery" not in ready["parts"])
    await sent_whole(after, client, past)
    await client.close()
    after.stop()

    # Without: it is in doubt, waits, and is sent again.
    alone = RunningPostray(tmp_path / "alone")
    report = json.loads(done(alone, "restore", str(backup), "--json"))
    doubts = {json.loads(line)["message_id"] for line in lines(alone, "in-doubt.jsonl")}
    assert set(held) <= doubts and scheduled not in doubts
    assert report["in_doubt"] == len(doubts)


async def a_past(postray: RunningPostray, today: date) -> dict[int, str]:
    """Give it past days with many messages that ended, and one each that is scheduled; returns the ids of the latter by
    their numbers."""
    dsn, scheduled = journal_dsn(postray.settings), dict[int, str]()
    first = today - timedelta(days=PAST_DAYS)
    await asyncio.to_thread(begin_on, dsn, first)
    journal = Journal(dsn, application="past-mail")
    await journal.open()
    tenant_id = await journal.tenants.named(TENANT)
    assert tenant_id is not None
    for back in range(PAST_DAYS):
        day, number = first + timedelta(days=back), FIRST_OF_PAST + back
        request = past_request(tenant_id, day, number, [[past_reader(number)]], LATER_S)
        await journal.intake.accept([request])
        scheduled[number] = request.messages[0].id
        await asyncio.to_thread(fill_day, dsn, tenant_id, day, A_DAY, category="ended", body_bytes=1600)
    await journal.close()
    return scheduled


def past_reader(number: int) -> str:
    return f"past{number}@example.com"


async def sent_whole(postray: RunningPostray, client: Client, scheduled: Mapping[int, str]) -> None:
    """The time of the messages of past days has come: each is sent with its file, and a signature that verifies."""
    domains = (await client.api.get("/v3/whitelabel/domains")).json()
    records = {record["host"]: record["data"] for domain in domains for record in domain["records"]}
    ids = list(scheduled.values())
    due = "UPDATE deliveries SET due_at = now() WHERE message_id = ANY (%s) RETURNING message_id"
    assert sorted(id for (id,) in asked(postray, due, ids)) == sorted(ids)
    for number, id in scheduled.items():
        await client.until(f"/v3/messages/{id}", lambda m: m["status"] == "delivered")
        [copy] = await client.captured(past_reader(number))
        assert lacking(copy, number, records) == ""


def asked(postray: RunningPostray, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(journal_dsn(postray.settings), autocommit=True) as connection:
        return connection.execute(statement.encode(), parameters or None).fetchall()


async def load(client: Client, accepted: list[str]) -> None:
    number = 0
    while True:
        accepted += await client.send(**to(f"load{number}@example.com"))
        number += 1
        await asyncio.sleep(LOAD_EVERY_S)


def lines(postray: RunningPostray, name: str) -> list[str]:
    return (postray.data_dir / "restored" / name).read_text(encoding="utf-8").splitlines()


def done(postray: RunningPostray, *arguments: str) -> str:
    answer = postray.command(*arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout
