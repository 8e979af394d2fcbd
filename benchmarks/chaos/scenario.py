"""The chaos scenario: a stream of mail through a storm of faults, and a verdict on every promise.

What was started is removed at the end, even after an error or Ctrl-C (``world.py``).
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console

from benchmarks.blocking import cancel_once_on_signals, to_its_end
from benchmarks.chaos import facts, report
from benchmarks.chaos.days import Days, left_of_past, rewritten_at
from benchmarks.chaos.faults import DEALT, ChaosFault, FaultKind, FaultLane, possible, schedule
from benchmarks.chaos.load import LoadStream
from benchmarks.chaos.past import PastMail, days_until
from benchmarks.chaos.poison import Poisoner
from benchmarks.chaos.rates import late, recoveries
from benchmarks.chaos.readers import Readers
from benchmarks.chaos.records import Left, Recovery, VerdictFacts
from benchmarks.chaos.report import ChaosRecord
from benchmarks.chaos.reporters import Reporters
from benchmarks.chaos.rolling import SIDE_BY_SIDE_S, Rolled, lateness, one_sided, rolling, too_late
from benchmarks.chaos.storm import API_KILLS, OUTAGES, Storm
from benchmarks.chaos.told import NEAR_S, FoundTrouble, FoundTroubles, ToldStorm, compare, with_poison
from benchmarks.chaos.verdict import judge
from benchmarks.chaos.world import ChaosWorld
from benchmarks.client import Client, HttpAnswer
from benchmarks.cluster_postray import DownFailed
from benchmarks.machine import commit, machine
from benchmarks.phases import Phases, Tell
from benchmarks.postray import PostrayProcess
from benchmarks.sink_log import Receipt
from cluster.demo import TENANT
from cluster.journal.journal import Journal
from cluster.tenancy.directory import FRESH_S, POLL_S

TELL_S = 0.5
LATE_S = 240.0
"""How long load and storm may exceed their time before the run is aborted."""


class ChaosOptions(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    seed: int
    seconds: float
    rate: float
    """Messages a second."""
    max_wait_s: float
    """How long coming to rest may take after the storm."""
    kinds: Sequence[FaultKind] = DEALT
    nodes: int = 0
    """Of a cluster; with 0 postray runs on one machine, and nodes do not change."""
    remembers: bool = False
    """Whether the cluster's head has a Redis: then it is away for a while, and otherwise all ends with it."""
    is_rolling: bool = False
    """The nodes change their release, one after the other (``rolling.py``), and there are no faults."""
    told_page: Path | None = None
    """Where the page goes on which the flight recorder tells of the storm; None: there is none."""
    keep: bool = False
    """Keep the scratch directory, with all logs, for inspection."""


