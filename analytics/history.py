"""How it went: the samples of the flight recorder, summed over sources and averaged over steps of time.

Only SELECT, only through ``ClickHouse.rows``.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from analytics.client import ClickHouse, Row
from cluster.policy.forms import Form

MOST_POINTS = 1000
MOST_S = 10
"""A question takes no longer."""


class HistoryWanted(Form, frozen=True, kw_only=True):
    """Which samples. Times are in seconds since the epoch; ``until`` is not among them."""

    site: str = ""
    """"" is the whole."""
    source: str | None = None
    """None: all sources, summed."""
    since: int
    until: int
    step_s: int


class SitePoint(Form, frozen=True, kw_only=True):
    """A step of a site. What it held is an average over its samples; what hosts said, a rate over the whole step."""

    at: datetime
    """Where the step begins."""
    samples: int
    """How many there are of it in the step; in the others the site had no work."""
    queued: float
    held_back: float
    parked: float
    in_flight: float
    connections: float
    accepted_per_s: float
    deferred_per_s: float
    bounced_per_s: float
    transaction_ms: float | None
    """What a message took on average; None where none was carried."""
    connection_limit: float
    connections_per_ip: float
    message_rate: float
    connection_rate: float
    warm_up_cap: int | None
    binds: Mapping[str, float]
    """What held it back, a value of ``Bound``, and in which part of its samples; what is missing of 1 is nothing."""
    adjustments: tuple[str, ...]
    """Of the last sample."""
    reply_at: datetime | None
    """The last reply in the step."""
    reply_host: str
    reply_kind: str
    reply: str
    policy_version: int


class WholePoint(Form, frozen=True, kw_only=True):
    """A step of the whole. Ages and times are the greatest of the step."""

    at: datetime
    samples: int
    taken_per_s: float
    accepted_per_s: float
    deferred_per_s: float
    bounced_per_s: float
    transaction_ms: float | None
    unfinished: float
    queued: float
    in_flight: float
    connections: float
    sites: float
    oldest_s: float
    overdue_s: float
    late_s: float
    journal_ms: float | None
    journal_away: int
    """In how many samples the journal did not answer."""
    silent: tuple[str, ...]
    """Actors that did not answer in one of them."""
    policy_version: int


class History(Form, frozen=True, kw_only=True):
    """The steps that have samples, in order."""

    site: str
    """"" is the whole."""
    since: datetime
    until: datetime
    step_s: int
    sites: tuple[SitePoint, ...] = ()
    """Of a site."""
    whole: tuple[WholePoint, ...] = ()


_STEP = "toUnixTimestamp(toStartOfInterval(at, toIntervalSecond({step:UInt32})))"
_RANGE = "at >= toDateTime({since:UInt32}, 'UTC') AND at < toDateTime({until:UInt32}, 'UTC')"
_SETTINGS = f"LIMIT {MOST_POINTS} SETTINGS max_execution_time = {MOST_S}"
_AVERAGED = (
    "queued",
    "held_back",
    "parked",
    "in_flight",
    "connections",
    "connection_limit",
    "connections_per_ip",
    "message_rate",
    "connection_rate",
)
SITE = f"""
SELECT {_STEP} AS step, uniqExact(at) AS samples,
    {", ".join(f"sum({name}) / samples AS avg_{name}" for name in _AVERAGED)},
    sum(accepted), sum(deferred), sum(bounced), sum(transactions), sum(spent_s), max(warm_up_cap),
    sumMap([toString(binds)], [toUInt64(1)]), count(), argMax(adjustments, at),
    argMax((toUnixTimestamp(reply_at), reply_host, reply_kind, reply), ifNull(reply_at, toDateTime(0, 'UTC'))),
    max(policy_version)
