"""The metrics of statistics, as SQL over the events: the one place that says which events each of them counts. Pure.

``tallies`` counts with it by quarter of an hour, and ``statistics`` what is not counted yet. docs/statistics.md tells
the same to people.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from cluster.policy.routes.sites import FAMILIES, known_site

QUARTER_S = 900
QUARTER = "toStartOfFifteenMinutes(at)"
"""The quarter of an hour of an event."""


class Kind(StrEnum):
    """What events are grouped by. Its value is the column ``kind`` of the table ``tallies``."""

    ALL = "all"
    CATEGORY = "category"
    PROVIDER = "provider"
    """The operator of the mailboxes: the name of a family of sites (site_families.toml), or ``OTHER``."""
    CLASS = "class"
    """The bounce class. It has ``bounces`` and ``blocks`` alone."""
    CLASS_DOMAIN = "class_domain"
    """The bounce class, a space, and the recipient's domain."""


OTHER = "other"
"""The provider of mailboxes that belong to no family."""
PROVIDERS = (*sorted(family.name for family in FAMILIES), OTHER)

METRICS: Mapping[str, str] = {
    "processed": "countIf(event = 'processed')",
    "deferred": "countIf(event = 'deferred')",
    "delivered": "countIf(event = 'delivered')",
    "bounces": "countIf(event = 'bounce')",
    "blocks": "countIf(event = 'blocked')",
    "drops": "countIf(event = 'dropped')",
    "bounce_drops": "countIf(event = 'dropped' AND reason = 'bounces')",
    "spam_report_drops": "countIf(event = 'dropped' AND reason = 'spam_reports')",
    "unsubscribe_drops": "countIf(event = 'dropped' AND (reason = 'unsubscribes' OR startsWith(reason, 'group ')))",
    "invalid_emails": "countIf(event = 'bounce' AND bounce_class = 'bad_domain'"
    " OR event = 'dropped' AND reason = 'invalid_emails')",
    "opens": "countIf(event = 'open')",
    "unique_opens": "uniqExactIf((message_id, recipient), event = 'open')",
    "clicks": "countIf(event = 'click')",
    "unique_clicks": "uniqExactIf((message_id, recipient), event = 'click')",
    "spam_reports": "countIf(event = 'spam_report')",
    "unsubscribes": "countIf(event IN ('unsubscribe', 'group_unsubscribe'))",
}
"""The columns of the table ``tallies`` that are summed, in its order, and how each is counted."""
UNIQUE = frozenset(("unique_opens", "unique_clicks"))
"""These are counted among the first opens and clicks alone. Several events of a recipient at the same millisecond may
all be its first, hence the distinct counts."""

_FAMILY_OF = {name: known_site(name) for family in FAMILIES for name in (*family.suffixes, *family.domains)}


def listed(names: Iterable[str]) -> str:
    """Names as texts of SQL, for ``IN``. They are the program's own: none has a quote."""
    return ", ".join(f"'{name}'" for name in names)


PROVIDER = (
    f"if(site IN ({listed([family.name for family in FAMILIES])}), site, transform(recipient_domain,"
    f" [{listed(list(_FAMILY_OF))}], [{listed(list(_FAMILY_OF.values()))}], '{OTHER}'))"
)
"""The site of an attempt says who runs the mailbox. Other events have none: there the domain tells, if it is known."""

_BOUNCED = "event IN ('bounce', 'blocked')"
NAMES: Mapping[Kind, str] = {
    Kind.ALL: "['']",
    Kind.CATEGORY: "arrayDistinct(categories)::Array(String)",
    Kind.PROVIDER: f"[{PROVIDER}]",
    Kind.CLASS: f"if({_BOUNCED}, [bounce_class::String], [])",
    Kind.CLASS_DOMAIN: f"if({_BOUNCED}, [concat(bounce_class, ' ', recipient_domain)], [])",
}
"""The names of a kind under which an event counts: an array of text."""

# The first opens and clicks are counted apart from all events: only they are looked up in firsts, whose rows are sorted
# by message, and distinct counts need no FINAL. Both in one pass took twice as long.
_COUNTED = """
    SELECT {keys}, name, {counts}
    FROM (SELECT *, arrayJoin({names}) AS name FROM events FINAL PREWHERE {when} WHERE {condition})
    WHERE {named}
    GROUP BY {grouped}, name
"""
_UNIQUE = """
    SELECT {keys}, name, {counts}
    FROM
    (
        SELECT *, arrayJoin({names}) AS name FROM events PREWHERE {when}
        WHERE event IN ('open', 'click') AND {condition}
            AND (tenant_id, message_id, sipHash64(recipient), event, at) IN (
                SELECT tenant_id, message_id, recipient_hash, event, min({first}) AS earliest
                FROM {firsts}
                WHERE message_id IN (
                    SELECT message_id FROM events PREWHERE {when} WHERE event IN ('open', 'click') AND {condition}
                )
                GROUP BY tenant_id, message_id, recipient_hash, event
            )
    )
    WHERE {named}
    GROUP BY {grouped}, name
"""
_ALL_ENGAGEMENT = """(
                    SELECT tenant_id, message_id, sipHash64(recipient) AS recipient_hash, event, at
                    FROM events WHERE event IN ('open', 'click')
                )"""


def counts_sql(
    keys: Mapping[str, str],
    names: str,
    when: str,
    *,
    condition: str = "1",
    named: str = "1",
    has_unique: bool = True,
    is_filled: bool = True,
) -> str:
    """A query that counts events, each once, by the ``keys``, expressions by their names, and by ``name``. A group may
    have two rows, to be summed.

    ``names``: the array of names under which an event counts, and ``named`` a condition on each. ``when`` is a
    condition on ``at``, ``condition`` one on other columns. ``has_unique``: whether there may be unique opens and
    clicks. ``is_filled``: the table ``firsts`` has what they need; without it the query is slow."""
    firsts, first = ("firsts", "first_at") if is_filled else (_ALL_ENGAGEMENT, "at")
    parts = [(_COUNTED, METRICS.keys() - UNIQUE), (_UNIQUE, UNIQUE)]
    return "UNION ALL".join(
        template.format(
            keys=", ".join(f"{key} AS {name}" for name, key in keys.items()),
            grouped=", ".join(keys),
            names=names,
            counts=", ".join(f"{how if name in those else '0'} AS {name}" for name, how in METRICS.items()),
            when=f"({when})",
            condition=condition,
            named=named,
            firsts=firsts,
            first=first,
        )
        for template, those in parts[: 2 if has_unique else 1]
    )


def sums_sql() -> str:
    """The sums of the metrics, in the order of ``METRICS``."""
    return ", ".join(f"sum({name}) AS sum_{name}" for name in METRICS)


def when_sql(runs: Sequence[tuple[int, int]], column: str = "at") -> str:
    """The condition that a time is in one of these ranges: their first second and the one after their last, in seconds
    since the epoch."""
    make = "toDateTime64({}, 3, 'UTC')" if column == "at" else "toDateTime({}, 'UTC')"
    ranges = (f"{column} >= {make.format(first)} AND {column} < {make.format(end)}" for first, end in runs)
    return " OR ".join(f"({one})" for one in ranges) or "0"
