"""Tenants and what is theirs: keys, sender domains with their DNS records, and suppression lists."""

from collections.abc import Sequence

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from api.admin.routes import Admin
from api.console.commands import Commands
from api.console.pages import Pages, query
from api.console.requests import ConsoleRequest, form
from api.console.tables import Button, Cell, Facts, Field, Table, Tone
from api.console.words import moment, share
from api.domains.views import Domain
from api.suppressions.lists import LISTS
from cluster.journal.suspensions import Suspension
from cluster.journal.tenants import TenantRecord

PAGE_SIZE = 100
_STATES: dict[str, Tone] = {"verified": "green", "pending": "amber", "wrong": "red"}


class OwningPages:
    """The routes of this module."""

    def __init__(self, pages: Pages, commands: Commands, admin: Admin) -> None:
        self._pages = pages
        self._commands = commands
        self._admin = admin

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            get("/tenants")(self.tenants),
            get("/tenant")(self.tenant),
            post("/tenant/suspend")(self.suspend),
            post("/tenant/resume")(self.resume),
            get("/domains")(self.domains),
            get("/domain")(self.domain),
            post("/domain/verify")(self.verify),
            get("/suppressions")(self.suppressions),
        ]

    async def tenants(self, request: ConsoleRequest) -> Response[str]:
        after = request.query_params.get("after", "")
        found = await self._admin.tenants.listing(limit=PAGE_SIZE, after=after)
        suspensions = (await self._admin.suspensions.listing()).suspensions
        table = Table(
            title="Oldest first",
            columns=("Tenant", "State", "Hard bounces", "Complaints", "Created"),
            rows=[
                (
                    Cell(one.name, query("/tenant", id=one.id)),
                    _tenant_state(one, suspensions),
                    Cell(share(one.bounce_rate)),
                    Cell(share(one.complaint_rate)),
                    Cell(moment(one.created_at)),
                )
                for one in found.tenants
            ],
            none="There is no tenant.",
            more=query("/tenants", after=found.next) if found.next else "",
        )
        return self._pages.lists(request, "Tenants", tables=[table])

    async def tenant(self, request: ConsoleRequest) -> Response[str]:
        one = await self._admin.tenants.one(request.query_params.get("id", ""))
        keys = (await self._admin.keys.listing(one.id)).api_keys
        domains = await self._admin.domains.listing(tenant=one.id, limit=PAGE_SIZE)
        standing = (await self._admin.suspensions.listing()).suspensions
        suspensions = [held for held in standing if held.tenant_id == one.id and held.has_end]
        facts: list[tuple[str, Cell]] = [
            ("Id", Cell(one.id)),
            ("State", _tenant_state(one, suspensions)),
            ("Hard bounces", Cell(share(one.bounce_rate))),
            ("Complaints", Cell(share(one.complaint_rate))),
            ("Created", Cell(moment(one.created_at))),
            ("Its messages", Cell("messages", query("/messages", tenant=one.id))),
            ("Its lists", Cell("suppressions", query("/suppressions", tenant=one.id))),
            ("Its endpoints", Cell("webhooks", query("/webhooks", tenant=one.id))),
        ]
        of_it = {"id": one.id}
        button = (
            Button(name="Resume", path="/tenant/resume", fields=of_it)
            if one.suspended_at is not None or suspensions
            else Button(name="Suspend", path="/tenant/suspend", fields=of_it, is_grave=True)
        )
        suspension_table = Table(
            title="Suspensions that end by themselves",
            columns=("Site", "Until", "By", "Reason"),
            rows=[
                (
                    Cell(held.site, query("/site", name=held.site)) if held.site else Cell("every site"),
                    Cell(moment(held.until)),
                    Cell(held.made_by),
                    Cell(held.reason),
                )
                for held in suspensions
            ],
        )
        key_table = Table(
            title="API keys",
            columns=("Key", "Begins with", "Scopes", "Last used", "Expires"),
            rows=[
                (
                    Cell(key.name),
                    Cell(f"{key.prefix}…"),
                    Cell("sandbox: " * key.sandbox + ", ".join(key.scopes)),
                    Cell(moment(key.last_used_at) or "never"),
                    Cell(moment(key.expires_at) or "never"),
                )
                for key in keys
            ],
        )
        return self._pages.lists(
            request,
            f"Tenant {one.name}",
            facts=[Facts("The tenant", facts)],
            buttons=[button],
            tables=[*([suspension_table] if suspensions else []), key_table, _domain_table("Sender domains", domains)],
        )

    async def suspend(self, request: ConsoleRequest) -> Redirect:
        id = (await form(request)).get("id", "")

        async def work() -> str:
            return f"{(await self._admin.tenants.suspend(id)).name} is suspended: its queued mail waits"

        return await self._commands.perform(request, "suspend tenant", id, work, query("/tenant", id=id))

    async def resume(self, request: ConsoleRequest) -> Redirect:
        id = (await form(request)).get("id", "")

        async def work() -> str:
            resumed = await self._admin.tenants.resume(id)
            await self._admin.suspensions.resume(tenant_id=id)
            return f"{resumed.name} is resumed: its queued mail goes on"

        return await self._commands.perform(request, "resume tenant", id, work, query("/tenant", id=id))

    async def domains(self, request: ConsoleRequest) -> Response[str]:
        part = request.query_params.get("domain", "").strip()
        found = await self._admin.domains.listing(domain=part, limit=PAGE_SIZE)
        fields = [Field(name="domain", label="Part of the name", value=part)]
        title = f"The first {PAGE_SIZE}" if len(found) == PAGE_SIZE else "Of all tenants"
        return self._pages.lists(request, "Sender domains", fields=fields, tables=[_domain_table(title, found)])

    async def domain(self, request: ConsoleRequest) -> Response[str]:
        one = await self._admin.domains.show(request.query_params.get("id", ""))
        facts: list[tuple[str, Cell]] = [
            ("State", Cell(one.state, tone=_STATES.get(one.state, ""))),
            ("Tenant", Cell(one.tenant_id, query("/tenant", id=one.tenant_id))),
            ("Return path", Cell(one.return_path)),
            ("Checked", Cell(moment(one.checked_at) or "not yet")),
            ("Wrong since", Cell(moment(one.wrong_since) or "no")),
            ("Verified", Cell(moment(one.verified_at) or "not yet")),
        ]
        table = Table(
            title="DNS records, and what is wrong with them",
            columns=("Host", "Type", "How it stands", "Must be", "Was found"),
            rows=[
                (
                    Cell(record.host),
                    Cell(record.type),
                    _record_state(record.status, record.reason, is_needed=record.needed),
                    Cell(record.data if record.type == "MX" else record.expected or record.data),
                    Cell("\n".join(record.found)),
                )
                for record in one.records
            ],
        )
        look = Button(name="Look the records up now", path="/domain/verify", fields={"id": str(one.id)})
        return self._pages.lists(
            request, f"Domain {one.domain}", facts=[Facts("The domain", facts)], buttons=[look], tables=[table]
        )

    async def verify(self, request: ConsoleRequest) -> Redirect:
        id = (await form(request)).get("id", "")

        async def work() -> str:
            one = await self._admin.domains.verify(id)
            return f"The records of {one.domain} were looked up: it is {one.state}"

        return await self._commands.perform(request, "verify domain", id, work, query("/domain", id=id))

    async def suppressions(self, request: ConsoleRequest) -> Response[str]:
        asked = request.query_params
        named, listed = asked.get("tenant", "").strip(), asked.get("list", "") or "bounces"
        email = asked.get("email", "").strip()
        found = []
        if named:
            found = list(await self._admin.suppressing.listing(named, listed, email=email, limit=PAGE_SIZE))
        fields = [
            Field(name="tenant", label="Tenant", value=named),
            Field(name="list", label="List", value=listed, choices=tuple(LISTS)),
            Field(name="email", label="Part of the address", value=email),
        ]
        table = Table(
            title=f"The newest {PAGE_SIZE}" if len(found) == PAGE_SIZE else "Newest first",
            columns=("Address", "Since", "Reason", "Status"),
            rows=[(Cell(one.email), Cell(moment(one.created_at)), Cell(one.reason), Cell(one.status)) for one in found],
            none="No such address is on the list." if named else "Name a tenant.",
        )
        return self._pages.lists(request, "Suppressions", fields=fields, tables=[table])


