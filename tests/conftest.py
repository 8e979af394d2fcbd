"""Shared fixtures: one embedded Postgres for each session, and a new journal (a cloned database) for each test."""

import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from xdist.scheduler import LoadScopeScheduling

from cluster.installation.embedded import EmbeddedPostgres
from cluster.journal.journal import Journal, migrate

_numbers = itertools.count(1)

LATER_HALF = "test_h"
"""The acceptance tests from this name on take as long as those before it."""

MEMORY = Path("/dev/shm")
MEMORY_FREE = 4 * 2**30
"""Bytes: the data directories of the session's Postgres servers take a tenth of it."""
IN_MEMORY = "PYTEST_IN_MEMORY"
"""The variable that tells the session's processes their folder in memory."""

# Property tests: the suite runs a few fixed examples; `make fuzz` runs many new ones each time.
FUZZ_EXAMPLES = os.environ.get("POSTRAY_FUZZ_EXAMPLES")
_PROPERTY = hypothesis.settings(
    deadline=None,  # machines differ in speed and load
    database=None,
    max_examples=int(FUZZ_EXAMPLES or 30),
    derandomize=FUZZ_EXAMPLES is None,
    print_blob=True,
    # The examples of one test share its fixtures, so these must keep no state of an example; our tests ensure that.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.register_profile("postray", _PROPERTY)
hypothesis.settings.load_profile("postray")


def pytest_configure(config: pytest.Config) -> None:
    """Use a temporary folder for this session alone. pytest restricts the folder that sessions share. When run as root,
    the embedded Postgres of another session runs as a different user and would lose access to its data."""
    if hasattr(config, "workerinput"):
        return  # a worker process, which shares the session's folder
    root = tempfile.mkdtemp(prefix="postray-tests-")
    os.environ["PYTEST_DEBUG_TEMPROOT"] = root
    # The suite starts hundreds of processes that import the same modules: the first compiles them. They are kept beside
    # the sources, where pip has put those of the libraries; in a new folder, each session would compile all of them.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    config.add_cleanup(lambda: shutil.rmtree(root, ignore_errors=True))
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_FREE and os.access(MEMORY, os.W_OK):
        in_memory = os.environ[IN_MEMORY] = tempfile.mkdtemp(prefix="postray-tests-", dir=MEMORY)
        config.add_cleanup(lambda: shutil.rmtree(in_memory, ignore_errors=True))


def pytest_collection() -> None:
    """Thousands of tests are millions of objects, which the garbage collector need not look at again and again: neither
    while they are made, a third of the CPU of each process's collection, nor afterwards."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """With several processes, the tests of a file run in one process. (xdist's own groups have no effect with this
    version of pytest, which stores the name of a test elsewhere.)"""
    # Files run in the order of their names: the acceptance tests, which take longest, come first.
    config.option.loadscopereorder = False
    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = _kept_together
    return scheduling


def _kept_together(nodeid: str) -> str:
    """Acceptance tests run two at a time at most: they wait more than they work, but each starts many processes. Each
    half has its own running postray, which its files share."""
    file = nodeid.partition("::")[0]
    if file.startswith("tests/acceptance/"):
        return "acceptance, first half" if Path(file).name < LATER_HALF else "acceptance, second half"
    return file


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of the session's Postgres. It need not outlive a crash of the machine: without fsync, and in memory where
    there is room, a database for each test is made and dropped in a fraction of the time. It has a thousand files."""
    in_memory = os.environ.get(IN_MEMORY)
    folder = Path(tempfile.mkdtemp(dir=in_memory)) if in_memory else tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres(folder / "data")
    dsn = server.start()
    with psycopg.connect(dsn, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        connection.execute(b"SELECT pg_reload_conf()")
    yield dsn
    server.stop()


@pytest.fixture(scope="session")
def databases(postgres: str) -> Iterator[psycopg.Connection]:
    """A connection that makes and drops the databases of the tests. Two for each test would cost a third of what its
    database does."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def journal_template(postgres: str, databases: psycopg.Connection) -> str:
    """The name of an empty database with the journal's schema."""
    import asyncio

    databases.execute("CREATE DATABASE journal_template")
    asyncio.run(migrate(_database(postgres, "journal_template")))
    return "journal_template"


@pytest.fixture
def journal_dsn(postgres: str, databases: psycopg.Connection, journal_template: str) -> Iterator[str]:
    """A new database with the journal's schema."""
    name = f"journal_{next(_numbers)}"
    # Files are copied in half the time that it takes to write the pages of a small database to the log.
    databases.execute(f"CREATE DATABASE {name} TEMPLATE {journal_template} STRATEGY FILE_COPY".encode())
    yield _database(postgres, name)
    databases.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def journal(journal_dsn: str) -> AsyncIterator[Journal]:
    """An open journal over a new database."""
    journal = Journal(journal_dsn, application="test", offer_grace_s=0)
    await journal.open()
    yield journal
    await journal.close()


def _database(dsn: str, name: str) -> str:
    return dsn.replace("/postgres?", f"/{name}?")


STRANGERS_MODULE = """
from pathlib import Path
Path({mark!r}).touch()
raise SystemExit("a stranger's module ran")
"""


@pytest.fixture
def strangers_folder(tmp_path: Path) -> Iterator[Path]:
    """Another user's folder with modules that have the names of ours and of libraries. None of them may run."""
    folder, mark = tmp_path / "strangers", tmp_path / "ran"
    for package in ("actors", "analytics", "api", "cluster", "msgspec", "ray"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(STRANGERS_MODULE.format(mark=str(mark)), encoding="ascii")
    yield folder
    assert not mark.exists(), "a stranger's module ran"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"
