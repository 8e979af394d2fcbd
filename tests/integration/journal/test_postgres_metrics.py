"""What a node tells of the embedded Postgres."""

import os
from math import isnan
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cluster.journal.journal import Journal
from cluster.metrics import read
from cluster.monitoring.postgres import FRESH_S, PostgresMetrics


def told(postgres: PostgresMetrics) -> dict[str, float]:
    return {one.name.removeprefix("postray_postgres_"): one.values[""] for one in read(postgres)}


async def test_all_processes_of_the_server_are_told_and_time_only_grows(journal: Journal, journal_dsn: str) -> None:
    (folder,) = parse_qs(urlsplit(journal_dsn).query)["host"]
    now = 0.0
    postgres = PostgresMetrics(Path(folder), lambda: now)
    first = told(postgres)
    assert first["processes"] >= 5 and first["open_fds"] > first["processes"]
    assert 4 << 20 < first["resident_memory_bytes"] < 4 << 30
    await journal.queue.ages()
    assert told(postgres) == first, "one look is for all metrics of a scrape"
    now += FRESH_S
    assert told(postgres)["cpu_seconds_total"] >= first["cpu_seconds_total"] > 0


def test_where_no_server_runs_nothing_is_told(tmp_path: Path) -> None:
    assert all(map(isnan, told(PostgresMetrics(tmp_path)).values()))
    for text in ("", "no number", f"{os.getpid()}\n/data\n"):
        (tmp_path / "postmaster.pid").write_text(text, encoding="ascii")
        assert all(map(isnan, told(PostgresMetrics(tmp_path)).values())), text
