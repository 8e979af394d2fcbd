"""What a report asks the SQL door. Every answer is small, however much was sent: what has many names is cut to the TOP
with the most by the query itself, and the rest is one row."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analytics.report.periods import Period, Range

Rows = Sequence[Sequence[Any]]
Ask = Callable[[str, Mapping[str, str]], Rows]
"""Asks a query with parameters; the rows of the answer, as JSON has them."""

TOP = 10
SAMPLED = 2_000_000
"""About as many deliveries are looked at for the time to deliver; of more, messages are sampled."""
LETTERS_OF_REPLY = 200

_STARTS = {
    Period.HOUR: "toStartOfHour(at, 'UTC')",
    Period.DAY: "toStartOfDay(at, 'UTC')",
    Period.WEEK: "toDateTime(toStartOfWeek(at, 1, 'UTC'), 'UTC')",
    Period.MONTH: "toDateTime(toStartOfMonth(at, 'UTC'), 'UTC')",
}
_SCOPE = """
at >= fromUnixTimestamp64Milli({since:Int64}) AND at < fromUnixTimestamp64Milli({until:Int64})
    AND ({tenant:String} = '' OR tenant_id = {tenant:String})
"""

VOLUMES = """
SELECT toUnixTimestamp($start) AS period, event, machine, count()
FROM events_once
WHERE $scope
GROUP BY period, event, machine
ORDER BY period, event, machine
"""
# A message's id is most of what is kept for each recipient, so it is hashed. The first row is of the whole range.
TIMES = """
SELECT
    toUnixTimestamp(period) AS start,
    count(),
    arrayMap(seconds -> round(seconds, 3), quantilesTDigest(0.5, 0.75, 0.9, 0.95, 0.99, 1)(seconds))
FROM
(
    SELECT
        maxIf($start, event = 'delivered') AS period,
        dateDiff('millisecond', minIf(at, event = 'processed'), maxIf(at, event = 'delivered')) / 1000 AS seconds
    FROM events_once
    WHERE $scope AND event IN ('processed', 'delivered') AND cityHash64(message_id) % {sampled:UInt32} = 0
    GROUP BY cityHash64(message_id, recipient)
    HAVING countIf(event = 'processed') > 0 AND countIf(event = 'delivered') > 0
)
GROUP BY period WITH ROLLUP
ORDER BY start
"""
CLASSES = """
SELECT event = 'deferred' AS is_deferral, bounce_class, count() AS events
FROM events_once
WHERE $scope AND event IN ('deferred', 'bounce', 'blocked')
GROUP BY is_deferral, bounce_class
ORDER BY events DESC, bounce_class
"""
# What makes each reply another one is left out: addresses, IP addresses, and words of letters and digits that are long,
# such as queue ids. The hyphen after the code of a line that is not the last would make one word of both.
REPLIES = r"""
SELECT
    replaceRegexpAll(
        replaceRegexpAll(
            replaceRegexpAll(
                replaceRegexpAll(left(smtp_response, {letters:UInt16}), '(?m)^(\\d\\d\\d)-', '\\1 '), '\\S*@\\S*', '…'
            ),
            '\\b\\d+\\.\\d+\\.\\d+\\.\\d+\\b|\\b[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:]+', '…'
        ),
        '\\b[A-Za-z_-]*\\d[\\w-]{7,}|\\b[A-Za-z_-]{4,}\\d[\\w-]{3,}|\\b[A-Za-z_-]{8,}\\d[\\w-]*', '…'
    ) AS name,
    countIf(event = 'deferred') AS deferred,
    countIf(event <> 'deferred') AS bounced
FROM events_once
WHERE $scope AND event IN ('deferred', 'bounce', 'blocked') AND smtp_response <> ''
GROUP BY name
"""
ENCRYPTION = """
SELECT tls_version, count() AS delivered
FROM events_once
WHERE $scope AND event = 'delivered'
GROUP BY tls_version
ORDER BY delivered DESC, tls_version
"""
SITES = """
SELECT
    site AS name,
    countIf(event = 'delivered') AS delivered,
    countIf(event IN ('bounce', 'blocked')) AS bounced,
    countIf(event = 'deferred') AS deferred
FROM events_once
WHERE $scope AND event IN ('delivered', 'bounce', 'blocked', 'deferred')
GROUP BY name
"""
_NAMED = """
SELECT
    $named AS name,
    countIf(event = 'delivered') AS delivered,
    countIf(event IN ('bounce', 'blocked')) AS bounced,
    countIf(event = 'open' AND NOT machine) AS opens,
    countIf(event = 'click' AND NOT machine) AS clicks,
    countIf(event = 'spam_report') AS complaints
FROM events_once
WHERE $scope AND event IN ('delivered', 'bounce', 'blocked', 'open', 'click', 'spam_report')
GROUP BY name
"""
CATEGORIES = _NAMED.replace("$named", "arrayJoin(categories)")
TENANTS = _NAMED.replace("$named", "tenant_id")


def top(query: str, columns: Sequence[str], by: Sequence[str]) -> str:
    """The TOP rows of a query with a ``name``, by the sum of columns, and what the others add up to. Each row begins
    with how many names it stands for: 0 in a row of the TOP, so that no name is mistaken for the others."""
    order = f"{' + '.join(by)} DESC, name"
    sums = ", ".join(f"sum({column})" for column in columns)
    return f"""
SELECT if(min(place) > {TOP}, count(), 0) AS others, if(others > 0, '', any(name)) AS shown, {sums}
FROM (SELECT *, row_number() OVER (ORDER BY {order}) AS place FROM ({query}))
GROUP BY least(place, {TOP + 1}) AS row
ORDER BY row
"""


def asked(query: str, range: Range, tenant_id: str, **parameters: str) -> tuple[str, dict[str, str]]:
    """A query with its parameters, in its place and time. ``tenant_id``: "" for all."""
    text = query.replace("$scope", _SCOPE.strip()).replace("$start", _STARTS[range.period])
    since, until = (str(round(at.timestamp() * 1000)) for at in (range.since, range.until))
    return text, {"since": since, "until": until, "tenant": tenant_id, **parameters}
