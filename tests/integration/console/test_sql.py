"""SQL in the console, through the real door over the real engine."""

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from analytics.client import ClickHouse
from analytics.door.asked import SqlAnswer, SqlWanted
from cluster.journal.operator_audit import NEWEST
from tests.browser import needs_chromium
from tests.integration.analytics.sql_door import fill
from tests.integration.console.conftest import Console, csrf
from tests.integration.console.looking import WIDTHS, look
from tests.integration.operating.conftest import Postray
from tests.integration.operating.conftest import asked as asked

EVIL = "<script>alert(1)</script>"


@pytest.fixture
async def sql(asked: Postray, console: Console, clickhouse: ClickHouse) -> AsyncIterator[Console]:
    """An operator who is logged in, with events to ask for."""
    fill(clickhouse)
    yield console


async def run(console: Console, query: str, status: int = 200, **more: str) -> str:
    answer = await console.send("/sql", "/sql", query=query, **more)
    assert answer.status_code == status, answer.text
    return answer.text


def typed(page: str) -> str:
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert found is not None
    return found[1]


async def last(console: Console) -> tuple[str, str, str]:
    (noted,) = await console.postray.journal.operator_audit.latest(NEWEST, 1)
    return noted.command, noted.subject, noted.outcome


async def test_a_query_is_answered_with_a_table_and_noted(sql: Console) -> None:
    query = "SELECT event, count() AS recipients\r\nFROM events_once GROUP BY event ORDER BY recipients DESC"
    page = await run(sql, query)
    assert "delivered" in page and "rows were read" in page and 'class="chart horizontal"' in page
    assert typed(page) == query.replace("\r\n", "\n")
    assert await last(sql) == ("run SQL", query.replace("\r\n", "\n"), "done")


async def test_times_make_curves(sql: Console) -> None:
    page = await run(sql, "SELECT now() + number * 60 AS at, number / 10 AS part FROM numbers(30)")
    assert 'class="chart over-time"' in page and "0.5" in page
    page = await run(sql, "SELECT now() + number % 2 AS at, number AS n FROM numbers(3)")
    assert "a time is in several rows" in page and "over-time" not in page
    page = await run(sql, "SELECT 'a' AS name, 'b' AS other FROM numbers(3)")
    assert 'class="chart' not in page


async def test_a_long_answer_is_cut_and_says_so(sql: Console) -> None:
    page = await run(sql, "SELECT number FROM numbers(1000000)")
    assert "ended after 5,000 rows" in page and "The first 200 rows" in page and ">199<" in page and ">200<" not in page
    page = await run(sql, "SELECT repeat('x', 100000) AS long FROM numbers(3)")
    assert "x" * 300 + "…" in page and "x" * 301 not in page and len(page) < 100_000
    page = await run(sql, "SELECT repeat(repeat('x', 100000), 90) AS long FROM numbers(3)")
    assert "too long to be shown" in page
    page = await run(sql, f"SELECT {', '.join(f'{n} AS c{n}' for n in range(100))}")
    assert "30 of 100 columns" in page and "c29" in page and "c30" not in page.partition("</textarea>")[2]
    assert "The result has no rows" in await run(sql, "SELECT 1 WHERE 0")


async def test_what_is_in_a_result_is_text(sql: Console) -> None:
    page = await run(
        sql, f"SELECT '{EVIL}' AS `{EVIL}`, 1 AS n, unhex('ff1b') AS bytes UNION ALL SELECT '', 2, '\u202e'"
    )
    assert EVIL not in page and "&lt;script&gt;" in page and "\x1b" not in page
    assert "\\u202e" in page.partition("</textarea>")[2]
    page = await run(sql, "SELECT NULL AS a, 'ᴺᵁᴸᴸ' AS b")
    assert ">NULL<" in page and ">ᴺᵁᴸᴸ<" in page


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT 1 +", "Syntax error"),
        ("SELECT nope FROM events_once", "nope"),
        ("DROP TABLE events", "the login is read-only"),
        ("INSERT INTO events SELECT * FROM events", "the login is read-only"),
        ("SELECT * FROM file('/etc/passwd')", "cannot be used here"),
        ("SELECT sleep(3)", "cannot be used here"),
        ("SELECT 1 SETTINGS max_threads_for_indexes = 1", "cannot be changed here"),
        ("SELECT intDiv(1, 0)", "Division by zero"),
        ("", "Write a query"),
        ("SELECT '\0'", "NUL"),
    ],
)
async def test_what_a_query_does_wrong_is_said_and_nothing_of_it_is_lost(sql: Console, query: str, says: str) -> None:
    page = await run(sql, query, 400)
    assert says in page and "Code:" not in page and "Internal" not in page
    assert html.unescape(typed(page)) == query
    if query and "\0" not in query:
        command, subject, outcome = await last(sql)
        assert (command, subject) == ("run SQL", query) and outcome.startswith("refused: ")


async def test_a_long_query_is_noted_whole_and_one_beyond_a_form_is_refused(sql: Console) -> None:
    text = f"SELECT 1 -- {'x' * 20_000}"
    await run(sql, text)
    assert (await last(sql))[1] == text
    assert (await sql.send("/sql", "/sql", query="x" * 70_000)).status_code == 413


