"""The days scenario on a small journal: it measures what it says, and what is unfinished is whole afterwards."""

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.past_mail import begin_on, redated
from benchmarks.scenarios.days import Days, Going, Options, left
from cluster.journal.journal import Journal
from tests.integration.journal.builders import a_request, a_tenant
from tests.integration.journal.stored import sql

OPTIONS = Options(messages=2000, unfinished=20, rate=100, seconds=1)


async def test_two_days_go_while_mail_flows(journal: Journal, journal_dsn: str) -> None:
    going = Going(journal, journal_dsn, await a_tenant(journal), OPTIONS, lambda what, share: None)
    figures = await going.run(OPTIONS.messages)
    assert figures.keys() == {measure.name for measure in Days.measures}
    assert all(value > 0 for value in figures.values())
    assert left(journal_dsn) == (2 * OPTIONS.unfinished, 0)
    # The records of one day are gone, and those of the other are there.
    ended = "SELECT count(*) FROM requests WHERE categories = ARRAY['ended']"
    assert await sql(journal_dsn, ended) == [(OPTIONS.messages,)]


async def test_a_journal_that_is_not_new_keeps_what_it_has(journal: Journal, journal_dsn: str) -> None:
    today = datetime.now(UTC).date()
    request = redated(a_request(await a_tenant(journal)), today - timedelta(days=20))
    await journal.intake.accept([request])
    with pytest.raises(RuntimeError, match="the installation is not new"):
        begin_on(journal_dsn, today - timedelta(days=9))
    assert await sql(journal_dsn, "SELECT id FROM requests") == [(request.id,)]
