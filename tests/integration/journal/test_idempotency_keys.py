"""Idempotency keys in the journal: one of several requests with a key is committed, and no other request minds."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
from psycopg import AsyncConnection

from cluster.intake.idempotency import Idempotency
from cluster.intake.intake import Intake
from cluster.journal.idempotency import KEPT, FirstAnswer, IdempotencyKey
from cluster.journal.journal import Journal
from cluster.journal.records import NewRequest
from tests.integration.journal.builders import a_message, a_request, a_tenant

KEY = IdempotencyKey(text="order 7", sandbox=False, body_sha256=b"1" * 32, ignored="sendat")


def named(tenant: str, key: IdempotencyKey = KEY, at: datetime | None = None) -> NewRequest:
    request = msgspec.structs.replace(a_request(tenant, a_message(), a_message()), idempotency=key)
    return msgspec.structs.replace(request, created_at=at) if at is not None else request


async def is_stored(journal: Journal, request: NewRequest) -> bool:
    rows = [await journal.messages.find(request.tenant_id, id) for id in request.message_ids]
    assert len({row is None for row in rows}) == 1
    return rows[0] is not None


async def test_the_first_of_a_commit_has_the_key(journal: Journal) -> None:
    tenant, other = await a_tenant(journal), await a_tenant(journal, "other")
    first, second, plain, elsewhere = named(tenant), named(tenant), a_request(tenant, a_message()), named(other)
    sandbox = named(tenant, msgspec.structs.replace(KEY, sandbox=True))
    batch = [plain, first, second, elsewhere, sandbox]
    assert await journal.intake.accept(batch) == {second.id}
    assert [await is_stored(journal, request) for request in batch] == [True, True, False, True, True]
    assert await journal.intake.accept([named(tenant), plain_ := a_request(tenant, a_message())])
    assert await is_stored(journal, plain_)
    assert await journal.idempotency_keys.first_answer(tenant, KEY, datetime.now(UTC)) == FirstAnswer(
        body_sha256=b"1" * 32, message_ids=first.message_ids, ignored="sendat"
    )


async def test_a_key_that_is_being_taken_holds_up_nobody_else(journal: Journal, journal_dsn: str) -> None:
    """Another process's commit, which may take seconds, has taken the key already."""
    tenant = await a_tenant(journal)
    async with await AsyncConnection.connect(journal_dsn) as other:
        await other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s || ' ' || %s, 0))", [tenant, KEY.text], prepare=False
        )
        await other.execute(
            "INSERT INTO idempotency_keys VALUES (%s, false, %s, 'x', '{}', '', now())", [tenant, KEY.text]
        )
        mine, plain = named(tenant), a_request(tenant, a_message())
        async with asyncio.timeout(30):
            assert await journal.intake.accept([mine, plain]) == {mine.id}
        assert (await is_stored(journal, mine), await is_stored(journal, plain)) == (False, True)
        await other.rollback()
    assert not await journal.intake.accept([mine])


async def test_a_key_is_free_after_24_hours(journal: Journal) -> None:
    tenant, now = await a_tenant(journal), datetime.now(UTC)
    old = named(tenant, at=now - KEPT)
    assert not await journal.intake.accept([old])
    before = now - timedelta(seconds=1)
    assert await journal.idempotency_keys.first_answer(tenant, KEY, before) is not None
    assert await journal.intake.accept([named(tenant, at=before)])
    assert await journal.idempotency_keys.first_answer(tenant, KEY, now) is None  # free, and not purged yet
    new = named(tenant, at=now)
    assert not await journal.intake.accept([new])
    first = await journal.idempotency_keys.first_answer(tenant, KEY, now)
    assert first is not None and first.message_ids == new.message_ids


async def test_of_twins_in_two_processes_one_is_sent(journal: Journal, journal_dsn: str) -> None:
    """Two journals and intakes stand for two processes. They know nothing of each other."""
    tenant = await a_tenant(journal)
    second = Journal(journal_dsn, application="second")
    await second.open()
    committed: list[str] = []

    async def twin(side: tuple[Idempotency, Intake], number: int) -> str:
        idempotency, intake = side
        request = named(tenant, msgspec.structs.replace(KEY, text=f"k{number}"))
        assert request.idempotency is not None

        async def commit() -> NewRequest:
            await intake.commit(request)
            committed.append(request.message_ids[0])
            return request

        return (await idempotency.once(tenant, request.idempotency, commit)).message_ids[0]

    try:
        sides = [
            (Idempotency(one), Intake(one.intake.accept, commit_window_ms=1, offers=lambda _: None))
            for one in (journal, second)
        ]
        for _, intake in sides:
            await intake.start()
        # Opposite orders: transactions that wait for each other's keys would be a deadlock.
        calls = [twin(sides[0], number) for number in range(40)] + [twin(sides[1], 39 - number) for number in range(40)]
        strangers = [sides[number % 2][1].commit(a_request(tenant, a_message())) for number in range(20)]
        answers, _ = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*strangers))
        assert [answers[number] for number in range(40)] == [answers[79 - number] for number in range(40)]
        assert sorted(committed) == sorted(set(answers)) and len(committed) == 40
        for _, intake in sides:
            await intake.stop()
    finally:
        await second.close()
