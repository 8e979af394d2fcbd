"""Several processes share a limit: their sum in virtual time, while load comes and goes and processes do, too."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster.journal.database import Unavailable
from cluster.journal.tenant_load import TenantLoad
from cluster.tenancy import limiter as limiters
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.exceeded import RateExceeded
from cluster.tenancy.limiter import EXCHANGE_S, FORGET_S, SWEEP_S, TenantLimiter
from cluster.tenancy.limits import Limit, RequestLimits
from cluster.tenancy.peers import MOST_REPORTED
from cluster.tenancy.tenant import Tenant
from tests.limiting import DEFAULT_LIMITS

LIMIT = 1000.0
STEP_S = 0.005

Load = Callable[[float], float | None]
"""Requests a second that a process is asked for at a time in seconds; None while it does not exist."""


class Cluster:
    """The journal's table, the tenants and the clock of some processes."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.rows: dict[str, tuple[bytes, float, float]] = {}
        self.exchanges = 0
        self.away = False
        self.limits = RequestLimits(messages_per_s=LIMIT)
        self._stamp = 0.0

    async def exchange(self, process: str, demands: bytes) -> list[tuple[str, bytes, float]]:
        if self.away:
            raise Unavailable("away")
        self.exchanges += 1
        self._stamp += 1
        self.rows[process] = (demands, self._stamp, self.now)
        return [(name, row[0], row[1]) for name, row in self.rows.items() if name != process and self.now - row[2] < 5]

    async def usage(self, *_: Any) -> dict[str, tuple[int, int]]:
        return {}

    async def tenant(self, id: str) -> Tenant:
        return Tenant(id=id, name=id, limits=self.limits)

    def process(self, name: str) -> TenantLimiter:
        load = cast(TenantLoad, SimpleNamespace(exchange=self.exchange, usage=self.usage))
        directory = cast(TenantDirectory, SimpleNamespace(tenant=self.tenant, on_change=lambda _: None))
        clock = lambda: self.now  # noqa: E731  # a name for both
        return TenantLimiter(name, load, directory, DEFAULT_LIMITS, clock=clock, wall=clock)


async def accepted(loads: list[Load], seconds: int, cluster: Cluster | None = None) -> list[list[float]]:
    """What each process accepts in each second, as a part of the limit."""
    cluster = cluster or Cluster()
    chance = random.Random(1)
    began = cluster.now
    processes: dict[int, TenantLimiter] = {}
    next_exchange: dict[int, float] = {}
    owed = [0.0] * len(loads)
    found = [[0.0] * len(loads) for _ in range(seconds)]
    for step in range(round(seconds / STEP_S)):
        at = step * STEP_S
        cluster.now = began + at
        for number, load in enumerate(loads):
            rate = load(at)
            if rate is None:
                processes.pop(number, None)
                continue
            if number not in processes:
                processes[number] = cluster.process(f"api-{number}-{step}")
                await processes[number].exchange()
                next_exchange[number] = at + EXCHANGE_S * chance.random()
            limiter = processes[number]
            if at >= next_exchange[number]:
                await limiter.exchange()
                next_exchange[number] = at + EXCHANGE_S + 0.02 * chance.random()
            owed[number] += rate * STEP_S * chance.choice((0, 1, 1, 2))
            while owed[number] >= 1:
                owed[number] -= 1
                found[int(at)][number] += await is_accepted(limiter) / LIMIT
    return found


async def is_accepted(limiter: TenantLimiter, tenant_id: str = "tnt_1") -> bool:
    try:
        limiter.charge_request(limiter.find(tenant_id) or await limiter.load(tenant_id), Limit.MESSAGES)
    except RateExceeded:
        return False
    return True


def steady(rate: float) -> Load:
    return lambda _: rate


@pytest.mark.parametrize(
    "rates",
    [
        (3000,),
        (3000, 300),
        (2000, 0),
        (2000, 0, 0, 0, 0),
        (1500, 1500, 1500, 1500, 1500),
        (2000, 100, 300, 500, 50),
        (400, 300, 200, 200, 100),
    ],
    ids=str,
)
async def test_after_two_seconds_the_sum_is_the_limit(rates: tuple[float, ...]) -> None:
    for second in (await accepted([steady(rate) for rate in rates], 6))[2:]:
        assert 0.95 <= sum(second) <= 1.05


async def test_small_demands_are_met() -> None:
    found = (await accepted([steady(rate) for rate in (3000, 100, 50)], 8))[3:]
    means = [sum(second[number] for second in found) / len(found) for number in range(3)]
    assert means == pytest.approx([0.85, 0.1, 0.05], abs=0.015)


