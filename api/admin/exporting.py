"""/api/admin/tenants/{tenant}/export/{what}: what a tenant has, page by page, for ``postray export``.

Pages follow each other by keys that do not move: a client that was interrupted goes on where it was. No page has keys,
secrets or anything of another tenant.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter
from msgspec import Struct
from msgspec.structs import asdict

from analytics.feed import MOST, START, FedEvent, FeedFilter, FeedPage, parsed
from analytics.rows import COLUMNS as EVENT_COLUMNS
from analytics.rows import columns
from api.admin.naming import NameFinder
from api.admin.tenant_settings import in_force, shown_settings
from api.http import dates, help_texts
from api.http.errors import answers
from api.http.examples import TENANT, Example
from api.http.refusals import Fault, Invalid, NotFound
from api.messages.versions import Versions
from api.messages.views import detail
from api.webhooks.parts import WebhookParts
from api.webhooks.views import shown
from cluster.ids import first_id
from cluster.journal.journal import Journal
from cluster.journal.suppressions import EntryPlace
from cluster.journal.templates import GENERATIONS
from cluster.times import iso

PAGE = 500
MESSAGES = 200
PAGE_BYTES = 8 * 1024 * 1024
"""Of a page of messages or templates, which its last row may exceed."""
NOT_OF_MESSAGES = ("events", "events_incomplete", "content_withheld")
"""Fields of a message that are not exported with it: events are exported by themselves, and nothing is withheld."""
EVENT_TIMES = ("at", "next_attempt_at")
OF_DOMAINS = (
    *("id", "domain", "subdomain", "return_path", "is_default", "include_subdomains", "uses_cnames"),
    *("created_at", "verified_at", "checked_at", "wrong_since"),
)
OF_KEYS = ("algorithm", "selector", "state", "public_key")

Row = dict[str, Any]


class ExportedPage(Struct, frozen=True):
    """Rows, and ``after`` of the next page; None after the last."""

    rows: list[Row]
    next: str | None


class Span(Struct, frozen=True):
    """The time to export: from ``since`` until before ``until``; None: no end."""

    since: datetime | None
    until: datetime | None


ReadPage = Callable[[str, str, Span], Awaitable[ExportedPage]]
"""Reads the page of a tenant after a position; "" is the beginning. Raises ValueError for what is no position."""


class Exporting:
    """The route of this module."""

    def __init__(self, journal: Journal, names: NameFinder, webhooks: WebhookParts) -> None:
        """``webhooks`` calls the recorder."""
        self._journal = journal
        self._names = names
        self._webhooks = webhooks
        self._versions = Versions(journal)
        self._pages: Mapping[str, ReadPage] = {
            "messages": self._messages,
            "events": self._events,
            "suppressions": self._suppressions,
            "groups": self._groups,
            "templates": self._templates,
            "domains": self._domains,
            "webhooks": self._endpoints,
            "settings": self._settings,
        }

    def handlers(self) -> list[HTTPRouteHandler]:
        return [
            get(
                "/tenants/{tenant:str}/export/{what:str}",
                responses=answers(400, 401, 404, 503),
                summary="A page of what a tenant has: messages, events, suppressions, groups or templates",
                example=Example(path={"tenant": TENANT, "what": "messages"}),
            )(self.page)
        ]

    async def page(
        self,
        tenant: FromPath[str],
        what: FromPath[str],
        after: Annotated[str, QueryParameter(max_length=1000, description="next of the last page")] = "",
        since: Annotated[datetime | None, QueryParameter(description="Of messages and events: the first time")] = None,
        until: Annotated[datetime | None, QueryParameter(description="The time that they are before")] = None,
    ) -> ExportedPage:
        read = self._pages.get(what)
        if read is None:
            raise NotFound(f"There is no export of {what[:40]!r}", help=help_texts.EXPORTS)
        tenant_id = await self._names.tenant_of_path(tenant)
        span = Span(since and dates.zoned(since), until and dates.zoned(until))
        try:
            return await read(tenant_id, after, span)
        except (ValueError, msgspec.DecodeError):
            raise Invalid([Fault("This is no position of this export", "after", help_texts.EXPORT_POSITION)]) from None

    async def _messages(self, tenant_id: str, after: str, span: Span) -> ExportedPage:
        first = first_id("msg_", span.since) if span.since else ""
        before = first_id("msg_", span.until) if span.until else "~"
        ids = await self._journal.messages.ids_after(tenant_id, max(after, first), before, MESSAGES)
        rows: list[Row] = []
        size = 0
        for id in ids:
            found = await self._journal.messages.find(tenant_id, id)
            if found is None:
                continue  # it was erased just now
            shown = msgspec.to_builtins(detail(found, None, template=await self._versions.of(found)))
            rows.append(_without(shown, NOT_OF_MESSAGES))
            size += len(found.content) + len(found.personalization)
            if size > PAGE_BYTES and id != ids[-1]:
                return ExportedPage(rows, id)
        return ExportedPage(rows, ids[-1] if len(ids) == MESSAGES else None)

    async def _events(self, tenant_id: str, after: str, span: Span) -> ExportedPage:
        parsed(after)
        wanted = FeedFilter(
            tenant_id=tenant_id,
            first_ms=_milliseconds(span.since) if span.since else None,
            last_ms=_milliseconds(span.until) - 1 if span.until else None,
        )
        page: FeedPage = await self._webhooks.ask("recorder", "feed", wanted, after or START, MOST)
        return ExportedPage([_event(one) for one in page.events], page.position if page.is_full else None)

    async def _suppressions(self, tenant_id: str, after: str, span: Span) -> ExportedPage:
        place = msgspec.json.decode(after, type=EntryPlace) if after else EntryPlace()
        found = await self._journal.suppressions.all_after(tenant_id, place, PAGE)
        rows = [
            {"list": one.place.list, "group_id": one.place.group_id or None, **_without(asdict(one), ("place",))}
            for one in found
        ]
        return ExportedPage(rows, msgspec.json.encode(found[-1].place).decode() if len(found) == PAGE else None)

    async def _groups(self, tenant_id: str, after: str, span: Span) -> ExportedPage:
        return ExportedPage([asdict(one) for one in await self._journal.suppression_groups.all(tenant_id)], None)

    async def _templates(self, tenant_id: str, after: str, span: Span) -> ExportedPage:
        """A row for each version, and one for each template without versions."""
        rows: list[Row] = []
        size = 0
        found = await self._journal.templates.page(tenant_id, GENERATIONS, PAGE, after=after)
        for template, _ in found:
            of_template = {"template_id": template.id, "template": template.name, "generation": template.generation}
            records = await self._journal.templates.versions([template.id])
            for record in records:
                version = await self._journal.templates.version(tenant_id, template.id, record.id)
                if version is not None:
                    texts = msgspec.to_builtins(version.fields.texts)
                    own = {**msgspec.to_builtins(record), "test_data": version.fields.test_data, "texts": texts}
                    rows.append({**of_template, **own})
                    size += len(str(texts))
            if not records:
                rows.append(of_template)
            if size > PAGE_BYTES and template.id != found[-1][0].id:
                return ExportedPage(rows, template.id)
        return ExportedPage(rows, found[-1][0].id if len(found) == PAGE else None)

    async def _domains(self, tenant_id: str, after: str, span: Span) -> ExportedPage:
        """Of the keys only what is published."""
        rows: list[Row] = []
        for domain in await self._journal.sender_domains.of_tenant(tenant_id):
            keys = [{name: str(getattr(key, name)) for name in OF_KEYS} for key in domain.keys]
            rows.append({**{name: getattr(domain, name) for name in OF_DOMAINS}, "keys": keys})
        return ExportedPage(rows, None)

    async def _endpoints(self, tenant_id: str, after: str, span: Span) -> ExportedPage:
        found = await self._journal.webhooks.of_tenant(tenant_id)
        standings = await self._journal.webhooks.standings([one.id for one in found])
        return ExportedPage([msgspec.to_builtins(shown(one, standings[one.id])) for one in found], None)

    async def _settings(self, tenant_id: str, after: str, span: Span) -> ExportedPage:
        """One row."""
        tenant = await self._journal.tenants.find(tenant_id)
        record = await self._journal.tenants.record(tenant_id)
        limits = await self._journal.tenants.given_limits(tenant_id)
        if tenant is None or record is None or limits is None:
            return ExportedPage([], None)  # it was deleted just now
        own = {"id": record.id, "name": record.name, "created_at": record.created_at}
        given = {
            "settings": msgspec.to_builtins(shown_settings(tenant.settings)),
            "limits": msgspec.to_builtins(in_force(limits)),
        }
        return ExportedPage([{**own, "suspended_at": record.suspended_at, **given}], None)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _event(fed: FedEvent) -> Row:
    """An event with the columns and values of the table ``events``."""
    values = columns([fed.event], [(0, fed.sequence)])
    row: Row = {name: value for name, (value,) in zip(EVENT_COLUMNS, values, strict=True)}
    times = {name: iso(row[name]) for name in EVENT_TIMES if row[name] is not None}
    return _without({**row, **times}, ("tenant_id", "log_tx"))


def _without(row: Row, names: Collection[str]) -> Row:
    return {name: value for name, value in row.items() if name not in names}
