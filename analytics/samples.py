"""The flight recorder's samples, and their columns in ClickHouse (schema/0012_samples.sql, 0013_troubles.sql,
0014_happenings.sql). Pure.

What a host said may name a recipient, and samples belong to no tenant, so no erasure finds them: addresses are masked
here, and of a reply about a mailbox only the codes are kept.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import astuple

from analytics.rows import Table
from cluster.policy.forms import Form

SITE_SAMPLES = Table(
    "site_samples",
    {
        "site": "String",
        "source": "LowCardinality(String)",
        "at": "DateTime('UTC')",
        "interval_s": "Float32",
        "queued": "UInt32",
        "held_back": "UInt32",
        "parked": "UInt32",
        "in_flight": "UInt32",
        "connections": "UInt32",
        "accepted": "UInt32",
        "deferred": "UInt32",
        "bounced": "UInt32",
        "transactions": "UInt32",
        "spent_s": "Float32",
        "connection_limit": "UInt32",
        "connections_per_ip": "UInt32",
        "message_rate": "Float32",
        "connection_rate": "Float32",
        "warm_up_cap": "Nullable(UInt32)",
        "binds": "LowCardinality(String)",
        "adjustments": "Array(LowCardinality(String))",
        "reply_at": "Nullable(DateTime('UTC'))",
        "reply_host": "LowCardinality(String)",
        "reply_kind": "LowCardinality(String)",
        "reply": "String",
        "policy_version": "UInt32",
    },
)
"""In the order of the fields of ``SiteSample``."""
SAMPLES = Table(
    "samples",
    {
        "at": "DateTime('UTC')",
        "interval_s": "Float32",
        "taken": "UInt32",
        "accepted": "UInt32",
        "deferred": "UInt32",
        "bounced": "UInt32",
        "transactions": "UInt32",
        "spent_s": "Float32",
        "unfinished": "UInt64",
        "queued": "UInt32",
        "in_flight": "UInt32",
        "connections": "UInt32",
        "sites": "UInt32",
        "left_out": "UInt32",
        "oldest_s": "Float32",
        "overdue_s": "Float32",
        "late_s": "Float32",
        "journal_ms": "Nullable(Float32)",
        "silent": "Array(LowCardinality(String))",
        "policy_version": "UInt32",
        "refused": "UInt32",
        "started": "Map(LowCardinality(String), DateTime('UTC'))",
        "stood_s": "Map(LowCardinality(String), Float32)",
        "nodes": "UInt32",
        "journal_failures": "UInt32",
        "journal_slow": "UInt32",
        "journal_started": "Nullable(DateTime('UTC'))",
        "journal_recovered": "Nullable(DateTime('UTC'))",
        "log_lag_s": "Float32",
        "connections_failed": "UInt32",
        "connections_lost": "UInt32",
        "partitions": "UInt32",
        "happened": "Array(Tuple(LowCardinality(String), LowCardinality(String), DateTime64(3), DateTime64(3)))",
    },
)
"""In the order of the fields of ``Sample``."""


class SiteSample(Form, frozen=True, kw_only=True):
    """A source → site over the whole cluster; the schema says what each field is. ``at`` is in seconds since the
    epoch."""

    site: str
    source: str
    at: int
    interval_s: float
    queued: int = 0
    held_back: int = 0
    parked: int = 0
    in_flight: int = 0
    connections: int = 0
    accepted: int = 0
    deferred: int = 0
    bounced: int = 0
    transactions: int = 0
    spent_s: float = 0.0
    connection_limit: int = 0
    connections_per_ip: int = 0
    message_rate: float = 0.0
    connection_rate: float = 0.0
    warm_up_cap: int | None = None
    binds: str = ""
    adjustments: tuple[str, ...] = ()
    reply_at: int | None = None
    reply_host: str = ""
    reply_kind: str = ""
    reply: str = ""
    policy_version: int = 0


Happened = tuple[str, str, int, int]
"""What happened, to which actor, and from and until when, in milliseconds since the epoch."""


class Sample(Form, frozen=True, kw_only=True):
    """The whole; the schema says what each field is. ``at`` is in seconds since the epoch."""

    at: int
    interval_s: float
    taken: int = 0
    accepted: int = 0
    deferred: int = 0
    bounced: int = 0
    transactions: int = 0
    spent_s: float = 0.0
    unfinished: int = 0
    queued: int = 0
    in_flight: int = 0
    connections: int = 0
    sites: int = 0
    left_out: int = 0
    oldest_s: float = 0.0
    overdue_s: float = 0.0
    late_s: float = 0.0
    journal_ms: float | None = None
    silent: tuple[str, ...] = ()
    policy_version: int = 0
    refused: int = 0
    started: Mapping[str, int] = {}
    stood_s: Mapping[str, float] = {}
    nodes: int = 0
    journal_failures: int = 0
    journal_slow: int = 0
    journal_started: int | None = None
    journal_recovered: int | None = None
    log_lag_s: float = 0.0
    connections_failed: int = 0
    connections_lost: int = 0
    partitions: int = 0
    happened: tuple[Happened, ...] = ()


def sample_columns(samples: Sequence[SiteSample] | Sequence[Sample]) -> list[Sequence[Any]]:
    """The values, column by column; an empty list when there are no samples."""
    return list(zip(*map(astuple, samples), strict=True))


_ADDRESS = re.compile(r"[^\s<>\"'(),:;\[\]]+@[^\s<>\"'(),;\[\]]*")
_CODES = re.compile(r"(?P<code>[245][0-9]{2})(?:[ -](?P<enhanced>[245]\.(?P<subject>[0-9]{1,3})\.[0-9]{1,3}))?")
_OF_A_MAILBOX = ("1", "2")
"""RFC 3463 §3.2, §3.3: the subjects that are about an address or a mailbox."""
MASK = "…"


def without_recipients(reply: str, kind: str) -> str:
    """What a host said, without what may name a recipient. ``kind``: accepted, deferred or bounced."""
    codes = _CODES.match(reply)
    if codes is not None:
        subject = codes["subject"]
        if subject in _OF_A_MAILBOX or (subject is None and kind == "bounced"):
            return f"{codes[0]} {MASK}"
    return _ADDRESS.sub(MASK, reply)
