"""A backup taken under load is restored into an empty folder, and goes on: nothing that was in it is lost, and nothing
is sent that is known to be delivered."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.acceptance.running import Client, RunningPostray

LOAD_EVERY_S = 0.02


def to(address: str) -> dict[str, Any]:
    return {"personalizations": [{"to": [{"email": address}]}]}


async def test_backup_under_load_and_restore_into_an_empty_folder(tmp_path: Path) -> None:
    before = RunningPostray(tmp_path / "before")
    before.start()
    client = Client(before)
    send_at = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    (scheduled,) = await client.send(**to("later@example.com"), send_at=send_at)
    done(before, "suspend", "--site", "capture", "--for", "1h")
    held = [(await client.send(**to(f"held{n}@example.com")))[0] for n in range(20)]
    loading = asyncio.create_task(load(client))
    backup = tmp_path / "backup"
    told = json.loads(await asyncio.to_thread(done, before, "backup", str(backup), "--with-secrets", "--json"))
    assert told["is_whole"] and not told["is_behind"]
    assert set(told["bytes"]) == {"postgres", "ledger", "clickhouse", "secrets"}
    loading.cancel()
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
    assert lost in lost_ids and not {*held, scheduled} & {*lost_ids}
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
    await client.close()
    after.stop()

    # Without: it is in doubt, waits, and is sent again.
    alone = RunningPostray(tmp_path / "alone")
    report = json.loads(done(alone, "restore", str(backup), "--json"))
    doubts = {json.loads(line)["message_id"] for line in lines(alone, "in-doubt.jsonl")}
    assert set(held) <= doubts and scheduled not in doubts
    assert report["in_doubt"] == len(doubts)


async def load(client: Client) -> None:
    number = 0
    while True:
        await client.send(**to(f"load{number}@example.com"))
        number += 1
        await asyncio.sleep(LOAD_EVERY_S)


def lines(postray: RunningPostray, name: str) -> list[str]:
    return (postray.data_dir / "restored" / name).read_text(encoding="utf-8").splitlines()


def done(postray: RunningPostray, *arguments: str) -> str:
    answer = postray.command(*arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout
