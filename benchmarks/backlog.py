"""The backlog scenario: what a journal full of work costs, and how soon its work is done.

Fills the journal of a postray that is down, brings postray up over it, and watches: a backlog that is due now tells how
soon the first message is delivered after ``up``, a backlog of the future (``--due-per-s``) how long after its due time
each is. Besides: the memory of every actor, and the plans of the scheduler's statements (they must not scan).
"""

import shutil
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from benchmarks.phases import Phases, Tell
from benchmarks.postray import Postray
from cluster.embedded import EmbeddedPostgres
from cluster.journal.database import QUERIES
from cluster.journal.records import Address, Content, Part, Personal, encode
from cluster.running import read_run

LEAD_S = 20.0
"""A future backlog begins this long after it is written: postray must be up by then."""
SETTLED_S = 3.0
"""The first seconds of a future backlog are not counted: connections are still being opened."""
POLL_S = 0.05
SCHEDULER_STATEMENTS = {
    "anything_due": QUERIES["anything_due"],
    "due": QUERIES["due"].replace("%(limit)s", "1000"),
    "lanes": QUERIES["lanes"],
}

FILL = """
INSERT INTO requests (id, tenant_id, created_at, categories, content)
SELECT 'req_backlog', id, now(), '{}', %(content)s FROM tenants;
INSERT INTO messages (tenant_id, id, request_id, created_at, from_email, to_emails, subject, personal)
SELECT t.id, 'msg_' || lpad(i::text, 26, '0'), 'req_backlog', now(), 'hello@mail.example.com',
    '{ada@example.com}', 'Backlog', %(personal)s FROM tenants t, generate_series(1, %(messages)s) AS i;
INSERT INTO deliveries (message_id, recipient_no, tenant_id, domain, recipient, due_at, expires_at, alone)
SELECT 'msg_' || lpad(i::text, 26, '0'), 0, t.id, 'example.com', 'ada@example.com',
    now() + make_interval(secs => %(lead_s)s + i * %(apart_s)s), now() + interval '30 days', true
FROM tenants t, generate_series(1, %(messages)s) AS i;
"""
LATENESS = """
SELECT count(*), percentile_cont(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - due))
FROM (SELECT finished_at, %(base)s + make_interval(secs => substr(message_id, 5)::int * %(apart_s)s) AS due
      FROM outcomes) AS done
WHERE finished_at > %(base)s + make_interval(secs => %(settled_s)s)
"""


class Record(Struct, kw_only=True):
    """What a run measured. Times in seconds, memory in MiB."""

    messages: int
    due_per_s: float
    first_delivery_s: float | None = None
    """After the start of ``up``; of a backlog that is due now."""
    counted: int = 0
    lateness_s: list[float] | None = None
    """From due to the outcome's commit: median, p99, longest; of a backlog of the future."""
    delivered_per_s: float = 0.0
    memory_mb: dict[str, tuple[int, int]] = {}
    """By actor: resident, and resident with shared pages counted proportionally."""
    plans: dict[str, list[str]] = {}


def run(messages: int, due_per_s: float, seconds: float, console: Console) -> Record:
    """Measure once. ``due_per_s`` 0: all are due now."""
    data_dir = Path(tempfile.mkdtemp(prefix="pr-backlog-"))
    postray = Postray(data_dir, {})
    record = Record(messages=messages, due_per_s=due_per_s)
    phases = Phases(console)
    try:
        with phases.shown():
            with phases.phase("filling") as tell:
                # Its first life makes the tenant and the schema.
                postray.start()
                postray.stop()
                tell(f"{messages} messages", 0)
                _fill(data_dir, messages, due_per_s)
            with phases.phase("starting"):
                began = time.monotonic()
                postray.start()
            with phases.phase("working", seconds) as tell:
                _watch(postray, record, began, seconds, tell)
    finally:
        postray.stop()
        shutil.rmtree(data_dir, ignore_errors=True)
    return record


def _fill(data_dir: Path, messages: int, due_per_s: float) -> None:
    text = "Hello, this is the backlog.\n" * 60
    content = Content(from_=Address("hello@mail.example.com"), subject="Backlog", parts=(Part("text/plain", text),))
    server = EmbeddedPostgres(data_dir / "postgres")
    with psycopg.connect(server.start(), autocommit=True) as connection:
        values = {
            "content": encode(content),
            "personal": encode(Personal(to=(Address("ada@example.com"),))),
            "messages": messages,
            "lead_s": LEAD_S if due_per_s else 0.0,
            "apart_s": 1 / due_per_s if due_per_s else 0.0,
        }
        for statement in FILL.split(";")[:-1]:
            connection.execute(statement.encode(), values)
        connection.execute("VACUUM ANALYZE deliveries")
    server.stop()


def _watch(postray: Postray, record: Record, began: float, seconds: float, tell: Tell) -> None:
    run = read_run(postray.data_dir)
    assert run is not None
    with psycopg.connect(run.postgres_dsn, autocommit=True) as connection:
        row = connection.execute("SELECT min(due_at) FROM deliveries").fetchone()
        assert row is not None
        base = row[0]
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            done = _delivered(connection)
            if done and record.first_delivery_s is None and not record.due_per_s:
                record.first_delivery_s = round(time.monotonic() - began, 2)
            tell(f"{done} delivered", seconds - (ends - time.monotonic()))
            time.sleep(POLL_S)
        record.delivered_per_s = round(_delivered(connection) / seconds, 1)
        if record.due_per_s:
            values = {"base": base, "apart_s": 1 / record.due_per_s, "settled_s": SETTLED_S}
            row = connection.execute(LATENESS.encode(), values).fetchone()
            assert row is not None
            record.counted, record.lateness_s = row[0], [round(s, 3) for s in row[1] or []]
        for name, statement in SCHEDULER_STATEMENTS.items():
            explained = connection.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement}".encode())
            record.plans[name] = [line for (line,) in explained.fetchall()]
    for kind in ("api", "delivery", "scheduler", "recorder", "supervisor", "capture"):
        for name in postray.names(kind):
            pid = postray.pid_of(name)
            assert pid is not None
            memory = psutil.Process(pid).memory_full_info()
            record.memory_mb[name] = (memory.rss >> 20, memory.pss >> 20)


def _delivered(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("SELECT count(*) FROM outcomes").fetchone()
    assert row is not None and isinstance(row[0], int)
    return row[0]


def show(console: Console, record: Record) -> None:
    """The record as a table, and the plans."""
    table = Table("what", "measured", box=None, pad_edge=False)
    table.add_row("messages in the journal", f"{record.messages:,}")
    if record.first_delivery_s is not None:
        table.add_row("first delivery after up", f"{record.first_delivery_s} s")
    if record.lateness_s:
        median, p99, longest = record.lateness_s
        table.add_row(f"due to delivered, {record.counted:,} messages", f"p50 {median} s, p99 {p99} s, max {longest} s")
    table.add_row("delivered", f"{record.delivered_per_s}/s")
    for name, (resident, proportional) in record.memory_mb.items():
        table.add_row(f"memory of {name}", f"{resident} MiB resident, {proportional} MiB proportional")
    console.print(table)
    for name, plan in record.plans.items():
        console.print(f"\nplan of {name}", *plan, sep="\n  ", markup=False)
