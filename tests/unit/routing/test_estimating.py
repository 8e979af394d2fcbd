"""The facts about a batch that an estimate needs, over a journal, a DNS and a recorder in memory."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster.journal.batches import BatchLeft, LeftOfBatch
from cluster.journal.journal import Journal
from cluster.journal.records import BatchCounts
from cluster.journal.warm_up import WarmUpDay
from cluster.lookup.resolver import Resolver
from cluster.policies import check_policies
from cluster.policy.lifecycle import Status
from cluster.policy.limits.binding import Bound
from cluster.policy.limits.estimate import MOVING_S, SiteStanding
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.estimating import CannotTell, Estimating
from cluster.routing.router import Router
from cluster.routing.views import BatchEstimate
from cluster.settings import DeliverySettings
from cluster.vault import Vault
from tests.unit.routing.test_describe import Dns

NOW = datetime(2026, 4, 3, 14, 0, tzinfo=UTC)
SETTINGS = DeliverySettings(mode="direct")
SITE = "a.mx.example.net,b.mx.example.net"
SHAPING = f'[[rule]]\nname = "slow"\nsite = "{SITE}"\nmessage_rate = "2/s"\n'
ROUTING = """
[sources.mta1]
address = "192.0.2.1"
[sources.mta1.warm_up]
started = 2026-04-01
per_day = [10, 20, 30, 400]
[sources.mta2]
address = "192.0.2.2"
[pools.default]
mta1 = 1
[pools.both]
mta1 = 1
mta2 = 1
"""


def a_group(count: int = 10, **changed: Any) -> LeftOfBatch:
    fields: dict[str, Any] = {
        "domain": "example.com",
        "pool": "",
        "route": "",
        "lane": None,
        "waits_for": "turn",
        "count": count,
        "last_due_at": NOW,
        "message_ids": [f"msg_{number}" for number in range(min(count, 10))],
    }
    return LeftOfBatch(**fields | changed)


class World:
    def __init__(
        self, *groups: LeftOfBatch, seen: int | None = None, routing: str = "", shaping: str = SHAPING
    ) -> None:
        self.left = BatchLeft(groups=groups, seen=seen)
        self.standings: list[SiteStanding] | Exception = []
        self.granted: list[WarmUpDay] = []
        self.asked: list[tuple[str, Sequence[Any]]] = []
        self.at = 0.0
        journal = cast(
            Journal,
            SimpleNamespace(batches=SimpleNamespace(left=self._left), warm_up=SimpleNamespace(usage=self._usage)),
        )
        policy = ActivePolicy(journal, cast(Vault, None), SETTINGS, today=lambda: NOW.date())
        policy.shaping, policy.routing = check_policies(SETTINGS, shaping, routing)
        router = Router(
            SETTINGS,
            policy,
            cast(Resolver, Dns()),
            shares=1,
            port=25,
            capture=("127.0.0.1", 2525),
            clock=lambda: self.at,
        )
        self.estimating = Estimating(journal, router, policy, self._ask, clock=lambda: self.at, now=lambda: NOW)

    async def _left(self, tenant_id: str, batch_id: str, messages: int) -> BatchLeft:
        self.asked.append(("left", [tenant_id, messages]))
        return self.left

    async def _usage(self, day: date, limit: int) -> list[WarmUpDay]:
        return self.granted

    async def _ask(self, method: str, *arguments: Any) -> list[SiteStanding]:
        self.asked.append((method, arguments[0]))
        if isinstance(self.standings, Exception):
            raise self.standings
        return self.standings

    async def estimate(self, **by_status: int) -> BatchEstimate:
        counts = BatchCounts(
            id="bat_1",
            created_at=NOW,
            total=sum(by_status.values()),
            by_status={Status[name]: count for name, count in by_status.items()},
            completed_at=None,
        )
        return await self.estimating.estimate("tnt_1", counts)

    async def unknown(self, **by_status: int) -> str:
        with pytest.raises(CannotTell) as caught:
            await self.estimate(**by_status)
        return caught.value.reason


async def test_by_the_rate_of_the_policies_while_nothing_was_sampled() -> None:
    world = World(a_group(100))
    found = await world.estimate(QUEUED=100)
    assert found.earliest_at == NOW + timedelta(seconds=50)
    (site,) = found.sites
    assert (site.site, site.recipients, site.binds) == (SITE, 100, Bound.MESSAGE_RATE)
    assert site.said.startswith(f"{SITE}: 2 messages/s: 50s to ")
    assert (found.not_estimated, found.from_sample) == (0, False)
    assert world.asked == [("left", ["tnt_1", 100]), ("standings", [("", SITE)])]


async def test_what_one_source_may_not_send_today_leaves_from_the_others_of_its_pool() -> None:
    world = World(a_group(342, pool="both"), routing=ROUTING)
    world.granted = [WarmUpDay("mta1", SITE, 10, 30)]
    found = await world.estimate(QUEUED=342)
    assert {site.source: (site.recipients, site.wait_for_tomorrow) for site in found.sites} == {
        "mta1": (20, 0),
        "mta2": (322, 0),
    }
    assert found.earliest_at is not None and (found.earliest_at - NOW).total_seconds() == 161, "322 at 2 a second"
    assert found.latest_at is not None and (found.latest_at - found.earliest_at).total_seconds() > MOVING_S
    world = World(a_group(342, pool="both"), routing=ROUTING)
    world.granted = [WarmUpDay("mta1", SITE, 30, 30)]
    assert [(site.source, site.recipients) for site in (await world.estimate(QUEUED=342)).sites] == [("mta2", 342)]


async def test_what_waits_for_tomorrows_warm_up_is_said() -> None:
    world = World(a_group(342), routing=ROUTING)
    world.granted = [WarmUpDay("mta1", SITE, 10, 30), WarmUpDay("mta2", SITE, 1, 30)]
    found = await world.estimate(QUEUED=342)
    (site,) = found.sites
    assert (site.source, site.binds, site.wait_for_tomorrow) == ("mta1", Bound.WARM_UP, 322)
    assert site.said.endswith("; 322 wait for tomorrow's warm-up")
    assert "the source's warm-up: 20 more today" in site.said
    assert found.earliest_at is not None and found.earliest_at.date() == date(2026, 4, 4)


async def test_what_goes_by_several_sources_is_divided_among_them() -> None:
    found = await World(a_group(1000, pool="both"), routing=ROUTING).estimate(QUEUED=1000)
    assert {site.source for site in found.sites} == {"mta1", "mta2"}
    assert sum(site.recipients for site in found.sites) == 1000
    parked = await World(a_group(1000, lane=f"mta2>{SITE}"), routing=ROUTING).estimate(QUEUED=1000)
    assert [(site.source, site.recipients) for site in parked.sites] == [("mta2", 1000)]


async def test_what_is_put_off_or_scheduled_is_not_done_before_it_is_due() -> None:
    later = NOW + timedelta(hours=1)
    for waits_for in ("deferred", "scheduled"):
        found = await World(a_group(5, waits_for=waits_for, last_due_at=later), a_group(5)).estimate(QUEUED=10)
        assert found.earliest_at == later


async def test_where_nothing_can_be_said_the_reason_is() -> None:
    assert await World().unknown() == "it has no messages yet"
    assert await World().unknown(DELIVERED=3) == "all is sent: hosts may still report failures for a while"
    assert await World().unknown(QUEUED=3) == "its last messages are ending just now"
    assert "paused" in await World(a_group(waits_for="paused"), a_group()).unknown(QUEUED=3)
    assert "too small a part of the queue" in await World(a_group(29), seen=29).unknown(QUEUED=9000)
    slow = World(a_group(), shaping="")
    assert await slow.unknown(QUEUED=3) == (
        f"{SITE}: nothing has been sent there lately from which its speed could be told"
    )
    slow.at += 10
    slow.standings = RuntimeError("the recorder is away")
    assert "nothing has been sent" in await slow.unknown(QUEUED=3), "limits alone tell then"


async def test_where_one_site_is_not_known_the_earliest_is_and_the_latest_is_not() -> None:
    found = await World(a_group(100), a_group(7, lane="elsewhere.example")).estimate(QUEUED=107)
    assert (found.earliest_at, found.latest_at) == (NOW + timedelta(seconds=50), None)
    assert found.not_estimated == 7
    assert [site.site for site in found.sites] == ["elsewhere.example", SITE]


async def test_it_is_told_again_for_some_seconds() -> None:
    world = World(a_group(100))
    first = await world.estimate(QUEUED=100)
    assert await world.estimate(QUEUED=1) is first
    assert "all is sent" in await world.unknown(DELIVERED=100)
    world.at += 6
    assert await world.estimate(QUEUED=100) == first
    assert [what for what, _ in world.asked] == ["left", "standings"] * 2
