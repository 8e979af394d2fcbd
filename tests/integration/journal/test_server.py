"""What the journal's server tells of itself."""

from datetime import UTC, datetime

from psycopg.conninfo import make_conninfo

from cluster.journal.database import Database
from cluster.journal.journal import Journal


async def test_since_when_the_server_runs(journal: Journal) -> None:
    began = await journal.server.began()
    assert began.recovered_at is not None, "the embedded server's own user may see it"
    assert began.started_at <= began.recovered_at < datetime.now(UTC)
    assert await journal.server.began() == began


async def test_times_are_in_utc_whatever_the_servers_zone(journal_dsn: str) -> None:
    elsewhere = make_conninfo(journal_dsn, options="-c TimeZone=America/St_Johns")
    database = Database(elsewhere, application="elsewhere")
    await database.open()
    try:
        row = await database.row("server_time")
    finally:
        await database.close()
    assert row is not None
    assert row[0].tzinfo is UTC
