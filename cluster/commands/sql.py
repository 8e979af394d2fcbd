"""``postray sql``: queries through the SQL door, as any client of ClickHouse's HTTP interface asks them."""

import base64
import http.client
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import BinaryIO, Literal

import click

from cluster.commands.instance import settings_of
from cluster.installation import running
from cluster.installation.local_secrets import SQL_PASSWORD, SQL_USER, sql_password
from cluster.printable import printable
from cluster.settings import Settings

Format = Literal["table", "csv", "json", "parquet"]
FORMATS: dict[str, str] = {
    "table": "PrettyCompactMonoBlock",
    "csv": "CSVWithNames",
    "json": "JSONEachRow",
    "parquet": "Parquet",
}
"""ClickHouse's names."""
CONNECT_AND_ANSWER_S = 3600.0
"""The door has its own, shorter limit (analytics.max_query_s)."""
PROMPT, FURTHER = "postray> ", "     ... "

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def sql_password_place(settings: Settings) -> str:
    """Where the password of the SQL door is, in words."""
    if settings.analytics.password:
        return "in analytics.password"
    return f"in {Path(settings.data_dir).resolve() / SQL_PASSWORD}"


@click.command()
@click.argument("query", required=False)
@click.option(
    "--format",
    "shape",
    type=click.Choice(tuple(FORMATS)),
    help="table for a terminal, else csv; json has a line for each row.",
)
@click.pass_obj
def sql(config: str | None, query: str | None, shape: Format | None) -> None:
    """Ask ClickHouse a QUERY, read-only: docs/querying.md has the tables and examples.

    Without QUERY it reads queries from the terminal, each ended by a semicolon, or one from standard input.
    """
    door = _Door(settings_of(config))
    if query is None and sys.stdin.isatty():
        _prompt(door, shape or "table")
        return
    if query is None:
        query = sys.stdin.read()
    is_terminal = sys.stdout.isatty()
    if shape is None:
        shape = "table" if is_terminal else "csv"
    if shape == "parquet" and is_terminal:
        raise click.UsageError(
            "Parquet is no text: write it to a file, as in postray sql … --format parquet > rows.parquet"
        )
    door.ask(query, shape, sys.stdout.buffer)


class _Door:
    """The SQL door of a running postray, with the operator's login."""

    def __init__(self, settings: Settings) -> None:
        data_dir = Path(settings.data_dir).resolve()
        run = running.read_run(data_dir)
        if run is None or running.DataLock(data_dir).is_free():
            raise click.ClickException(f"postray is not running on {data_dir}")
        password = settings.analytics.password or sql_password(data_dir)
        if not run.sql or password is None:
            raise click.ClickException("it was started without the SQL door: analytics.bind is empty")
        self._url = run.sql
        self._login = base64.b64encode(f"{SQL_USER}:{password}".encode()).decode()

    def ask(self, query: str, shape: Format, out: BinaryIO) -> None:
        """Write the answer as it comes. Raises click.ClickException."""
        given = urllib.parse.urlencode({"default_format": FORMATS[shape]})
        request = urllib.request.Request(
            f"{self._url}/?{given}",
            method="POST",
            data=query.encode(errors="replace"),
            headers={"Authorization": f"Basic {self._login}"},
        )
        try:
            with _direct.open(request, timeout=CONNECT_AND_ANSWER_S) as answer:
                shutil.copyfileobj(answer, out)
                out.flush()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace").strip()
            raise click.ClickException("\n".join(map(printable, text.splitlines()))) from error
        except BrokenPipeError:
            raise
        except http.client.HTTPException as error:
            raise click.ClickException("the answer broke off: its end says why") from error
        except OSError as error:
            raise click.ClickException(f"the SQL door does not answer at {self._url}: {error}") from error


def _prompt(door: _Door, shape: Format) -> None:
    """Read and ask queries until the end of input."""
    import readline  # noqa: F401  # gives input() a history and keys to edit with

    click.echo("SQL of ClickHouse, read-only. A query ends with a semicolon; Ctrl-D ends.")
    lines: list[str] = []
    while True:
        try:
            lines.append(input(FURTHER if lines else PROMPT))
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo()
            lines.clear()
            continue
        query = "\n".join(lines).strip()
        if not query:
            lines.clear()
        elif query.endswith(";"):
            lines.clear()
            try:
                door.ask(query, shape, sys.stdout.buffer)
            except click.ClickException as error:
                error.show()
            except KeyboardInterrupt:
                click.echo()
