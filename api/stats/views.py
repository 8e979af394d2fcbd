"""What the routes of statistics answer."""

from collections.abc import Mapping
from typing import Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import astuple


class Metrics(Struct, frozen=True):
    """Counts of events; docs/statistics.md says of which."""

    blocks: int = 0
    bounce_drops: int = 0
    bounces: int = 0
    clicks: int = 0
    deferred: int = 0
    delivered: int = 0
    drops: int = 0
    invalid_emails: int = 0
    opens: int = 0
    processed: int = 0
    requests: int = 0
    spam_report_drops: int = 0
    spam_reports: int = 0
    unique_clicks: int = 0
    unique_opens: int = 0
    unsubscribe_drops: int = 0
    unsubscribes: int = 0

    @property
    def row(self) -> tuple[int, ...]:
        """The values in the order of ``METRICS``."""
        found: tuple[int, ...] = astuple(self)
        return found


METRICS = Metrics.__struct_fields__
NONE = Metrics()


def metrics(counts: Mapping[str, int]) -> Metrics:
    """As the API answers them: a request is accepted at once, so there are as many of both."""
    return Metrics(**counts, requests=counts["processed"])


SegmentType = Literal["category", "mailbox_provider"]


class Segment(Struct, frozen=True):
    """The metrics of a period: of all mail, or of a category or a provider of mailboxes."""

    metrics: Metrics
    name: str | UnsetType = UNSET
    type: SegmentType | UnsetType = UNSET


class Period(Struct, frozen=True):
    """A day, week or month. ``date``: its first day, YYYY-MM-DD, in the tenant's time zone."""

    date: str
    stats: list[Segment]


class CategoryPeriod(Struct, frozen=True):
    """A category in a day, week or month. ``date``: its first day, YYYY-MM-DD, in the tenant's time zone."""

    date: str
    category: str
    metrics: Metrics


class CategoryPeriods(Struct, frozen=True):
    """The periods in order, and in each the categories as they were asked for."""

    stats: list[CategoryPeriod]


class Summary(Struct, frozen=True):
    """All of a range of days."""

    start_date: str
    end_date: str
    metrics: Metrics


class Category(Struct, frozen=True):
    """A category that a message had."""

    category: str
