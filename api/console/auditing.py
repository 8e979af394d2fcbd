"""/audit: what operators did, in the console, over HTTP and by commands."""

from collections.abc import Sequence

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from api.console.pages import Pages, query
from api.console.requests import ConsoleRequest
from api.console.sql import COMMANDS as SQL_COMMANDS
from api.console.tables import Cell, Facts, Table
from api.console.words import moment, number
from api.http import help_texts
from api.http.existing import number_id
from api.http.refusals import NotFound
from cluster.journal.operator_audit import DONE, NEWEST, OperatorAudit, OperatorCommand, Way

PAGE_SIZE = 100
COLUMNS = ("At", "Operator", "By", "From", "Command", "To what", "Outcome")
SHOWN = 200
"""Characters of what a command was done to, in the list."""
_WAYS: dict[Way, str] = {"console": "console", "http": "HTTP", "command": "command"}


class AuditPages:
    """The routes of this module."""

    def __init__(self, pages: Pages, audit: OperatorAudit) -> None:
        self._pages = pages
        self._audit = audit

    def handlers(self) -> list[HTTPRouteHandler]:
        return [get("/audit")(self.audit), get("/audited")(self.one)]

    async def audit(self, request: ConsoleRequest) -> Response[str]:
        found = await self._audit.latest(number_id(request.query_params.get("before", "")) or NEWEST, PAGE_SIZE)
        table = Table(
            title="What operators did, newest first",
            columns=COLUMNS,
            rows=[_cells(one, _shortened(one.subject), query("/audited", id=one.id)) for one in found],
            none="Nothing.",
            more=query("/audit", before=found[-1].id) if len(found) == PAGE_SIZE else "",
        )
        return self._pages.lists(request, "Audit", tables=[table])

    async def one(self, request: ConsoleRequest) -> Response[str]:
        id = number_id(request.query_params.get("id", ""))
        one = await self._audit.find(id) if id is not None else None
        if one is None:
            raise NotFound("No such note", help=help_texts.CONSOLE_AUDIT)
        facts = [(name, cell) for name, cell in zip(COLUMNS, _cells(one, one.subject), strict=True) if cell.text]
        if one.command in SQL_COMMANDS:
            facts.append(("Once more", Cell("open in SQL", query("/sql", query=one.subject))))
        return self._pages.lists(request, "What an operator did", facts=[Facts(one.command, facts)])


def _shortened(subject: str) -> str:
    return subject if len(subject) <= SHOWN else f"{subject[:SHOWN]}…"


def _cells(one: OperatorCommand, subject: str, link: str = "") -> Sequence[Cell]:
    return (
        Cell(moment(one.at), link),
        Cell(one.doer.operator),
        Cell(_WAYS[one.doer.way]),
        Cell(one.doer.address),
        Cell(one.command),
        Cell(subject),
        _outcome(one),
    )


def _outcome(one: OperatorCommand) -> Cell:
    said = one.outcome or "not known"
    if one.times > 1:
        said += f", {number(one.times)} times until {moment(one.last_at)}"
    return Cell(said, tone="" if one.outcome == DONE else "amber")
