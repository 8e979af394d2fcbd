"""The records of a run: the requests with their answers, the faults as performed, the facts found afterwards. Pure."""

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

from benchmarks.chaos.faults import FaultKind
from benchmarks.hook_log import Post
from benchmarks.sink_log import Line

Outcome = Literal["accepted", "refused", "not sent", "unanswered"]


class SentRequest(Struct, kw_only=True):
    """One request to send, or one message submitted by SMTP, and the answer."""

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
    submitted: bool = False
    """By SMTP: ``status`` is the code of the reply."""
    tries: int = 1
    """How often it was sent. The retries of a request to the API are requests of their own."""


class Cancel(Struct, kw_only=True):
    """A cancel and its answer."""

    message_id: str
    status: int
    """0 when there was no answer."""
    reason: str = ""
    took_s: float = 0.0
    at: float


class FetchKind(StrEnum):
    """What a reader asked for, named as the event of it."""

    OPEN = "open"
    CLICK = "click"


class Fetch(Struct, frozen=True, kw_only=True):
    """A pixel or a link of a copy at the sink that a reader asked for."""

    message_id: str
    recipient: str
    kind: FetchKind
    is_answered: bool
    """Otherwise it is unknown whether it counts."""
    at: float
    """When the answer came; seconds since the epoch."""


class Unsubscribe(Struct, kw_only=True):
    """A one-click unsubscribe of a reader."""

    recipient: str
    from_group: bool
    """From the group of the message; otherwise from all mail."""
    asked_at: float
    answered_at: float | None = None
    """When the answer came that it is done."""


class ReportKind(StrEnum):
    """What a host sends about mail that it took, named as the event of it."""

    RETURNED = "bounce"
    COMPLAINT = "spam_report"


class SentReport(Struct, kw_only=True):
    """A report on one copy at the sink, sent until it was answered with 250."""

    message_id: str
    recipient: str
    kind: ReportKind
    asked_at: float = 0.0
    """When it was sent first; seconds since the epoch. 0: not yet."""
    answered_at: float | None = None
    """When a 250 came; seconds since the epoch. None: none came."""
    tries: int = 0


Span = tuple[float, float]
"""From and until when, in seconds since the epoch."""


class Done(Struct, frozen=True, kw_only=True):
    """A fault as performed."""

    kind: FaultKind
    at_s: float
    ended_s: float = 0.0
    """When it was over. 0 in older records."""
    pids: list[int]
    """The signalled processes; empty when none was found and nothing happened, or for the sink."""


class ChangeKind(StrEnum):
    """What changes about the nodes of a cluster."""

    NODE_KILLED = "node killed"
    JOINED = "joined"
    DRAINED = "drained"
    UNDRAINED = "undrained"
    LEFT = "left"
    BROUGHT_BACK = "brought back"
    HEAD_AWAY = "head away"
    HEAD_BACK = "head back"
    RELEASE_CHANGED = "release changed"
    HEAD_KILLED = "head killed"
    STARTED = "started"


class Change(Struct, kw_only=True):
    """A change of the nodes: when it began, and when it was done. Seconds since the epoch."""

    kind: ChangeKind
    at: float
    ended_at: float

    @property
    def is_kill(self) -> bool:
        return self.kind in (ChangeKind.NODE_KILLED, ChangeKind.HEAD_KILLED)


class Recovery(Struct, frozen=True, kw_only=True):
    """How soon after a change delivery was back to its rate (``rates.py``)."""

    kind: ChangeKind
    at_s: float
    """From the start of the storm."""
    back_s: float | None
    """None: not before the next change, or the end of the storm."""
    watched_s: float
    """How long it was looked at."""


class Left(Struct, frozen=True):
    """The unfinished work: deliveries in the journal, rows of the event log that a consumer has not passed, events that
    wait for the endpoint, and messages on which reports are awaited."""

    deliveries: int
    log_rows: int
    owed: int = 0
    windows: int = 0

    @property
    def at_rest(self) -> bool:
        return not (self.deliveries or self.log_rows or self.owed or self.windows)


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
    claimed_after: float = 0.0
    """When it was accepted, or its send time: no claim was before. Seconds since the epoch."""
    outcomes: int = 1
    error_message: str | None = None


class Shown(Struct, frozen=True, kw_only=True):
    """A message in the API: its status and the number of its events; None when the timeline was unavailable."""

    message_id: str
    status: str
    events: int | None


class StoredEvent(Struct, frozen=True):
    """An event in ClickHouse."""

    event_id: str
    event: str
    message_id: str
    recipient: str


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
    each_event: list[StoredEvent] = []
    """Every event in ClickHouse."""
    posts: list[Post] = []
    """What the endpoint was posted."""
    owed: int = 0
    """Events that still wait for it."""
    problems: list[str]
    """Failures that no scheduled fault explains."""
    fetches: list[Fetch] = []
    unsubscribes: list[Unsubscribe] = []
    reports: list[SentReport] = []
    listed: list[tuple[str, str]] = []
    """The entries of suppression lists: addresses, and the lists' names."""
    windows: int = 0
    """Messages on which reports are still awaited."""
    past: list[SentRequest] = []
    """Those of ``sent`` that are of past days."""
    rewritten_at: list[float] = []
    """When partitions were rewritten, in seconds since the epoch."""
    ended_left: int = 0
    """Messages that ended on past days and are still there, though all past days have gone."""
    lacking: list[str] = []
    """Copies of mail of past days, and what they lack."""
    late: list[str] = []
    """Changes of nodes after which delivery was not back to its rate in time."""
    api_killed: list[Span] = []
    """When processes of the API were killed, as far as is known."""
    journal_away: list[Span] = []
    """When Postgres did not answer; its recovery follows."""
