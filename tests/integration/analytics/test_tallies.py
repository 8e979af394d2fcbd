"""Statistics equal a count of events_once at any time: under replays, in any order, and after any interruption."""

import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from analytics.client import ClickHouse, ClickHouseUnavailable
from analytics.erasing import erase_recipients, erase_tenant
from analytics.metrics import METRICS, PROVIDERS, QUARTER_S, Kind
from analytics.rows import columns
from analytics.statistics import Names, Statistics, categories, statistics
from analytics.tallies import SETTLED_S, Tallies
from cluster.events import Clicked, Event, Opened, SpamReported, Unsubscribed
from cluster.policy.routes.sites import FAMILY_NAMES, known_site
from cluster.settings import ClickHouseSettings
from tests.unit.analytics.samples import blocked, bounced, deferred, delivered, dropped, processed

BEGIN = 1_775_001_600
"""2026-04-01T00:00:00Z"""
QUARTERS = 8
TENANTS = ("tnt_1", "tnt_2")
LATE = BEGIN + 100 * QUARTER_S

Counts = dict[tuple[int, str], dict[str, int]]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = float(BEGIN)

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now


def an_event(random: Random, number: int) -> Event:
    """One of few messages and recipients, at one of few times, so that everything happens more than once."""
    message = random.randrange(6)
    common: dict[str, Any] = {
        "id": f"evt_{number:026d}",
        "at": BEGIN + random.choice((random.random() * QUARTERS * QUARTER_S, random.randrange(QUARTERS) * QUARTER_S)),
        "tenant_id": TENANTS[message % 2],
        "message_id": f"msg_{message}",
        "recipient": f"{random.choice('abc')}@{random.choice(('gmail.com', 'acme.example'))}",
        "categories": ((), ("receipt",), ("receipt", "it's, new"))[message % 3],
        "batch_id": None,
    }
    site = random.choice(("google.com", "acme.example"))
    reason = random.choice(("unsubscribes", "group 12", "bounces", "spam_reports", "invalid_emails", "cancelled"))
    bounce_class = random.choice(("bad_mailbox", "bad_domain", ""))
    client: dict[str, Any] = {
        "ip": "203.0.113.42",
        "user_agent": "Mozilla/5.0",
        "machine": random.choice(("", "prefetch")),
    }
    return random.choice(
        (
            lambda: processed(**common),
            lambda: deferred(**common, site=site),
            lambda: delivered(**common, site=site),
            lambda: bounced(**common, site=site, bounce_class=bounce_class),
            lambda: blocked(**common, site=site, bounce_class=bounce_class),
            lambda: dropped(**common, reason=reason),
            lambda: SpamReported(**common),
            lambda: Unsubscribed(**common),
            lambda: Clicked(**common, url="https://example.com"),
            lambda: Opened(**common, **client),
            lambda: Opened(**common, **client),
            lambda: Opened(**common, **client),
        )
    )()


def expected(client: ClickHouse, tenant_id: str, kind: Kind, starts: Sequence[int], end: int) -> Counts:
    """The same counts, event by event."""
    rows = client.rows(
        "SELECT at, event, reason, bounce_class, categories, recipient_domain, site, message_id, recipient "
        "FROM events_once WHERE tenant_id = {tenant_id:String} ORDER BY at, event_id",
        tenant_id=tenant_id,
    )
    counts: defaultdict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    seen = set()
    for at, event, reason, bounce_class, of_message, domain, site, message_id, recipient in rows:
        metrics = [PLAIN[event]] if event in PLAIN else []
        if event == "dropped":
            metrics += [DROPS.get(reason, "unsubscribe_drops")] if reason != "cancelled" else []
        if event == "bounce" and bounce_class == "bad_domain":
            metrics.append("invalid_emails")
        if event in ("open", "click") and (message_id, recipient, event) not in seen:
            seen.add((message_id, recipient, event))
            metrics.append(f"unique_{event}s")
        bounce = event in ("bounce", "blocked")
        provider = site if site in FAMILY_NAMES else known_site(domain)
        names = {
            Kind.ALL: [""],
            Kind.CATEGORY: of_message,
            Kind.PROVIDER: [provider if provider in PROVIDERS else "other"],
            Kind.CLASS: [bounce_class] if bounce else [],
            Kind.CLASS_DOMAIN: [domain] if bounce else [],
        }[kind]
        begun = [start for start in starts if start * 1000 <= at < end * 1000]
        for name in names if begun else ():
            counts[begun[-1], name].update(metrics)
            counts[begun[-1], name]["events"] += 1
    return {key: {name: found[name] for name in METRICS} for key, found in counts.items()}


