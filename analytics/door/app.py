"""ClickHouse's HTTP interface, as an ASGI application: ``/ping``, and queries at ``/``.

An answer begins once a megabyte of it is there, or all of it. So the errors of most queries come with their status and
code; a later one is told at the end of what was sent, and the connection ends without the answer's proper end.
"""

import asyncio
import logging
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from analytics.door import blocks
from analytics.door.failures import ErrorCode, QueryFailed, failed, timed_out
from analytics.door.jobs import Job, RunningQuery, Totals
from analytics.door.logins import Login, Logins
from analytics.door.parsing import MOST_BYTES
from analytics.door.queries import Queries
from analytics.door.requests import Parameters, SqlRequest, credentials, is_on, parameters, request_of
from cluster.settings import AnalyticsSettings

log = logging.getLogger(__name__)

HEALTH = frozenset({b"/ping"})
FIRST_BYTES = 1024 * 1024
"""Of an answer, collected before its head is sent."""

_KINDS = {
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "CSVWithNamesAndTypes": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
}
_BINARY = ("Arrow", "Avro", "BSON", "MsgPack", "Native", "ORC", "Parquet", "RawBLOB", "RowBinary")

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]


class _Gone(Exception):
    """The client has closed its connection."""


class AnswerCutOff(Exception):
    """An answer that had begun cannot be completed; the server ends the connection."""


