"""``postray sql``: a query, one from standard input, and the prompt of a terminal."""

import asyncio
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fcntl import ioctl
from pathlib import Path

from click.testing import CliRunner

from analytics.client import ClickHouse
from cluster.cli import main
from tests.integration.analytics.sql_door import opened
from tests.integration.operating.conftest import Postray, at

COLUMNS = 60


class Terminal:
    """A process whose standard input and output are a terminal of 60 columns."""

    def __init__(self, postray: Postray, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, COLUMNS, 0, 0))
        command = [sys.executable, "-c", "from cluster.cli import main; main()", "--config", str(postray.config), "sql"]
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self._process = subprocess.Popen(
            [*command, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**environment, "TERM": "dumb"},
        )
        os.close(theirs)
        self.shown = ""

    async def until(self, text: str) -> str:
        """What is shown up to this text, since the last call."""
        async with self._in_time(60):
            while text not in self.shown:
                self.shown += await asyncio.to_thread(self._read)
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    async def interrupt_until(self, text: str) -> None:
        """As Ctrl-C does where the terminal is the session's, again each second until this text is shown: Python does
        not see a signal that comes between the prompt and its waiting for a key before the next one."""
        done = asyncio.create_task(self.until(text))
        while not done.done():
            self._process.send_signal(signal.SIGINT)
            await asyncio.wait([done], timeout=1.0)
        await done

    async def ended(self) -> tuple[int, str]:
        """The exit code, and what is shown until the end."""
        async with self._in_time(60):
            while data := await asyncio.to_thread(self._read):
                self.shown += data
            code = await asyncio.to_thread(self._process.wait)
        os.close(self._ours)
        return code, self.shown.replace("\r\n", "\n")

    @asynccontextmanager
    async def _in_time(self, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError, after the end of the process: the thread that reads waits for that."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            self._process.kill()
            raise TimeoutError(f"the terminal shows {self.shown!r}") from error

    def _read(self) -> str:
        try:
            return os.read(self._ours, 65536).decode(errors="replace")
        except OSError:  # Linux: no process has the terminal open any more
            return ""


async def test_a_query_in_each_format(asked: Postray, clickhouse: ClickHouse, tmp_path: Path) -> None:
    query = "SELECT number AS n, 'a,\"b' AS text FROM numbers(2)"
    assert (await asked.run("sql", query)).output == '"n","text"\n0,"a,""b"\n1,"a,""b"\n'
    rows = (await asked.run("sql", "--format", "json", query)).output.splitlines()
    assert [json.loads(row) for row in rows] == [{"n": 0, "text": 'a,"b'}, {"n": 1, "text": 'a,"b'}]
    table = (await asked.run("sql", "--format", "table", query)).output
    assert "┌─n─┬─text─┐" in table and '│ 1 │ a,"b │' in table
    assert 'text: a,"b\n' in (await asked.run("sql", "--format", "vertical", query)).output
    parquet = (await asked.run("sql", "--format", "parquet", query)).stdout_bytes
    (tmp_path / "rows.parquet").write_bytes(parquet)
    read = "SELECT sum(n), any(text) FROM file({path:String}, Parquet)"
    assert clickhouse.rows(read, path=str(tmp_path / "rows.parquet")) == [(1, 'a,"b')]
    assert (await asked.run("sql", "SELECT 1 AS a FORMAT TSKV")).output == "a=1\n"


async def test_a_query_from_standard_input(asked: Postray) -> None:
    def run(text: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["--config", str(asked.config), "sql"], input=text)
        return result.exit_code, result.output

    assert await asyncio.to_thread(run, "SELECT 1 AS a,\n  2 AS b;\n") == (0, '"a","b"\n1,2\n')
    code, said = await asyncio.to_thread(run, " \n")
    assert (code, "There is no query" in said) == (2, True)


async def test_parameters(asked: Postray) -> None:
    value = "it's\ta \\ \n=x"
    query = "SELECT {a:String} AS a, {b:Array(UInt8)} AS b"
    (row,) = (
        await asked.run("sql", query, "--format", "json", "--param", f"a={value}", "--param", "b=[1,2]")
    ).output.splitlines()
    assert json.loads(row) == {"a": value, "b": [1, 2]}
    for wrong in ("a", "=1", "a-b=1"):
        assert (await asked.run("sql", "SELECT 1", "--param", wrong)).exit_code == 2
    assert "UNKNOWN_QUERY_PARAMETER" in await asked.refused("sql", query)


async def test_an_error_says_why_and_ends_with_1(asked: Postray) -> None:
    assert (await asked.refused("sql", "SELECT nope")).startswith("Error: Code: 47. DB::Exception: ")
    assert "(ACCESS_DENIED)" in await asked.refused("sql", "DROP TABLE events")
    late = await asked.run("sql", "SELECT number, intDiv(1, number != 2900000) FROM numbers(3000000)")
    assert late.exit_code == 1
    assert "\n1000,1\n" in late.stdout
    assert late.stderr.startswith("Error: the answer broke off: Code: 153. DB::Exception: Division by zero")
    assert late.stderr.endswith("(ILLEGAL_DIVISION)\n")


async def test_a_door_that_is_not_there(postray: Postray, clickhouse: ClickHouse, tmp_path: Path) -> None:
    assert "analytics.bind is empty" in await postray.refused("sql", "SELECT 1")
    async with opened(tmp_path) as door:
        url = door.url
    at(postray, url)
    said = await postray.refused("sql", "SELECT 1")
    assert said.startswith(f"Error: the SQL door does not answer at {url}: ")


async def test_a_terminal_shows_a_table(asked: Postray) -> None:
    code, shown = await Terminal(asked, "SELECT 'a' AS text").ended()
    assert (code, "│ a    │" in shown) == (0, True)
    code, shown = await Terminal(asked, "--format", "parquet", "SELECT 1").ended()
    assert (code, "write it to a file" in " ".join(shown.split())) == (2, True)
    code, shown = await Terminal(asked, "--format", "parquet").ended()
    assert code == 2
    code, shown = await Terminal(asked, "SELECT nope").ended()
    assert (code, shown[:17]) == (1, "Error: Code: 47. ")


async def test_a_terminal_shows_no_control_characters_of_others(asked: Postray) -> None:
    query = r"SELECT '550 \x1b[31mno\x1b]0;title\x07' AS reply"
    for shape in ("table", "vertical", "csv", "json"):
        code, shown = await Terminal(asked, "--format", shape, query).ended()
        assert code == 0
        assert "550 " in shown and "\x1b" not in shown and "\x07" not in shown, shape
    piped = await asked.run("sql", query)
    assert "\x1b[31mno" in piped.output  # a program gets what there is


async def test_what_is_too_wide_for_the_terminal_is_said(asked: Postray) -> None:
    wide = f"SELECT '{'x' * COLUMNS}' AS a, 1 AS b"
    code, shown = await Terminal(asked, wide).ended()
    assert (code, "wider than the terminal: --format vertical" in " ".join(shown.split())) == (0, True)
    code, shown = await Terminal(asked, "--format", "vertical", wide).ended()
    assert (code, "wider than" in shown) == (0, False)
    code, shown = await Terminal(asked, "SELECT 1 AS a").ended()
    assert (code, "wider than" in shown) == (0, False)


async def test_the_prompt(asked: Postray) -> None:
    terminal = Terminal(asked, "--param", "a=7")
    assert "Ctrl-D ends" in await terminal.until("postray> ")
    terminal.type("SELECT {a:UInt8}\n")
    await terminal.until("... ")
    terminal.type("+ 1 AS sum;\n")
    assert "│   8 │" in await terminal.until("postray> ")
    terminal.type("SELECT nope;\n")
    assert "Code: 47." in await terminal.until("postray> ")
    terminal.type(";\n")
    await terminal.until("postray> ")
    terminal.type("SELECT 1 +\n")
    await terminal.until("... ")
    await terminal.interrupt_until("postray> ")
    terminal.type("SELECT 'still here' AS text;\n")
    await terminal.until("│ still here │")
    await terminal.until("postray> ")
    terminal.type("\x04")  # Ctrl-D
    assert (await terminal.ended())[0] == 0
