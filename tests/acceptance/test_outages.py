"""Postgres and other parts that postray needs end and come back."""

import asyncio
import os
import signal

import psutil

from tests.acceptance.running import Client, RunningPostray, mail
from tests.acceptance.test_lives import postmaster

OUTAGES = {8: signal.SIGINT, 24: signal.SIGKILL}
"""By the part of a batch before which Postgres ends, the signal that ends it."""


async def test_postgres_goes_away_and_comes_back_and_that_twice(postray: RunningPostray, client: Client) -> None:
    batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
    promised = 0
    ended: list[int] = []
    for part in range(40):
        if part in OUTAGES:
            ended.append(postmaster(postray.data_dir))
            os.kill(ended[-1], OUTAGES[part])
        people = [{"to": [{"email": f"u{part}-{i}@example.com"}]} for i in range(25)]
        while True:
            # A request is refused at once or waits some seconds for a connection, depending on the moment.
            answer = await client.api.post("/v3/mail/send", json=mail(personalizations=people, batch_id=batch_id))
            if answer.status_code == 202:
                break
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) >= 1
            assert ended
            await asyncio.sleep(0.2)
        promised += 25
    batch = await client.until(
        f"/v3/mail/batch/{batch_id}",
        lambda b: b["is_complete"] and b["total_messages"] >= promised,
        may_be_away=True,
    )
    assert len({*ended, postmaster(postray.data_dir)}) == 3, "each outage ended a Postgres, and another came"
    # A 503 after a commit whose answer was lost adds a message; it never removes one.
    assert batch["status_counts"]["delivered"] == batch["total_messages"] >= promised


async def test_a_clickhouse_that_stands_still_delays_only_events(postray: RunningPostray, client: Client) -> None:
    recorder = psutil.Process(postray.pid_of("recorder"))
    recorder.suspend()
    try:
        (message_id,) = await client.send()
        message = await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
        assert message["events"] is None
    finally:
        recorder.resume()
    await client.until(f"/v3/messages/{message_id}", lambda m: len(m["events"] or []) == 2)
