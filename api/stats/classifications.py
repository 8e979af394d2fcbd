"""/v3/suppression/bounces/classifications: how many bounces of each kind there were, by day."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Annotated

from litestar import Response, get
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from analytics.metrics import Kind
from analytics.statistics import Statistics
from api.http.body import ApiRequest
from api.http.csv_files import csv_file, may_have_csv
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault
from api.http.routes import RouteGroup, resource
from api.stats.asking import Counting
from api.stats.periods import Periods
from api.stats.ranges import END, START, asked_periods
from cluster.policy.replies.classifications import CLASSES, UNCLASSIFIED, classification_of

USUAL_DAYS = 30
"""The range where it is not given, today among them."""

_ABOUT = QueryParameter(description="YYYY-MM-DD; it belongs to the range")
StartDate = Annotated[str | None, _ABOUT, START]
EndDate = Annotated[str | None, _ABOUT, END]


class ClassificationCount(Struct, frozen=True):
    """The bounces of a classification."""

    classification: str
    count: int


class DomainCount(Struct, frozen=True):
    """The bounces of a recipient domain."""

    domain: str
    count: int


class DayByClassification(Struct, frozen=True):
    """A day (YYYY-MM-DD, in the tenant's time zone) that has bounces, the most frequent first."""

    date: str
    stats: list[ClassificationCount]


class DayByDomain(Struct, frozen=True):
    """A day (YYYY-MM-DD, in the tenant's time zone) that has bounces, the most frequent first: 1,000 domains."""

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

    def __init__(self, counting: Counting) -> None:
        self._counting = counting

    def routes(self) -> RouteGroup:
        days = {"start_date": "2026-04-01", "end_date": "2026-04-30"}
        about = (
            f"The last {USUAL_DAYS} days, unless start_date is given. With Accept: text/csv it is a CSV file, which "
            "takes stats.export as well."
        )
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
        self, request: ApiRequest, start_date: StartDate = None, end_date: EndDate = None
    ) -> Response[ByClassification]:
        as_csv = may_have_csv(request)
        wanted = await self._periods(request, start_date, end_date)
        found = await self._counted(request, wanted, Kind.CLASS)
        days: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for day, name, count in found:
            days[day][classification_of(name)] += count
        if as_csv:
            rows = ((day, name, count) for day, counts in days.items() for name, count in counts.most_common())
            return csv_file(("date", "classification", "count"), rows)
        return Response(
            ByClassification(
                [
                    DayByClassification(day, [ClassificationCount(*one) for one in counts.most_common()])
                    for day, counts in days.items()
                ]
            )
        )

    async def of_one(
        self, request: ApiRequest, classification: FromPath[str], start_date: StartDate = None, end_date: EndDate = None
    ) -> Response[ByDomain]:
        as_csv = may_have_csv(request)
        faults: list[Fault] = []
        if classification not in CLASSES:
            faults = [Fault(f"A classification is one of {', '.join(CLASSES)}", "classification")]
        wanted = await self._periods(request, start_date, end_date, faults)
        classes: tuple[str, ...] = CLASSES[classification]
        if classification == UNCLASSIFIED:
            classes = (*classes, "")  # of events from before there were classes
        found = await self._counted(request, wanted, Kind.CLASS_DOMAIN, classes)
        if as_csv:
            return csv_file(("date", "domain", "count"), found)
        days: defaultdict[str, list[DomainCount]] = defaultdict(list)
        for day, name, count in found:
            days[day].append(DomainCount(name, count))
        return Response(ByDomain([DayByDomain(*day) for day in days.items()]))

    async def _periods(
        self, request: ApiRequest, start_date: str | None, end_date: str | None, faults: Sequence[Fault] = ()
    ) -> Periods:
        """Raises Invalid, also for these faults."""
        zone = await self._counting.zone(request.auth.tenant_id)
        return asked_periods(start_date, end_date, "day", zone, faults, usual_days=USUAL_DAYS)

    async def _counted(
        self, request: ApiRequest, wanted: Periods, kind: Kind, classes: tuple[str, ...] = ()
    ) -> list[tuple[str, str, int]]:
        """The day, the name and the count, in order."""
        question = Statistics(
            tenant_id=request.auth.tenant_id, kind=kind, starts=wanted.starts, end=wanted.end, names=classes
        )
        found = await self._counting.counts(question)
        days = dict(zip(wanted.starts, wanted.dates, strict=True))
        return [(days[one.start], one.name, one.metrics["bounces"] + one.metrics["blocks"]) for one in found]
