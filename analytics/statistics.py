"""Statistics of a tenant: the sums of what was counted (the tables ``tallies`` and ``slices``), and of the events that
were not counted yet.

They equal a count of ``events_once`` at any time. Only SELECT, only through ``ClickHouse.rows``.
"""

from collections.abc import Mapping
from typing import Any

from analytics.client import ClickHouse
from analytics.metrics import METRICS, NAMES, QUARTER, QUARTER_S, Kind, counts_sql, sums_sql, when_sql
from analytics.tallies import Uncounted
from cluster.policy.forms import Form

MOST_EACH = 1000
"""Domains of a day, at most."""
MOST_S = 10
"""A question takes no longer."""
BOUNCED = (Kind.CLASS, Kind.CLASS_DOMAIN)
"""Only bounces and blocked mail have names of these kinds."""
LAST = (1 << 32) - QUARTER_S
"""The end of the last quarter; seconds since the epoch."""


class Statistics(Form, frozen=True, kw_only=True):
    """Which events of a tenant to count, and by what."""

    tenant_id: str
    kind: Kind = Kind.ALL
    starts: tuple[int, ...]
    """Where each period begins, in order: seconds since the epoch, at the beginning of a quarter of an hour."""
    end: int
    """Where the last period ends."""
    names: tuple[str, ...] = ()
    """Only these names of the kind; empty: all. Of ``Kind.CLASS_DOMAIN`` they are classes."""
    sort_by: str = ""
    """A metric: the names in the order of its sums; "": the order of periods and names."""
    descending: bool = True
    limit: int | None = None
    offset: int = 0


class Count(Form, frozen=True):
    """The events of one name in one period. What has no events has no count."""

    start: int
    name: str
    metrics: Mapping[str, int]


class Names(Form, frozen=True, kw_only=True):
    """Which categories of a tenant: those that begin with ``prefix``, in order."""

    tenant_id: str
    prefix: str = ""
    limit: int
    offset: int = 0


# The pairs leave out what was counted before. A quarter of the last condition is counted from its events, even if it
# has been counted since.
COUNTED = """
    SELECT quarter, name, {columns} FROM tallies
    WHERE tenant_id = {{tenant_id:String}} AND kind = {{kind:String}} AND {range} AND {named}
        AND (quarter, tally) IN (
            SELECT quarter, argMax(tally, version) FROM quarters WHERE {range} GROUP BY quarter
        )
        AND NOT ({uncounted})
"""
SLICED = """
    SELECT toStartOfFifteenMinutes(slice) AS quarter, name, {columns} FROM slices
    WHERE tenant_id = {{tenant_id:String}} AND kind = {{kind:String}} AND {named} AND (slice, tally) IN ({slices})
"""
SUMS = """
SELECT roundDown(toUnixTimestamp(quarter), {{starts:Array(UInt32)}}) AS start, {shown} AS shown_name, {sums}
FROM ({parts})
GROUP BY start, shown_name
ORDER BY {order}
SETTINGS max_execution_time = {most_s}
"""
NAMES_OF = """
SELECT name
FROM
(
    SELECT name FROM tallies
    WHERE tenant_id = {{tenant_id:String}} AND kind = 'category' AND NOT ({uncounted})
        AND (quarter, tally) IN (SELECT quarter, argMax(tally, version) FROM quarters GROUP BY quarter)
    {sliced}
    UNION ALL
    SELECT arrayJoin(categories)::String FROM events PREWHERE {when} WHERE tenant_id = {{tenant_id:String}}
)
WHERE startsWith(name, {{prefix:String}})
GROUP BY name ORDER BY name LIMIT {{limit:UInt64}} OFFSET {{offset:UInt64}}
SETTINGS max_execution_time = {most_s}
"""
SLICED_NAMES = """UNION ALL
    SELECT name FROM slices
    WHERE tenant_id = {{tenant_id:String}} AND kind = 'category' AND (slice, tally) IN ({slices})"""


def statistics(client: ClickHouse, wanted: Statistics, uncounted: Uncounted) -> list[Count]:
    """The counts. Raises ClickHouseUnavailable."""
    if not wanted.starts or wanted.end <= wanted.starts[0]:
        return []
    left = uncounted.within(wanted.starts[0], wanted.end)
    named = "1"
    shown = "name"
    if wanted.kind is Kind.CLASS_DOMAIN:
        shown = "splitByChar(' ', name)[2]"
    if wanted.names:
        of = "splitByChar(' ', name)[1]" if wanted.kind is Kind.CLASS_DOMAIN else "name"
        named = f"{of} IN {{names:Array(String)}}"
    parts = COUNTED.format(
        columns=", ".join(METRICS),
        range=when_sql([(wanted.starts[0], wanted.end)], "quarter"),
        named=named,
        uncounted=when_sql(left.quarters, "quarter"),
    )
    if left.slices:
        parts += "UNION ALL" + SLICED.format(columns=", ".join(METRICS), named=named, slices=_pairs(left))
    if runs := left.runs:
        parts += "UNION ALL" + counts_sql(
            {"quarter": QUARTER},
            NAMES[wanted.kind],
            when_sql(runs),
            condition=_condition(wanted.kind),
            named=named,
            has_unique=wanted.kind not in BOUNCED,
            is_filled=left.is_filled,
        )
    query = SUMS.format(
        most_s=MOST_S,
        shown=shown,
        sums=sums_sql(),
        parts=parts,
        order=_order(wanted),
    )
    parameters: dict[str, Any] = {"names": list(wanted.names)} if wanted.names else {}
    rows = client.rows(
        query, tenant_id=wanted.tenant_id, kind=str(wanted.kind), starts=list(wanted.starts), **parameters
    )
    return [Count(row[0], row[1], dict(zip(METRICS, row[2:], strict=True))) for row in rows]


def categories(client: ClickHouse, wanted: Names, uncounted: Uncounted) -> list[str]:
    """The names of the categories that a tenant has used. Raises ClickHouseUnavailable."""
    query = NAMES_OF.format(
        most_s=MOST_S,
        uncounted=when_sql(uncounted.quarters, "quarter"),
        sliced=SLICED_NAMES.format(slices=_pairs(uncounted)) if uncounted.slices else "",
        when=when_sql(uncounted.runs),
    )
    rows = client.rows(
        query, tenant_id=wanted.tenant_id, prefix=wanted.prefix, limit=wanted.limit, offset=wanted.offset
    )
    return [name for (name,) in rows]


def _condition(kind: Kind) -> str:
    bounced = " AND event IN ('bounce', 'blocked')" if kind in BOUNCED else ""
    return f"tenant_id = {{tenant_id:String}}{bounced}"


def _order(wanted: Statistics) -> str:
    if wanted.kind in BOUNCED:
        return f"start, sum_bounces + sum_blocks DESC, shown_name LIMIT {MOST_EACH} BY start"
    order = "start, shown_name"
    if wanted.sort_by:
        # A name of METRICS, never a client's text.
        assert wanted.sort_by in METRICS
        order = f"sum_{wanted.sort_by} {'DESC' if wanted.descending else 'ASC'}, shown_name"
    return order if wanted.limit is None else f"{order} LIMIT {wanted.limit:d} OFFSET {wanted.offset:d}"


def _pairs(uncounted: Uncounted) -> str:
    return ", ".join(f"(toDateTime({start}, 'UTC'), {tally})" for start, tally in uncounted.slices)
