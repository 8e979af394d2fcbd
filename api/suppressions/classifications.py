"""/v3/suppression/bounces/classifications: how many bounces of each kind there were, by day."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from litestar import Response, get
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from analytics.bounces import BounceCount, Bounces, CountBounces, counted
from api.http import dates
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from api.http.routes import RouteGroup, resource
from api.http.sharing import FairShare
from api.suppressions.exporting import CSV, wants_csv
from cluster.intake.backpressure import Overloaded
from cluster.policy.replies.classifications import CLASSES, UNCLASSIFIED, classification_of

USUAL_DAYS = 30
"""The range where it is not given, today among them."""
MAX_WAIT_S = 30.0
NOT_NOW = "The bounces cannot be counted now; try again later"
TOO_MANY = "Too many counts at once; try again later"

Day = Annotated[str | None, QueryParameter(description="YYYY-MM-DD, UTC; it belongs to the range", max_length=10)]


class ClassificationCount(Struct, frozen=True):
    """The bounces of a classification."""

    classification: str
    count: int


class DomainCount(Struct, frozen=True):
    """The bounces of a recipient domain."""

    domain: str
    count: int


class DayByClassification(Struct, frozen=True):
    """A day (YYYY-MM-DD, UTC) that has bounces, the most frequent first."""

    date: str
    stats: list[ClassificationCount]


class DayByDomain(Struct, frozen=True):
    """A day (YYYY-MM-DD, UTC) that has bounces, the most frequent first, at most 1,000 domains."""

    date: str
    stats: list[DomainCount]


class ByClassification(Struct, frozen=True):
    """The days in order."""

    result: list[DayByClassification]


class ByDomain(Struct, frozen=True):
    """The days in order."""

    result: list[DayByDomain]


class BounceClassifications:
    """The two routes."""

    def __init__(self, count: CountBounces) -> None:
        self._count = count
        self._turns = FairShare(1, 1, MAX_WAIT_S, TOO_MANY)  # the recorder counts with its only thread

    def routes(self) -> RouteGroup:
        days = {"start_date": "2026-04-01", "end_date": "2026-04-30"}
        about = f"The last {USUAL_DAYS} days, unless start_date is given. With Accept: text/csv it is a CSV file."
        return resource(
            "/v3/suppression/bounces/classifications",
            get(
                responses=answers(400, 401, 403, 503),
                summary="Bounces and blocked mail by classification and day",
                description=about,
                example=Example(query=days),
            )(self.totals),
            get(
                "/{classification:str}",
                responses=answers(400, 401, 403, 503),
                summary="Bounces and blocked mail of a classification, by recipient domain and day",
                description=f"{about} The classifications: {', '.join(CLASSES)}.",
                example=Example(path={"classification": "Invalid Address"}, query=days),
            )(self.of_one),
            tag="suppressions",
        )

    async def totals(
        self, request: ApiRequest, start_date: Day = None, end_date: Day = None
    ) -> Response[ByClassification]:
        first, last = _range(start_date, end_date)
        found = await self._counted(Bounces(tenant_id=request.auth.tenant_id, first=first, last=last))
        days: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for one in found:
            days[one.day][classification_of(one.name)] += one.count
        if wants_csv(request):
            rows = ((day, name, count) for day, counts in days.items() for name, count in counts.most_common())
            return _as_csv("classification", rows)
        return Response(
            ByClassification(
                [
                    DayByClassification(day, [ClassificationCount(*one) for one in counts.most_common()])
                    for day, counts in days.items()
                ]
            )
        )

    async def of_one(
        self, request: ApiRequest, classification: FromPath[str], start_date: Day = None, end_date: Day = None
    ) -> Response[ByDomain]:
        if classification not in CLASSES:
            raise Invalid([Fault(f"A classification is one of {', '.join(CLASSES)}", "classification")])
        first, last = _range(start_date, end_date)
        classes: tuple[str, ...] = CLASSES[classification]
        if classification == UNCLASSIFIED:
            classes = (*classes, "")  # of events from before there were classes
        wanted = Bounces(tenant_id=request.auth.tenant_id, first=first, last=last, classes=classes)
        found = await self._counted(wanted)
        if wants_csv(request):
            return _as_csv("domain", ((one.day, one.name, one.count) for one in found))
        days: defaultdict[str, list[DomainCount]] = defaultdict(list)
        for one in found:
            days[one.day].append(DomainCount(one.name, one.count))
        return Response(ByDomain([DayByDomain(*day) for day in days.items()]))

    async def _counted(self, wanted: Bounces) -> list[BounceCount]:
        async with self._turns.hold(wanted.tenant_id, 1):
            found = await counted(self._count, wanted)
        if found is None:
            raise Overloaded(NOT_NOW)
        return found


def _range(start_date: str | None, end_date: str | None) -> tuple[date, date]:
    """Raises Invalid."""
    faults: list[Fault] = []
    last = _day(end_date, "end_date", faults) or datetime.now(UTC).date()
    first = _day(start_date, "start_date", faults) or max(last, _FIRST + _USUAL) - _USUAL
    if faults:
        raise Invalid(faults)
    return first, last


_FIRST, _LAST, _USUAL = date(1970, 1, 1), date(2149, 6, 5), timedelta(days=USUAL_DAYS - 1)
"""The days of ClickHouse's type Date, of which the last has a day after it."""


def _day(text: str | None, field: str, faults: list[Fault]) -> date | None:
    if text is None:
        return None
    try:
        return min(max(dates.day(text), _FIRST), _LAST)
    except ValueError:
        faults.append(Fault("A date is YYYY-MM-DD", field))
        return None


def _as_csv(name: str, rows: Iterable[tuple[str, str, int]]) -> Response[Any]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("date", name, "count"))
    writer.writerows(rows)
    return Response(text.getvalue().encode(), media_type=CSV)