async def run(options: ChaosOptions, console: Console) -> ChaosRecord:
    """One run, shown on ``console``."""
    cancel_once_on_signals()
    if options.is_rolling:
        faults = rolling(options.seconds, options.nodes)
    else:
        kinds = possible(options.kinds, options.nodes, remembers=options.remembers)
        faults = schedule(options.seed, options.seconds, kinds)
    report.show_schedule(console, faults)
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    world = ChaosWorld(faults, options.nodes, remembers=options.remembers)
    console.print(f"scratch directory {world.directory}", soft_wrap=True)
    phases = Phases(console)
    keep = options.keep
    storm: Storm | None = None
    with phases.shown():
        try:
            with phases.phase("starting"):
                await to_its_end(world.open)
            client = Client(world.postray.url, world.postray.key)
            await _add_endpoint(world, client)
            await _recognize_repeats(client)
            if options.nodes:
                await asyncio.sleep(FRESH_S + POLL_S)  # so long the other nodes may not know of it
            group_id = await _make_group(client)
            load = LoadStream(client, world.submission, options.rate, Random(options.seed), group_id)
            readers = Readers(client, world.sink.tail(), Random(options.seed))
            reporters = Reporters(world.mail_in, world.sink.tail(), Random(options.seed))
            today = datetime.now(UTC).date()
            steps = sum(fault.lane is FaultLane.DAYS for fault in faults)
            days = Days(world.operator, world.dsn, days_until(today), steps)
            storm = Storm(world.postray, world.postgres, world.sink, world.hook, load.poison, days, world.later)
            all_arrived = asyncio.Event()
            async with _past(world, today, options, is_on=bool(steps)) as past, asyncio.TaskGroup() as group:
                group.create_task(reporters.run(all_arrived))
                with Poisoner(world.postray, world.dsn, storm.frozen) as poisoner:
                    with phases.phase("storm", options.seconds) as tell:
                        await _through(storm, load, past, readers, faults, options, tell, console.print)
                    with phases.phase("rest") as tell:
                        await _at_rest(world, options, tell)
                all_arrived.set()
            with phases.phase("reports") as tell:
                left = await _at_rest(world, options, tell)
            with phases.phase("telling"):
                troubles, not_told = await _troubles(world, storm, options)
                load.problems += not_told
            with phases.phase("days"):
                load.problems += await days.finish(options.max_wait_s) if steps else []
            found, back, rolled = await _afterwards(world, storm, load, past, readers, reporters, left, options, phases)
            verdict = judge(found)
            keep = keep or bool(verdict.broken)  # what the logs tell cannot be had again
            told = _told(troubles, storm, poisoner, found)
        finally:
            with phases.phase("ending"):
                try:
                    if storm is not None:
                        await storm.heal()
                finally:
                    await to_its_end(world.close, keep=keep)
    return ChaosRecord(
        scenario="rolling" if options.is_rolling else "chaos",
        seed=options.seed,
        seconds=options.seconds,
        rate=options.rate,
        started_at=started_at,
        phases_s=phases.took_s,
        machine=machine(),
        commit=commit(),
        schedule=faults,
        done=storm.done,
        kills=report.kills(storm.done, len(poisoner.killed)),
        nodes=options.nodes,
        remembers=options.remembers,
        recoveries=back,
        rolled=rolled,
        told=told,
        verdict=verdict,
        broken=verdict.broken,
    )


async def _troubles(world: ChaosWorld, storm: Storm, options: ChaosOptions) -> tuple[list[FoundTrouble], list[str]]:
    """What the flight recorder tells of the storm, by the command, and what was wrong with that."""
    if options.is_rolling:
        return [], []
    await facts.wait_for_actors(world.postray.idle, options.max_wait_s)
    if not await _is_sampled(world, options.max_wait_s):
        return [], ["the flight recorder took no sample at rest"]
    times = ("--since", _time(storm.lasted[0] - NEAR_S))
    page = ("--html", str(options.told_page)) if options.told_page is not None else ()
    told = await to_its_end(world.postray.command, "report", "--about", "troubles", *times, "--json", *page)
    if told.returncode:
        return [], [f"postray report: {told.stderr[-500:]}"]
    return msgspec.json.decode(told.stdout, type=FoundTroubles).troubles, []


async def _is_sampled(world: ChaosWorld, max_wait_s: float) -> bool:
    """Wait for a sample of now: it tells of the processes that run since the storm."""
    now = round(time.time())
    until = time.monotonic() + max_wait_s
    while time.monotonic() < until:
        asked = f"SELECT max(toUnixTimestamp(at)) > {now} FROM samples"
        told = await to_its_end(world.postray.command, "sql", asked, "--format", "csv")
        if told.returncode == 0 and told.stdout.split()[-1:] == ["1"]:
            return True
        await asyncio.sleep(TELL_S)
    return False


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _told(troubles: Sequence[FoundTrouble], storm: Storm, poisoner: Poisoner, found: VerdictFacts) -> ToldStorm | None:
    if not storm.done or not troubles:
        return None
    begin, end = storm.lasted
    done = with_poison(storm.done, begin, poisoner.killed)
    return compare(done, begin, end - begin, troubles, found.sink, found.posts, found.rewritten_at)


