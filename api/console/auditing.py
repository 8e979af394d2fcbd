"""/audit: what operators did, in the console, over HTTP and by commands."""

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from api.console.pages import Pages, query
from api.console.requests import ConsoleRequest
from api.console.sql import COMMANDS as SQL_COMMANDS
from api.console.tables import Cell, Facts, Table
from api.console.words import moment, number
from api.http import help_texts
from api.http.refusals import NotFound
from cluster.journal.operator_audit import DONE, NEWEST, OperatorAudit, OperatorCommand, Way

PAGE_SIZE = 100
SHOWN = 200
"""Characters of what a command was done to, in the list."""
_WAYS: dict[Way, str] = {"console": "the console", "http": "HTTP", "command": "a command"}


class AuditPages:
    """The routes of this module."""

    def __init__(self, pages: Pages, audit: OperatorAudit) -> None:
        self._pages = pages
        self._audit = audit

    def handlers(self) -> list[HTTPRouteHandler]:
        return [get("/audit")(self.audit), get("/audited")(self.one)]

    async def audit(self, request: ConsoleRequest) -> Response[str]:
        found = await self._audit.latest(_number(request.query_params.get("before", "")) or NEWEST, PAGE_SIZE)
        table = Table(
            title="What operators did, newest first",
            columns=("At", "Operator", "By", "From", "Command", "To what", "Outcome"),
            rows=[
                (
                    Cell(moment(one.at), query("/audited", id=one.id)),
                    Cell(one.doer.operator),
                    Cell(_WAYS[one.doer.way]),
                    Cell(one.doer.address),
                    Cell(one.command),
                    Cell(one.subject if len(one.subject) <= SHOWN else f"{one.subject[:SHOWN]}…"),
                    _outcome(one),
                )
                for one in found
            ],
            none="Nothing.",
            more=query("/audit", before=found[-1].id) if len(found) == PAGE_SIZE else "",
        )
        return self._pages.lists(request, "Audit", tables=[table])

    async def one(self, request: ConsoleRequest) -> Response[str]:
        id = _number(request.query_params.get("id", ""))
        one = await self._audit.find(id) if id is not None else None
        if one is None:
            raise NotFound("No such note", help=help_texts.CONSOLE_AUDIT)
        facts = [
            ("At", Cell(moment(one.at))),
            ("Operator", Cell(one.doer.operator)),
            ("By", Cell(_WAYS[one.doer.way])),
            ("From", Cell(one.doer.address)),
            ("Command", Cell(one.command)),
            ("To what", Cell(one.subject)),
            ("Outcome", _outcome(one)),
        ]
        if one.command in SQL_COMMANDS:
            facts.append(("Once more", Cell("open in SQL", query("/sql", query=one.subject))))
        return self._pages.lists(request, "What an operator did", facts=[Facts(one.command, facts)])


def _outcome(one: OperatorCommand) -> Cell:
    said = one.outcome or "not known"
    if one.times > 1:
        said += f", {number(one.times)} times until {moment(one.last_at)}"
    return Cell(said, tone="" if one.outcome == DONE else "amber")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
