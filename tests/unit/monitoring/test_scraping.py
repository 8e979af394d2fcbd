"""What is collected for GET /metrics, and what becomes of it when actors or Ray do not answer."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cluster.context import Facts
from cluster.metrics import Reading
from cluster.monitoring.machine import MachineMetrics
from cluster.monitoring.page import PATIENCE, MetricsPage
from cluster.monitoring.postgres import PostgresMetrics
from cluster.monitoring.scraping import ANSWER_S, FRESH_S, LOOK_EVERY_S, PART, PATIENCE_S, Scraping
from cluster.peers import PeerGone
from cluster.policy.placement import Living


class Cluster:
    """A node "here" and another, with actors that answer, or do not."""

    def __init__(self) -> None:
        self.living = [Living("api-0-0", "here"), Living("delivery-0-0", "here"), Living("delivery-1-0", "there")]
        self.asked: list[str] = []
        self.looks = 0
        self.ray: Exception | None = None
        self.broken: dict[str, Exception | None] = {}
        """None: it never answers."""
        self.now = 100.0
        self.scraping = Scraping(
            "here",
            self.look,
            self.call,
            MachineMetrics(Path("/"), 7),
            PostgresMetrics(Path("/nowhere")),
            clock=lambda: self.now,
        )

    async def look(self) -> Facts:
        self.looks += 1
        if self.ray is not None:
            raise self.ray
        return Facts(nodes=(), living=tuple(self.living))

    async def call(self, actor: str, method: str, *arguments: Any) -> Sequence[Reading]:
        assert method == "metrics"
        self.asked.append(actor)
        if actor in self.broken:
            error = self.broken[actor]
            if error is None:
                await asyncio.Event().wait()
            else:
                raise error
        return [Reading(name="postray_sent_total", kind="counter", help="Sent.", values={"": len(self.asked)})]

    async def told(self) -> dict[str, dict[str, Any]]:
        """By actor and metric."""
        readings = await self.scraping.readings()
        return {actor: {one.name: one.values for one in of_actor} for actor, of_actor in readings.items()}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_a_node_tells_of_its_own_actors(cluster: Cluster) -> None:
    told = await cluster.told()
    assert set(told) == {"", "api-0-0", "delivery-0-0"}
    assert told[""]["postray_actor_answers"] == {"api-0-0": 1, "delivery-0-0": 1}
    assert told[""]["postray_scrape_actors"] == {"": 2}
    assert told[""]["postray_disk_kept_free_bytes"] == {"": 7}
    assert 0 < told[""]["postray_disk_free_bytes"][""] < told[""]["postray_disk_size_bytes"][""]


@pytest.mark.parametrize("error", [PeerGone("api-0-0", "dead"), RuntimeError("a defect")])
async def test_one_that_fails_hides_no_other(cluster: Cluster, error: Exception) -> None:
    cluster.broken["api-0-0"] = error
    told = await cluster.told()
    assert set(told) == {"", "delivery-0-0"}
    assert told[""]["postray_actor_answers"] == {"api-0-0": 0, "delivery-0-0": 1}


async def test_one_that_never_answers_holds_nothing_up(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.monitoring.scraping.ANSWER_S", 0.05)
    cluster.broken["delivery-0-0"] = None
    told = await cluster.told()
    assert told[""]["postray_actor_answers"] == {"api-0-0": 1, "delivery-0-0": 0}


async def test_while_ray_is_away_the_actors_that_were_there_are_asked(cluster: Cluster) -> None:
    await cluster.told()
    cluster.ray = PeerGone("ray", "away")
    cluster.now += LOOK_EVERY_S
    assert set(await cluster.told()) == {"", "api-0-0", "delivery-0-0"}
    assert cluster.looks == 2


async def test_before_ray_has_ever_answered_the_machine_is_told_of(cluster: Cluster) -> None:
    cluster.ray = PeerGone("ray", "away")
    told = await cluster.told()
    assert set(told) == {""} and told[""]["postray_scrape_actors"] == {"": 0}
    cluster.ray = None
    cluster.now += FRESH_S
    assert set(await cluster.told()) == {"", "api-0-0", "delivery-0-0"}


async def test_many_that_ask_at_once_cost_one_collection(cluster: Cluster) -> None:
    await asyncio.gather(*(cluster.told() for _ in range(50)))
    assert cluster.asked == ["api-0-0", "delivery-0-0"]
    cluster.now += FRESH_S
    await cluster.told()
    assert len(cluster.asked) == 4 and cluster.looks == 1


async def test_one_that_has_gone_away_is_not_asked_after_the_next_look(cluster: Cluster) -> None:
    await cluster.told()
    cluster.living = [Living("scheduler", "here"), Living("api-0-0", "")]
    cluster.now += LOOK_EVERY_S
    assert set(await cluster.told()) == {"", "scheduler"}


async def test_who_gives_up_leaves_the_next_one_its_answer(cluster: Cluster) -> None:
    cluster.broken["api-0-0"] = None
    asked = asyncio.create_task(cluster.told())
    while not cluster.asked:
        await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    cluster.broken.clear()
    assert set(await cluster.told()) == {"", "api-0-0", "delivery-0-0"}


def test_a_scrape_ends_before_prometheus_gives_up() -> None:
    assert 2 * ANSWER_S < PATIENCE_S and 2 * PART < 1


async def test_who_waits_for_less_has_its_answer_in_less(cluster: Cluster) -> None:
    cluster.broken["delivery-0-0"] = None
    async with asyncio.timeout(ANSWER_S):
        assert set(await cluster.scraping.readings(0.1)) == {"", "api-0-0"}


@pytest.mark.parametrize(
    ("told", "waits_s"),
    [
        (b"1.5", 1.5),
        (b"", PATIENCE_S),
        (b"soon", PATIENCE_S),
        (b"-1", PATIENCE_S),
        (b"nan", PATIENCE_S),
        (b"inf", PATIENCE_S),
        (b"1e9", PATIENCE_S),
    ],
)
async def test_prometheus_says_how_long_it_waits(told: bytes, waits_s: float) -> None:
    asked = []

    async def readings(patience_s: float) -> dict[str, list[Reading]]:
        asked.append(patience_s)
        return {}

    async def send(message: Any) -> None: ...

    page = MetricsPage(cast(Scraping, SimpleNamespace(readings=readings)))
    await page({"headers": [(PATIENCE, told)] if told else []}, None, send)
    assert asked == [waits_s]


def test_a_disk_that_is_not_there_is_no_number(tmp_path: Path) -> None:
    machine = MachineMetrics(tmp_path / "gone", 0)
    free = machine.free
    assert free != free
