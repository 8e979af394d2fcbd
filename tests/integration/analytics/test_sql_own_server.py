"""The SQL door in front of a server of the operator's: what the server is asked, and how its answers come back."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from aiohttp import web

from analytics.door.failures import QueryFailed
from analytics.door.filters import of_tenant
from analytics.door.jobs import Job
from analytics.door.proxied import OwnServer
from analytics.engine import connect


class Server:
    """Notes what it is asked, and answers as ClickHouse would."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, str], str]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.asked.append((dict(request.query), dict(request.headers), text))
        if "events" not in text:
            return web.Response(status=404, text="Code: 47. DB::Exception: Unknown expression. (UNKNOWN_IDENTIFIER)\n")
        summary = '{"read_rows":"7","read_bytes":"8","result_rows":"1","elapsed_ns":"9"}'
        return web.Response(text="rows\n", headers={"X-ClickHouse-Summary": summary})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_post("/", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"clickhouse://ada:s3cret@{host}:{port}/mail"
    yield server
    await runner.cleanup()


async def test_a_checked_query_goes_to_the_server_read_only_and_filtered(server: Server) -> None:
    door = OwnServer(server.url, partial(connect, None), require_ready=lambda: None)
    await door.open()
    try:
        for text in ("SELECT file('/etc/passwd')", "SELECT * FROM other", "SELECT * FROM postray.events"):
            with pytest.raises(QueryFailed):
                await door.check(text, is_tenant=True)
        checked = await door.check("select count() /* x */ from mail.events", is_tenant=True)
        job = Job(
            query=checked,
            format="CSV",
            settings={"max_execution_time": "5", **of_tenant("mail", "tnt_1")},
            parameters={"a": "1"},
            database="mail",
        )
        running = await door.start(job)
        assert (await running.read(), await running.read()) == (b"rows\n", b"")
        assert running.totals is not None and running.totals.read_rows == 7
        await running.close()
        ((given, headers, text),) = server.asked
        assert text == "SELECT count() FROM mail.events"
        assert given["readonly"] == "1" and given["database"] == "mail" and given["param_a"] == "1"
        assert given["additional_table_filters"].startswith("{'mail.events': 'tenant_id = \\'tnt_1\\''")
        assert headers["X-ClickHouse-User"] == "ada"
        other = await door.check("SELECT nope", is_tenant=False)
        with pytest.raises(QueryFailed) as failed:
            await door.start(Job(query=other, format="CSV", settings={}, parameters={}, database="mail"))
        assert (failed.value.code, failed.value.status) == (47, 404)
    finally:
        await door.close()


async def test_a_server_that_is_away_is_a_503() -> None:
    door = OwnServer("clickhouse://127.0.0.1:1", partial(connect, None), require_ready=lambda: None)
    await door.open()
    try:
        checked = await door.check("SELECT 1", is_tenant=False)
        with pytest.raises(QueryFailed) as failed:
            await door.start(Job(query=checked, format="CSV", settings={}, parameters={}, database="postray"))
        assert failed.value.status == 503
    finally:
        await door.close()
