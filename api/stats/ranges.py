"""The dates that a question about statistics gives."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from litestar.params import QueryParameter

from api.http import dates, help_texts
from api.http.parameters import Checked
from api.http.refusals import Fault, Invalid
from api.stats.periods import EARLIEST, LATEST, MOST_PERIODS, AggregatedBy, Periods, periods, whole


def _day_fault(field: str) -> Checked:
    def fault(text: str) -> Fault | None:
        faults: list[Fault] = []
        _day(text, field, faults)
        return faults[0] if faults else None

    return Checked(fault)


START, END = _day_fault("start_date"), _day_fault("end_date")
StartDate = Annotated[str, QueryParameter(description="YYYY-MM-DD; it belongs to the range"), START]
EndDate = Annotated[
    str | None, QueryParameter(description="YYYY-MM-DD; it belongs to the range. Today, if absent"), END
]

TOO_LONG = Fault(f"An answer has at most {MOST_PERIODS:,} periods", "start_date", help_texts.PERIODS)


def asked_periods(
    start_date: str | None,
    end_date: str | None,
    aggregated_by: AggregatedBy | None,
    zone: ZoneInfo,
    earlier: Sequence[Fault] = (),
    *,
    usual_days: int = 1,
) -> Periods:
    """The periods of a question; without ``aggregated_by`` the range is one. Without ``end_date`` the range ends today,
    without ``start_date`` it has ``usual_days``. Raises Invalid, also for ``earlier`` faults."""
    faults = list(earlier)
    last = _day(end_date, "end_date", faults) or datetime.now(zone).date()
    first = _day(start_date, "start_date", faults) or max(last - timedelta(days=usual_days - 1), EARLIEST)
    if not faults and end_date is not None and last < first:
        faults.append(Fault("end_date is before start_date", "end_date", help_texts.DAYS))
    if faults:
        raise Invalid(faults)
    if aggregated_by is None:
        return whole(first, last, zone)
    try:
        return periods(first, last, aggregated_by, zone)
    except ValueError:
        raise Invalid([TOO_LONG]) from None


def _day(text: str | None, field: str, faults: list[Fault]) -> date | None:
    """A date that was given, moved to the nearest day that can be counted."""
    if text is None:
        return None
    try:
        return min(max(dates.day(text), EARLIEST), LATEST)
    except ValueError:
        faults.append(Fault("A date is a day of the calendar, as YYYY-MM-DD", field, help_texts.DAYS))
        return None
