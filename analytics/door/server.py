"""The SQL door of this process: who may come in, what runs the queries, and the server."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from analytics.door.app import HEALTH, SqlApp
from analytics.door.asked import SqlAnswer, SqlWanted
from analytics.door.embedded import EmbeddedEngine
from analytics.door.failures import ErrorCode, failed
from analytics.door.jobs import Backend
from analytics.door.logins import FindKey, Logins
from analytics.door.queries import Queries
from analytics.engine import connect
from cluster.clickhouse_dsn import DATABASE, server_of
from cluster.http.connections import ConnectionBounds
from cluster.http.server import HttpServer
from cluster.installation import confinement
from cluster.installation.confinement import Confinement
from cluster.installation.private_files import make_folder
from cluster.settings import AnalyticsSettings, ClickHouseSettings

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 200
MOST_OF_ADDRESS = 100
PIPES = "postray-sql"
"""The folder, in the engine's, of the pipes for answers."""


class SqlDoor:
    """Call ``start`` and ``stop`` once each."""

    def __init__(
        self,
        settings: AnalyticsSettings,
        clickhouse: ClickHouseSettings,
        data_dir: Path,
        password: str,
        find_key: FindKey,
        *,
        require_ready: Callable[[], object],
        confine: Callable[[], object],
    ) -> None:
        """``require_ready`` raises ClickHouseUnavailable until ClickHouse has the tables. ``confine``: for each thread
        that calls the embedded engine."""
        self._bind = settings.bind
        self._backend: Backend
        if clickhouse.dsn:
            # Imported here: its HTTP client takes 9 MB, which the recorder of an embedded engine does without.
            from analytics.door.proxied import OwnServer

            database: str = server_of(clickhouse.dsn)["database"]
            self._backend = OwnServer(clickhouse.dsn, partial(connect, None), require_ready=require_ready)
        else:
            database = DATABASE
            self._backend = EmbeddedEngine(
                partial(connect, data_dir / "clickhouse"),
                data_dir / "clickhouse" / PIPES,
                database,
                queries=settings.max_queries,
                require_ready=require_ready,
                confine=confine,
            )
        self._tenants_off = why_tenants_off(settings, clickhouse)
        logins = Logins(password, find_key, tenants_off=self._tenants_off)
        bounds = ConnectionBounds(connections=MOST_CONNECTIONS, per_address=MOST_OF_ADDRESS)
        self._queries = Queries(settings, self._backend, database)
        self._server = HttpServer(SqlApp(settings, self._queries, logins), bounds, health=HEALTH)

    async def start(self) -> str:
        """Listen; returns the URL. Raises OSError, CannotStart."""
        await self._backend.open()
        if self._tenants_off:
            log.warning("SQL logins of tenants are off: %s", self._tenants_off)
        url = await self._server.listen(self._bind)  # postray up holds the port
        log.info("listening for SQL url=%s", url)
        return url

    def hold(self) -> bool:
        """Let queries wait for a moment: a timeline is asked for. Returns whether they wait already."""
        return self._queries.hold()

    async def answer(self, wanted: SqlWanted) -> SqlAnswer:
        """What an operator asks in the console. Raises QueryFailed."""
        return await self._queries.answer(wanted)

    def problem(self) -> str | None:
        """Why no query is answered; None if all is well."""
        return None if self._server.running() else "the SQL door is closed"

    async def stop(self) -> None:
        """Let queries in progress finish within 5 s, and end."""
        await self._server.stop()
        await self._backend.close()


async def ask(door: SqlDoor | None, wanted: SqlWanted) -> SqlAnswer:
    """What the door answers, where there is one. Raises QueryFailed."""
    if door is None:
        raise failed(ErrorCode.ACCESS_DENIED, "The SQL door is off: analytics.bind is empty")
    return await door.answer(wanted)


def confinement_of(data_dir: Path, clickhouse: ClickHouseSettings) -> Callable[[], object]:
    """For each thread that calls the embedded engine: confines it to the engine's folder and what the recorder writes.
    A server of the operator is confined by its own means."""
    if clickhouse.dsn:
        return lambda: None
    folders = [data_dir / name for name in ("clickhouse", "rejected", "logs")]
    for folder in folders:
        make_folder(folder)
    return Confinement(folders)


def why_tenants_off(settings: AnalyticsSettings, clickhouse: ClickHouseSettings) -> str:
    """Why tenants may not log in; "" when they may."""
    if settings.tenants == "never":
        return "analytics.tenants is never"
    if settings.tenants == "confined" and clickhouse.dsn:
        return "ClickHouse is a server of its own, and analytics.tenants is not always"
    if settings.tenants == "confined" and not confinement.version():
        return "this kernel has no Landlock to confine the engine, and analytics.tenants is not always"
    return ""