FROM site_samples
WHERE site = {{site:String}} {{of_source}} AND {_RANGE}
GROUP BY step ORDER BY step {_SETTINGS}
"""
OF_SOURCE = "AND source = {source:String}"
WHOLE = f"""
SELECT {_STEP} AS step, count(), sum(taken), sum(accepted), sum(deferred), sum(bounced), sum(transactions),
    sum(spent_s), avg(unfinished), avg(queued), avg(in_flight), avg(connections), avg(sites), max(oldest_s),
    max(overdue_s), max(late_s), max(journal_ms), countIf(journal_ms IS NULL), arraySort(groupUniqArrayArray(silent)),
    max(policy_version)
FROM samples
WHERE {_RANGE}
GROUP BY step ORDER BY step {_SETTINGS}
"""


def history(client: ClickHouse, wanted: HistoryWanted) -> History:
    """The steps that have samples. Raises ClickHouseUnavailable."""
    parameters: dict[str, Any] = {"since": wanted.since, "until": wanted.until, "step": wanted.step_s}
    found = History(site=wanted.site, since=_moment(wanted.since), until=_moment(wanted.until), step_s=wanted.step_s)
    if not wanted.site:
        rows = client.rows(WHOLE, **parameters)
        return replace(found, whole=tuple(_whole_point(row, wanted.step_s) for row in rows))
    of_source = ""
    if wanted.source is not None:
        of_source, parameters["source"] = OF_SOURCE, wanted.source
    rows = client.rows(SITE.replace("{of_source}", of_source), site=wanted.site, **parameters)
    return replace(found, sites=tuple(_site_point(row, wanted.step_s) for row in rows))


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _per_s(count: int, step_s: int) -> float:
    return round(count / step_s, 3)


def _transaction_ms(transactions: int, spent_s: float) -> float | None:
    return round(spent_s / transactions * 1000, 1) if transactions else None


def _site_point(row: Row, step_s: int) -> SitePoint:
    at, samples, *averaged = row[: 2 + len(_AVERAGED)]
    accepted, deferred, bounced, transactions, spent_s, cap, binds, shares, adjustments, reply, version = row[
        2 + len(_AVERAGED) :
    ]
    reply_at, reply_host, reply_kind, text = reply
    return SitePoint(
        at=_moment(at),
        samples=samples,
        **{name: round(value, 3) for name, value in zip(_AVERAGED, averaged, strict=True)},
        accepted_per_s=_per_s(accepted, step_s),
        deferred_per_s=_per_s(deferred, step_s),
        bounced_per_s=_per_s(bounced, step_s),
        transaction_ms=_transaction_ms(transactions, spent_s),
        warm_up_cap=cap,
        binds={bound: round(count / shares, 3) for bound, count in zip(*binds, strict=True) if bound},
        adjustments=tuple(adjustments),
        reply_at=None if reply_at is None else _moment(reply_at),
        reply_host=reply_host,
        reply_kind=reply_kind,
        reply=text,
        policy_version=version,
    )


def _whole_point(row: Row, step_s: int) -> WholePoint:
    at, samples, taken, accepted, deferred, bounced, transactions, spent_s, *held = row[:13]
    oldest_s, overdue_s, late_s, journal_ms, journal_away, silent, version = row[13:]
    unfinished, queued, in_flight, connections, sites = held
    return WholePoint(
        at=_moment(at),
        samples=samples,
        taken_per_s=_per_s(taken, step_s),
        accepted_per_s=_per_s(accepted, step_s),
        deferred_per_s=_per_s(deferred, step_s),
        bounced_per_s=_per_s(bounced, step_s),
        transaction_ms=_transaction_ms(transactions, spent_s),
        unfinished=round(unfinished, 1),
        queued=round(queued, 1),
        in_flight=round(in_flight, 1),
        connections=round(connections, 1),
        sites=round(sites, 1),
        oldest_s=round(oldest_s, 1),
        overdue_s=round(overdue_s, 1),
        late_s=round(late_s, 3),
        journal_ms=None if journal_ms is None else round(journal_ms, 1),
        journal_away=journal_away,
        silent=tuple(silent),
        policy_version=version,
    )
