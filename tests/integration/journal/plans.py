"""Plans of the journal's statements."""

import re
from typing import Any

import psycopg
from psycopg import sql

from cluster.journal.database import PLANNING


async def explained(dsn: str, statement: str, parameters: dict[str, Any], *, is_search: bool = False) -> str:
    """The plan of a statement that is prepared once for all parameters, as the journal's are, after it ran."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    text = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement).replace("%%", "%")
    values = sql.SQL(", ").join([sql.Literal(parameters[name]) for name in names])
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        for name, value in ({} if is_search else PLANNING).items():
            await connection.execute(f"SET {name} TO {value}".encode())
        await connection.execute(f"PREPARE explained AS {text}".encode())
        options = sql.SQL("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) EXECUTE explained ({})")
        cursor = await connection.execute(options.format(values))
        plan = "\n".join([line for (line,) in await cursor.fetchall()])
        await connection.rollback()
    return plan
