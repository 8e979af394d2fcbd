"""Brings the schema up to date.

Migrations run in the order of their names. Most are scripts, which run together in one transaction. Some are steps in
Python. A step in place works on tables of any size while mail flows, so it commits as it goes, and goes on after it was
interrupted.
"""

import logging
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from psycopg import AsyncConnection

from cluster.journal.database import failures_named
from cluster.journal.dividing import divide_by_day
from cluster.journal.respelling import respell_domains

log = logging.getLogger(__name__)

Step = Callable[[AsyncConnection[Any]], Awaitable[None]]

IN_PLACE: dict[str, Step] = {"0021_days": divide_by_day}
"""Steps in place, by name. Each enters itself in the table of migrations, in its last transaction."""
LAST: dict[str, Step] = {"0006_spelling_of_domains": respell_domains}
"""Steps that run after everything else, together with the last scripts."""

MIGRATION_LOCK = 0x706F7374  # any constant will do: "post"


async def migrate(dsn: str) -> list[str]:
    """Bring the schema up to date; returns the names of the migrations that ran. Several processes may call this at
    once. Raises Unavailable when Postgres cannot be reached."""
    folder = resources.files("cluster.journal").joinpath("migrations")
    scripts = {file.name: file for file in folder.iterdir() if file.name.endswith(".sql")}
    ran = []
    async with failures_named(), await AsyncConnection.connect(dsn, autocommit=True) as connection:
        # Of the session: it outlasts the transactions.
        await connection.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, at timestamptz DEFAULT now())"
        )
        cursor = await connection.execute("SELECT name FROM migrations")
        done = {name for (name,) in await cursor.fetchall()}
        ahead = [name for name in sorted([*scripts, *IN_PLACE]) if name not in done]
        while ahead:
            in_place = next((name for name in ahead if name in IN_PLACE), None)
            together = ahead if in_place is None else ahead[: ahead.index(in_place)]
            async with connection.transaction():
                for name in together:
                    await connection.execute(scripts[name].read_text(encoding="utf-8").encode())
                    await _enter(connection, name)
            if in_place is not None:
                await IN_PLACE[in_place](connection)
                together = [*together, in_place]
            ran += together
            ahead = ahead[len(together) :]
        for name in [name for name in LAST if name not in done]:
            async with connection.transaction():
                await LAST[name](connection)
                await _enter(connection, name)
            ran.append(name)
    for name in ran:
        log.info("migrated schema=journal script=%s", name)
    return ran


async def _enter(connection: AsyncConnection[Any], name: str) -> None:
    await connection.execute("INSERT INTO migrations (name) VALUES (%s)", [name])
