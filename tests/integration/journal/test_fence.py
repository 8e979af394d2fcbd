"""The fence of what there is one of: once a newer life has begun, nothing of an older one is committed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest

from cluster.journal import singletons
from cluster.journal.fence import Fence, Fenced
from cluster.journal.journal import Journal, Unavailable

Begin = Callable[[str], Awaitable[Journal]]


@pytest.fixture
def fenced() -> list[Fenced]:
    """The lives that found that they are fenced."""
    return []


@pytest.fixture
async def begin(journal_dsn: str, journal: Journal, fenced: list[Fenced]) -> AsyncIterator[Begin]:
    """Begins a life of a kind; returns its journal."""
    opened: list[Journal] = []

    async def begun(kind: str) -> Journal:
        epoch = await journal.singletons.begin(kind, "host", 1)
        fence = Fence(kind=kind, epoch=epoch, on_fenced=fenced.append)
        one = Journal(journal_dsn, application=kind, connections=2, max_wait_s=1.0, fence=fence)
        await one.open()
        opened.append(one)
        return one

    yield begun
    for one in opened:
        await one.close()


async def test_an_older_life_has_nothing_committed_and_cannot_connect_again(
    begin: Begin, journal: Journal, fenced: list[Fenced]
) -> None:
    older = await begin("recorder")
    await older.event_log.add_consumer("recorder")
    await older.singletons.confirm()
    with pytest.raises(Unavailable):
        async with older._database.transaction() as connection:
            await connection.execute("UPDATE log_cursors SET tx = '99', id = 99")
            newer = await begin("recorder")
            assert await journal.event_log.position("recorder") == (0, 0)
    assert await journal.event_log.position("recorder") == (0, 0)
    for write in (
        lambda: older.event_log.move_cursor("recorder", 7, 7),
        older.event_log.trim,
        older.singletons.confirm,
    ):
        with pytest.raises(Unavailable):
            await write()
    assert {str(one) for one in fenced} == {
        "a newer recorder works (epoch 2), and the one of epoch 1 may not write any more"
    }
    await newer.event_log.move_cursor("recorder", 3, 3)
    await newer.singletons.confirm()
    assert await journal.event_log.position("recorder") == (3, 3)


async def test_kinds_and_journals_of_others_are_left_alone(begin: Begin, fenced: list[Fenced]) -> None:
    scheduler, recorder = await begin("scheduler"), await begin("recorder")
    await begin("recorder")
    await scheduler.singletons.confirm()
    with pytest.raises(Unavailable):
        await recorder.singletons.confirm()
    async with asyncio.timeout(5):
        while not fenced:  # its pool connects again
            await asyncio.sleep(0.01)
    assert {one.args[0] for one in fenced} == {"recorder"}


async def test_one_that_connects_while_a_newer_one_begins_is_ended_or_refused(
    journal: Journal, journal_dsn: str, fenced: list[Fenced]
) -> None:
    """Whatever the order of the two."""

    async def is_admitted(fence: Fence) -> bool:
        async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
            try:
                await fence.admit(connection)
                await begun.wait()
                await connection.execute("SELECT 1")
            except (Fenced, psycopg.OperationalError):
                return False
        return True

    epoch = await journal.singletons.begin("webhooks", "host", 1)
    for _ in range(20):
        begun = asyncio.Event()
        fence = Fence(kind="webhooks", epoch=epoch, on_fenced=fenced.append)
        connecting = [asyncio.create_task(is_admitted(fence)) for _ in range(3)]
        epoch = await journal.singletons.begin("webhooks", "host", 1)
        begun.set()
        assert await asyncio.gather(*connecting) == [False] * 3


async def test_the_last_life_is_known_while_it_is_connected(begin: Begin, journal: Journal) -> None:
    assert await journal.singletons.living("supervisor") is None
    older = await begin("supervisor")
    life = await journal.singletons.living("supervisor")
    assert life is not None and (life.host, life.pid) == ("host", 1)
    await older.close()
    async with asyncio.timeout(5):
        while await journal.singletons.living("supervisor") is not None:
            await asyncio.sleep(0.01)


async def test_a_life_does_not_begin_while_a_session_of_an_older_one_is_there(
    begin: Begin, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = await begin("scheduler")
    async with older._database.connection():
        with monkeypatch.context() as patched:
            patched.setattr(singletons, "SESSIONS_END_S", -1.0)
            with pytest.raises(Unavailable, match="sessions of an older scheduler do not end"):
                await journal.singletons.begin("scheduler", "host", 1)
    assert await journal.singletons.begin("scheduler", "host", 1) == 3


async def test_each_journal_has_an_id_and_a_restored_one_another(journal: Journal) -> None:
    before = await journal.singletons.installation_id()
    assert len(before) == 36 and await journal.singletons.installation_id() == before
    await journal.restoring.become_another()
    assert await journal.singletons.installation_id() not in ("", before)