def _tenant_state(one: TenantRecord, suspensions: Sequence[Suspension]) -> Cell:
    """``suspensions``: also of others."""
    if one.suspended_at is None:
        of_it = [held for held in suspensions if held.tenant_id == one.id]
        if everywhere := [held for held in of_it if not held.site]:
            return Cell(f"suspended until {moment(everywhere[0].until)}", tone="red")
        return Cell(f"suspended at {len(of_it)} sites", tone="amber") if of_it else Cell("active", tone="green")
    why = f": {one.suspended_for}" if one.suspended_for else ""
    return Cell(f"suspended since {moment(one.suspended_at)}{why}", tone="red")


def _domain_table(title: str, found: list[Domain]) -> Table:
    return Table(
        title=title,
        columns=("Domain", "State", "What is wrong", "Checked"),
        rows=[
            (
                Cell(one.domain, query("/domain", id=one.id)),
                Cell(one.state, tone=_STATES.get(one.state, "")),
                Cell("; ".join(f"{r.host}: {r.reason}" for r in one.records if r.needed and r.reason)),
                Cell(moment(one.checked_at) or "not yet"),
            )
            for one in found
        ],
    )


def _record_state(status: str, reason: str | None, *, is_needed: bool) -> Cell:
    tone: Tone = "green" if status == "valid" else "red" if is_needed and status != "unknown" else "amber"
    return Cell(f"{status}{': ' + reason if reason else ''}{'' if is_needed else ' (optional)'}", tone=tone)
