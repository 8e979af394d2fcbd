"""A kill of one process of Postgres, which ends all sessions, until the server has recovered: it answers no one before,
and on a busy machine that takes seconds."""

import contextlib
import time
from collections.abc import Callable

import psycopg

RECOVERY_S = 20.0
"""It may be stopped or frozen meanwhile: then it is not waited for."""
CONNECT_S = 2
LOOK_S = 0.1


def through_recovery(dsn: str, kill: Callable[[], list[int]]) -> list[int]:
    """Kill, and return what was killed when the server has recovered, or after ``RECOVERY_S``."""
    watching = _connected(dsn)
    killed = kill()
    if watching is None:
        return killed
    with watching, contextlib.suppress(psycopg.OperationalError):
        if killed:
            watching.execute("SELECT pg_sleep(%s)", [RECOVERY_S])  # its session ends with all others
    until = time.monotonic() + RECOVERY_S
    while killed and time.monotonic() < until:
        if (again := _connected(dsn)) is not None:
            again.close()
            break
        time.sleep(LOOK_S)
    return killed


def _connected(dsn: str) -> psycopg.Connection | None:
    with contextlib.suppress(psycopg.OperationalError):
        return psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_S)
    return None
