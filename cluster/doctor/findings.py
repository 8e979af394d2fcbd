"""What checks say, and what a check is."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from cluster.installation import running
from cluster.settings import Settings


class FindingState(StrEnum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """One line: the state of one thing and, unless it is OK, what to do."""

    state: FindingState
    text: str


class Installation(Struct, frozen=True):
    """The installation to check. ``files`` are the settings file and the policy files that exist. ``hosts``: host or
    host:port of the SMTP servers that are connected to, to see whether the network lets mail out."""

    settings: Settings
    files: tuple[Path, ...]
    hosts: tuple[str, ...] = ()

    @property
    def data_dir(self) -> Path:
        return Path(self.settings.data_dir).resolve()

    @property
    def run(self) -> running.Run | None:
        """The postray that runs on this data directory; None when none runs."""
        run = running.read_run(self.data_dir)
        # The postray of a cluster goes on without the command that started it.
        is_held = bool(self.settings.ray.address) or not running.DataLock(self.data_dir).is_free()
        return run if run is not None and is_held else None

    @property
    def has_journal(self) -> bool:
        """Whether the journal can be asked: the embedded one while postray runs."""
        return bool(self.settings.postgres.dsn) or self.run is not None


Check = Callable[[Installation], Iterable[Finding]]
"""A check. Expected failures are findings, not exceptions."""


def ok(text: str) -> Finding:
    return Finding(FindingState.OK, text)


def warning(text: str) -> Finding:
    return Finding(FindingState.WARNING, text)


def problem(text: str) -> Finding:
    return Finding(FindingState.PROBLEM, text)


def worst(findings: Iterable[Finding]) -> FindingState:
    """The most severe state; OK without findings."""
    order = list(FindingState)
    return max((finding.state for finding in findings), key=order.index, default=FindingState.OK)