PLAIN = {
    "processed": "processed",
    "deferred": "deferred",
    "delivered": "delivered",
    "bounce": "bounces",
    "blocked": "blocks",
    "dropped": "drops",
    "open": "opens",
    "click": "clicks",
    "spam_report": "spam_reports",
    "unsubscribe": "unsubscribes",
    "group_unsubscribe": "unsubscribes",
}
DROPS = {"bounces": "bounce_drops", "spam_reports": "spam_report_drops", "invalid_emails": "invalid_emails"}


def counted(
    client: ClickHouse, tallies: Tallies, tenant_id: str, kind: Kind, starts: Sequence[int], end: int
) -> Counts:
    wanted = Statistics(tenant_id=tenant_id, kind=kind, starts=tuple(starts), end=end)
    return {
        (one.start, one.name): dict(one.metrics)
        for one in statistics(client, wanted, tallies.uncounted)
        if any(one.metrics.values())
    }


def assert_exact(client: ClickHouse, tallies: Tallies, kinds: Sequence[Kind] = tuple(Kind)) -> None:
    bounds = ([BEGIN], BEGIN + QUARTERS * QUARTER_S), ([BEGIN + 900, BEGIN + 2700, BEGIN + 3600], BEGIN + 6300)
    for tenant_id in TENANTS:
        for kind in kinds:
            for starts, end in bounds:
                found = counted(client, tallies, tenant_id, kind, starts, end)
                want = expected(client, tenant_id, kind, starts, end)
                assert found == {key: counts for key, counts in want.items() if any(counts.values())}


def insert(client: ClickHouse, tallies: Tallies, events: Sequence[Event]) -> None:
    values = columns(events)
    tallies.note(values)
    client.insert(values)


def settle(tallies: Tallies, clock: Clock) -> None:
    """Count all there is."""
    for _ in range(1000):
        clock.now += 1000 * SETTLED_S
        if not tallies.is_due:
            return
        tallies.step()
    raise AssertionError("it does not come to an end")


@pytest.mark.parametrize("seed", range(3))
def test_every_answer_equals_a_count_of_the_events(clickhouse: ClickHouse, seed: int) -> None:
    random, clock = Random(seed), Clock()
    clock.now = LATE
    tallies = Tallies(clickhouse, clock)
    events: list[Event] = [an_event(random, number) for number in range(160)]
    random.shuffle(events)
    inserted: list[Event] = []
    for step in range(24):
        match random.randrange(6):
            case 0 | 1 | 2:
                page = [*random.sample(inserted, min(len(inserted), random.randrange(8))), *events[:8]]
                insert(clickhouse, tallies, page)
                inserted += events[:8]
                del events[:8]
            case 3:  # killed between the note and the insert, or between the insert and the tally
                page = events[:4]
                tallies.note(columns(page))
                if random.random() < 0.5:
                    clickhouse.insert(columns(page))
                tallies = Tallies(clickhouse, clock)
            case 4:
                tallies._span_s = random.choice((100, 450, 900, 1800, 7200))
                settle(tallies, clock)
                assert tallies.uncounted.runs == ()
            case 5:  # killed while it counted
                tallies._span_s = random.choice((100, 450))
                clock.now += 10 * SETTLED_S
                tallies.step()
                if random.random() < 0.5:
                    tallies = Tallies(clickhouse, clock)
        assert_exact(clickhouse, tallies, [random.choice(list(Kind))])
        if step % 8 == 7:
            clickhouse.command("OPTIMIZE TABLE events FINAL")
            clickhouse.command("OPTIMIZE TABLE tallies FINAL")
            clickhouse.command("OPTIMIZE TABLE firsts FINAL")
    assert_exact(clickhouse, tallies)
    settle(tallies, clock)
    assert_exact(clickhouse, tallies)
    assert clickhouse.rows("SELECT DISTINCT is_dirty FROM quarters FINAL") == [(False,)]


def test_an_earlier_open_that_comes_late_takes_the_unique_one_with_it(clickhouse: ClickHouse) -> None:
    clock = Clock()
    clock.now = LATE
    tallies = Tallies(clickhouse, clock)
    common: dict[str, Any] = {"tenant_id": "tnt_1", "message_id": "msg_1", "recipient": "ada@example.com"}
    insert(clickhouse, tallies, [Opened(id="evt_2", at=BEGIN + 5000, **common)])
    settle(tallies, clock)
    insert(clickhouse, tallies, [Opened(id="evt_1", at=BEGIN + 10, **common)])
    settle(tallies, clock)
    starts, end = [BEGIN, BEGIN + QUARTER_S], BEGIN + QUARTERS * QUARTER_S
    found = counted(clickhouse, tallies, "tnt_1", Kind.ALL, starts, end)
    assert [(one["opens"], one["unique_opens"]) for one in found.values()] == [(1, 1), (1, 0)]


