"""How long ClickHouse keeps what: the TTL of each table, by the settings ``[retention]``.

The TTL of events is a day longer than the setting. So no event is taken that ClickHouse is about to drop, and what is
counted of a quarter of an hour is never counted again from a part of its events (``tallies``).
"""

import logging
import re

from analytics.client import ClickHouse
from cluster.settings import RetentionSettings

log = logging.getLogger(__name__)

DAY_S = 86_400
# A DateTime ends in 2106, and more is at most ten years (settings_check.MOST_DAYS).
EVENT_TIMES = {
    "events": "toDateTime(least(at, toDateTime64('2090-01-01 00:00:00', 3, 'UTC')))",
    "feed": "toDateTime(least(at, toDateTime64('2090-01-01 00:00:00', 3, 'UTC')))",
    "firsts": "toDateTime(least(first_at, toDateTime64('2090-01-01 00:00:00', 3, 'UTC')))",
}
STATISTICS_TIMES = {"tallies": "quarter", "quarters": "quarter"}
SAMPLE_TIMES = {"site_samples": "at", "samples": "at"}
BOUNDED_BY = {
    **dict.fromkeys(EVENT_TIMES, "retention.events_days"),
    **dict.fromkeys(STATISTICS_TIMES, "retention.statistics_days"),
    **dict.fromkeys(SAMPLE_TIMES, "retention.samples_days"),
    "slices": "two days: tallies drops the days before",
    "webhook_attempts": "7 days",
    "erasing": "goes with the erase job",
    "migrations": "a row for each",
}
"""What bounds each table."""

TTL_OF = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
_DAYS = re.compile(r" TTL .*toIntervalDay\((\d+)\)")


def keep_for(client: ClickHouse, kept: RetentionSettings) -> None:
    """Make the TTL of each table as the settings say. Raises ClickHouseUnavailable."""
    for times, days in (
        (EVENT_TIMES, kept.events_days + 1),
        (STATISTICS_TIMES, kept.statistics_days),
        (SAMPLE_TIMES, kept.samples_days),
    ):
        for table, time in times.items():
            ((engine,),) = client.rows(TTL_OF, name=table)
            found = _DAYS.search(engine)
            if found is None or int(found[1]) != days:
                client.command(f"ALTER TABLE {table} MODIFY TTL {time} + INTERVAL {days} DAY")
                log.info("rows are kept table=%s days=%d before=%s", table, days, found[1] if found else "unlimited")
