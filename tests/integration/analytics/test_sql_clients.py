"""Programs that read ClickHouse, as they are, through the SQL door."""

import asyncio
import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from analytics.client import ClickHouse
from tests.documents import blocks, lines
from tests.integration.analytics.sql_door import KEY, OURS, PASSWORD, Client, fill, opened

ORDER = "SELECT tenant_id, event, count() AS n FROM events_once GROUP BY tenant_id, event ORDER BY tenant_id, event"


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture
async def door(clickhouse: ClickHouse, tmp_path: Path) -> AsyncIterator[Client]:
    fill(clickhouse)
    async with opened(tmp_path) as client:
        yield client


async def run(*command: str, cwd: Path | None = None) -> str:
    """What a program prints; it must end well."""
    ended = await asyncio.to_thread(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def python(door: Client, text: str) -> str:
    """What a Python program prints. It is a process of its own, in which the driver finds all libraries."""
    host, _, port = door.url.removeprefix("http://").rpartition(":")
    given = f"HOST, PORT, PASSWORD, KEY, QUERY = {host!r}, {port}, {PASSWORD!r}, {KEY!r}, {ORDER!r}\n"
    return await run(sys.executable, "-c", given + text)


@pytest.mark.skipif(shutil.which("curl") is None, reason="not installed: curl")
async def test_curl_as_the_page_has_it(door: Client, tmp_path: Path) -> None:
    (block,) = (block for block in blocks("sh") if block.page == "docs/querying.md" and "curl" in block.text)
    (tmp_path / "postray-data").mkdir()
    (tmp_path / "postray-data" / "sql.password").write_text(PASSWORD)
    (line,) = lines(block)
    said = await run("sh", "-c", f"{line.strip()} -s".replace("http://127.0.0.1:8123", door.url), cwd=tmp_path)
    assert '"rows": 1' in said


async def test_clickhouse_connect(door: Client) -> None:
    said = await python(
        door,
        """
import clickhouse_connect
client = clickhouse_connect.get_client(host=HOST, port=PORT, username="postray", password=PASSWORD, database="postray")
rows = client.query(QUERY).result_rows
print(len(rows), sum(n for *_, n in rows))
named = client.query("SELECT {a:String} AS a, {b:UInt8} AS b", parameters={"a": "x'\\\\y", "b": 3}).named_results()
print(list(named))
with client.query_row_block_stream("SELECT number FROM numbers(300000)") as stream:
    print(sum(len(block) for block in stream))
print(client.command("SELECT count() FROM events_once"), client.ping())
print(len(client.query("SELECT number FROM numbers(9) SETTINGS limit = 5").result_rows))
print(client.raw_query("SELECT 1 AS a", fmt="JSONEachRow"))
set = {"max_block_size": 1000, "max_threads": 4, "max_execution_time": 5, "output_format_json_quote_64bit_integers": 1}
print(client.raw_query("SELECT toUInt64(1) AS a", fmt="JSONEachRow", settings=set))
for name in ("max_partitions_to_read", "output_format_schema"):
    try:
        client.query("SELECT 1", settings={name: 7})
    except clickhouse_connect.driver.exceptions.Error as error:
        print("read-only", name in str(error))
try:
    client.command("DROP TABLE events")
except clickhouse_connect.driver.exceptions.DatabaseError as error:
    print("refused", "ACCESS_DENIED" in str(error))
tenant = clickhouse_connect.get_client(host=HOST, port=PORT, username="apikey", password=KEY)
print({row[0] for row in tenant.query(QUERY).result_rows})
""",
    )
    rows, named, streamed, command, limited, raw, quoted, *fixed, refused, tenant = said.splitlines()
    total = (await door.ask("SELECT count() FROM events_once")).text.strip()
    assert rows.endswith(f" {total}")
    assert named == "[{'a': \"x'\\\\y\", 'b': 3}]"
    assert (streamed, command, limited) == ("300000", f"{total} True", "5")
    assert (quoted, fixed) == ('b\'{"a":"1"}\\n\'', ["read-only True"] * 2)
    assert (raw, refused, tenant) == ("b'{\"a\":1}\\n'", "refused True", f"{{'{OURS}'}}")


@needs("pandas", "pyarrow")
async def test_pandas_and_arrow(door: Client) -> None:
    said = await python(
        door,
        """
import clickhouse_connect
client = clickhouse_connect.get_client(host=HOST, port=PORT, username="postray", password=PASSWORD, database="postray")
frame = client.query_df(QUERY)
print(list(frame.columns), frame["n"].sum())
table = client.query_arrow(QUERY)
print(table.num_rows == len(frame), sum(table.column("n").to_pylist()))
times = client.query_df("SELECT at FROM events_once")
print(times["at"].dt.year.min() > 2000)
""",
    )
    total = (await door.ask("SELECT count() FROM events_once")).text.strip()
    frame, table, times = said.splitlines()
    assert frame == f"['tenant_id', 'event', 'n'] {total}"
    assert table == f"True {total}"
    assert times == "True"


@needs("sqlalchemy")
async def test_sqlalchemy(door: Client) -> None:
    said = await python(
        door,
        """
import sqlalchemy as sa
engine = sa.create_engine(f"clickhousedb://postray:{PASSWORD}@{HOST}:{PORT}/postray")
with engine.connect() as connection:
    print(sum(row.n for row in connection.execute(sa.text(QUERY))))
    inspector = sa.inspect(engine)
    print("events" in inspector.get_table_names(), inspector.has_table("events"), inspector.has_table("none"))
    print([column["name"] for column in inspector.get_columns("events")][:2], inspector.get_schema_names())
    print(inspector.get_view_names())
""",
    )
    total = (await door.ask("SELECT count() FROM events_once")).text.strip()
    counted, found, columns, views = said.splitlines()
    assert (counted, found) == (total, "True True False")
    assert columns.startswith("['event_id', 'at'] ") and "'postray'" in columns
    assert "events_once" in views


async def test_what_the_driver_of_grafana_asks_first(door: Client) -> None:
    """clickhouse-go over HTTP: its own format, compressed as HTTP does, and a limit of time."""
    told = {"default_format": "Native", "client_protocol_version": "54460", "enable_http_compression": "1"}
    answer = await door.ask(
        "SELECT displayName(), version(), revision(), timezone()",
        headers={"Accept-Encoding": "gzip"},
        url={**told, "database": "postray", "max_execution_time": "60"},
    )
    assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")
    assert b"UTC" in gzip.decompress(answer.body)


NODE = """
const { createClient } = require("@clickhouse/client")
async function main() {
  const [url, password, query] = process.argv.slice(2)
  const client = createClient({ url, username: "postray", password, database: "postray",
    compression: { response: true, request: true } })
  const rows = await (await client.query({ query, format: "JSONEachRow" })).json()
  console.log(rows.reduce((sum, row) => sum + Number(row.n), 0))
  const told = await client.query({ query: "SELECT {a: String} AS a", query_params: { a: "x'\\t" }, format: "JSON" })
  console.log(JSON.stringify((await told.json()).data))
  let streamed = 0
  const many = await client.query({ query: "SELECT number FROM numbers(300000)", format: "JSONEachRow" })
  for await (const part of many.stream()) streamed += part.length
  console.log(streamed, (await client.ping()).success)
  try { await client.query({ query: "SELECT nope" }) } catch (error) { console.log(error.code, error.type) }
  await client.close()
}
main()
"""


def node_modules() -> Path | None:
    """Where npm's @clickhouse/client is installed: by .ci/programs, in NODE_PATH, or globally."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return None
    found = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False).stdout.strip()
    named = [place for place in (*os.environ.get("NODE_PATH", "").split(os.pathsep), found) if place]
    places = [Path(sys.prefix) / "node" / "node_modules", *map(Path, named)]
    return next((place for place in places if (place / "@clickhouse" / "client").is_dir()), None)


async def test_the_client_of_node(door: Client, tmp_path: Path) -> None:
    modules = node_modules()
    if modules is None:
        pytest.skip("not installed: npm's @clickhouse/client")
    (tmp_path / "ask.js").write_text(NODE)
    said = await run("env", f"NODE_PATH={modules}", "node", "ask.js", door.url, PASSWORD, ORDER, cwd=tmp_path)
    total = (await door.ask("SELECT count() FROM events_once")).text.strip()
    assert said.splitlines() == [total, '[{"a":"x\'\\t"}]', "300000 true", "47 UNKNOWN_IDENTIFIER"]