def test_events_of_before_there_were_tallies_are_counted_step_by_step(clickhouse: ClickHouse) -> None:
    random = Random(7)
    clickhouse.insert(columns([an_event(random, number) for number in range(200)]))
    for table in ("tallies", "firsts", "quarters", "migrations"):
        clickhouse.command(f"TRUNCATE TABLE {table}")
    clickhouse.migrate()
    clock = Clock()
    clock.now = LATE
    tallies = Tallies(clickhouse, clock)
    assert not tallies.uncounted.is_filled
    assert_exact(clickhouse, tallies)
    insert(clickhouse, tallies, [an_event(random, number) for number in range(200, 230)])
    for _ in range(3):
        clock.now += SETTLED_S
        tallies._span_s = QUARTER_S
        tallies.step()
    assert_exact(clickhouse, tallies)
    tallies = Tallies(clickhouse, clock)
    assert_exact(clickhouse, tallies, [Kind.ALL])
    settle(tallies, clock)
    assert (tallies.uncounted.runs, tallies.uncounted.is_filled) == ((), True)
    assert_exact(clickhouse, tallies)


def test_a_quarter_is_counted_once_it_is_over_and_at_rest(clickhouse: ClickHouse) -> None:
    clock = Clock()
    tallies = Tallies(clickhouse, clock)
    assert not tallies.is_due
    insert(clickhouse, tallies, [processed(1, at=BEGIN + 1.0)])

    def is_counted(at: float) -> bool:
        clock.now = at
        if tallies.is_due:
            tallies.step()
        return not tallies.uncounted.runs

    assert not is_counted(BEGIN + QUARTER_S + SETTLED_S - 1)
    insert(clickhouse, tallies, [processed(2, at=BEGIN + 2.0)])
    assert not is_counted(BEGIN + QUARTER_S + 2 * SETTLED_S - 10)
    assert is_counted(BEGIN + QUARTER_S + 3 * SETTLED_S)
    assert clickhouse.rows("SELECT sum(processed) FROM tallies WHERE kind = 'all'") == [(2,)]


def test_what_fails_is_tried_again_later(clickhouse: ClickHouse) -> None:
    clock = Clock()
    tallies = Tallies(clickhouse, clock)
    insert(clickhouse, tallies, [processed(1, at=BEGIN + 1.0)])
    clickhouse.command("RENAME TABLE tallies TO elsewhere")
    clock.now = LATE
    with pytest.raises(ClickHouseUnavailable):
        tallies.step()
    assert not tallies.is_due
    clickhouse.command("RENAME TABLE elsewhere TO tallies")
    settle(tallies, clock)
    assert tallies.uncounted.runs == ()


def test_absurd_times_are_in_no_statistics(clickhouse: ClickHouse) -> None:
    clock = Clock()
    tallies = Tallies(clickhouse, clock)
    insert(clickhouse, tallies, [processed(1, at=-5000.0), processed(2, at=2.0**33), processed(3, at=BEGIN + 1.0)])
    clock.now = LATE
    settle(tallies, clock)
    assert clickhouse.rows("SELECT sum(processed) FROM tallies WHERE kind = 'all'") == [(1,)]


def test_sums_in_the_order_of_a_metric(clickhouse: ClickHouse) -> None:
    tallies = Tallies(clickhouse, Clock())
    events: list[Event] = []
    for count, name in enumerate(("a", "b", "c", "d"), 1):
        events += [delivered(10 * count + n, at=BEGIN + 1.0, categories=(name,)) for n in range(count)]
    insert(clickhouse, tallies, events)

    def sums(**changes: Any) -> list[tuple[str, int]]:
        wanted: Mapping[str, Any] = {"kind": Kind.CATEGORY, "starts": (BEGIN,), "end": LATE, "sort_by": "delivered"}
        found = statistics(clickhouse, Statistics(tenant_id="tnt_1", **wanted, **changes), tallies.uncounted)
        return [(one.name, one.metrics["delivered"]) for one in found]

    assert sums(limit=2) == [("d", 4), ("c", 3)]
    assert sums(limit=2, offset=3) == [("a", 1)]
    assert sums(descending=False, limit=1) == [("a", 1)]
    assert sums(names=("b", "x")) == [("b", 2)]


