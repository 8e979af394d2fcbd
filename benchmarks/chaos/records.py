"""What is known of a run: the requests and their answers, the faults as performed, what was found afterwards. Pure."""

from typing import Any, Literal

from msgspec import Struct

from benchmarks.chaos.faults import Kind
from benchmarks.sink_log import Line

Outcome = Literal["accepted", "refused", "not sent", "unanswered"]


class Sent(Struct, kw_only=True):
    """One request to send, and what the API said."""

    number: int
    recipients: list[list[str]]
    """Of each message."""
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
    """A fault as it was performed."""

    kind: Kind
    at_s: float
    pids: list[int]
    """That were signalled; empty when there was nobody, and nothing happened, or for the sink."""


class Left(Struct, frozen=True):
    """What is unfinished: deliveries in the journal, and rows of the event log that ClickHouse does not have."""

    deliveries: int
    log_rows: int

    @property
    def at_rest(self) -> bool:
        return not self.deliveries and not self.log_rows


class Stored(Struct, frozen=True, kw_only=True):
    """A message as the journal has it."""

    message_id: str
    number: int | None
    """Of the request that it came in."""
    recipients: tuple[str, ...]
    batch_id: str | None
    status: str | None
    """None while it is unfinished."""
    finished_at: float | None
    outcomes: int = 1
    error_message: str | None = None


class Shown(Struct, frozen=True, kw_only=True):
    """A message as the API shows it: its status and how many events it has; None for a timeline that was missing."""

    message_id: str
    status: str
    events: int | None


Events = dict[tuple[str, str], dict[str, int]]
"""By message and recipient: how many events of each name."""


class Facts(Struct, frozen=True, kw_only=True):
    """All that the verdict is made from."""

    sent: list[Sent]
    cancels: list[Cancel]
    stored: list[Stored]
    unfinished: list[str]
    """Deliveries that were left, described."""
    log_rows_left: int
    tallies: dict[str, dict[str, int]]
    """By batch: messages by status, and under ``accepted`` all of them."""
    batches_shown: dict[str, dict[str, Any]]
    """By batch: the answers of GET /v3/mail/batch/{id}."""
    shown: list[Shown]
    events: Events
    sink: list[Line]
    problems: list[str]
    """What went wrong in a way that no schedule asks for."""
