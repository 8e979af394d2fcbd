"""The present release over the data directory of the release before, which has mail in it, while clients send."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from cluster.installation.embedded import journal_dsn
from cluster.installation.ports import ANY_PORT, HeldPort
from tests.acceptance.running import MAX_WAIT_S, Client, RunningPostray, mail
from tests.acceptance.test_main_job import key_records
from tests.dkim_verifier import verdicts
from tests.forms import is_part_of
from tests.upgrade.fill import KEPT
from tests.upgrade.stored import brought_back

LATER_S = 20.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: the path of a socket of Postgres has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="pr-upgrade-") as name:
        yield Path(name)


async def send_until_accepted(postray: RunningPostray, recipient: str) -> str:
    """As a client that began before the release was there, and tries again while no server answers."""
    body = mail(personalizations=[{"to": [{"email": recipient}]}])
    until = time.monotonic() + 2 * MAX_WAIT_S
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {postray.key}"}, trust_env=False) as http:
        while True:
            try:
                answer = await http.post(f"{postray.url}/v3/mail/send", json=body)
                if answer.status_code == 202:
                    return str(answer.json()["message_id"])
                assert answer.status_code == 503, answer.text
            except httpx.ConnectError:
                assert time.monotonic() < until
            await asyncio.sleep(0.2)


async def test_the_mail_of_the_release_before_arrives_once_and_what_it_told_stays(folder: Path) -> None:
    data_dir = folder / "data"
    facts = await asyncio.to_thread(brought_back, data_dir, later_s=LATER_S)
    port = HeldPort(ANY_PORT)  # known to clients before it answers there
    postray = RunningPostray(data_dir, **KEPT, POSTRAY_HTTP_BIND=port.bind)
    meanwhile = [f"meanwhile{number}@example.com" for number in range(5)]
    sending = [asyncio.create_task(send_until_accepted(postray, one)) for one in meanwhile]
    await asyncio.to_thread(postray.start)
    client = Client(postray)
    new = dict(zip(meanwhile, await asyncio.gather(*sending), strict=True))

    waited: dict[str, str] = facts["due"] | facts["later"] | new
    for message_id in waited.values():
        await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
    records = await key_records(client)
    for recipient, message_id in waited.items():
        (raw,) = await client.captured(recipient)
        assert verdicts(raw, records) == [True, True]
        assert f"<{message_id}@mail.example.com>".encode() in raw
    assert await client.captured_count() == len(waited) + len(facts["delivered"]), "no message comes again"

    for message_id, shown in zip(facts["delivered"].values(), facts["shown"], strict=True):
        assert is_part_of(shown, await client.message(message_id))
    days = (await client.api.get("/v3/stats", params={"start_date": facts["day"], "end_date": facts["day"]})).json()
    assert days[0]["stats"][0]["metrics"]["delivered"] >= len(facts["delivered"])
    with psycopg.connect(journal_dsn(postray.settings)) as connection:
        ran = [name for (name,) in connection.execute("SELECT name FROM migrations ORDER BY at, name")]
    assert "0030_console.sql" in ran
    await client.close()
    await asyncio.to_thread(postray.stop)
