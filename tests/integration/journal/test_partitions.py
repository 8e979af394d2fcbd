"""The tables that are divided by day: days are made ahead or by the intake, and statements open few of them."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from cluster.journal.day_tables import DAY_TABLES, day_of, span
from cluster.journal.journal import Journal
from cluster.journal.message_filter import MessageFilter
from cluster.journal.messages import ONE_MESSAGE
from cluster.journal.partitions import make_days
from cluster.journal.records import NewRequest
from cluster.journal.rewriting import Rewriting
from cluster.journal.statements import QUERIES
from cluster.policy.lifecycle import Status
from cluster.policy.retention import Cutoffs, has_day
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, waiting
from tests.integration.journal.days import World, on_day
from tests.integration.journal.plans import explained

NOW = datetime.now(UTC)
TODAY = NOW.date()
DAYS = 30


async def test_days_are_made_ahead_once(journal: Journal) -> None:
    assert await journal.partitions.make_ahead(NOW) == []  # the migration made them
    made = await journal.partitions.make_ahead(NOW + timedelta(days=2))
    assert made == [TODAY + timedelta(days=4), TODAY + timedelta(days=5)]
    assert await journal.partitions.make_ahead(NOW + timedelta(days=2)) == []
    for partitions in (await journal.partitions.all()).values():
        assert [p.until for p in partitions] == [TODAY + timedelta(days=n) for n in range(7)]
        assert [p.is_oldest for p in partitions] == [True] + [False] * 6
    sizes = await journal.partitions.sizes()
    assert len(sizes) == 7 * len(DAY_TABLES) and min(sizes.values()) > 0


async def test_the_intake_makes_a_day_that_nobody_made(journal: Journal, journal_dsn: str) -> None:
    """No scheduler ran for days, or a clock is wrong: mail is accepted."""
    tenant = await a_tenant(journal)
    day = TODAY + timedelta(days=40)
    single = on_day(a_request(tenant), day)
    with_file = replace(
        on_day(a_request(tenant, a_message(), a_message(sandbox=True)), day + timedelta(days=1)),
        attachments={b"1" * 32: b"a file"},
    )
    for request in (single, with_file):
        await journal.intake.accept([request])
        for message in request.messages:
            assert await journal.messages.find(tenant, message.id) is not None
    assert await journal.messages.attachments(tenant, [b"1" * 32]) == {b"1" * 32: b"a file"}
    for partitions in (await journal.partitions.all()).values():
        assert partitions[-1].until == day + timedelta(days=2)
    assert await journal.partitions.make_ahead(NOW + timedelta(days=38)) == [day + timedelta(days=n) for n in (-2, -1)]


async def test_a_day_is_made_while_an_exchange_waits_to_take_it_over(journal: Journal, journal_dsn: str) -> None:
    """What was a missing day is part of the oldest partition when the maker of days gets its turn."""
    world = World(journal, journal_dsn, await a_tenant(journal))
    far, between = TODAY + timedelta(days=40), TODAY + timedelta(days=30)
    await world.end(await world.accept(day=far))
    gone = Cutoffs(bodies=far + timedelta(days=1), records=far + timedelta(days=1))

    async def waiting_for(locks: int) -> None:
        while len(await world.sql("SELECT 1 FROM pg_locks WHERE NOT granted")) < locks:
            await asyncio.sleep(0.01)

    clearing = Rewriting(journal.partitions._database, lock_ms=60_000)
    async with await psycopg.AsyncConnection.connect(journal_dsn) as reader, asyncio.timeout(60):
        await reader.execute("LOCK TABLE ONLY messages IN ACCESS SHARE MODE")
        async with asyncio.TaskGroup() as group:
            group.create_task(clearing.clear(gone))
            await waiting_for(1)
            group.create_task(make_days(journal.partitions._database, [between]))
            await waiting_for(2)
            await reader.rollback()
    assert all(has_day(partitions, between) for partitions in (await journal.partitions.all()).values())
    [id] = await world.accept(day=between)
    assert await world.is_whole(id)


async def test_two_that_make_the_same_day(journal: Journal) -> None:
    made = await asyncio.gather(*(journal.partitions.make_ahead(NOW + timedelta(days=1)) for _ in range(4)))
    assert sorted(made) == [[], [], [], [TODAY + timedelta(days=4)]]


@pytest.fixture
async def many_days(journal: Journal) -> tuple[str, list[NewRequest]]:
    """A tenant, and a request for each of many days."""
    for n in range(0, DAYS, 3):
        await journal.partitions.make_ahead(NOW + timedelta(days=n))
    tenant = await a_tenant(journal)
    requests = [on_day(a_request(tenant), TODAY + timedelta(days=n)) for n in range(DAYS)]
    for request in requests:
        await journal.intake.accept([request])
    return tenant, requests


def opened(plan: str, table: str) -> set[str]:
    """The partitions of a table in a plan."""
    return set(re.findall(rf" on ({table}_\d+|{table}_before_\d+)\b", plan))


async def test_statements_open_the_days_of_their_messages_only(
    journal: Journal, journal_dsn: str, many_days: tuple[str, list[NewRequest]]
) -> None:
    tenant, requests = many_days
    request = requests[10]
    message = request.messages[0]
    one: dict[str, Any] = {"tenant_id": tenant, "message_id": message.id, **span([message.id])}
    batch: dict[str, Any] = {
        "tenant_ids": [tenant],
        "message_ids": [message.id],
        "recipient_nos": [0],
        **span([message.id]),
    }
    statements: dict[str, dict[str, Any]] = {
        "claim": batch | {"pools": [""], "routes": [""], "owner": 1, "lease_s": 60.0},
        "lock_messages": batch,
        "lock_message": one,
        "texts": one,
        "contents": {"request_ids": [request.id], **span([request.id])},
        "personalizations": batch,
        "owed_messages": batch,
        "open_windows": batch | {"due_at": NOW},
        "engaged": batch | {"tenant_numbers": [1]},
        "reported_message": one | {"tenant_number": 1},
        "lock_unclaimed": batch,
        "waits": batch,
        "make_due": batch,
        "reroute": batch | {"pool": "p", "route": None, "soon_s": 1.0},
        "known_messages": batch,
    }
    day = f"{day_of(message.id):%Y%m%d}"
    for name, parameters in statements.items():
        plan = await explained(journal_dsn, QUERIES[name], parameters)
        touched = {table.name: opened(plan, table.name) for table in DAY_TABLES}
        for table, partitions in touched.items():
            assert partitions <= {f"{table}_{day}"}, (name, plan)
        assert any(touched.values()), (name, plan)
        if name == "claim":
            assert touched["messages"] and touched["requests"], plan


async def test_a_message_is_read_from_its_day(
    journal: Journal, journal_dsn: str, many_days: tuple[str, list[NewRequest]]
) -> None:
    tenant, requests = many_days
    message = requests[10].messages[0]
    parameters = {"tenant_id": tenant, "message_id": message.id, "limit": 1, "offset": 0, "whole": 10**6}
    plan = await explained(journal_dsn, ONE_MESSAGE, parameters | span([message.id]))
    day = f"{day_of(message.id):%Y%m%d}"
    for table in ("messages", "requests", "outcomes"):
        assert opened(plan, table) == {f"{table}_{day}"}, plan


async def test_a_commit_writes_to_the_day_alone(
    journal: Journal, journal_dsn: str, many_days: tuple[str, list[NewRequest]]
) -> None:
    tenant, requests = many_days
    ends = [an_outcome(w, Status.DELIVERED) for request in requests for w in waiting(tenant, request.messages[0])]
    await journal.queue.commit(ends, owner=1)
    async with await psycopg.AsyncConnection.connect(journal_dsn) as connection:
        cursor = await connection.execute("SELECT tableoid::regclass::text, message_id FROM outcomes")
        found = await cursor.fetchall()
    assert {(name, id) for name, id in found} == {
        (f"outcomes_{day_of(request.id):%Y%m%d}", request.messages[0].id) for request in requests
    }


async def test_a_list_stops_at_the_newest_days(
    journal: Journal, journal_dsn: str, many_days: tuple[str, list[NewRequest]]
) -> None:
    tenant, requests = many_days
    statement = QUERIES["messages"].replace("{where}", "m.tenant_id = %(tenant_id)s")
    parameters = {"tenant_id": tenant, "limit": 3, "offset": 0, "whole": 10**6}
    plan = await explained(journal_dsn, statement, parameters, is_search=True)
    run = [line for line in plan.splitlines() if re.search(r"Scan.* on messages_", line) and "never" not in line]
    assert len(run) <= 4 + 3, plan  # the days of the three messages, and those made ahead
    assert "Merge Append" not in plan, plan
    found = await journal.messages.page(MessageFilter(tenant_id=tenant), 3, 0)
    assert [m.id for m in found.messages] == [request.messages[0].id for request in reversed(requests[-3:])]
    assert found.total == DAYS
