"""What the recorder says of the past, for tests."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import structs

from analytics.history import History, HistoryWanted, SitePoint, WholePoint


def answer_of(samples: Sequence[SitePoint | WholePoint], wanted: HistoryWanted) -> History:
    found = [one for one in samples if wanted.since <= one.at.timestamp() < wanted.until]
    return History(
        site=wanted.site,
        since=datetime.fromtimestamp(wanted.since, UTC),
        until=datetime.fromtimestamp(wanted.until, UTC),
        step_s=wanted.step_s,
        sites=tuple(one for one in found if isinstance(one, SitePoint) and wanted.site == "site.example"),
        whole=tuple(one for one in found if isinstance(one, WholePoint) and not wanted.site),
    )


def a_point(at: datetime, **changed: Any) -> SitePoint:
    """A step in which the connections of a site were all in use."""
    point = SitePoint(
        at=at.replace(microsecond=0),
        samples=1,
        queued=300.0,
        held_back=0.0,
        parked=1000.0,
        in_flight=20.0,
        connections=20.0,
        accepted_per_s=12.5,
        deferred_per_s=1.5,
        bounced_per_s=0.0,
        transaction_ms=40.0,
        connection_limit=20.0,
        connections_per_ip=0.0,
        message_rate=0.0,
        connection_rate=0.0,
        warm_up_cap=None,
        binds={"connections": 0.9},
        adjustments=("message rate halved",),
        reply_at=at,
        reply_host="mx1",
        reply_kind="deferred",
        reply="421 \x1b]0;title too fast [red]",
        policy_version=3,
    )
    return structs.replace(point, **changed)


def a_whole(at: datetime, **changed: Any) -> WholePoint:
    point = WholePoint(
        at=at.replace(microsecond=0),
        samples=1,
        taken_per_s=50.0,
        accepted_per_s=40.0,
        deferred_per_s=1.0,
        bounced_per_s=0.0,
        transaction_ms=40.0,
        unfinished=1234.0,
        queued=300.0,
        in_flight=20.0,
        connections=20.0,
        sites=3.0,
        oldest_s=180.0,
        overdue_s=1.0,
        late_s=0.0,
        journal_ms=2.5,
        journal_away=0,
        silent=(),
        policy_version=3,
    )
    return structs.replace(point, **changed)
