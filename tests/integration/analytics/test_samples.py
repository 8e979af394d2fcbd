"""The flight recorder: samples in ClickHouse, what is read of them, and what happens when it does not take them."""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from actors.sampling.sampler import NOTED_AGAIN_S, NOTES_KEPT_S, Sampler
from actors.supervisor import Collected
from analytics.client import ClickHouse, ClickHouseUnavailable, migrations
from analytics.history import HistoryWanted, history
from analytics.retention import keep_for
from analytics.rows import Table
from analytics.samples import SAMPLES, SITE_SAMPLES, Sample, SiteSample, sample_columns
from cluster.journal.happenings import Happening
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.queue import QueueAges
from cluster.journal.server import ServerBegan
from cluster.metrics import Reading
from cluster.peers import PeerGone
from cluster.routing.site_state import SitesSampled
from cluster.settings import RetentionSettings
from tests.integration.analytics.recording import ListLog, recording
from tests.unit.actors.test_sample_counting import a_state

NOW = 1_800_000_000
SITE = SiteSample(
    site="a.example",
    source="",
    at=NOW,
    interval_s=10.0,
    queued=10,
    in_flight=2,
    connections=3,
    accepted=20,
    deferred=5,
    transactions=10,
    spent_s=2.5,
    connection_limit=4,
    message_rate=2.0,
    warm_up_cap=100,
    binds="connections",
    adjustments=("slowed",),
    reply_at=NOW - 1,
    reply_host="mx.a.example",
    reply_kind="deferred",
    reply="421 slow",
    policy_version=7,
)
WHOLE = Sample(at=NOW, interval_s=10.0, taken=30, accepted=20, unfinished=9, oldest_s=60.0, journal_ms=1.5)
WANTED = HistoryWanted(site="a.example", since=NOW, until=NOW + 60, step_s=60)


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_what_is_stored_is_read_and_steps_are_averages(clickhouse: ClickHouse) -> None:
    later = replace(SITE, at=NOW + 10, queued=30, binds="", reply_at=NOW + 9, reply="250 ok", reply_kind="accepted")
    silent = replace(SITE, at=NOW + 20, source="mta1", warm_up_cap=None, reply_at=None, reply="", transactions=0)
    other = replace(SITE, site="b.example")
    clickhouse.insert(sample_columns([SITE, later, silent, other]), SITE_SAMPLES)
    (point,) = history(clickhouse, WANTED).sites
    assert (point.at, point.samples, point.queued, point.connection_limit) == (moment(NOW), 3, 16.667, 4.0)
    assert (point.accepted_per_s, point.deferred_per_s, point.transaction_ms) == (1.0, 0.25, 375.0)
    assert point.binds == {"connections": 0.667}
    assert (point.reply_at, point.reply, point.reply_kind) == (moment(NOW + 9), "250 ok", "accepted")
    assert (point.warm_up_cap, point.adjustments, point.policy_version) == (100, ("slowed",), 7)

    of_source = history(clickhouse, replace(WANTED, source="mta1", step_s=10)).sites
    assert [(one.at, one.reply_at, one.reply, one.transaction_ms) for one in of_source] == [
        (moment(NOW + 20), None, "", None)
    ]
    assert len(history(clickhouse, replace(WANTED, step_s=10)).sites) == 3
    assert history(clickhouse, replace(WANTED, site="nowhere.example")).sites == ()
    assert history(clickhouse, replace(WANTED, since=NOW + 60, until=NOW + 90)).sites == ()


def test_the_whole_says_when_the_journal_and_actors_were_away(clickhouse: ClickHouse) -> None:
    away = replace(WHOLE, at=NOW + 10, journal_ms=None, oldest_s=0.0, silent=("api-0", "delivery-0-1"))
    clickhouse.insert(sample_columns([WHOLE, away]), SAMPLES)
    wanted = replace(WANTED, site="")
    (point,) = history(clickhouse, wanted).whole
    assert (point.samples, point.taken_per_s, point.unfinished, point.oldest_s) == (2, 1.0, 9.0, 60.0)
    assert (point.journal_ms, point.journal_away, point.silent) == (1.5, 1, ("api-0", "delivery-0-1"))
    assert [one.journal_ms for one in history(clickhouse, replace(wanted, step_s=10)).whole] == [1.5, None]


