"""Limits over a real journal: the use of quotas in the commit, and three processes that share a limit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.exceeded import QuotaExceeded, RateExceeded
from cluster.tenancy.limiter import EXCHANGE_S, TenantLimiter
from cluster.tenancy.limits import Limit
from tests.integration.journal.builders import a_message, a_request, a_tenant, some_messages
from tests.limiting import DEFAULT_LIMITS, a_limiter

TODAY = datetime.now(UTC).date


async def with_limits(dsn: str, tenant_id: str, limits: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("UPDATE tenants SET limits = %s WHERE id = %s", [limits, tenant_id])


async def rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        return await (await connection.execute(statement.encode())).fetchall()


# Use in the commit


async def test_messages_count_in_the_commit_that_accepts_them(journal: Journal) -> None:
    one, other = await a_tenant(journal), await a_tenant(journal, "other")
    counted = [replace(a_request(tenant_id, *some_messages(3)), uses_quota=True) for tenant_id in (one, other, one)]
    await journal.intake.accept([*counted, a_request(one, *some_messages(2))])
    await journal.intake.accept([replace(a_request(one), uses_quota=True)])
    day = counted[0].created_at.date()
    assert await journal.tenant_load.usage([one, other, "tnt_none"], day) == {one: (7, 0), other: (3, 0)}
    assert await journal.tenant_load.usage([one], day - timedelta(days=1)) == {}


async def test_what_is_not_committed_does_not_count(journal: Journal) -> None:
    tenant_id = await a_tenant(journal)
    good, bad = (replace(a_request(tenant_id), uses_quota=True) for _ in range(2))
    bad = replace(bad, messages=(replace(a_message(), subject="\0"),))
    with pytest.raises(Rejected):
        await journal.intake.accept([good, bad])
    assert await journal.tenant_load.usage([tenant_id], TODAY()) == {}


async def test_each_process_sees_its_own_use_and_that_of_the_others(journal: Journal, journal_dsn: str) -> None:
    tenant_id = await a_tenant(journal)
    another = Journal(journal_dsn, application="another")
    await another.open()
    try:
        await journal.intake.accept([replace(a_request(tenant_id, *some_messages(3)), uses_quota=True)])
        await another.intake.accept([replace(a_request(tenant_id, *some_messages(4)), uses_quota=True)])
        assert await journal.tenant_load.usage([tenant_id], TODAY()) == {tenant_id: (3, 4)}
        assert await another.tenant_load.usage([tenant_id], TODAY()) == {tenant_id: (4, 3)}
    finally:
        await another.close()


# Processes


class Processes:
    """Some API processes over one journal."""

    def __init__(self, dsn: str, count: int) -> None:
        self.now = 1000.0
        """The time of their clocks, in seconds."""
        self._journals = [Journal(dsn, application=f"api-{number}") for number in range(count)]
        self.limiters: list[TenantLimiter] = []

    async def __aenter__(self) -> "Processes":
        for number, journal in enumerate(self._journals):
            await journal.open()
            self.limiters.append(a_limiter(journal, TenantDirectory(journal), f"api-{number}", lambda: self.now))
        return self

    async def __aexit__(self, *_: object) -> None:
        for journal in self._journals:
            await journal.close()


async def is_accepted(limiter: TenantLimiter, tenant_id: str) -> bool:
    allowance = limiter.find(tenant_id) or await limiter.load(tenant_id)
    try:
        limiter.charge_request(allowance, Limit.REQUESTS)
    except RateExceeded:
        return False
    return True


async def test_three_processes_share_a_limit(journal: Journal, journal_dsn: str) -> None:
    tenant_id = await a_tenant(journal)
    await with_limits(journal_dsn, tenant_id, '{"requests_per_s": 200}')
    step_s = 0.0025
    steps = round(EXCHANGE_S / step_s)
    accepted = [0] * 3
    async with Processes(journal_dsn, 3) as processes:
        for step in range(16 * steps):
            processes.now += step_s
            if step == 8 * steps:
                accepted = [0] * 3  # they have found their shares
            for number, limiter in enumerate(processes.limiters):
                if step % (1, 2, 8)[number] == 0:  # 400, 200 and 50 requests per second
                    accepted[number] += await is_accepted(limiter, tenant_id)
                if step % steps == number * steps // 3:
                    await limiter.exchange()
    found = [count / (8 * EXCHANGE_S) for count in accepted]
    assert 190 <= sum(found) <= 210
    assert min(found) >= 30, found  # it asks for less than a third, and gets it


async def test_a_quota_holds_over_processes_and_through_their_ends(journal: Journal, journal_dsn: str) -> None:
    tenant_id = await a_tenant(journal)
    await with_limits(journal_dsn, tenant_id, '{"messages_per_day": 10}')
    async with Processes(journal_dsn, 2) as processes:
        one, other = processes.limiters
        request = await one.charge(a_request(tenant_id, *some_messages(6)))
        assert request.uses_quota
        await journal.intake.accept([request])
        with pytest.raises(QuotaExceeded):
            await other.charge(a_request(tenant_id, *some_messages(5)))
        await other.charge(a_request(tenant_id, *some_messages(4)))
    # The second process was killed before its commit, and the first one after. A new life of it knows what it used.
    async with Processes(journal_dsn, 1) as processes:
        with pytest.raises(QuotaExceeded):
            await processes.limiters[0].charge(a_request(tenant_id, *some_messages(5)))
        await processes.limiters[0].charge(a_request(tenant_id, *some_messages(4)))
    sandboxed = a_request(tenant_id, a_message(sandbox=True))
    async with Processes(journal_dsn, 1) as processes:
        assert not (await processes.limiters[0].charge(sandboxed)).uses_quota


async def test_while_the_journal_is_away_requests_are_still_counted(journal_dsn: str) -> None:
    away = Journal(journal_dsn, application="away", max_wait_s=0.1)
    directory = TenantDirectory(away)
    limiter = TenantLimiter("away", away.tenant_load, directory, DEFAULT_LIMITS)
    await away.open()
    await is_accepted(limiter, "tnt_any")
    await away.close()
    await limiter.exchange()
    assert await is_accepted(limiter, "tnt_any")
    with pytest.raises(Unavailable):
        await limiter.load("tnt_other")


async def test_a_report_is_read_by_the_others_until_it_is_old(journal: Journal, journal_dsn: str) -> None:
    load = journal.tenant_load
    assert await load.exchange("a", b"1") == []
    (found,) = await load.exchange("b", b"2")
    assert found[:2] == ("a", b"1")
    (again,) = await load.exchange("b", b"3")
    assert again == found
    await load.exchange("a", b"4")
    (newer,) = await load.exchange("b", b"3")
    assert newer[1] == b"4" and newer[2] > found[2]
    await rows(journal_dsn, "UPDATE tenant_demand SET at = now() - interval '6 seconds' RETURNING 1")
    assert await load.exchange("b", b"5") == []
