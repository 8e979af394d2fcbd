"""Files are lost or damaged while postray is stopped. A lost secret is not made anew, and without ClickHouse's files
mail is still delivered, and the damage is reported."""

import stat
from pathlib import Path

from tests.acceptance.running import Client, RunningPostray


async def test_a_lost_secret_a_damaged_part_and_then_metadata_that_cannot_be_read(tmp_path: Path) -> None:
    postray = RunningPostray(tmp_path)
    postray.start()
    client = Client(postray)
    (lost,) = await client.send()
    await client.until(f"/v3/messages/{lost}", lambda m: len(m["events"] or []) == 2)
    await client.close()
    postray.stop()
    assert_it_does_not_start_without_its_secret(postray)
    tmp_path.chmod(0o755)
    events = tmp_path / "clickhouse" / "data" / "postray" / "events"
    for part in events.glob("20*"):
        (part / "data.bin").write_bytes(b"damaged")

    postray.start()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert "closed" in postray.output
    assert "degraded: ClickHouse set" in postray.output
    client = Client(postray)
    message = await client.message(lost)
    assert (message["status"], message["events"], message["events_incomplete"]) == ("delivered", [], True)
    ready = await client.api.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert ready.json()["parts"]["recorder"].startswith("degraded: ")
    await client.close()
    asked = postray.command("doctor")
    assert asked.returncode == 1
    assert str(events.resolve() / "detached" / "broken-on-start_") in asked.stdout
    postray.stop()

    (tmp_path / "clickhouse" / "metadata" / "postray" / "events.sql").write_text("damaged", encoding="ascii")
    postray.start()
    assert "! recorder" in postray.output
    client = Client(postray)
    (message_id,) = await client.send()
    message = await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
    assert (message["events"], message["events_incomplete"]) == (None, True)
    await client.close()
    postray.stop()

    # As in docs/operating.md: the events that waited in the journal are there again.
    (tmp_path / "clickhouse").rename(tmp_path / "damaged")
    postray.start()
    client = Client(postray)
    await client.until(f"/v3/messages/{message_id}", lambda m: len(m["events"] or []) == 2)
    assert (await client.api.get("/readyz")).json()["parts"]["recorder"] == "ok"
    await client.close()
    postray.stop()


def assert_it_does_not_start_without_its_secret(postray: RunningPostray) -> None:
    secret = postray.data_dir / "secret.key"
    kept = secret.read_bytes()
    secret.unlink()
    answer = postray.command("up")
    assert answer.returncode == 1
    assert f"{secret} is missing: put it back" in " ".join((answer.stdout + answer.stderr).split())
    assert not secret.exists()
    secret.write_bytes(kept)
