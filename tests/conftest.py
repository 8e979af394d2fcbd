"""What tests share: one embedded Postgres a session, and a fresh journal (a cloned database) for each test."""

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

# Property tests: a few examples in the suite, the same each time; many, and new ones each time, by `make fuzz`.
FUZZ_EXAMPLES = os.environ.get("POSTRAY_FUZZ_EXAMPLES")
_PROPERTY = hypothesis.settings(
    deadline=None,  # machines differ, and so does what else they do
    database=None,
    max_examples=int(FUZZ_EXAMPLES or 30),
    derandomize=FUZZ_EXAMPLES is None,
    print_blob=True,
    # A fixture that is shared by the examples of one test must not keep anything of them; our tests see to that.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.register_profile("postray", _PROPERTY)
hypothesis.settings.load_profile("postray")


def pytest_configure(config: pytest.Config) -> None:
    """A temporary folder of this session's own. pytest tightens the one that sessions share; as root, the embedded
    Postgres of another session, which runs as a user of its own, would lose its data."""
    if hasattr(config, "workerinput"):
        return  # one of several processes that share a session's
    root = tempfile.mkdtemp(prefix="postray-tests-")
    os.environ["PYTEST_DEBUG_TEMPROOT"] = root
    config.add_cleanup(lambda: shutil.rmtree(root, ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Where several processes share a session's tests, a file stays whole. (xdist's own groups do nothing with this
    pytest, which keeps the name of a test elsewhere.)"""
    # In the order of their names: the acceptance tests, which take longest, come first.
    config.option.loadscopereorder = False
    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = _kept_together
    return scheduling


def _kept_together(nodeid: str) -> str:
    """Acceptance tests go one after the other: each of them takes the whole machine for a while."""
    file = nodeid.partition("::")[0]
    return "acceptance" if file.startswith("tests/acceptance/") else file


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of a running Postgres of the session's own."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "data")
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def journal_template(postgres: str) -> str:
    """The name of a database with the journal's schema and nothing in it."""
    import asyncio

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE journal_template")
    asyncio.run(migrate(_database(postgres, "journal_template")))
    return "journal_template"


@pytest.fixture
def journal_dsn(postgres: str, journal_template: str) -> Iterator[str]:
    """A fresh database with the journal's schema."""
    name = f"journal_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {journal_template}".encode())
    yield _database(postgres, name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def journal(journal_dsn: str) -> AsyncIterator[Journal]:
    """An open journal over a fresh database."""
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
    """A folder of another user, who has put modules with our names, and those of libraries, into it: none may run."""
    folder, mark = tmp_path / "strangers", tmp_path / "ran"
    for package in ("actors", "analytics", "api", "cluster", "msgspec", "ray"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(STRANGERS_MODULE.format(mark=str(mark)), encoding="ascii")
    yield folder
    assert not mark.exists(), "a stranger's module ran"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"
