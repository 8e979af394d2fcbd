"""The batches of a run: what limits each, and how much mail each has. Pure.

Each has a domain of its own, which is a site (``names.py``), unless it shares that of another. The sink answers late
(``DELAY_MS``), so that a connection carries some ten messages a second, and limits, not the machine, decide.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.names import domain

DELAY_MS = 100.0
RETRY_S = 6


class Expected(StrEnum):
    """What is to be said about a batch."""

    RANGE = "range"
    NULL = "null"
    """Nothing can be said, as long as it is so."""
    LATER = "later"
    """A range that begins after the run: tomorrow, or when a suspension ends."""


class Case(Struct, frozen=True, kw_only=True):
    """A batch."""

    name: str
    site: int
    """The number of its domain."""
    count: int
    fate: str = "ok"
    """The end of its recipients' local parts (``sink.py``)."""
    rule: str = ""
    """Of shaping.toml, for the site."""
    tenant_rule: str = ""
    """The same, for the tenant at the site."""
    pool: str = ""
    is_other_tenant: bool = False
    is_paused: bool = False
    suspended_s: float = 0.0
    expected: Expected = Expected.RANGE


def cases(size: float = 1.0) -> list[Case]:
    """``size``: how much mail, and with it how long the run is."""
    return [replace(one, count=max(10, round(one.count * size))) for one in _cases()]


def _cases() -> Iterator[Case]:
    for site, per_s, count in ((1, 2, 150), (2, 5, 300), (3, 10, 500), (4, 20, 1200)):
        yield Case(name=f"{per_s} messages/s", site=site, count=count, rule=f'message_rate = "{per_s}/s"')
    for site, connections, count in ((5, 1, 400), (6, 2, 700), (7, 3, 700), (8, 4, 1200)):
        yield Case(name=f"{connections} connections", site=site, count=count, rule=f"connections = {connections}")
    for site, connections, count in ((9, 2, 90), (10, 5, 250)):
        rule = f"connections = {connections}"
        yield Case(name=f"slow host, {connections} connections", site=site, count=count, fate="slow", rule=rule)
    for site, count in ((11, 1000), (12, 2500)):
        yield Case(name=f"default limits, {count} messages", site=site, count=count)
    ahead = 'message_rate = "8/s"'
    yield Case(name="first of two batches", site=13, count=250, rule=ahead)
    yield Case(name="second of two batches", site=13, count=250, rule=ahead)
    yield Case(name="first of two, by connections", site=14, count=300, rule="connections = 2")
    yield Case(name="second of two, by connections", site=14, count=300, rule="connections = 2")
    yield Case(name="beside another tenant", site=15, count=200, rule=ahead)
    yield Case(name="the other tenant", site=15, count=250, rule=ahead, is_other_tenant=True)
    yield Case(name="beside another, by connections", site=16, count=250, rule="connections = 2")
    yield Case(name="the other, by connections", site=16, count=300, rule="connections = 2", is_other_tenant=True)
    yield Case(name="the tenant's own rate", site=17, count=300, tenant_rule='message_rate = "6/s"')
    rate = 'message_rate = "10/s"'
    yield Case(name="greylisted, by a rate", site=18, count=300, fate="later", rule=rate)
    yield Case(name="greylisted, by connections", site=19, count=300, fate="later", rule="connections = 3")
    yield Case(name="warm-up, another source in the pool", site=20, count=400, pool="both", rule=rate)
    yield Case(name="warm-up, over", site=21, count=200, pool="warm", rule=rate, expected=Expected.LATER)
    yield Case(name="suspended for 30 s", site=22, count=150, rule=rate, suspended_s=30.0)
    yield Case(name="suspended for an hour", site=23, count=50, rule=rate, suspended_s=3600, expected=Expected.LATER)
    yield Case(name="paused", site=24, count=50, rule=rate, is_paused=True, expected=Expected.NULL)


def shaping(some: Sequence[Case], tenant_id: str) -> str:
    """The text of shaping.toml."""
    parts = [f'[[rule]]\nname = "schedule"\ndomain = ["*.bench.test"]\nretry_schedule = ["{RETRY_S}s"]\n']
    rules = {one.site: one.rule for one in some if one.rule}
    for site, rule in rules.items():
        parts.append(f'[[rule]]\nname = "d{site}"\ndomain = ["{domain(site)}"]\n{rule}\n')
    for one in some:
        if one.tenant_rule:
            host = f"mx.{domain(one.site)}"
            parts.append(
                f'[[rule]]\nname = "t{one.site}"\nsite = "{host}"\ntenant = ["{tenant_id}"]\n{one.tenant_rule}\n'
            )
    return "\n".join(parts)


def routing(today: date) -> str:
    """The text of routing.toml: two sources of loopback, one of them in warm-up."""
    return f"""
[sources.warm]
address = "127.0.0.2"
[sources.warm.warm_up]
started = {today.isoformat()}
per_day = [60, 10000]
[sources.old]
address = "127.0.0.3"
[pools.warm]
warm = 1
[pools.both]
warm = 1
old = 1
"""