async def test_a_file_has_all_rows_or_there_is_none(sql: Console) -> None:
    query = "SELECT number AS n, 'a' AS t FROM numbers(20000)"
    answer = await sql.send("/sql", "/sql", query=query, **{"as": "csv"})
    lines = answer.text.splitlines()
    assert answer.status_code == 200 and len(lines) == 20_001
    assert (lines[0], lines[-1]) == ('"n","t"', '19999,"a"')
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await last(sql))[0] == "download SQL"
    page = await run(sql, "SELECT repeat('x', 1000) FROM numbers(100000)", 400, **{"as": "csv"})
    assert "longer than 16 MiB" in page and "numbers(100000)" in typed(page)


async def test_texts_of_a_file_are_no_formulas(sql: Console) -> None:
    query = "SELECT '=HYPERLINK(1)' AS t, -5 AS n, 'a,' AS u SETTINGS output_format_csv_crlf_end_of_line = 1"
    answer = await sql.send("/sql", "/sql", query=query, **{"as": "csv"})
    assert answer.text == '"t","n","u"\r\n"\'=HYPERLINK(1)",-5,"a,"\r\n'


@pytest.mark.parametrize(
    "settings", ["date_time_output_format = 'unix_timestamp'", "output_format_pretty_grid_charset = 'ASCII'"]
)
async def test_a_page_has_times_and_null_as_ever_whatever_a_query_sets(sql: Console, settings: str) -> None:
    query = "SELECT toDateTime('2026-04-23 10:00:00') + number * 60 AS at, nullIf(number, 1) AS n FROM numbers(3)"
    page = await run(sql, f"{query} SETTINGS {settings}")
    assert "2026-04-23 10:02:00" in page and ">NULL<" in page and 'class="chart over-time"' in page
    assert "2026-04-23 10:02:00" in await run(sql, query, 200, **{"as": "csv"})
    file = await run(sql, f"{query} SETTINGS date_time_output_format = 'unix_timestamp'", 200, **{"as": "csv"})
    assert "2026" not in file


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT 'a' AS a, toFloat64('5e-324') AS n FROM numbers(2)", "4.94066e-324"),
        ("SELECT 'a' AS a, 1.7976931348623157e308 AS n FROM numbers(2)", "horizontal"),
        (
            "SELECT toDate('2026-04-20') + number AS day, count() AS n FROM numbers(3) GROUP BY day WITH TOTALS",
            "over-time",
        ),
    ],
)
async def test_what_the_door_allows_is_shown(sql: Console, query: str, says: str) -> None:
    page = await run(sql, query)
    shown = page.partition("</textarea>")[2]
    assert says in shown and 'class="chart' in shown
    assert "1970" not in shown.partition('class="chart')[2].partition("<table")[0]


async def test_an_answer_that_is_broken_off_is_told(sql: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b'["a"]\n["String"]\n["x"]\nCode: 395. DB::Exception: <went> wrong\n'
    told = SqlAnswer(data=data, is_whole=True, took_s=0.1)

    class Door:
        async def answer(self, _: SqlWanted) -> SqlAnswer:
            return told

    monkeypatch.setattr(sql.postray, "door", Door())
    page = await run(sql, "SELECT 1", 400)
    assert "broke its answer off" in page and "&lt;went&gt; wrong" in page and typed(page) == "SELECT 1"
    assert (await last(sql))[2].startswith("refused: ")


async def test_a_link_fills_in_a_query_and_does_not_run_it(sql: Console) -> None:
    page = (await sql.http.get("/sql", params={"query": f"SELECT '{EVIL}\u202e'"})).text
    assert EVIL not in page and "\\u202e" in typed(page) and "<table" not in page
    assert (await last(sql))[0] == "log in"


async def test_a_form_of_an_earlier_login_is_refused_and_keeps_what_was_typed(sql: Console) -> None:
    earlier = csrf(await sql.http.get("/sql"))
    await sql.login()
    answer = await sql.http.post("/sql", data={"csrf": earlier, "query": "SELECT 42"})
    assert answer.status_code == 403 and typed(answer.text) == "SELECT 42" and "earlier login" in answer.text
    foreign = await sql.http.post(
        "/sql", data={"csrf": earlier, "query": "SELECT 42"}, headers={"sec-fetch-site": "cross-site"}
    )
    assert foreign.status_code == 403 and "SELECT 42" not in foreign.text
    assert (await last(sql))[0] == "log in"


async def test_only_operators_may(visitor: Console) -> None:
    assert (await visitor.http.get("/sql")).headers["location"].startswith("/login")
    assert (await visitor.http.post("/sql", data={"query": "SELECT 1"})).headers["location"] == "/login"


async def test_without_a_recorder_it_says_so(console: Console) -> None:
    page = await run(console, "SELECT 1", 503)
    assert "cannot be reached now" in page and typed(page) == "SELECT 1"


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS)
async def test_it_is_read_at_every_width(sql: Console, tmp_path: Path, width: int) -> None:
    query = quote("SELECT event, count() AS recipients FROM events_once GROUP BY event")
    (text,) = await look(sql, tmp_path, width, {"sql": f"/sql?query={query}"}, presses={"sql": "Run"})
    assert "read-only" in text and "rows were read" in text
