"""Warm-up grants against a real Postgres: never above the cap, however many ask at once."""

import asyncio
from datetime import date, timedelta

import pytest

from cluster.journal.journal import Journal
from cluster.journal.warm_up import WarmUpDay
from cluster.policy.limits.warm_up import Allowance

TODAY = date(2026, 11, 21)
TOMORROW = TODAY + timedelta(days=1)


async def take(journal: Journal, want: int, cap: int, *, site: str = "example.com", day: date = TODAY) -> int:
    return await journal.warm_up.take("a", site, day, want, cap)


async def test_portions_end_at_the_cap(journal: Journal) -> None:
    assert [await take(journal, 40, 100) for _ in range(4)] == [40, 40, 20, 0]
    assert await journal.warm_up.usage(TODAY, 10) == [WarmUpDay("a", "example.com", 100, 100)]


async def test_the_first_portion_may_be_all_there_is(journal: Journal) -> None:
    assert [await take(journal, 40, 10) for _ in range(2)] == [10, 0]
    assert await take(journal, 40, 0, site="other.com") == 0


async def test_days_and_sites_and_sources_have_caps_of_their_own(journal: Journal) -> None:
    assert await take(journal, 5, 5) == 5
    assert await take(journal, 5, 5, site="other.com") == 5
    assert await take(journal, 5, 5, day=TOMORROW) == 5
    assert await journal.warm_up.take("b", "example.com", TODAY, 5, 5) == 5


async def test_many_owners_at_once_get_the_cap_and_no_more(journal: Journal) -> None:
    granted = await asyncio.gather(*(take(journal, 7, 100) for _ in range(50)))
    assert sum(granted) == 100
    assert await journal.warm_up.usage(TODAY, 10) == [WarmUpDay("a", "example.com", 100, 100)]


@pytest.mark.parametrize("owners", [1, 3])
async def test_owners_send_the_cap_between_them(journal: Journal, owners: int) -> None:
    sent = 0

    async def own() -> None:
        nonlocal sent
        allowance = Allowance(TODAY, 60)
        while not allowance.is_exhausted:
            if wanted := allowance.wanted():
                allowance.granted(TODAY, wanted, await take(journal, wanted, 60))
            if allowance.remaining:
                allowance.take()
                sent += 1

    await asyncio.gather(*(own() for _ in range(owners)))
    assert sent == 60


async def test_what_a_killed_owner_held_is_lost_and_not_granted_again(journal: Journal, journal_dsn: str) -> None:
    assert await take(journal, 60, 100) == 60
    successor = Journal(journal_dsn, application="successor")
    await successor.open()
    assert await take(successor, 60, 100) == 40
    await successor.close()


async def test_a_cap_that_changes_during_the_day(journal: Journal) -> None:
    assert await take(journal, 50, 50) == 50
    assert await journal.warm_up.exhausted(TODAY) == [WarmUpDay("a", "example.com", 50, 50)]
    assert await take(journal, 50, 80) == 30
    assert await take(journal, 50, 20) == 0
    assert await journal.warm_up.exhausted(TODAY) == [WarmUpDay("a", "example.com", 80, 20)]


async def test_what_is_not_used_can_be_granted_again(journal: Journal) -> None:
    assert await take(journal, 50, 50) == 50
    await journal.warm_up.give_back("a", "example.com", TODAY, 20)
    assert await journal.warm_up.exhausted(TODAY) == []
    assert await take(journal, 50, 50) == 20
    await journal.warm_up.give_back("a", "unknown.com", TODAY, 20)
    await journal.warm_up.give_back("a", "example.com", TODAY, 500)
    assert await take(journal, 60, 50) == 50


async def test_only_what_is_exhausted_today_is_told(journal: Journal) -> None:
    await take(journal, 10, 10)
    await take(journal, 9, 10, site="other.com")
    await take(journal, 10, 10, site="third.com", day=TOMORROW)
    assert [row.site for row in await journal.warm_up.exhausted(TODAY)] == ["example.com"]


async def test_usage_is_told_by_source_the_most_first(journal: Journal) -> None:
    await take(journal, 3, 10, site="small.com")
    await take(journal, 9, 10, site="big.com")
    await journal.warm_up.take("b", "other.com", TODAY, 10, 10)
    usage = await journal.warm_up.usage(TODAY, 10)
    assert [(row.source, row.site) for row in usage] == [("a", "big.com"), ("a", "small.com"), ("b", "other.com")]
    assert len(await journal.warm_up.usage(TODAY, 1)) == 1
