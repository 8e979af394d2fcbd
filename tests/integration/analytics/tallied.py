"""Events at random, and what statistics of them have to be: a count of events_once."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

from analytics.client import ClickHouse
from analytics.metrics import METRICS, PROVIDERS, QUARTER_S, Kind
from analytics.rows import columns
from analytics.statistics import Statistics, statistics
from analytics.tallies import SETTLED_S, Tallies
from cluster.events import Clicked, Event, Opened, SpamReported, Unsubscribed
from cluster.policy.routes.sites import FAMILY_NAMES, known_site
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
