"""What operators did, against a real Postgres."""

from datetime import UTC, datetime, timedelta

import psycopg

from cluster.journal.journal import Journal, migrate
from cluster.journal.operator_audit import DONE, NEWEST, Doer

AT = datetime(2026, 4, 23, 10, tzinfo=UTC)
ADA = Doer(way="http", operator="ada", address="192.0.2.1")
BOB = Doer(way="command", operator="bob@mta1")


async def done(journal: Journal, minute: float, doer: Doer, command: str, subject: str, outcome: str = DONE) -> None:
    noted = await journal.operator_audit.begin(AT + timedelta(minutes=minute), doer, command, subject)
    await journal.operator_audit.end(noted, outcome)


async def kept(journal: Journal) -> list[tuple[str, str, str, int]]:
    return [
        (one.doer.operator, one.command, one.outcome, one.times)
        for one in reversed(await journal.operator_audit.latest(NEWEST, 100))
    ]


async def test_a_command_is_there_before_its_outcome(journal: Journal) -> None:
    audit = journal.operator_audit
    noted = await audit.begin(AT, ADA, "suspend", "tnt_1")
    found = await audit.find(noted)
    assert found is not None
    assert (found.at, found.doer, found.command, found.subject, found.outcome) == (AT, ADA, "suspend", "tnt_1", "")
    await audit.end(noted, "refused: 409")
    (found,) = await audit.latest(NEWEST, 1)
    assert (found.outcome, found.times, found.last_at) == ("refused: 409", 1, None)
    assert await audit.find(noted + 1) is None


async def test_what_is_repeated_is_one_row_and_nothing_else_is(journal: Journal) -> None:
    for minute in range(5):
        await done(journal, minute, ADA, "prune", "p1")
        await done(journal, minute, BOB, "prune", "p1")
    assert await kept(journal) == [("ada", "prune", DONE, 5), ("bob@mta1", "prune", DONE, 5)]
    assert [one.last_at for one in await journal.operator_audit.latest(NEWEST, 9)] == [AT + timedelta(minutes=4)] * 2
    await done(journal, 5, ADA, "prune", "p2")
    await done(journal, 6, ADA, "prune", "p1")
    await done(journal, 7, ADA, "prune", "p1", "refused: 409")
    await done(journal, 8, ADA, "prune", "p1")
    await done(journal, 90, ADA, "prune", "p1")
    assert [one[2:] for one in await kept(journal)][2:] == [
        (DONE, 1),
        (DONE, 1),
        ("refused: 409", 1),
        (DONE, 1),
        (DONE, 1),
    ]


async def test_notes_of_before_are_those_of_the_console(journal: Journal, journal_dsn: str) -> None:
    with psycopg.connect(journal_dsn, autocommit=True) as connection:
        connection.execute(
            b"""DELETE FROM migrations WHERE name = '0031_audit_ways.sql';
            ALTER TABLE operator_audit DROP COLUMN way, DROP COLUMN times, DROP COLUMN last_at;
            INSERT INTO operator_audit (at, operator, address, command, subject, outcome)
            VALUES (now(), 'ada', '192.0.2.1', 'log in', '', 'done')"""
        )
    assert await migrate(journal_dsn) == ["0031_audit_ways.sql"]
    (found,) = await journal.operator_audit.latest(NEWEST, 9)
    assert (found.doer, found.times) == (Doer(way="console", operator="ada", address="192.0.2.1"), 1)
    with psycopg.connect(journal_dsn, autocommit=True) as connection:  # as a process of the release before does
        connection.execute(
            b"INSERT INTO operator_audit (at, operator, address, command, subject, outcome) "
            b"VALUES (now(), 'bob', '', 'log in', '', '')"
        )
    assert (await journal.operator_audit.latest(NEWEST, 1))[0].doer.way == "console"
