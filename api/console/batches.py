"""/batches: the batches of a tenant, and how one stands."""

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect
from markupsafe import Markup

from analytics.charts.horizontal import Part, Row, horizontal_bars
from analytics.charts.series import Series, Tone
from analytics.charts.svg import legend
from api.batches import BatchCalls, BatchStatus, Estimate
from api.console.acting import acting_for
from api.console.commands import Commands
from api.console.pages import Pages, query
from api.console.requests import ConsoleRequest, form
from api.console.tables import Cell, Table
from api.console.tenants import Tenants
from api.console.words import moment, number
from api.http.existing import BATCH, existing
from cluster.journal.journal import Journal
from cluster.routing.views import BatchEstimate, SiteOutlook

PAGE_SIZE = 50
_TONES = {
    "queued": Tone.AMBER,
    "processing": Tone.BLUE,
    "sent": Tone.VIOLET,
    "delivered": Tone.GREEN,
    "bounced": Tone.RED,
    "failed": Tone.RED,
    "cancelled": Tone.GREY,
    "sandbox": Tone.GREY,
}


class BatchPages:
    """The routes of this module."""

    def __init__(
        self, pages: Pages, commands: Commands, tenants: Tenants, journal: Journal, estimate: Estimate
    ) -> None:
        self._pages = pages
        self._commands = commands
        self._tenants = tenants
        self._journal = journal
        self._batches = BatchCalls(journal, estimate)

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            get("/batches")(self.listing),
            get("/batch")(self.one),
            post("/batch/cancel")(self.cancel),
        ]

    async def listing(self, request: ConsoleRequest) -> Response[str]:
        given = {name: request.query_params.get(name, "").strip() for name in ("tenant", "before")}
        chosen = await self._tenants.chosen(given["tenant"])
        found = await self._journal.batches.latest(chosen.id, given["before"], PAGE_SIZE) if chosen.id else []
        following = query("/batches", tenant=chosen.id, before=found[-1][0]) if len(found) == PAGE_SIZE else ""
        return self._pages.page(
            request, "batches", session=request.auth, given=given, chosen=chosen, found=found, following=following
        )

    async def one(self, request: ConsoleRequest) -> Response[str]:
        id = request.query_params.get("id", "").strip()
        tenant_id = await self._tenant_of(id)
        status = await self._batches.show(acting_for(tenant_id), id)
        return self._pages.page(
            request,
            "batch",
            session=request.auth,
            batch=status,
            counts=[(name, getattr(status.status_counts, name)) for name in _TONES],
            tenant_id=tenant_id,
            tenant_name=await self._tenants.name_of(tenant_id),
            bar=bar(status),
            done=done_at(status.estimate),
            sites=sites_table(status.estimate),
            legend=legend([Series(name=name, tone=tone, values=()) for name, tone in _TONES.items()]),
        )

    async def cancel(self, request: ConsoleRequest) -> Redirect:
        id = (await form(request)).get("id", "")

        async def work() -> str:
            cancelled = await self._batches.cancel(acting_for(await self._tenant_of(id)), id)
            return f"Cancelled {number(cancelled.cancelled)} messages; what was being sent goes on"

        return await self._commands.perform(request, "cancel batch", id, work, query("/batch", id=id))

    async def _tenant_of(self, id: str) -> str:
        return await existing(BATCH, id, self._journal.batches.tenant_of)


def bar(batch: BatchStatus) -> Markup:
    """How the messages of a batch stand, in one bar."""
    parts = [Part(tone, getattr(batch.status_counts, name)) for name, tone in _TONES.items()]
    return horizontal_bars("Messages by status", [Row(name="messages", parts=parts, said=number(batch.total_messages))])


def done_at(estimate: BatchEstimate | None) -> str:
    """When a batch will be done, in words; "" where nothing can be said."""
    if estimate is None:
        return ""
    earliest, latest = moment(estimate.earliest_at), moment(estimate.latest_at)
    if earliest and latest:
        said = f"Done at {earliest}" if earliest == latest else f"Done between {earliest} and {latest}"
    elif earliest:
        said = f"Done at {earliest} at the earliest; when at the latest cannot be told"
    else:
        said = "When all of it is done cannot be told"
    if estimate.not_estimated:
        said += f"; of the mail of {number(estimate.not_estimated)} recipients nothing can be said"
    return f"{said}; estimated from a part of the queue" if estimate.from_sample else said


def sites_table(estimate: BatchEstimate | None) -> Table | None:
    """What decides at each site, the last to be done first."""
    if estimate is None:
        return None
    return Table(
        title="What decides, by site",
        columns=("Site", "Recipients", "What decides", "Earliest", "Latest"),
        rows=[
            (
                Cell(_place(one), query("/site", name=one.site)),
                Cell(number(one.recipients)),
                Cell(one.said),
                Cell(moment(one.earliest_at) or "not known"),
                Cell(moment(one.latest_at) or "not known"),
            )
            for one in estimate.sites
        ],
        none="Nothing can be said of its sites.",
    )


def _place(one: SiteOutlook) -> str:
    return f"{one.site} from {one.source}" if one.source else one.site