def test_names_of_categories(clickhouse: ClickHouse) -> None:
    clock = Clock()
    tallies = Tallies(clickhouse, clock)
    insert(clickhouse, tallies, [processed(1, at=BEGIN + 1.0, categories=("receipt", "rec"))])
    clock.now = LATE
    settle(tallies, clock)
    insert(clickhouse, tallies, [processed(2, at=LATE + 1.0, categories=("records", "other"))])
    insert(clickhouse, tallies, [processed(3, at=LATE + 1.0, categories=("recent",), tenant_id="tnt_2")])

    def names(**changes: Any) -> list[str]:
        wanted = Names(**{"tenant_id": "tnt_1", "limit": 50, **changes})
        return categories(clickhouse, wanted, tallies.uncounted)

    assert names() == ["other", "rec", "receipt", "records"]
    assert names(prefix="rec", limit=2, offset=1) == ["receipt", "records"]
    assert names(tenant_id="tnt_3") == []


def test_an_erased_tenant_has_none(clickhouse: ClickHouse) -> None:
    clock = Clock()
    clock.now = LATE
    tallies = Tallies(clickhouse, clock)
    random = Random(1)
    insert(clickhouse, tallies, [an_event(random, number) for number in range(100)])
    settle(tallies, clock)
    while not erase_tenant(clickhouse, "tnt_1"):
        pass
    for table in ("tallies", "firsts"):
        assert clickhouse.rows(f"SELECT DISTINCT tenant_id FROM {table}") == [("tnt_2",)]
    assert_exact(clickhouse, tallies)


def test_counts_stay_when_a_recipient_is_erased(clickhouse: ClickHouse) -> None:
    """A quarter that is counted again, since an event of it comes late, has the events that are left."""
    clock = Clock()
    clock.now = LATE
    tallies = Tallies(clickhouse, clock)
    random = Random(2)
    insert(clickhouse, tallies, [an_event(random, number) for number in range(160)])
    settle(tallies, clock)

    def all_counts() -> list[Counts]:
        starts = [BEGIN + number * QUARTER_S for number in range(QUARTERS)]
        end = BEGIN + QUARTERS * QUARTER_S
        return [counted(clickhouse, tallies, tenant, kind, starts, end) for tenant in TENANTS for kind in Kind]

    before = all_counts()
    for tenant in TENANTS:
        while not erase_recipients(clickhouse, f"ers_{tenant}", tenant, ["a@gmail.com"], "msg_9", LATE * 1000):
            pass
    assert clickhouse.rows("SELECT count() FROM events WHERE recipient = 'a@gmail.com'") == [(0,)]
    assert all_counts() == before
    settle(tallies, clock)
    assert all_counts() == before
    late = [
        replace(an_event(random, 1000 + number), at=float(BEGIN + number * QUARTER_S)) for number in range(QUARTERS)
    ]
    insert(clickhouse, tallies, [replace(event, recipient="b@gmail.com") for event in late])
    settle(tallies, clock)
    assert all_counts() != before
    assert_exact(clickhouse, tallies)


WRITER = """
import sys
from pathlib import Path
from random import Random
from analytics.client import ClickHouse
from analytics.rows import columns
from analytics.tallies import Tallies
from cluster.settings import ClickHouseSettings
from tests.integration.analytics.test_tallies import LATE, an_event, insert

client = ClickHouse.open(ClickHouseSettings(), Path(sys.argv[1]))
client.migrate()
now = [float(LATE)]
tallies = Tallies(client, lambda: now[0])
random = Random(int(sys.argv[2]))
for number in range(100_000):
    insert(client, tallies, [an_event(random, random.randrange(2000)) for _ in range(5)])
    tallies._span_s = random.choice((450, 900, 7200))
    now[0] += 10_000
    for _ in range(2):
        tallies.step()
    print(number, flush=True)
"""


def test_it_is_exact_after_sigkill(tmp_path: Path) -> None:
    for seed in range(2):
        arguments = [sys.executable, "-c", WRITER, str(tmp_path), str(seed)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                if int(line) == 3 + seed:
                    writer.kill()
        assert writer.returncode == -signal.SIGKILL
        client = ClickHouse.open(ClickHouseSettings(), tmp_path)
        client.migrate()
        assert_exact(client, Tallies(client))
        client.close()