def _stop(postray: PostrayProcess) -> list[str]:
    """End it in order; returns what was wrong with that."""
    try:
        return [f"process {pid} was left by postray down" for pid in postray.stop()]
    except DownFailed as error:
        return [f"postray down: {str(error)[-500:]}"]


@asynccontextmanager
async def _past(
    world: ChaosWorld, today: date, options: ChaosOptions, *, is_on: bool
) -> AsyncIterator[PastMail | None]:
    """The mail of past days; None where no days pass."""
    if not is_on:
        yield None
        return
    for name in ("psycopg.pool", "cluster.journal.intake"):  # outages, and days that are made, are what is wanted
        logging.getLogger(name).setLevel(logging.ERROR)
    journal = Journal(world.dsn, application="past-mail")
    await journal.open()
    try:
        tenant_id = await journal.tenants.named(TENANT)
        assert tenant_id is not None
        past = PastMail(journal, world.dsn, tenant_id, today, options.seconds, Random(options.seed))
        await past.before_storm()
        yield past
    finally:
        await journal.close()


async def _add_endpoint(world: ChaosWorld, client: Client) -> None:
    """Have all events posted to the endpoint. Raises RuntimeError."""
    address = await to_its_end(world.hook.start)
    said = {"url": f"http://{address}/events", "enabled_events": ["*"], "batch": True}
    await _ask(client, "POST", "/v3/user/webhooks", said, 201)


async def _recognize_repeats(client: Client) -> None:
    """Have a message that is submitted again sent only once. Raises RuntimeError."""
    await _ask(client, "PUT", "/api/admin/tenants/me/settings", {"submission_idempotency": True}, 200)


async def _make_group(client: Client) -> int:
    """The unsubscribe group of half of the tracked mail. Raises RuntimeError."""
    answer = await _ask(client, "POST", "/v3/asm/groups", {"name": "Offers", "description": "Our offers"}, 201)
    return int(answer.json()["id"])


