"""Passes checked queries to the operator's own ClickHouse server, read-only and within the same limits.

The embedded engine, without any data, only parses. The user of ``clickhouse.dsn`` runs the queries.
"""

from collections.abc import Callable

import aiohttp
import msgspec

from analytics.door.failures import ErrorCode, engine_failed, failed
from analytics.door.jobs import READ_BYTES, Job, Totals
from analytics.door.parser_thread import Engine, ParserThread
from analytics.door.parsing import Checked
from cluster.clickhouse_dsn import server_of

CONNECT_TIMEOUT_S = 5
LONGEST_ERROR = 64 * 1024
"""Bytes of the server's error that are read."""
_NOT_SENT = frozenset({"allow_ddl", "output_format_parallel_formatting"})
"""A server's profile may forbid to change them, and read-only queries need neither."""


class OwnServer:
    """Call from one event loop."""

    def __init__(self, dsn: str, connect: Callable[[], Engine], *, require_ready: Callable[[], object]) -> None:
        """``connect`` opens an embedded engine without data. ``require_ready`` raises ClickHouseUnavailable until the
        server has the tables. Raises ValueError for an invalid DSN."""
        target = server_of(dsn)
        host = f"[{target['host']}]" if ":" in target["host"] else target["host"]
        self._url = f"{'https' if target['secure'] else 'http'}://{host}:{target['port']}/"
        self._headers = {"X-ClickHouse-User": target["username"], "X-ClickHouse-Key": target["password"]}
        self._database: str = target["database"]
        self._connect = connect
        self._parser = ParserThread(self._for_parser, self._database, require_ready=require_ready)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the session of connections to the server."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, auto_decompress=False)

    async def check(self, text: str, *, is_tenant: bool) -> Checked:
        """Check a query's text. Raises QueryFailed."""
        return await self._parser.check(text, is_tenant=is_tenant)

    async def start(self, job: Job) -> "ServerAnswer":
        """Begin to run a query. Raises QueryFailed."""
        assert self._session is not None
        settings = {name: value for name, value in job.settings.items() if name not in _NOT_SENT}
        parameters = {
            **{f"param_{name}": value for name, value in job.parameters.items()},
            **settings,
            "database": job.database,
            "default_format": job.format,
            "readonly": "1",
            "cancel_http_readonly_queries_on_client_close": "1",
            "enable_http_compression": str(int(bool(job.compression))),
        }
        headers = {**self._headers, "Accept-Encoding": job.compression or "identity"}
        try:
            answer = await self._session.post(
                self._url, params=parameters, data=job.query.text.encode(), headers=headers
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise failed(ErrorCode.NETWORK_ERROR, f"ClickHouse does not answer: {type(error).__name__}") from None
        if answer.status != 200:
            try:
                text = (await answer.content.read(LONGEST_ERROR)).decode(errors="replace")
            except aiohttp.ClientError:
                text = ""
            answer.close()
            raise engine_failed(text or f"Code: 1001. DB::Exception: the server answered {answer.status}")
        return ServerAnswer(answer)

    def hold(self) -> bool:
        """False: queries run on the server."""
        return False

    async def close(self) -> None:
        """End."""
        if self._session is not None:
            await self._session.close()
        await self._parser.close()

    def _for_parser(self) -> Engine:
        connection = self._connect()
        connection.query(f"CREATE DATABASE IF NOT EXISTS `{self._database}`")
        connection.query("SET readonly = 1")
        return connection


class ServerAnswer:
    """An answer of the server."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self._is_whole = False

    async def read(self) -> bytes:
        """The next bytes of the answer; none when it is complete. Raises QueryFailed."""
        try:
            data = await self._answer.content.read(READ_BYTES)
        except (aiohttp.ClientError, OSError) as error:
            raise failed(ErrorCode.NETWORK_ERROR, f"ClickHouse broke its answer off: {type(error).__name__}") from None
        self._is_whole = not data
        return data

    @property
    def totals(self) -> Totals | None:
        """What the server says of the query, once its answer is complete."""
        if not self._is_whole:
            return None
        try:
            said = msgspec.json.decode(self._answer.headers.get("X-ClickHouse-Summary", "{}"), type=dict[str, str])
            return Totals(
                read_rows=int(said.get("read_rows", 0)),
                read_bytes=int(said.get("read_bytes", 0)),
                result_rows=int(said.get("result_rows", 0)),
                elapsed_ns=int(said.get("elapsed_ns", 0)),
            )
        except (msgspec.DecodeError, ValueError):
            return None

    async def close(self) -> None:
        """End the connection, and with it the query if it still runs."""
        self._answer.close()
