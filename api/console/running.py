"""What runs beside mail: webhooks with their posts, sources and their warm-up, and what is stored."""

from collections.abc import Sequence

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from api.admin.routes import Admin
from api.admin.webhooks import Status, TenantsEndpoint
from api.console.commands import Commands
from api.console.pages import Pages, query
from api.console.requests import ConsoleRequest, form
from api.console.tables import Button, Cell, Facts, Field, Table, Tone, size
from api.console.words import moment, number
from api.http.refusals import Fault, Invalid
from cluster.routing.views import SourceState

PAGE_SIZE = 100
ANY = "any"
STATUSES: Sequence[Status] = ("active", "failing", "disabled", "paused", "off")
_TONES: dict[str, Tone] = {"active": "green", "failing": "red", "disabled": "red", "paused": "amber"}
SWITCHES = ("enable", "disable", "pause", "resume")


class RunningPages:
    """The routes of this module."""

    def __init__(self, pages: Pages, commands: Commands, admin: Admin) -> None:
        self._pages = pages
        self._commands = commands
        self._admin = admin

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            get("/webhooks")(self.webhooks),
            get("/webhook")(self.webhook),
            post("/webhook/switch")(self.switch),
            get("/sources")(self.sources),
            get("/storage")(self.storage),
        ]

    async def webhooks(self, request: ConsoleRequest) -> Response[str]:
        asked = request.query_params
        tenant, status = asked.get("tenant", "").strip(), asked.get("status", "")
        wanted = next((one for one in STATUSES if one == status), None)
        found = await self._admin.webhooks.listing(
            tenant=tenant or None, status=wanted, limit=PAGE_SIZE, after=asked.get("after", "")
        )
        table = Table(
            title="Endpoints",
            columns=("Endpoint", "State", "Waiting", "Posted", "Dropped", "Last answer"),
            rows=[
                (
                    Cell(one.name or one.url, query("/webhook", id=one.id)),
                    Cell(one.status, tone=_TONES.get(one.status, "")),
                    Cell(number(one.waiting)),
                    Cell(number(one.posted)),
                    Cell(number(one.dropped)),
                    Cell(_answer_of(one)),
                )
                for one in found.webhooks
            ],
            none="No such endpoint on this page.",
            more=query("/webhooks", tenant=tenant, status=status, after=found.next) if found.next else "",
        )
        fields = [
            Field(name="tenant", label="Tenant", value=tenant),
            Field(name="status", label="State", value=status or ANY, choices=(ANY, *STATUSES)),
        ]
        return self._pages.lists(request, "Webhooks", fields=fields, tables=[table])

    async def webhook(self, request: ConsoleRequest) -> Response[str]:
        one = await self._admin.webhooks.show(request.query_params.get("id", ""))
        facts: list[tuple[str, Cell]] = [
            ("Id", Cell(one.id)),
            ("Tenant", Cell(one.tenant_id, query("/tenant", id=one.tenant_id))),
            ("Host", Cell(one.url)),
            ("State", Cell(f"{one.status} {one.disabled_reason}".strip(), tone=_TONES.get(one.status, ""))),
            ("Waiting", Cell(number(one.waiting))),
            ("Oldest of it", Cell(moment(one.oldest_waiting_since) or "none")),
            ("Taken a second", Cell(number(one.rate))),
            ("Failed in a row", Cell(number(one.failures))),
            ("Next post", Cell(moment(one.next_post_at) or "as events come")),
            ("Dropped", Cell(number(one.dropped))),
        ]
        names = ["disable" if one.enabled else "enable", "resume" if one.paused else "pause"]
        buttons = [
            Button(
                name=name.capitalize(),
                path="/webhook/switch",
                fields={"id": one.id, "to": name},
                is_grave=name in ("disable", "pause"),
            )
            for name in names
        ]
        table = Table(
            title="The last posts",
            columns=("At", "Attempt", "Events", "Answer", "Took"),
            rows=[
                (
                    Cell(moment(post.at)),
                    Cell(number(post.attempt)),
                    Cell(number(post.events)),
                    Cell(str(post.status) if post.status else post.error),
                    Cell(f"{number(post.duration_ms)} ms"),
                )
                for post in one.attempts or ()
            ],
            none="No post is known." if one.attempts is not None else "The event store does not answer now.",
        )
        return self._pages.lists(
            request,
            f"Webhook {one.name or one.url}",
            facts=[Facts("The endpoint", facts)],
            buttons=buttons,
            tables=[table],
        )

    async def switch(self, request: ConsoleRequest) -> Redirect:
        fields = await form(request)
        id, to = fields.get("id", ""), fields.get("to", "")
        webhooks = self._admin.webhooks
        switches = dict(
            zip(SWITCHES, (webhooks.enable, webhooks.disable, webhooks.pause, webhooks.resume), strict=True)
        )
        if to not in switches:
            raise Invalid([Fault("Not one of the buttons", "to")])

        async def work() -> str:
            return f"The endpoint is {(await switches[to](id)).status}"

        return await self._commands.perform(request, f"{to} webhook", id, work, query("/webhook", id=id))

    async def sources(self, request: ConsoleRequest) -> Response[str]:
        found = (await self._admin.placing.sources()).sources
        tables = [
            Table(
                title="Sources",
                columns=("Source", "Addresses", "HELO", "Pools", "On", "Warm-up"),
                rows=[
                    (
                        Cell(one.name),
                        Cell(", ".join(one.addresses)),
                        Cell(one.helo),
                        Cell(", ".join(f"{share.pool} ({number(share.weight)})" for share in one.pools)),
                        _machines(one),
                        Cell(f"day {one.warm_up_day}" if one.warm_up_day else ""),
                    )
                    for one in found
                ],
                none="No sources are named: the system chooses the address.",
            ),
            Table(
                title="Warm-up today",
                columns=("Source and site", "Granted", "Of"),
                rows=[
                    (
                        Cell(f"{one.name} to {use.site}", query("/site", name=use.site)),
                        Cell(number(use.granted), tone="amber" if use.granted >= use.cap else ""),
                        Cell(number(use.cap)),
                    )
                    for one in found
                    for use in one.warm_up
                ],
                none="No source in warm-up has sent today.",
            ),
        ]
        return self._pages.lists(request, "Sources", tables=tables)

    async def storage(self, request: ConsoleRequest) -> Response[str]:
        view = await self._admin.storage.show()
        now, ahead = view.outlook.current, view.outlook.forecast
        full: Tone = "red" if ahead.full_at is not None else "green"
        facts: list[tuple[str, Cell]] = [
            ("Stored", Cell(size(now.stored_bytes))),
            ("Free", Cell(size(now.free_bytes))),
            ("Added in a day", Cell(size(ahead.bytes_per_day))),
            ("Full", Cell(moment(ahead.full_at) or "not within the forecast", tone=full)),
            ("Bodies are kept", Cell(f"{number(view.retention.bodies_days)} days")),
            ("Messages are kept", Cell(f"{number(view.retention.messages_days)} days")),
            ("Events are kept", Cell(f"{number(view.retention.events_days)} days")),
        ]
        if view.outlook.warning:
            facts.insert(0, ("Warning", Cell(view.outlook.warning, tone="red")))
        tables = [
            Table(
                title="The journal",
                columns=("Table", "Rows, about", "Size", "Indexes"),
                rows=[
                    (Cell(one.name), Cell(number(one.rows)), Cell(size(one.bytes)), Cell(size(one.index_bytes)))
                    for one in view.journal[:PAGE_SIZE]
                ],
            ),
            Table(
                title="ClickHouse",
                columns=("Table and partition", "Rows", "Size", "Goes"),
                rows=[
                    (
                        Cell(f"{one.table} {one.partition}"),
                        Cell(number(one.rows)),
                        Cell(size(one.bytes)),
                        Cell(moment(one.goes_at)),
                    )
                    for one in view.clickhouse[:PAGE_SIZE]
                ],
                none=view.clickhouse_problem or "Nothing.",
            ),
        ]
        return self._pages.lists(request, "Storage", facts=[Facts("The disk", facts)], tables=tables)


def _answer_of(one: TenantsEndpoint) -> str:
    last = one.last_answer
    return "" if last is None else f"{last.status or last.error} at {moment(last.at)}"


def _machines(one: SourceState) -> Cell:
    if one.passed_over:
        waits = f"; mail of {', '.join(one.waiting_pools)} waits" if one.waiting_pools else ""
        return Cell(f"no machine has it{waits}", tone="red" if one.waiting_pools else "amber")
    return Cell(", ".join(one.actors))