class SqlApp:
    """Serves queries."""

    def __init__(self, settings: AnalyticsSettings, queries: Queries, logins: Logins) -> None:
        self._settings = settings
        self._queries = queries
        self._logins = logins

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        query_id = str(uuid.uuid4())
        begun = in_blocks = False

        async def sending(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            given = parameters(scope["query_string"])
            in_blocks = is_on(given, "compress")
            await self._answer(scope, given, receive, sending, query_id)
        except QueryFailed as error:
            self._queries.refused += 1
            if begun:
                raise AnswerCutOff(error.text) from error
            headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
            if error.code == ErrorCode.AUTHENTICATION_FAILED and b"authorization" not in dict(scope["headers"]):
                headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
            body = f"{error.text}\n".encode(errors="replace")
            # As ClickHouse, and as its drivers expect: only to those who may not in, errors are said in plain text.
            await _send(send, error.status, blocks.packed(body) if in_blocks and error.status != 403 else body, headers)
        except _Gone:
            self._queries.refused += 1

    async def _answer(self, scope: Any, given: Parameters, receive: Receive, send: Send, query_id: str) -> None:
        path, method = scope["path"], scope["method"]
        if path == "/ping" and method in ("GET", "HEAD"):
            await _send_text(send, 200, "Ok.\n", {})
            return
        if path != "/":
            await _send_text(send, 404, f"There is no {path[:100]} here: queries go to /\n", {})
            return
        if method not in ("GET", "HEAD", "POST"):
            await _send_text(send, 405, "Queries come by GET or POST\n", {"Allow": "GET, HEAD, POST"})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        who = credentials(given, headers)
        if who is None and not scope["query_string"] and method != "POST":
            await _send_text(send, 200, "Ok.\n", {})
            return
        user, password = who or ("", "")
        login = await self._logins.login(user, password, scope["client"][0] if scope["client"] else "")
        request = request_of(given, headers, await _body(receive))
        if not request.query.strip():
            await _send_text(send, 200, "Ok.\n", {})
            return
        await self._query(request, login, query_id, receive, send)

    async def _query(self, request: SqlRequest, login: Login, query_id: str, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            async with self._queries.run(request, login, query_id) as (job, running):
                await _Answering(running, login, job, query_id, gone, send, in_blocks=request.in_blocks).run(
                    self._settings.max_query_s
                )
        finally:
            gone.cancel()


class _Answering:
    """Sends the answer of one query."""

    def __init__(
        self,
        running: RunningQuery,
        login: Login,
        job: Job,
        query_id: str,
        gone: "asyncio.Future[None]",
        send: Send,
        *,
        in_blocks: bool,
    ) -> None:
        self._running = running
        self._login = login
        self._job = job
        self._query_id = query_id
        self._gone = gone
        self._send = send
        self._in_blocks = in_blocks
        self._tag = secrets.token_hex(8)

    async def run(self, most_s: float) -> None:
        """``most_s``: the limit of time that a cancellation means. Raises QueryFailed before the answer begins,
        AnswerCutOff after it, _Gone when the client is."""
        first, is_whole = await self._first()
        await self._send({"type": "http.response.start", "status": 200, "headers": self._head(is_whole)})
        await self._send({"type": "http.response.body", "body": first, "more_body": not is_whole})
        if is_whole:
            return
        try:
            while data := await self._read():
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except QueryFailed as error:
            await self._tell(error)
            raise AnswerCutOff(error.text) from error
        except asyncio.CancelledError:
            await self._tell(timed_out(most_s))
            raise
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _first(self) -> tuple[bytes, bool]:
        parts, size = [], 0
        while data := await self._read():
            parts.append(data)
            size += len(data)
            if size >= FIRST_BYTES:
                return b"".join(parts), False
        return b"".join(parts), True

    async def _read(self) -> bytes:
        reading = asyncio.ensure_future(self._running.read())
        await asyncio.wait((reading, self._gone), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            return self._packed(reading.result())
        reading.cancel()
        raise _Gone

    def _packed(self, data: bytes) -> bytes:
        return blocks.packed(data) if data and self._in_blocks else data

    def _head(self, is_whole: bool) -> list[tuple[bytes, bytes]]:
        format = self._job.format
        headers = {
            "Content-Type": _kind(format),
            "X-ClickHouse-Query-Id": self._query_id,
            "X-ClickHouse-Format": format,
            "X-ClickHouse-Timezone": self._job.settings["session_timezone"],
            "X-ClickHouse-Server-Display-Name": "postray",
            "X-ClickHouse-Summary": _summary(self._running.totals if is_whole else None, self._login),
            "X-ClickHouse-Exception-Tag": self._tag,
            "Cache-Control": "no-store",
        }
        if self._job.compression:
            headers["Content-Encoding"] = self._job.compression
        return _encoded(headers)

    async def _tell(self, error: QueryFailed) -> None:
        """As ClickHouse ends an answer that fails. One with a Content-Encoding only breaks off."""
        if not self._job.compression:
            text, tag = error.text, self._tag
            block = f"\r\n__exception__\r\n{tag}\r\n{text}\n{len(text.encode()) + 1} {tag}\r\n__exception__\r\n"
            await self._send({"type": "http.response.body", "body": self._packed(block.encode()), "more_body": True})


def _kind(format: str) -> str:
    if format in _KINDS:
        return _KINDS[format]
    return "application/octet-stream" if format.startswith(_BINARY) else "text/plain; charset=UTF-8"


def _summary(totals: Totals | None, login: Login) -> str:
    """The value of X-ClickHouse-Summary. A tenant is not told how many rows were read: they may be others'."""
    read = totals is not None and not login.is_tenant
    values = {
        "read_rows": totals.read_rows if totals and read else 0,
        "read_bytes": totals.read_bytes if totals and read else 0,
        "written_rows": 0,
        "written_bytes": 0,
        "total_rows_to_read": 0,
        "result_rows": totals.result_rows if totals else 0,
        "result_bytes": 0,
        "elapsed_ns": totals.elapsed_ns if totals else 0,
    }
    return msgspec.json.encode({name: str(value) for name, value in values.items()}).decode()


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        size += len(message.get("body", b""))
        if size > MOST_BYTES:
            raise failed(ErrorCode.QUERY_IS_TOO_LARGE, f"A query has at most {MOST_BYTES} bytes")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_text(send: Send, status: int, text: str, headers: Mapping[str, str]) -> None:
    await _send(send, status, text.encode(errors="replace"), headers)


async def _send(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    head = _encoded({"Content-Type": "text/plain; charset=UTF-8", **{k: v for k, v in headers.items() if v}})
    head.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]


async def _lifespan(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})
