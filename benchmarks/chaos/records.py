"""The records of a run: the requests with their answers, the faults as performed, the facts found afterwards. Pure."""

from typing import Any, Literal

from msgspec import Struct

from benchmarks.chaos.faults import FaultKind
from benchmarks.sink_log import Line

Outcome = Literal["accepted", "refused", "not sent", "unanswered"]


class SentRequest(Struct, kw_only=True):
    """One request to send, and the API's answer."""

    number: int
    recipients: list[list[str]]
    """The recipients of each message."""
    outcome: Outcome
    status: int = 0
    message_ids: list[str] = []
    reason: str = ""
    """Why there was no answer."""
    took_s: float = 0.0
    at: float
    """When the answer came; seconds since the epoch."""


class Cancel(Struct, kw_only=True):
    """A cancel and its answer."""

    message_id: str
    status: int
    """0 when there was no answer."""
    reason: str = ""
    took_s: float = 0.0
    at: float


class Done(Struct, frozen=True, kw_only=True):
    """A fault as performed."""

    kind: FaultKind
    at_s: float
    pids: list[int]
    """The signalled processes; empty when none was found and nothing happened, or for the sink."""


class Left(Struct, frozen=True):
    """The unfinished work: deliveries in the journal, and rows of the event log that are not in ClickHouse."""

    deliveries: int
    log_rows: int

    @property
    def at_rest(self) -> bool:
        return not self.deliveries and not self.log_rows


class Stored(Struct, frozen=True, kw_only=True):
    """A message in the journal."""

    message_id: str
    number: int | None
    """The number of its request."""
    recipients: tuple[str, ...]
    batch_id: str | None
    status: str | None
    """None while it is unfinished."""
    finished_at: float | None
    outcomes: int = 1
    error_message: str | None = None


class Shown(Struct, frozen=True, kw_only=True):
    """A message in the API: its status and the number of its events; None when the timeline was unavailable."""

    message_id: str
    status: str
    events: int | None


Events = dict[tuple[str, str], dict[str, int]]
"""The number of events of each name, by message and recipient."""


class VerdictFacts(Struct, frozen=True, kw_only=True):
    """All inputs of the verdict."""

    sent: list[SentRequest]
    cancels: list[Cancel]
    stored: list[Stored]
    unfinished: list[str]
    """Descriptions of the deliveries that are left."""
    log_rows_left: int
    tallies: dict[str, dict[str, int]]
    """By batch: messages by status; ``accepted`` is their total."""
    batches_shown: dict[str, dict[str, Any]]
    """By batch: the answers of GET /v3/mail/batch/{id}."""
    shown: list[Shown]
    events: Events
    sink: list[Line]
    problems: list[str]
    """Failures that no scheduled fault explains."""
