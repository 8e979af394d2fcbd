"""Which ClickHouse answers, for ``postray doctor``."""

from pathlib import Path

from analytics.client import ClickHouse, ClickHouseUnavailable
from cluster.settings import ClickHouseSettings

TESTED = (26, 9)
"""The version of the embedded engine, on which all tests run."""


def what_is_wrong(settings: ClickHouseSettings, data_dir: Path) -> list[str]:
    """The lines of ``postray doctor`` about the server of the settings; empty where all is well, and for the embedded
    engine."""
    if not settings.dsn:
        return []
    try:
        client = ClickHouse.open(settings, data_dir)
        try:
            ((version,),) = client.rows("SELECT version()")
        finally:
            client.close()
    except ClickHouseUnavailable as error:
        return [f"ClickHouse does not answer: {error}; events wait in the journal meanwhile"]
    return [] if parsed(version) >= TESTED else [older(version)]


def parsed(version: str) -> tuple[int, ...]:
    """The year and the month of a version such as 26.5.1.1. Zeros for anything else."""
    parts = version.split(".")[:2]
    return tuple(int(part) if part.isdecimal() else 0 for part in parts)


def older(version: str) -> str:
    tested = ".".join(map(str, TESTED))
    return f"ClickHouse {version} is older than {tested}, which postray is tested with: upgrade it"
