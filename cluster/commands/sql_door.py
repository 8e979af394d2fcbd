"""The SQL door of a running postray, for commands that ask it."""

import base64
import http.client
import io
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import click

from cluster.clickhouse_values import escaped
from cluster.commands.instance import direct, running_on
from cluster.installation.local_secrets import SQL_PASSWORD, SQL_USER, sql_password
from cluster.printable import printable
from cluster.settings import Settings

CONNECT_AND_ANSWER_S = 3600.0
"""The door has its own, shorter limit (analytics.max_query_s)."""
READ_BYTES = 64 * 1024
LONGEST_END = 16 * 1024
_FAILED_LATE = re.compile(rb"\r\n__exception__\r\n\w+\r\n(.*)\n\d+ \w+\r\n__exception__\r\n\Z", re.DOTALL)
"""What ClickHouse puts at the end of an answer that had begun when its query failed."""


class Sink(Protocol):
    """Where an answer goes, such as a file."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


def sql_password_place(settings: Settings) -> str:
    """Where the password of the SQL door is, in words."""
    if settings.analytics.password:
        return "in analytics.password"
    return f"in {Path(settings.data_dir).resolve() / SQL_PASSWORD}"


class SqlDoor:
    """The door, with the operator's login."""

    def __init__(self, settings: Settings) -> None:
        """Raises click.ClickException when no postray runs on the settings' data directory, or it has no door."""
        run = running_on(settings)
        password = settings.analytics.password or sql_password(Path(settings.data_dir).resolve())
        if not run.sql or password is None:
            raise click.ClickException("it was started without the SQL door: analytics.bind is empty")
        self._url = run.sql
        self._login = base64.b64encode(f"{SQL_USER}:{password}".encode()).decode()

    def ask(self, query: str, format: str, out: Sink, parameters: Mapping[str, str] = {}) -> None:
        """Write the answer as it comes. ``format``: ClickHouse's name, for a query that names none. ``parameters``: of
        ``{name:Type}`` in the query. Raises click.ClickException."""
        given = {"default_format": format, **{f"param_{name}": escaped(value) for name, value in parameters.items()}}
        request = urllib.request.Request(
            f"{self._url}/?{urllib.parse.urlencode(given)}",
            method="POST",
            data=query.encode(errors="replace"),
            headers={"Authorization": f"Basic {self._login}"},
        )
        end = b""
        try:
            with direct.open(request, timeout=CONNECT_AND_ANSWER_S) as answer:
                # Not by read(size): of an answer that breaks off, that loses the end.
                while data := answer.read1(READ_BYTES):
                    end = (end + data)[-LONGEST_END:]
                    out.write(data)
                out.flush()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace").strip()
            raise click.ClickException("\n".join(map(printable, text.splitlines()))) from error
        except BrokenPipeError:
            raise
        except http.client.HTTPException as error:
            said = _FAILED_LATE.search(end)
            why = printable(said[1].decode(errors="replace").strip()) if said else "its end is missing"
            raise click.ClickException(f"the answer broke off: {why}") from error
        except OSError as error:
            raise click.ClickException(f"the SQL door does not answer at {self._url}: {error}") from error

    def rows(self, query: str, parameters: Mapping[str, str]) -> list[list[Any]]:
        """A small answer, as JSON has it. Raises click.ClickException."""
        answer = io.BytesIO()
        self.ask(query, "JSONCompactEachRow", answer, parameters)
        return [json.loads(line) for line in answer.getvalue().splitlines()]