def test_every_field_comes_back_as_it_was_stored(clickhouse: ClickHouse) -> None:
    full = replace(SITE, held_back=1, parked=2, bounced=3, connections_per_ip=4, connection_rate=0.5)
    values: dict[str, Any] = dict.fromkeys(SAMPLES.columns, 3)
    maps = {"started": {"api-0": NOW, "recorder": NOW - 9}, "stood_s": {"api-0": 2.5}}
    happened = (("began", "api-0", NOW * 1000 - 9, NOW * 1000 + 1), ("journal_away", "", 5, 7))
    whole = Sample(**values | {"silent": ("a",), "happened": happened} | maps)
    clickhouse.insert(sample_columns([full]), SITE_SAMPLES)
    clickhouse.insert(sample_columns([whole]), SAMPLES)
    times = {name: f"toUnixTimestamp({name})" for name in ("at", "reply_at", "journal_started", "journal_recovered")}
    times["happened"] = (
        "arrayMap(one -> (one.1, one.2, toUnixTimestamp64Milli(one.3), toUnixTimestamp64Milli(one.4)), happened)"
    )
    times["started"] = "mapApply((actor, at) -> (actor, toUnixTimestamp(at)), started)"
    samples: list[SiteSample | Sample] = [full, whole]
    for sample, table in zip(samples, (SITE_SAMPLES, SAMPLES), strict=True):
        names = ", ".join(times.get(name, name) for name in table.columns)
        (row,) = clickhouse.rows(f"SELECT {names} FROM {table.name}")
        assert type(sample)(**dict(zip(table.columns, map(_tupled, row), strict=True))) == sample


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def test_samples_of_before_have_nothing_of_what_came_later(clickhouse: ClickHouse) -> None:
    """From the state before these migrations the table has what it had, and takes the new columns."""
    later = ["0013_troubles.sql", "0014_happenings.sql"]
    added = [name for name in SAMPLES.columns if any(name in _added_by(script) for script in later)]
    assert len(added) == 12 + 1
    clickhouse.command(f"ALTER TABLE samples {', '.join(f'DROP COLUMN {name}' for name in added)}")
    clickhouse.command(f"ALTER TABLE migrations DELETE WHERE name IN {tuple(later)} SETTINGS mutations_sync = 2")
    before = Table("samples", {name: kind for name, kind in SAMPLES.columns.items() if name not in added})
    clickhouse.insert(sample_columns([replace(WHOLE, unfinished=7)])[: len(before.columns)], before)
    assert clickhouse.migrate() == later
    clickhouse.insert(sample_columns([replace(WHOLE, at=NOW + 10, started={"api-0": NOW}, refused=4)]), SAMPLES)
    asked = "SELECT unfinished, mapKeys(started), journal_started IS NULL, refused FROM samples ORDER BY at"
    assert clickhouse.rows(asked) == [(7, [], True, 0), (9, ["api-0"], True, 4)]


def _added_by(script: str) -> list[str]:
    (text,) = [text for name, text in migrations() if name == script]
    return re.findall(r"ADD COLUMN IF NOT EXISTS (\w+)", text)


def test_samples_have_their_end(clickhouse: ClickHouse) -> None:
    keep_for(clickhouse, RetentionSettings(samples_days=3))
    for table in ("site_samples", "samples"):
        ((engine,),) = clickhouse.rows(
            "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
            name=table,
        )
        assert "toIntervalDay(3)" in engine


