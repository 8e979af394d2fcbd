"""Runs queries within the door's limits: for ``app``, whose clients speak ClickHouse's HTTP interface, and for
postray's own console."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from analytics.door import allowed
from analytics.door.asked import FORMATS, HEAD_LINES, WRITTEN, SqlAnswer, SqlWanted
from analytics.door.failures import ErrorCode, QueryFailed, failed, timed_out
from analytics.door.filters import of_tenant
from analytics.door.jobs import COMPRESSIONS, Backend, Job, RunningQuery
from analytics.door.logins import Login
from analytics.door.parsing import DEFAULT_FORMAT, Checked, settings_of
from analytics.door.requests import SqlRequest
from analytics.door.turns import QueryTurns
from cluster.metrics import Counter, Gauge
from cluster.settings import AnalyticsSettings

log = logging.getLogger(__name__)

ANSWER_GRACE_S = 5.0
"""How much longer than the engine's own limit the door waits."""
END_GRACE_S = 1.0
"""How long an answer waits for the end of its query."""
ZONE = "UTC"
"""Time zone of times without one; the tables' columns have it too."""
_OPERATOR = Login("")


class Queries:
    """Call from one event loop."""

    answered = Counter("postray_sql_queries_total", "Queries through the SQL door that were answered in full.")
    refused = Counter("postray_sql_refused_total", "Queries through the SQL door that were refused, or failed.")
    overrunning = Gauge(
        "postray_sql_overrunning",
        "Queries through the SQL door that have been ended, and compute on.",
        lambda queries: len(queries._ending),
    )
    running = Gauge(
        "postray_sql_running_queries",
        "Queries through the SQL door that run now.",
        lambda queries: queries._turns.running,
    )

    def __init__(self, settings: AnalyticsSettings, backend: Backend, database: str) -> None:
        self._settings = settings
        self._backend = backend
        self._database = database
        self._turns = QueryTurns(settings.max_queries, settings.max_waiting)
        self._ending: set[asyncio.Future[None]] = set()

    def hold(self) -> bool:
        """Let the queries that run wait for a moment. Returns whether they wait already."""
        return bool(self._turns.running) and self._backend.hold()

    @asynccontextmanager
    async def run(
        self,
        request: SqlRequest,
        login: Login,
        query_id: str,
        *,
        own_format: str = "",
        own_settings: Mapping[str, str] | None = None,
    ) -> AsyncIterator[tuple[Job, RunningQuery]]:
        """A query that has begun. Its answer is read within the context, which lasts no longer than the limit of time.
        ``own_format``, ``own_settings``: in place of those that the query names. Raises QueryFailed."""
        if request.database not in ("", "default", self._database):
            raise failed(
                ErrorCode.UNKNOWN_DATABASE, f"Database {request.database[:100]} cannot be used: it is {self._database}"
            )
        checked = await self._backend.check(request.query, is_tenant=login.is_tenant)
        format = own_format or checked.format or request.format or DEFAULT_FORMAT
        if format not in allowed.FORMATS:
            raise failed(ErrorCode.UNKNOWN_FORMAT, f"Format {format[:100]} is not available here")
        encoding = next((name for name in request.accepted if name in COMPRESSIONS), "")
        job = Job(
            query=checked,
            format=format,
            settings={**self._all_settings(checked, request, login), **(own_settings or {})},
            parameters=request.parameters,
            database=self._database,
            compression=encoding,
        )
        try:
            async with asyncio.timeout(self._settings.max_query_s + ANSWER_GRACE_S), AsyncExitStack() as turn:
                await turn.enter_async_context(self._turns.turn(login.tenant_id))
                running = await self._backend.start(job)
                try:
                    yield job, running
                finally:
                    await self._end(running, turn.pop_all(), query_id, login)
        except TimeoutError:
            raise timed_out(self._settings.max_query_s) from None
        self.answered += 1

    async def answer(self, wanted: SqlWanted) -> SqlAnswer:
        """What an operator asks in the console. The query ends as soon as enough of its answer has been read. Raises
        QueryFailed."""
        request = SqlRequest(
            query=wanted.query, parameters={}, settings={}, database="", format="", accepted=(), in_blocks=False
        )
        began, data, lines = time.monotonic(), bytearray(), 0
        most_lines = HEAD_LINES + wanted.most_rows if wanted.shape == "rows" else None
        is_whole, totals = False, None
        own_format, own_settings = FORMATS[wanted.shape], WRITTEN[wanted.shape]
        try:
            async with self.run(
                request, _OPERATOR, str(uuid.uuid4()), own_format=own_format, own_settings=own_settings
            ) as (_, running):
                while len(data) <= wanted.most_bytes and (most_lines is None or lines <= most_lines):
                    part = await running.read()
                    if not part:
                        is_whole, totals = True, running.totals
                        break
                    data += part
                    lines += part.count(b"\n")
        except QueryFailed:
            self.refused += 1
            raise
        if not is_whole:
            # A file that ends anywhere is of no use.
            whole = bytes(data[: wanted.most_bytes]).split(b"\n")[:-1][:most_lines] if wanted.shape == "rows" else []
            data = bytearray(b"".join(line + b"\n" for line in whole))
        return SqlAnswer(
            data=bytes(data),
            is_whole=is_whole,
            took_s=time.monotonic() - began,
            read_rows=totals.read_rows if totals is not None else 0,
        )

    async def _end(self, running: RunningQuery, turn: AsyncExitStack, query_id: str, login: Login) -> None:
        """End a query. The engine looks at its limits and at orders to end only between two calls of functions. So what
        a function does with a very long value is not broken off: the client is answered without it, and the query keeps
        its turn until it ends."""
        ending = asyncio.ensure_future(_ended(running, turn))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        await asyncio.wait((ending,), timeout=END_GRACE_S)
        if not ending.done():
            log.warning("a query computes on after its end query_id=%s tenant=%s", query_id, login.tenant_id)

    def _all_settings(self, checked: Checked, request: SqlRequest, login: Login) -> dict[str, str]:
        caps = {
            "max_execution_time": max(1, int(self._settings.max_query_s)),
            "max_memory_usage": self._settings.max_memory_mb * 1024**2,
            "max_result_rows": self._settings.max_result_rows,
        }
        asked = settings_of(checked, request.settings, caps)
        settings = {
            **{name: str(most) for name, most in caps.items()},
            "session_timezone": ZONE,
            **asked,
            "max_threads": "1",
            "output_format_parallel_formatting": "0",
            "max_bytes_before_external_group_by": str(caps["max_memory_usage"] // 2),
            "max_bytes_before_external_sort": str(caps["max_memory_usage"] // 2),
            "max_temporary_data_on_disk_size_for_query": str(self._settings.max_spill_mb * 1024**2),
            "timeout_overflow_mode": "throw",
            "allow_ddl": "0",
            "allow_introspection_functions": "0",
        }
        if login.is_tenant:
            settings |= of_tenant(self._database, login.tenant_id)
        return settings


async def _ended(running: RunningQuery, turn: AsyncExitStack) -> None:
    async with turn:
        await running.close()
