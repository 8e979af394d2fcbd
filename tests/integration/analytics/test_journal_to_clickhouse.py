"""The recorder between the real journal and the real engine."""

import asyncio
from pathlib import Path

import psycopg

from actors.recorder import Recorder
from analytics.client import ClickHouse
from cluster.event_consumer import Pacing
from cluster.events import encode_batch
from cluster.journal.journal import Journal
from cluster.settings import ClickHouseSettings
from tests.integration.analytics.counting import event_counts
from tests.unit.analytics.samples import every_kind, processed

QUICK = Pacing(page_rows=3, page_interval_s=0.001, trim_every=1)


async def test_the_log_empties_into_clickhouse(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    recorder = Recorder(ClickHouseSettings(poll_interval_ms=1), tmp_path, journal, pacing=QUICK)
    await recorder.start()
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        batches = [encode_batch(every_kind())] + [encode_batch([processed(number)]) for number in range(20, 30)]
        for batch in batches:
            await connection.execute("INSERT INTO event_log (events) VALUES (%s)", [batch])
        async with asyncio.timeout(30):
            while True:
                cursor = await connection.execute("SELECT count(*) FROM event_log")
                if await cursor.fetchone() == (0,):
                    break
                await asyncio.sleep(0.005)
    await recorder.stop()
    client = ClickHouse.open(ClickHouseSettings(), tmp_path)
    assert client.migrate() == []
    assert event_counts(client, "tnt_1", "bat_1") == {
        "processed": 11,
        "deferred": 1,
        "delivered": 1,
        "bounce": 1,
        "blocked": 1,
        "dropped": 1,
        "open": 1,
        "click": 1,
        "unsubscribe": 1,
        "group_unsubscribe": 1,
        "group_resubscribe": 1,
        "spam_report": 1,
    }
    client.close()
