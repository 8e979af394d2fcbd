"""/sql: an operator asks the events, read-only, through the SQL door. The answer is a table with charts, or a file."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from markupsafe import escape
from msgspec import Struct

from analytics.charts.scale import lasting
from analytics.door.asked import SqlAnswer, SqlWanted
from analytics.door.failures import QueryFailed
from analytics.timeline import RECORDER
from api.console.commands import Commands
from api.console.failing import failure
from api.console.marking import marked
from api.console.pages import Pages
from api.console.requests import ConsoleRequest, form, typed
from api.console.result import NotRead, Result, charts_of, result_of, table_of
from api.console.words import number
from api.http.refusals import Fault, Forbidden, Invalid, Refusal
from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Rejected, Unavailable
from cluster.peers import Call, PeerGone, call_within

log = logging.getLogger(__name__)

MOST_ROWS = 5000
"""Of an answer that charts are drawn of; the table has fewer."""
MOST_BYTES = 4 * 1024**2
MOST_CSV_BYTES = 16 * 1024**2
GRACE_S = 15.0
"""Longer than a query may take, and the door itself waits."""
LONGEST_REASON = 2000
TRY_LATER = 503
COMMANDS = ("run SQL", "download SQL")
"""As they are noted: for a page, and for a file."""

AskSql = Callable[[SqlWanted], Awaitable[SqlAnswer]]


class Sample(Struct, frozen=True):
    """A query to begin with."""

    name: str
    query: str


SAMPLES: Sequence[Sample] = (
    Sample(
        "What became of mail, by the hour",
        "SELECT toStartOfHour(at) AS hour, event, count() AS events\nFROM events_once\n"
        "WHERE at >= now() - INTERVAL 1 DAY\nGROUP BY hour, event\nORDER BY hour, event",
    ),
    Sample(
        "Why mail was not taken",
        "SELECT bounce_class, bounce_type, count() AS events, any(smtp_response) AS example\nFROM events_once\n"
        "WHERE event IN ('deferred', 'bounce', 'blocked') AND at >= now() - INTERVAL 1 DAY\n"
        "GROUP BY bounce_class, bounce_type\nORDER BY events DESC",
    ),
    Sample("Tables", "SELECT name, engine FROM system.tables WHERE database = currentDatabase()"),
    Sample(
        "Columns of events_once",
        "SELECT name, type, comment FROM system.columns\nWHERE database = currentDatabase() AND table = 'events_once'",
    ),
)


def asking(call: Call, most_s: float) -> AskSql:
    """Asks the recorder. ``most_s``: what a query may take at most, with its answer."""

    async def ask(wanted: SqlWanted) -> SqlAnswer:
        """Raises QueryFailed, Overloaded."""
        try:
            answer: SqlAnswer = await call_within(most_s + GRACE_S, call, RECORDER, "sql", wanted)
        except (PeerGone, AttributeError) as gone:  # a recorder of an earlier release does not know the method
            log.warning("no SQL reason=%r", str(gone))
            raise Overloaded("The recorder, which answers SQL, cannot be reached now; try again later") from gone
        return answer

    return ask


async def no_sql(_: SqlWanted) -> SqlAnswer:
    """Where there is no recorder."""
    raise Overloaded("There is nothing here that answers SQL")


class SqlPages:
    """The routes of this module."""

    def __init__(self, pages: Pages, commands: Commands, ask: AskSql) -> None:
        self._pages = pages
        self._commands = commands
        self._ask = ask

    def handlers(self) -> list[HTTPRouteHandler]:
        return [get("/sql")(self.show), post("/sql", status_code=200)(self.run)]

    async def show(self, request: ConsoleRequest) -> Response[str]:
        """The page with a query that a link has. It runs when the operator sends it."""
        return self._page(request, request.query_params.get("query", ""))

    async def run(self, request: ConsoleRequest) -> Response[Any]:
        try:
            fields = await form(request)
        except Forbidden as error:  # of an earlier login: what was typed stays
            return self._failed(request, (await typed(request)).get("query", ""), error)
        text = fields.get("query", "").replace("\r\n", "\n")
        is_file = fields.get("as") == "csv"
        try:
            if not text.strip():
                raise Invalid([Fault("Write a query", "query")])
            if "\0" in text:
                raise Invalid([Fault("A query has no NUL characters", "query")])
            async with self._commands.noted(request, request.auth.operator, COMMANDS[is_file], text, most=None):
                answer = await self._answer(text, is_file=is_file)
                result: Result | bytes = await asyncio.to_thread(marked, answer.data) if is_file else _read(answer)
        except (Refusal, Overloaded, Unavailable, Rejected) as error:
            return self._failed(request, text, error)
        if isinstance(result, bytes):
            name = f"postray-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
            headers = {"content-disposition": f'attachment; filename="{name}"'}
            return Response(result, media_type="text/csv", headers=headers)
        return self._page(
            request,
            text,
            took=_took(answer),
            table=table_of(result, is_whole=answer.is_whole),
            charts=charts_of(result),
            cut=len(result.rows) if not answer.is_whole else 0,
        )

    async def _answer(self, text: str, *, is_file: bool) -> SqlAnswer:
        """Raises Invalid for what the query does wrong, and Overloaded."""
        wanted = (
            SqlWanted(query=text, shape="csv", most_bytes=MOST_CSV_BYTES)
            if is_file
            else SqlWanted(query=text, shape="rows", most_bytes=MOST_BYTES, most_rows=MOST_ROWS)
        )
        try:
            answer = await self._ask(wanted)
        except QueryFailed as error:
            if error.status == TRY_LATER:
                raise Overloaded(_plainly(error)) from error
            raise Invalid([Fault(_plainly(error))]) from error
        if is_file and not answer.is_whole:
            raise Invalid(
                [
                    Fault(
                        f"The file would be longer than {MOST_CSV_BYTES // 1024**2} MiB: ask for less, or use "
                        "postray sql --format csv, which has no such limit"
                    )
                ]
            )
        return answer

    def _failed(self, request: ConsoleRequest, text: str, error: Exception) -> Response[str]:
        status, faults = failure(request, error)
        return self._page(request, text, status=status, faults=faults)

    def _page(self, request: ConsoleRequest, text: str, *, status: int = 200, **values: Any) -> Response[str]:
        # What an operator has typed goes back as it was: only a query that came by a link is shown with what it hides.
        shown = escape(text) if request.method == "POST" else text
        given = {"took": "", "table": None, "charts": None, "cut": 0, "faults": (), **values}
        return self._pages.page(
            request, "sql", session=request.auth, status=status, typed=shown, samples=SAMPLES, **given
        )


def _read(answer: SqlAnswer) -> Result:
    """Raises Invalid."""
    try:
        return result_of(answer.data)
    except NotRead as error:
        said = f"ClickHouse broke its answer off, or it is no table: {str(error)[:LONGEST_REASON]}"
        raise Invalid([Fault(said)]) from error


def _took(answer: SqlAnswer) -> str:
    said = f"Took {lasting(answer.took_s)}"
    return f"{said}, {number(answer.read_rows)} rows were read" if answer.read_rows else said


def _plainly(error: QueryFailed) -> str:
    """What ClickHouse says, without its number in front."""
    return error.text.partition("DB::Exception: ")[2][:LONGEST_REASON] or error.text[:LONGEST_REASON]