class Cluster:
    """Actors and a journal that answer, or not."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.broken: dict[str, Exception] = {}
        self.since: list[float] = []
        self.accepted = 0
        self.queue = SimpleNamespace(ages=self.ages)
        self.server = SimpleNamespace(began=self.began)
        self.membership = SimpleNamespace(actors=self.actors)
        self.suspensions = SimpleNamespace(active=self.nothing)
        self.queue_control = SimpleNamespace()
        self.happenings = SimpleNamespace(since=self.noted)
        self.ages_of_notes: list[float] = []

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        if actor in self.away:
            raise PeerGone(actor, "away")
        if actor in self.broken:
            raise self.broken[actor]
        if method == "collected_metrics":
            taken = Reading(
                name="postray_intake_messages_total", kind="counter", help="", values={"": 2.0 * self.accepted}
            )
            return Collected(readings={"api-0": [taken]}, missing={"webhooks": "gone"})
        self.since.append(arguments[0])
        return SitesSampled(
            at=10.0 * len(self.since),
            policy_version=3,
            sites=(a_state(waiting=4, ready=4, accepted=self.accepted, binds="connections"),),
            ended=(),
        )

    async def ages(self) -> QueueAges:
        if "journal" in self.away:
            raise Unavailable("away")
        return QueueAges(unfinished=12, oldest_at=None, overdue_s=1.5)

    async def began(self) -> ServerBegan:
        return ServerBegan(started_at=moment(NOW - 100), recovered_at=None)

    async def noted(self, age_s: float, most: int) -> list[Happening]:
        self.ages_of_notes.append(age_s)
        return [Happening(kind="began", actor="api-0", began_at=NOW - 4.5, ended_at=NOW - 4.5)]

    async def actors(self, alive_s: float) -> list[Any]:
        return [SimpleNamespace(name="delivery-0-0")]

    async def nothing(self) -> list[Any]:
        return []


async def test_a_sample_of_what_answers_is_stored_and_says_what_does_not(tmp_path: Path) -> None:
    cluster, now = Cluster(), [float(NOW)]
    async with recording(ListLog(), tmp_path) as scene:
        sampler = Sampler(
            cast(Journal, cluster), cluster.call, scene.recorder.store_samples, now=lambda: now[0], clock=lambda: now[0]
        )
        async with asyncio.timeout(30):
            while scene.recorder._client is None or not scene.recorder._migrated:
                await asyncio.sleep(0.01)
        for accepted, away in ((5, ""), (25, "journal"), (30, "supervisor"), (30, "delivery-0-0")):
            cluster.accepted, cluster.away = accepted, {away}
            await sampler.sample()
            now[0] += 10
        assert cluster.since == [0.0, 10.0, 20.0]
        assert (sampler.stored, sampler.dropped) == (4 + 3, 0)
        sites = await scene.in_engine("SELECT groupArray((accepted, queued, binds)) FROM site_samples")
        assert sorted(sites) == [(0, 4, "connections"), (5, 4, "connections"), (20, 4, "connections")]
        found = await scene.recorder.history(replace(WANTED, site="", step_s=10))
    told = [
        (one.at.timestamp() - NOW, one.taken_per_s, one.accepted_per_s, one.silent, one.journal_away)
        for one in found.whole
    ]
    assert told == [
        (0, 0.0, 0.0, ("webhooks",), 0),
        (10, 4.0, 2.0, ("webhooks",), 1),
        (20, 0.0, 0.5, ("supervisor",), 0),
        (30, 1.0, 0.0, ("delivery-0-0", "webhooks"), 0),
    ]


async def test_a_timer_that_fires_early_makes_no_two_samples_of_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, now, times = Cluster(), [NOW + 3.0], list[int]()

    async def store(sites: Sequence[SiteSample], whole: Sample) -> None:
        times.append(whole.at)

    async def fires_early(seconds: float) -> None:
        if len(times) == 5:
            raise asyncio.CancelledError
        now[0] += seconds - 0.001

    monkeypatch.setattr("actors.sampling.sampler.asyncio.sleep", fires_early)
    sampler = Sampler(cast(Journal, cluster), cluster.call, store, now=lambda: now[0], clock=lambda: now[0])
    with pytest.raises(asyncio.CancelledError):
        await sampler._keep_sampling()
    assert times == [NOW + 10 * number for number in range(1, 6)]


async def test_where_clickhouse_does_not_take_them_samples_are_dropped_and_counted() -> None:
    cluster = Cluster()

    async def refuses(*_: Any) -> None:
        raise ClickHouseUnavailable("away")

    sampler = Sampler(cast(Journal, cluster), cluster.call, refuses, now=lambda: float(NOW), clock=lambda: 0.0)
    await sampler.sample()
    await sampler.sample()
    assert (sampler.stored, sampler.dropped) == (0, 4)
    (standing,) = sampler.standings([("", "a.example"), ("", "b.example")])
    assert (standing.site, standing.waiting, standing.binds) == ("a.example", 4, "connections")


async def test_a_sample_tells_what_was_noted_since_the_last_one_that_was_stored() -> None:
    cluster, now, stored = Cluster(), [float(NOW)], list[Sample]()
    is_away = False

    async def store(sites: Sequence[SiteSample], whole: Sample) -> None:
        if is_away:
            raise ClickHouseUnavailable("away")
        stored.append(whole)

    sampler = Sampler(cast(Journal, cluster), cluster.call, store, now=lambda: now[0], clock=lambda: now[0])
    for is_away, journal in ((True, ""), (False, ""), (False, "journal"), (False, ""), (False, "")):  # noqa: B007
        cluster.away = {journal}
        await sampler.sample()
        now[0] += 10
    assert cluster.ages_of_notes == [NOTES_KEPT_S, NOTES_KEPT_S, 20 + NOTED_AGAIN_S, 10 + NOTED_AGAIN_S]
    began = ("began", "api-0", NOW * 1000 - 4500, NOW * 1000 - 4500)
    assert [one.happened for one in stored] == [(began,), (), (began,), (began,)]


async def test_an_actor_of_an_earlier_release_is_one_that_does_not_answer() -> None:
    cluster, stored = Cluster(), list[Sample]()

    async def store(sites: Sequence[SiteSample], whole: Sample) -> None:
        stored.append(whole)

    cluster.broken["delivery-0-0"] = AttributeError("it has no sample")
    sampler = Sampler(cast(Journal, cluster), cluster.call, store, now=lambda: float(NOW), clock=lambda: 0.0)
    await sampler.sample()
    assert stored[0].silent == ("delivery-0-0", "webhooks")


async def test_a_defect_of_sampling_ends_nothing_else() -> None:
    """Otherwise the recorder would end with it, every ten seconds, and no event be recorded."""
    cluster, stored = Cluster(), list[Sample]()
    cluster.broken["supervisor"] = RuntimeError("a defect")
    at = [9.99]

    async def store(sites: Sequence[SiteSample], whole: Sample) -> None:
        stored.append(whole)

    sampler = Sampler(cast(Journal, cluster), cluster.call, store, now=lambda: at[0], clock=lambda: 0.0)
    cluster.queue_control.lane_names = cluster.nothing
    await sampler.start()
    async with asyncio.timeout(30):
        while not sampler.failed:
            await asyncio.sleep(0.005)
        cluster.broken.clear()
        while not stored:
            await asyncio.sleep(0.005)
    await sampler.stop()
    assert sampler.failed >= 1


async def test_samples_wait_for_the_recorder_to_have_its_tables(tmp_path: Path) -> None:
    """Not a moment of what is recorded is lost for it: they are dropped until then."""
    async with recording(ListLog(), tmp_path, refusals=0) as scene:
        scene.recorder._migrated = False
        with pytest.raises(ClickHouseUnavailable):
            await scene.recorder.store_samples([SITE], WHOLE)