async def test_below_the_limit_nearly_nothing_is_refused() -> None:
    found = (await accepted([steady(rate) for rate in (500, 300, 100)], 6))[1:]
    assert sum(map(sum, found)) / len(found) == pytest.approx(0.9, rel=0.05)


async def test_one_dies_and_the_others_take_its_share() -> None:
    dying: Load = lambda at: 1000 if at < 4 else None  # noqa: E731
    found = await accepted([steady(1000), dying, steady(300), steady(500), steady(50)], 10)
    assert all(sum(second) <= 1.05 for second in found[2:])
    for second in found[6:]:
        assert sum(second) >= 0.95


async def test_one_joins() -> None:
    joining: Load = lambda at: None if at < 4 else 1000  # noqa: E731
    found = await accepted([steady(1000), steady(300), joining], 10)
    for second in found[2:]:
        assert 0.93 <= sum(second) <= 1.05
    assert found[9][2] == pytest.approx(1 / 3, abs=0.06)


async def test_load_that_moves_to_another_process_takes_the_share_with_it() -> None:
    first: Load = lambda at: 2000 if at < 4 else 0  # noqa: E731
    second_: Load = lambda at: 0 if at < 4 else 2000  # noqa: E731
    found = await accepted([first, second_, steady(0)], 10)
    assert all(sum(second) <= 1.05 for second in found[2:])
    assert all(sum(second) >= 0.95 for second in found[7:])


async def test_while_the_journal_is_away_the_shares_stay_and_nobody_counts_as_dead() -> None:
    cluster = Cluster()

    def watched(at: float) -> float:
        cluster.away = 3 <= at < 6
        return 1500

    found = await accepted([watched, steady(1500), steady(1500)], 9, cluster)
    for second in found[2:]:
        assert 0.95 <= sum(second) <= 1.05


async def test_requests_larger_than_the_limit_are_accepted_and_the_sum_holds() -> None:
    cluster = Cluster()
    one, other = cluster.process("a"), cluster.process("b")
    spent = 0
    for _ in range(400):
        cluster.now += 0.05
        for limiter in (one, other):
            allowance = limiter.find("tnt_1") or await limiter.load("tnt_1")
            window = limiter.standing(allowance, Limit.MESSAGES)
            try:
                window.charge(5000)  # type: ignore[union-attr]  # a window
                spent += 5000
            except RateExceeded:
                pass
            if round(cluster.now * 20) % 5 == 0:
                await limiter.exchange()
    # 20 s at the limit, and what each was in debt with at the end.
    assert 20_000 <= spent <= 21_000 + 2 * 5000


async def test_a_tenant_far_from_its_limit_reports_nothing() -> None:
    cluster = Cluster()
    one = cluster.process("a")
    cluster.process("b")
    for _ in range(100):
        cluster.now += 0.05
        await is_accepted(one)
        await one.exchange()
    assert cluster.rows["a"][0] == b"\x90"  # an empty list


async def test_a_report_has_a_bound_and_what_is_not_in_it_keeps_an_equal_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MOST_REPORTED == 1000
    monkeypatch.setattr(limiters, "MOST_REPORTED", 2)
    cluster = Cluster()
    cluster.limits = RequestLimits(messages_per_s=10)
    one, other = cluster.process("a"), cluster.process("b")
    await other.exchange()
    for _ in range(40):
        cluster.now += EXCHANGE_S
        for number, count in enumerate((100, 50, 20)):
            for _ in range(count):
                await is_accepted(one, f"tnt_{number}")
        await one.exchange()
        await other.exchange()
    shares = [
        one.standing(await one.load(f"tnt_{number}"), Limit.MESSAGES).share  # type: ignore[union-attr]
        for number in range(3)
    ]
    assert shares[:2] == pytest.approx([10, 10])
    assert shares[2] == pytest.approx(5)


async def test_who_asks_for_nothing_any_more_is_forgotten() -> None:
    cluster = Cluster()
    limiter = cluster.process("a")
    for number in range(100):
        await is_accepted(limiter, f"tnt_{number}")
    assert limiter.held == 100
    for _ in range(round((FORGET_S + 2 * SWEEP_S + 20) / 0.5)):
        cluster.now += 0.5
        await limiter.exchange()
    assert limiter.held == 0


async def test_a_debt_is_not_forgotten() -> None:
    cluster = Cluster()
    cluster.limits = RequestLimits(creations_per_min=1)
    limiter = cluster.process("a")
    allowance = await limiter.load("tnt_1")
    limiter.standing(allowance, Limit.CREATIONS).charge(100)  # type: ignore[union-attr]  # a window
    for _ in range(1000):
        cluster.now += 1
        await limiter.exchange()
    assert limiter.held == 1
    with pytest.raises(RateExceeded):
        limiter.charge_request(await limiter.load("tnt_1"), Limit.CREATIONS)