async def _ask(client: Client, method: str, path: str, body: Any, status: int) -> HttpAnswer:
    """The answer, which must have this status. Raises RuntimeError."""
    answer = await client.request(method, path, msgspec.json.encode(body))
    if answer.status != status:
        raise RuntimeError(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
    return answer


async def _through(
    storm: Storm,
    load: LoadStream,
    past: PastMail | None,
    readers: Readers,
    faults: Sequence[ChaosFault],
    options: ChaosOptions,
    tell: Tell,
    say: Callable[[str], None],
) -> None:
    """Run load, readers and storm in parallel, until all have ended and all faults are undone. Under a rolling change
    mail flows until a moment after the last node is back. ``say`` is told of each change."""
    seconds, began, is_over = options.seconds, time.monotonic(), asyncio.Event()
    if not options.is_rolling:
        is_over.set()

    async def tell_for_ever() -> None:
        changed = 0
        while True:
            if options.is_rolling and len(storm.done) > changed:
                changed = len(storm.done)
                say(f"{time.monotonic() - began:4.0f} s  {changed} of {len(faults)} changes, {load.promised} promised")
            told = f"{load.promised} promised, {storm.kills} kills, {len(storm.done)} of {len(faults)} faults"
            tell(told, time.monotonic() - began)
            await asyncio.sleep(TELL_S)

    telling = asyncio.create_task(tell_for_ever())
    try:
        async with asyncio.timeout(seconds + LATE_S), asyncio.TaskGroup() as group:
            group.create_task(load.run(seconds, lambda: not is_over.is_set()))
            if past is not None:
                group.create_task(past.run())
            group.create_task(readers.run(seconds))
            group.create_task(_storm(storm, faults, options, is_over))
    finally:
        telling.cancel()


async def _storm(storm: Storm, faults: Sequence[ChaosFault], options: ChaosOptions, is_over: asyncio.Event) -> None:
    await storm.run(faults, options.seconds)
    await storm.heal()
    if options.is_rolling:
        await asyncio.sleep(SIDE_BY_SIDE_S)
    is_over.set()


async def _at_rest(world: ChaosWorld, options: ChaosOptions, tell: Tell) -> Left:
    def tell_left(left: Left) -> None:
        told = f"{left.deliveries} deliveries, {left.log_rows} log rows, {left.owed} owed events"
        tell(f"{told}, {left.windows} open windows left", 0)

    return await facts.wait_for_rest(world.dsn, options.max_wait_s, tell_left)


async def _afterwards(
    world: ChaosWorld,
    storm: Storm,
    load: LoadStream,
    past: PastMail | None,
    readers: Readers,
    reporters: Reporters,
    left: Left,
    options: ChaosOptions,
    phases: Phases,
) -> tuple[VerdictFacts, list[Recovery], Rolled | None]:
    """Ask the API, stop postray, and collect all facts; how soon delivery was back to its rate, and what a rolling
    change has to show."""
    client = Client(world.postray.url, world.postray.key)
    with phases.phase("asking"):
        away = await facts.wait_for_actors(world.postray.idle, options.max_wait_s)
        away += await facts.wait_for_api(client, options.max_wait_s)
        stored, unfinished, tallies = await to_its_end(facts.read_journal, world.dsn)
        listed = await to_its_end(facts.read_lists, world.dsn)
        ids = [message.message_id for message in stored]
        shown, of_messages = await facts.ask_messages(client, ids, Random(options.seed))
        batches, of_batches = await facts.ask_batches(client, list(tallies))
        keys = await facts.ask_keys(client)
        ended_left = await to_its_end(left_of_past, world.dsn)
        by_later = await to_its_end(facts.read_written_by_later, world.dsn)
    with phases.phase("judging"):
        left_running = await to_its_end(_stop, world.postray)
        events = await to_its_end(facts.read_events, world.postray.data_dir)
    world.keep_book(load, readers, reporters)
    problems = [
        *left_running,
        *load.problems,
        *(past.problems if past is not None else ()),
        *readers.problems,
        *reporters.problems,
        *storm.problems,
        *away,
        *facts.crashed(world.postray.data_dir),
        *of_messages,
        *of_batches,
    ]
    sink = world.sink.lines()
    of_past = past.sent if past is not None else []
    back = []
    if storm.nodes is not None:
        problems += storm.nodes.problems
        arrivals = [line.at for line in sink if isinstance(line, Receipt) and line.accepted]
        back = recoveries(storm.nodes.changes, arrivals, storm.without_delivery(), storm.lasted)
    rolled = None
    if options.is_rolling:
        changes = sum(done.kind is FaultKind.CHANGE_RELEASE for done in storm.done)
        requests = len({message.number for message in stored})
        timing = lateness(stored, sink)
        rolled = Rolled(changes=changes, requests=requests, written_by_later=by_later, lateness=timing)
        problems += one_sided(rolled)
    found = VerdictFacts(
        sent=[*load.sent, *of_past],
        past=of_past,
        rewritten_at=rewritten_at(world.postray.data_dir),
        ended_left=ended_left,
        lacking=facts.read_lacking(world.sink.directory, sink, keys),
        cancels=load.cancels,
        stored=stored,
        unfinished=unfinished,
        log_rows_left=left.log_rows,
        tallies=tallies,
        batches_shown=batches,
        shown=shown,
        events=facts.counted(events),
        each_event=events,
        posts=world.hook.posts(),
        owed=left.owed,
        sink=sink,
        problems=problems,
        fetches=readers.fetches,
        unsubscribes=readers.unsubscribes,
        reports=reporters.reports,
        listed=listed,
        windows=left.windows,
        api_killed=[*storm.spans(API_KILLS), *(storm.nodes.killed if storm.nodes is not None else ())],
        journal_away=storm.spans(OUTAGES),
        late=late(back) if rolled is None else too_late(rolled.lateness),
    )
    return found, back, rolled
