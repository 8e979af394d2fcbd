"""Two processes of what there is one of: the older is paused, the newer starts, and the older goes on."""

import signal
import time
from pathlib import Path

import psycopg
import pytest

from cluster.events import encode_batch
from cluster.journal.fence import LOCKS
from cluster.launch.fencing import EXIT_FENCED
from cluster.topology import ACTORS
from tests.integration.cluster.hosted import MAX_WAIT_S, Started
from tests.unit.analytics.samples import processed

KINDS = [spec.kind for spec in ACTORS if spec.per == "cluster"]


def sessions(dsn: str, kind: str) -> set[int]:
    """The backends of processes of this kind that were admitted: one that just connects is refused before it writes."""
    with psycopg.connect(dsn) as connection:
        query = """
            SELECT a.pid FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
            WHERE a.application_name = %s AND a.datname = current_database()
                AND l.locktype = 'advisory' AND l.classid = %s::bigint::oid AND l.granted
        """
        return {pid for (pid,) in connection.execute(query, [kind, LOCKS])}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("capture", "recorder")])
def test_the_older_one_writes_nothing_and_ends_for_good(
    kind: str, started: Started, tmp_path: Path, journal_dsn: str
) -> None:
    older = started(kind, tmp_path / "older")
    of_older = sessions(journal_dsn, kind)
    assert of_older
    older.popen.send_signal(signal.SIGSTOP)
    newer = started(kind, tmp_path / "newer")
    assert not of_older & sessions(journal_dsn, kind), "it could have written still"
    older.popen.send_signal(signal.SIGCONT)
    assert older.popen.wait(MAX_WAIT_S) == EXIT_FENCED
    said = (tmp_path / "older" / "logs" / f"{kind}.log").read_text(encoding="utf-8")
    assert f"a newer {kind} works (epoch 2), and the one of epoch 1 may not write any more" in said
    assert newer.popen.poll() is None
    with psycopg.connect(journal_dsn) as connection:
        assert connection.execute("SELECT epoch, pid FROM singletons").fetchall() == [(2, newer.popen.pid)]


def test_a_supervisor_that_was_paused_starts_nothing(started: Started, tmp_path: Path) -> None:
    """In this world every actor is missing, so one that may act goes on to start them."""
    older = started("supervisor", tmp_path / "older")
    older.until_said("start ")
    older.popen.send_signal(signal.SIGSTOP)
    newer = started("supervisor", tmp_path / "newer")
    before = older.said
    older.popen.send_signal(signal.SIGCONT)
    assert older.popen.wait(MAX_WAIT_S) == EXIT_FENCED
    assert older.said == before
    newer.until_said("start ", after=len(newer.said))


def test_a_recorder_that_was_paused_leaves_the_embedded_engine(
    started: Started, tmp_path: Path, journal_dsn: str
) -> None:
    """Only one process can have the engine's directory open."""
    older = started("recorder", tmp_path)
    passed(journal_dsn, 1)
    older.popen.send_signal(signal.SIGSTOP)
    newer = started("recorder", tmp_path)
    assert older.popen.wait(MAX_WAIT_S) == -signal.SIGKILL
    passed(journal_dsn, 2)
    assert newer.popen.poll() is None


def passed(dsn: str, number: int) -> None:
    """One more event in the log; returns when the recorder has passed it."""
    deadline = time.monotonic() + MAX_WAIT_S
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("INSERT INTO event_log (events) VALUES (%s)", [encode_batch([processed(number)])])
        while connection.execute("SELECT EXISTS (SELECT FROM event_log)").fetchone() == (True,):
            assert time.monotonic() < deadline, "not recorded"
            time.sleep(0.05)
