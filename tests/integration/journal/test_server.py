"""What the journal's server tells of itself."""

from datetime import UTC, datetime

from cluster.journal.journal import Journal


async def test_since_when_the_server_runs(journal: Journal) -> None:
    began = await journal.server.began()
    assert began.recovered_at is not None, "the embedded server's own user may see it"
    assert began.started_at <= began.recovered_at < datetime.now(UTC)
    assert await journal.server.began() == began
