"""Checks of Postgres and ClickHouse: their versions, and settings that the promises rest on."""

from collections.abc import Callable, Iterator
from pathlib import Path

from cluster.doctor.findings import Finding, Installation, ok, problem, warning
from cluster.doctor.judging import stores as judging
from cluster.doctor.reading import read_journal
from cluster.entry_points import CHECKS as ABOVE
from cluster.entry_points import NotInstalled, load
from cluster.journal.journal import Unavailable
from cluster.settings import ClickHouseSettings

WhatIsWrong = Callable[[ClickHouseSettings, Path], list[str]]
"""Returns a line for each thing that is wrong with the ClickHouse server."""


def postgres(installation: Installation) -> Iterator[Finding]:
    """The version and the settings of Postgres."""
    if not installation.has_journal:
        yield ok("the embedded Postgres is looked at while postray runs")
        return
    try:
        yield from judging.of_postgres(read_journal(installation, lambda journal: journal.server.facts()))
    except Unavailable as error:
        yield problem(f"Postgres does not answer: {error}; see that it runs, and postgres.dsn")


def clickhouse(installation: Installation) -> Iterator[Finding]:
    """The version of a ClickHouse server of the settings."""
    if not installation.settings.clickhouse.dsn:
        yield ok("ClickHouse is the embedded one")
        return
    try:
        what_is_wrong: WhatIsWrong = load(ABOVE, "clickhouse")
    except NotInstalled as error:
        yield problem(str(error))
        return
    found = what_is_wrong(installation.settings.clickhouse, installation.data_dir)
    yield from (warning(text) for text in found)
    if not found:
        yield ok("ClickHouse answers, and is a version that postray is tested with, or later")
