"""``postray sql``: queries through the SQL door, as any client of ClickHouse's HTTP interface asks them."""

import sys
from typing import Literal

import click

from cluster.commands.instance import settings_of
from cluster.commands.sql_door import SqlDoor

Format = Literal["table", "csv", "json", "parquet"]
FORMATS: dict[str, str] = {
    "table": "PrettyCompactMonoBlock",
    "csv": "CSVWithNames",
    "json": "JSONEachRow",
    "parquet": "Parquet",
}
"""ClickHouse's names."""
PROMPT, FURTHER = "postray> ", "     ... "


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
    door = SqlDoor(settings_of(config))
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
    door.ask(query, FORMATS[shape], sys.stdout.buffer)


def _prompt(door: SqlDoor, shape: Format) -> None:
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
                door.ask(query, FORMATS[shape], sys.stdout.buffer)
            except click.ClickException as error:
                error.show()
            except KeyboardInterrupt:
                click.echo()
