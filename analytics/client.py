"""The connection to ClickHouse: the embedded engine or a server, its migrations, and the two ways an insert can fail.

analytics.rows makes the columns to write, analytics.queries the queries. Only one process may open the embedded engine
(chDB), and only one of its threads may use a connection: the recorder ensures both.
"""

import gc
import logging
import os
import re
import shutil
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError

from analytics import native
from analytics.engine import give_back, open_engine, without_data_frames
from analytics.rows import EVENTS, Table
from cluster.clickhouse_dsn import DATABASE, server_of
from cluster.installation.private_files import make_folder
from cluster.settings import ClickHouseSettings

log = logging.getLogger(__name__)

INSERT_SETTINGS = {
    # When insert returns, the rows must be on disk: newer servers collect small inserts first, and may answer earlier.
    "async_insert": "0",
    # A page after a long outage may span many months; one absurd date must not block the others.
    "max_partitions_per_insert_block": "0",
}
READ_AS = {"DateTime64*": "int"}
"""Times are returned as integers of their unit: some versions of the embedded engine lose their time zone."""
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 30

Row = tuple[Any, ...]


class ClickHouseUnavailable(Exception):
    """ClickHouse cannot be reached, or cannot do it now; a retry of the same call may succeed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ClickHouseRejected(Exception):
    """These values do not fit their columns; a retry will not succeed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ClickHouse:
    """An open connection. Methods raise ClickHouseUnavailable when ClickHouse fails."""

    def __init__(self, driver: Any, database: str) -> None:
        self._driver = driver
        self._database = database

    @classmethod
    def open(cls, settings: ClickHouseSettings, data_dir: Path) -> "ClickHouse":
        """Connect to the server of the DSN, or start the embedded engine over ``data_dir``/clickhouse. Raises
        ClickHouseUnavailable when that fails."""
        with _failures_named(), without_data_frames():
            if not settings.dsn:
                make_folder(data_dir / "clickhouse")
                return cls(open_engine(data_dir / "clickhouse"), DATABASE)
            target = server_of(settings.dsn)
            database = target.pop("database")
            driver = clickhouse_connect.get_client(
                **target,
                connect_timeout=CONNECT_TIMEOUT_S,
                send_receive_timeout=ANSWER_TIMEOUT_S,
                # Sessions would only serialize; no query here needs one.
                autogenerate_session_id=False,
            )
            return cls(driver, database)

    def migrate(self) -> list[str]:
        """Bring the schema up to date, creating it if necessary; returns the names of the migrations that ran."""
        ran = []
        with _failures_named():
            self._driver.database = None  # a server answers no query in a database that does not exist
            # Not CREATE … IF NOT EXISTS at once: that needs a right which a user of an existing database may lack.
            if not self.rows("SELECT 1 FROM system.databases WHERE name = {name:String}", name=self._database):
                self._driver.command(f"CREATE DATABASE IF NOT EXISTS `{self._database}`", use_database=False)
            self._driver.database = self._database
            self._driver.command(
                "CREATE TABLE IF NOT EXISTS migrations (name String, at DateTime('UTC') DEFAULT now()) "
                "ENGINE = ReplacingMergeTree ORDER BY name COMMENT 'Scripts of the schema that have run'"
            )
            done = {name for (name,) in self.rows("SELECT name FROM migrations")}
            for name, text in migrations():
                if name in done:
                    continue
                for statement in statements(text):
                    self._driver.command(statement)
                self._driver.command("INSERT INTO migrations (name) VALUES ({name:String})", {"name": name})
                ran.append(name)
        for name in ran:
            log.info("migrated schema=analytics script=%s", name)
        give_back()
        return ran

    def use_tables(self) -> None:
        """Use the tables, where another connection has migrated them."""
        self._driver.database = self._database

    def insert(self, columns: Sequence[Sequence[Any]], table: Table = EVENTS) -> None:
        """Write rows (of events: the columns of analytics.rows) as one block; on return they are on disk.

        Raises ClickHouseRejected when a value does not fit its column. Then nothing of the block is written.
        """
        if not columns:
            return
        with _failures_named():
            try:
                self._driver.insert(
                    table.name,
                    columns,
                    column_names=list(table.columns),
                    column_type_names=_sent_as(table),
                    column_oriented=True,
                    settings=INSERT_SETTINGS,
                )
            except (DataError, TypeError, ValueError, OverflowError, struct.error) as error:
                raise ClickHouseRejected(str(error)) from error
            finally:
                # The driver's context of an insert refers to itself and to all columns. Only the garbage collector
                # frees it, and that runs so rarely in our processes (cluster/launch) that hundreds would accumulate.
                gc.collect(0)

    def rows(self, query: str, **parameters: Any) -> list[Row]:
        """The rows of a query with ``{name:Type}`` parameters. Times are integers of their unit."""
        with _failures_named():
            rows: list[Row] = self._driver.query(query, parameters=parameters, query_formats=READ_AS).result_rows
            return rows

    def plain_rows(self, query: str, **parameters: Any) -> list[Row]:
        """The same for a query of texts and times only, sooner."""
        with _failures_named():
            data: bytes = self._driver.raw_query(query, parameters=parameters, fmt="Native")
        try:
            return native.rows(data)
        except ValueError as error:
            raise ClickHouseUnavailable(f"the answer is not understood: {error}") from error

    def command(self, statement: str, **parameters: Any) -> None:
        """Run a statement that returns nothing, with ``{name:Type}`` parameters."""
        with _failures_named():
            self._driver.command(statement, parameters=parameters)

    def close(self) -> None:
        self._driver.close()


def keep_temporary_files_in(folder: Path) -> None:
    """From now on the temporary files of this process are in this folder, among them what the driver inserts into the
    embedded engine, and the engine's own. What an earlier process left is removed."""
    if folder.exists():
        shutil.rmtree(folder)
    make_folder(folder)
    os.environ["TMPDIR"] = str(folder)  # what the engine, in C++, goes by
    tempfile.tempdir = str(folder)


def migrations() -> list[tuple[str, str]]:
    """The scripts of the schema, in order: name and text.

    ClickHouse cannot roll back a script that stops half-way, so every statement must be repeatable (IF NOT EXISTS
    etc.).
    """
    folder = resources.files("analytics").joinpath("schema")
    scripts = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [(script.name, script.read_text(encoding="utf-8")) for script in scripts]


def statements(text: str) -> list[str]:
    """The statements of a script: each ends with a semicolon at the end of its line."""
    parts = re.split(r";[ \t]*(?:\n|\Z)", text)
    return [part.strip() for part in parts if re.sub(r"--.*", "", part).strip()]


def _sent_as(table: Table) -> list[str]:
    """ClickHouse builds the dictionaries of columns itself, at less cost than the driver, which builds them in
    Python."""
    return [re.sub(r"LowCardinality\((\w+)\)", r"\1", kind) for kind in table.columns.values()]


@contextmanager
def _failures_named() -> Iterator[None]:
    try:
        yield
    except (ClickHouseError, OSError) as error:
        raise ClickHouseUnavailable(str(error)) from error
