"""What a report of troubles asks the SQL door. Times are whole seconds since the epoch."""

from analytics.metrics import listed
from analytics.samples import SAMPLES
from cluster.policy.limits.binding import Bound
from cluster.policy.replies.bounce_class import BounceClass

MOST_SITES = 20
"""Of which mail is told apart: those with the most attempts."""
MOST_ROWS = 200_000
"""Of failures, and of what was held back: those kinds of them that lasted longest. One row more tells that some were
left out."""

_AT = "at >= fromUnixTimestamp64Milli(1000 * {since:Int64}) AND at < fromUnixTimestamp64Milli(1000 * {until:Int64})"
_SECONDS = "at >= toDateTime({since:UInt32}, 'UTC') AND at < toDateTime({until:UInt32}, 'UTC')"
_PLACE = "intDiv(toUnixTimestamp(at) - {since:Int64}, {step:Int64})"
_ATTEMPTED = "('delivered', 'deferred', 'bounce', 'blocked')"
_TIMES = ("at", "journal_started", "journal_recovered")
_HAPPENED = (
    "arrayMap(one -> (one.1, one.2, toString(toUnixTimestamp64Milli(one.3)), toString(toUnixTimestamp64Milli(one.4))),"
    " happened)"
)
"""Times as texts: JSON has numbers of 64 bits as such or not, by a setting."""


def _column(name: str) -> str:
    if name in _TIMES:
        return f"toUnixTimestamp({name})"
    if name == "started":
        return "mapKeys(started), arrayMap(at -> toUnixTimestamp(at), mapValues(started))"
    if name == "stood_s":
        return "mapKeys(stood_s), mapValues(stood_s)"
    if name == "happened":
        return _HAPPENED
    return name


SAMPLES_OF = f"""
SELECT {", ".join(map(_column, SAMPLES.columns))}
FROM samples
WHERE {_SECONDS}
ORDER BY at
"""
"""Maps as keys and values: JSON would have texts as keys all the same, but times as texts."""
FLOW = f"""
SELECT
    {_PLACE} AS place,
    countIf(event = 'processed') AS taken,
    countIf(event = 'delivered') AS delivered,
    countIf(event IN {_ATTEMPTED}) AS attempted,
    sumIf(duration_ms, event = 'delivered') AS spent,
    countIf(event = 'dropped' AND startsWith(reason, 'set aside')) AS aside
FROM events_once
WHERE {_AT}
GROUP BY place ORDER BY place
"""
SITES = f"""
SELECT
    {_PLACE} AS place,
    site,
    countIf(event = 'delivered') AS delivered,
    count() AS attempted,
    sumIf(duration_ms, event = 'delivered') AS spent
FROM events_once
WHERE {_AT} AND event IN {_ATTEMPTED} AND site IN
(
    SELECT site FROM events_once WHERE {_AT} AND event IN {_ATTEMPTED} AND site <> ''
    GROUP BY site ORDER BY count() DESC, site LIMIT {MOST_SITES}
)
GROUP BY place, site ORDER BY place, site
"""
_OF_RECIPIENTS = listed(
    (
        BounceClass.BAD_MAILBOX,
        BounceClass.MAILBOX_FULL,
        BounceClass.MAILBOX_DISABLED,
        BounceClass.MESSAGE_TOO_LARGE,
        BounceClass.EXPIRED,
    )
)
"""What says nothing about the host, or the way to it."""
FAILURES = f"""
SELECT place, site, class, code, late, failed, said FROM
(SELECT
    {_PLACE} AS place,
    site,
    toString(bounce_class) AS class,
    toUInt16OrZero(left(smtp_response, 3)) AS code,
    positionCaseInsensitive(reason, 'timed out') > 0 AND smtp_response = '' AS late,
    count() AS failed,
    any(left(if(smtp_response = '', reason, smtp_response), 160)) AS said
FROM events_once
WHERE {_AT} AND event IN ('deferred', 'bounce', 'blocked') AND bounce_class NOT IN ({_OF_RECIPIENTS}) AND site <> ''
GROUP BY place, site, class, code, late)
ORDER BY count() OVER (PARTITION BY site, class, code, late) DESC, site, class, code, late, place
LIMIT {MOST_ROWS + 1}
"""
_HOLDING = listed(
    (
        Bound.SUSPENSION,
        Bound.NO_MACHINE,
        Bound.WARM_UP,
        Bound.BACK_OFF,
        Bound.SILENT_HOSTS,
        Bound.DNS,
        Bound.TLS,
    )
)
HELD = f"""
SELECT moment, site, bound, waiting FROM
(SELECT toUnixTimestamp(at) AS moment, site, toString(binds) AS bound, sum(queued + parked) AS waiting
FROM site_samples
WHERE {_SECONDS} AND binds IN ({_HOLDING})
GROUP BY moment, site, bound)
ORDER BY count() OVER (PARTITION BY site, bound) DESC, site, bound, moment
LIMIT {MOST_ROWS + 1}
"""
POSTS = f"""
SELECT
    {_PLACE} AS place,
    count() AS posts,
    countIf(status < 200 OR status >= 300) AS failed,
    countIf(status >= 200 AND status < 300 AND duration_ms >= 1000) AS slow
FROM webhook_attempts FINAL
WHERE {_AT}
GROUP BY place ORDER BY place
"""
