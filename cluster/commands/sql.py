"""``postray sql``: queries through the SQL door, as any client of ClickHouse's HTTP interface asks them."""

import io
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

import click

from cluster.commands.instance import settings_of
from cluster.commands.sql_door import SqlDoor
from cluster.printable import printable_lines

Format = Literal["table", "vertical", "csv", "json", "parquet"]
FORMATS: dict[str, str] = {
    "table": "PrettyCompactMonoBlock",
    "vertical": "Vertical",
    "csv": "CSVWithNames",
    "json": "JSONEachRow",
    "parquet": "Parquet",
}
"""ClickHouse's names."""
PROMPT, FURTHER = "postray> ", "     ... "
SHOWN_BYTES = 16 * 1024 * 1024
"""Of an answer that is shown in a terminal."""


@click.command()
@click.argument("query", required=False)
@click.option(
    "--format",
    "shape",
    type=click.Choice(tuple(FORMATS)),
    help="table for a terminal, else csv. vertical has a line for each value, json one for each row.",
)
@click.option(
    "--param",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="The value of {NAME:Type} in the query. May be given several times.",
)
@click.pass_obj
def sql(config: str | None, query: str | None, shape: Format | None, given: Sequence[str]) -> None:
    """Ask ClickHouse a QUERY, read-only: docs/querying.md has the tables and examples.

    Without QUERY it reads queries from the terminal, each ended by a semicolon, or one from standard input.
    """
    is_terminal = sys.stdout.isatty()
    if shape == "parquet" and is_terminal:
        raise click.UsageError(
            "Parquet is no text: write it to a file, as in postray sql … --format parquet > rows.parquet"
        )
    parameters = _parameters(given)
    door = SqlDoor(settings_of(config))
    shape = shape or ("table" if is_terminal else "csv")
    if query is None and sys.stdin.isatty():
        _prompt(door, shape, parameters)
        return
    if query is None:
        query = sys.stdin.read()
    if not query.strip():
        raise click.UsageError("There is no query: give one as the argument or on standard input")
    _answer(door, query, shape, parameters)


def _parameters(given: Sequence[str]) -> dict[str, str]:
    """Raises click.UsageError."""
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.isidentifier():
            raise click.UsageError(f"--param {one}: write it as NAME=VALUE")
        found[name] = value
    return found


def _answer(door: SqlDoor, query: str, shape: Format, parameters: Mapping[str, str]) -> None:
    """Write the answer to standard output. In a terminal it is made safe to show: what hosts replied and clients called
    themselves may have control characters. Raises click.ClickException."""
    if not sys.stdout.isatty():
        door.ask(query, FORMATS[shape], sys.stdout.buffer, parameters)
        return
    kept = _Kept()
    try:
        door.ask(query, FORMATS[shape], kept, parameters)
    finally:
        text = printable_lines(kept.getvalue().decode(errors="replace"))
        sys.stdout.write(text)
        sys.stdout.flush()
    width = shutil.get_terminal_size().columns
    if shape == "table" and any(len(line) > width for line in text.splitlines()):
        click.echo("It is wider than the terminal: --format vertical has a line for each value.", err=True)


class _Kept(io.BytesIO):
    """An answer on its way to a terminal."""

    def write(self, data: object) -> int:
        """Raises click.ClickException for an answer that is too long to be read in a terminal."""
        if self.tell() > SHOWN_BYTES:
            self.seek(0)
            self.truncate()
            raise click.ClickException(f"the answer has more than {SHOWN_BYTES} bytes: write it to a file")
        return super().write(data)  # type: ignore[arg-type]  # any buffer


def _prompt(door: SqlDoor, shape: Format, parameters: Mapping[str, str]) -> None:
    """Read and ask queries until the end of input."""
    import readline  # noqa: F401  # gives input() a history and keys to edit with

    click.echo("SQL of ClickHouse, read-only. A query ends with a semicolon; Ctrl-D ends.", err=True)
    lines: list[str] = []
    while True:
        try:
            lines.append(input(FURTHER if lines else PROMPT))
        except EOFError:
            click.echo(err=True)
            return
        except KeyboardInterrupt:
            click.echo(err=True)
            lines.clear()
            continue
        query = "\n".join(lines).strip()
        if not query.strip("; \n"):
            lines.clear()
        elif query.endswith(";"):
            lines.clear()
            try:
                _answer(door, query, shape, parameters)
            except click.ClickException as error:
                error.show()
            except KeyboardInterrupt:
                click.echo(err=True)
