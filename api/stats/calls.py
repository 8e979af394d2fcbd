"""The routes of statistics. They ask the recorder once, and answer every period that was asked for, also the empty
ones."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from litestar import Response, get
from litestar.params import QueryParameter

from analytics.metrics import METRICS as COUNTED
from analytics.metrics import PROVIDERS, Kind
from analytics.statistics import Count, Names, Statistics
from api.http import help_texts
from api.http.body import ApiRequest
from api.http.csv_files import csv_file, may_have_csv
from api.http.errors import answers
from api.http.examples import Example
from api.http.parameters import Checked
from api.http.refusals import Fault
from api.http.routes import RouteGroup, resource
from api.stats.asking import Counting
from api.stats.periods import AggregatedBy, Periods
from api.stats.ranges import EndDate, StartDate, asked_periods
from api.stats.views import (
    METRICS,
    NONE,
    Category,
    CategoryPeriod,
    CategoryPeriods,
    Metrics,
    Period,
    Segment,
    SegmentType,
    Summary,
    metrics,
)

MOST_NAMES = 10
MOST_SUMS = 500
MOST_CATEGORIES = 500
USUAL_SUMS = 5
USUAL_CATEGORIES = 50


def _metric_fault(name: str) -> Fault | None:
    if name in METRICS:
        return None
    return Fault(f"A metric is one of {', '.join(METRICS)}", "sort_by_metric", help_texts.METRICS)


SortBy = Annotated[str, QueryParameter(max_length=100), Checked(_metric_fault)]
Categories = Annotated[list[str], QueryParameter(max_items=MOST_NAMES, min_items=1)]
Limit = Annotated[int | None, QueryParameter(description="Of periods; all, if absent", ge=1, le=10_000)]
By = Annotated[AggregatedBy, QueryParameter(description="Weeks begin on Monday")]
Offset = Annotated[int, QueryParameter(ge=0, le=1_000_000)]

DATES = {"start_date": "2026-04-01", "end_date": "2026-04-30"}
ABOUT = "Days are those of the tenant's time zone. With Accept: text/csv it is a CSV file, which takes stats.export."
_ANSWERS = answers(400, 401, 403, 503)

Row = tuple[str, str, Metrics]
"""The date of a period, a name, and its metrics in the period."""


class StatisticsCalls:
    """The routes."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting

    def routes(self) -> tuple[RouteGroup, ...]:
        by_category = {**DATES, "categories": "receipt"}
        counts = partial(get, responses=_ANSWERS, description=ABOUT)
        return (
            resource(
                "/v3/stats",
                counts(
                    summary="Counts of all mail by day, week or month",
                    example=Example(query={**DATES, "aggregated_by": "week"}),
                )(self.all),
                counts(
                    "/categories",
                    summary="Counts of categories by day, week or month, as one list",
                    example=Example(query=by_category),
                )(self.categories_as_list),
                counts(
                    "/summary",
                    summary="Counts of all mail of a range of days",
                    example=Example(query=DATES),
                )(self.summary),
                tag="statistics",
            ),
            resource(
                "/v3/categories",
                get(
                    responses=_ANSWERS,
                    summary="The categories of the tenant's messages, in alphabetical order",
                    example=Example(query={"category": "rec", "limit": 50}),
                )(self.names),
                counts(
                    "/stats",
                    summary="Counts of categories by day, week or month",
                    example=Example(query=by_category),
                )(self.categories),
                counts(
                    "/stats/sums",
                    summary="Counts of the categories that have the most, or the least, of a metric",
                    example=Example(query={**DATES, "sort_by_metric": "unique_opens", "limit": 10}),
                )(self.sums),
                tag="statistics",
            ),
            resource(
                "/v3/mailbox_providers",
                counts(
                    "/stats",
                    summary="Counts by the provider of the recipients' mailboxes",
                    description=f"{ABOUT} The providers: {', '.join(PROVIDERS)}.",
                    example=Example(query={**DATES, "mailbox_providers": "google.com"}),
                )(self.providers),
                tag="statistics",
            ),
        )

    async def all(
        self,
        request: ApiRequest,
        start_date: StartDate,
        end_date: EndDate = None,
        aggregated_by: By = "day",
        limit: Limit = None,
        offset: Offset = 0,
    ) -> Response[list[Period]]:
        as_csv = may_have_csv(request)
        wanted = _page(await self._periods(request, start_date, end_date, aggregated_by), limit, offset)
        found = {one.start: metrics(one.metrics) for one in await self._count(request, wanted)}
        if as_csv:
            return csv_file(("date", *METRICS), ((day, *one.row) for day, one in wanted.each(found, NONE)))
        return Response([Period(day, [Segment(one)]) for day, one in wanted.each(found, NONE)])

    async def summary(self, request: ApiRequest, start_date: StartDate, end_date: EndDate = None) -> Response[Summary]:
        as_csv = may_have_csv(request)
        wanted = await self._periods(request, start_date, end_date, None)
        found = await self._count(request, wanted)
        one = metrics(found[0].metrics) if found else NONE
        if as_csv:
            return csv_file(("start_date", "end_date", *METRICS), [(wanted.dates[0], wanted.last, *one.row)])
        return Response(Summary(wanted.dates[0], wanted.last, one))

    async def categories_as_list(
        self,
        request: ApiRequest,
        start_date: StartDate,
        categories: Categories,
        end_date: EndDate = None,
        aggregated_by: By = "day",
    ) -> Response[CategoryPeriods]:
        as_csv = may_have_csv(request)
        wanted = await self._periods(request, start_date, end_date, aggregated_by)
        rows = await self._of_categories(request, wanted, categories)
        if as_csv:
            return _csv("category", rows)
        return Response(CategoryPeriods([CategoryPeriod(*row) for row in rows]))

    async def categories(
        self,
        request: ApiRequest,
        start_date: StartDate,
        categories: Categories,
        end_date: EndDate = None,
        aggregated_by: By = "day",
    ) -> Response[list[Period]]:
        as_csv = may_have_csv(request)
        wanted = await self._periods(request, start_date, end_date, aggregated_by)
        rows = await self._of_categories(request, wanted, categories)
        return _csv("category", rows) if as_csv else Response(_by_period(wanted, "category", rows))

    async def sums(
        self,
        request: ApiRequest,
        start_date: StartDate,
        end_date: EndDate = None,
        sort_by_metric: SortBy = "delivered",
        sort_by_direction: Annotated[Literal["asc", "desc"], QueryParameter(description="Of the metric")] = "desc",
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_SUMS)] = USUAL_SUMS,
        offset: Offset = 0,
    ) -> Response[Period]:
        as_csv = may_have_csv(request)
        fault = _metric_fault(sort_by_metric)
        wanted = await self._periods(request, start_date, end_date, None, [fault] if fault else ())
        question = Statistics(
            tenant_id=request.auth.tenant_id,
            kind=Kind.CATEGORY,
            starts=wanted.starts,
            end=wanted.end,
            sort_by=sort_by_metric if sort_by_metric in COUNTED else "processed",
            descending=sort_by_direction == "desc",
            limit=limit,
            offset=offset,
        )
        found = [(one.name, metrics(one.metrics)) for one in await self._counting.counts(question)]
        if as_csv:
            return csv_file(("category", *METRICS), ((name, *one.row) for name, one in found))
        return Response(Period(wanted.dates[0], [Segment(one, name, "category") for name, one in found]))

    async def providers(
        self,
        request: ApiRequest,
        start_date: StartDate,
        mailbox_providers: Annotated[list[str] | None, QueryParameter(max_items=MOST_NAMES)] = None,
        end_date: EndDate = None,
        aggregated_by: By = "day",
        limit: Limit = None,
        offset: Offset = 0,
    ) -> Response[list[Period]]:
        as_csv = may_have_csv(request)
        names = tuple(dict.fromkeys(mailbox_providers or ()))
        faults = [
            Fault(f"A provider is one of {', '.join(PROVIDERS)}", f"mailbox_providers[{index}]", help_texts.PROVIDERS)
            for index, name in enumerate(names)
            if name not in PROVIDERS
        ]
        whole = await self._periods(request, start_date, end_date, aggregated_by, faults)
        wanted = _page(whole, limit, offset)
        rows = _rows(wanted, await self._count(request, wanted, Kind.PROVIDER, names), names)
        return _csv("mailbox_provider", rows) if as_csv else Response(_by_period(wanted, "mailbox_provider", rows))

    async def names(
        self,
        request: ApiRequest,
        category: Annotated[str, QueryParameter(description="What its name begins with", max_length=255)] = "",
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_CATEGORIES)] = USUAL_CATEGORIES,
        offset: Offset = 0,
    ) -> Response[list[Category]]:
        as_csv = may_have_csv(request)
        wanted = Names(tenant_id=request.auth.tenant_id, prefix=category, limit=limit, offset=offset)
        found = await self._counting.categories(wanted)
        if as_csv:
            return csv_file(("category",), ((name,) for name in found))
        return Response([Category(name) for name in found])

    async def _periods(
        self,
        request: ApiRequest,
        start_date: str,
        end_date: str | None,
        by: AggregatedBy | None,
        faults: Sequence[Fault] = (),
    ) -> Periods:
        """The periods that are asked for; without ``by`` the range is one. Raises Invalid, also for these faults."""
        zone = await self._counting.zone(request.auth.tenant_id)
        return asked_periods(start_date, end_date, by, zone, faults)

    async def _of_categories(self, request: ApiRequest, wanted: Periods, categories: Sequence[str]) -> Iterable[Row]:
        names = tuple(dict.fromkeys(categories))
        return _rows(wanted, await self._count(request, wanted, Kind.CATEGORY, names), names)

    async def _count(
        self, request: ApiRequest, wanted: Periods, kind: Kind = Kind.ALL, names: tuple[str, ...] = ()
    ) -> list[Count]:
        return await self._counting.counts(
            Statistics(tenant_id=request.auth.tenant_id, kind=kind, starts=wanted.starts, end=wanted.end, names=names)
        )


def _page(wanted: Periods, limit: int | None, offset: int) -> Periods:
    """Some of the periods."""
    return wanted.part(offset, offset + limit if limit is not None else len(wanted.starts))


def _rows(wanted: Periods, found: Iterable[Count], names: Sequence[str]) -> Iterator[Row]:
    """A row for each name in each period. Without ``names``: for those that were found, in alphabetical order."""
    by_name: defaultdict[str, dict[int, Metrics]] = defaultdict(dict)
    for one in found:
        by_name[one.name][one.start] = metrics(one.metrics)
    names = names or sorted(by_name)
    for period in zip(*(wanted.each(by_name[name], NONE) for name in names), strict=True):
        for name, (day, one) in zip(names, period, strict=True):
            yield day, name, one


def _by_period(wanted: Periods, type: SegmentType, rows: Iterable[Row]) -> list[Period]:
    """Each period with all names."""
    found = {day: Period(day, []) for day in wanted.dates}
    for day, name, one in rows:
        found[day].stats.append(Segment(one, name, type))
    return list(found.values())


def _csv(type: SegmentType, rows: Iterable[Row]) -> Response[Any]:
    return csv_file(("date", type, *METRICS), ((day, name, *one.row) for day, name, one in rows))
