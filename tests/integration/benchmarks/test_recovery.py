"""A kill of one process of Postgres: the harness goes on when the server has recovered."""

import os
import signal
from collections.abc import Iterator

import psycopg
import pytest

from benchmarks.chaos.recovery import through_recovery
from cluster.installation.embedded import EmbeddedPostgres


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "data")  # short enough for its socket
    server.start()
    yield server
    server.stop()


def test_it_returns_when_every_session_has_ended_and_the_server_answers(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as victim:
        pid = victim.info.backend_pid

        def kill() -> list[int]:
            os.kill(pid, signal.SIGKILL)
            return [pid]

        assert through_recovery(postgres.dsn, kill) == [pid]
        with psycopg.connect(postgres.dsn, connect_timeout=2) as again:
            assert again.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            victim.execute("SELECT 1")


def test_nothing_is_waited_for_where_nothing_was_killed(postgres: EmbeddedPostgres) -> None:
    assert through_recovery(postgres.dsn, list) == []
    postgres.stop()
    assert through_recovery(postgres.dsn, lambda: [1]) == [1]
