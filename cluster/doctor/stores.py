"""Checks of Postgres and ClickHouse: their versions, and settings that the promises rest on."""

from collections.abc import Iterator

from cluster.doctor.findings import Finding, Installation, ok, problem, warning
from cluster.doctor.judging import stores as judging
from cluster.doctor.reading import look_above, read_journal
from cluster.journal.journal import Unavailable


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
    yield from look_above(
        installation,
        "clickhouse",
        warning,
        "ClickHouse answers, and is a version that postray is tested with, or later",
    )
