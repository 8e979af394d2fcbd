"""The facts after a storm, collected from journal, ClickHouse and API. No decisions.

The journal is read with the harness's own SQL, not through the code under test.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from analytics.client import ClickHouse
from benchmarks.chaos.carried import lacking
from benchmarks.chaos.mail import number_of, past_number
from benchmarks.chaos.past import ENDED
from benchmarks.chaos.records import Events, Left, Shown, Stored, StoredEvent
from benchmarks.client import Client, NotSent, Unanswered
from benchmarks.later_release import FIELD
from benchmarks.sink_log import Line, Receipt
from cluster.settings import ClickHouseSettings

LOOK_S = 0.5
CRASHED = "task crashed, ending the process task="
SAMPLE = 60
"""Messages that are queried one by one over the API."""
SAMPLE_TRIES = 5
FAILURES = 3
"""After this many failed answers at rest, the API is not asked again."""

LEFT = """
SELECT (SELECT count(*) FROM deliveries),
       (SELECT count(*) FROM event_log l JOIN (SELECT tx, id FROM log_cursors ORDER BY tx, id LIMIT 1) c
        ON (l.tx, l.id) > (c.tx, c.id)),
       (SELECT coalesce(sum(count), 0)::bigint FROM webhook_bundles),
       (SELECT count(*) FROM report_windows)
"""
MESSAGES = """
SELECT m.id, r.categories, m.batch_id, m.to_emails, o.status::text, extract(epoch FROM o.finished_at)::float8,
       (SELECT count(*) FROM outcomes o2 WHERE o2.message_id = m.id), o.error_message,
       extract(epoch FROM greatest(m.created_at, m.send_at))::float8
FROM messages m JOIN requests r ON r.id = m.request_id LEFT JOIN outcomes o ON o.message_id = m.id
WHERE r.categories <> ARRAY[%s]
ORDER BY m.id
"""
DELIVERIES = """
SELECT message_id, recipient, status::text, attempts, owner, due_at - now(), error_message FROM deliveries
ORDER BY message_id, recipient_no
"""
TALLIES = """
SELECT batch_id, coalesce(status::text, 'accepted'), sum(messages)::bigint FROM batch_tallies GROUP BY batch_id, status
"""
LISTED = "SELECT address, list::text FROM suppressions ORDER BY 1, 2"
WITH_FIELD = "SELECT count(*) FROM requests WHERE position(%s::bytea IN content) > 0"
EVENTS = "SELECT event_id, event, message_id, recipient FROM events_once WHERE message_id <> ''"


async def wait_for_rest(dsn: str, max_wait_s: float, tell: Callable[[Left], None]) -> Left:
    """Return when nothing is left, or after ``max_wait_s``. Postgres may still be recovering from the last fault."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + max_wait_s
    while True:
        try:
            left = await asyncio.to_thread(_left, dsn)
        except psycopg.OperationalError:
            if clock() > deadline:
                raise
        else:
            tell(left)
            if left.at_rest or clock() > deadline:
                return left
        await asyncio.sleep(LOOK_S)


async def wait_for_actors(idle: Callable[[], list[str]], max_wait_s: float) -> list[str]:
    """Return when every actor works again; returns those that did not within ``max_wait_s``. ``idle``: the names of the
    actors that do not. To be called before the API is asked: what asks an idle actor makes it start."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + max_wait_s
    while (names := await asyncio.to_thread(idle)) and clock() < deadline:
        await asyncio.sleep(LOOK_S)
    return [f"{name} did not work again {max_wait_s:g} s after the storm" for name in names]


async def wait_for_api(client: Client, max_wait_s: float) -> list[str]:
    """Return when the API answers; returns the problem if it did not within ``max_wait_s``. It may have been killed a
    moment ago, and a process takes half a minute to start on a busy machine."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + max_wait_s
    while clock() < deadline:
        try:
            if (await client.get("/healthz")).status == 200:
                return []
        except (NotSent, Unanswered):
            pass
        await asyncio.sleep(LOOK_S)
    return [f"the API was not back {max_wait_s:g} s after the storm"]


def _left(dsn: str) -> Left:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(LEFT).fetchone()
        assert row is not None
        return Left(*row)


def read_journal(dsn: str) -> tuple[list[Stored], list[str], dict[str, dict[str, int]]]:
    """Every message of the load, a description of every unfinished delivery, and the tallies of the batches."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        stored = [_stored(row) for row in connection.execute(MESSAGES, [ENDED])]
        unfinished = [
            f"{message_id} {recipient}: {status}, attempts {attempts}, owner {owner}, due in {due_in}, {error}"
            for message_id, recipient, status, attempts, owner, due_in, error in connection.execute(DELIVERIES)
        ]
        tallies: dict[str, dict[str, int]] = defaultdict(dict)
        for batch_id, status, messages in connection.execute(TALLIES):
            tallies[batch_id][status] = messages
    return stored, unfinished, dict(tallies)


def read_lists(dsn: str) -> list[tuple[str, str]]:
    """The entries of all suppression lists: addresses, and the lists' names."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return [(address, name) for address, name in connection.execute(LISTED)]


def read_written_by_later(dsn: str) -> int:
    """The requests that the later release has written: their content has its field."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(WITH_FIELD, [FIELD.encode()]).fetchone()
        assert row is not None
        return int(row[0])


def _stored(row: tuple[Any, ...]) -> Stored:
    message_id, categories, batch_id, recipients, status, finished_at, outcomes, error_message, claimed_after = row
    return Stored(
        message_id=message_id,
        number=number_of(categories),
        recipients=tuple(recipients),
        batch_id=batch_id,
        status=status,
        finished_at=finished_at,
        claimed_after=claimed_after,
        outcomes=outcomes,
        error_message=error_message,
    )


def read_events(data_dir: Path) -> list[StoredEvent]:
    """Every event of a message in ClickHouse. The postray of this directory must have stopped: only one process may
    open the engine."""
    client = ClickHouse.open(ClickHouseSettings(), data_dir)
    try:
        client.migrate()
        return [StoredEvent(*row) for row in client.rows(EVENTS)]
    finally:
        client.close()


async def ask_keys(client: Client) -> dict[str, str]:
    """The texts in the DNS of the keys of all sender domains, by name. Raises RuntimeError."""
    domains = await _ask(client, "/v3/whitelabel/domains")
    if domains is None:
        raise RuntimeError("GET /v3/whitelabel/domains failed at rest")
    records = [record for domain in domains for record in domain["records"]]
    return {record["host"]: record["data"] for record in records if record.get("key_state")}


def read_lacking(folder: Path, sink: Iterable[Line], records: Mapping[str, str]) -> list[str]:
    """The copies of mail of past days that lack something. ``folder``: where the sink has kept them; ``records``: of
    ``ask_keys``."""
    found = []
    for line in sink:
        if isinstance(line, Receipt) and line.accepted and (number := past_number(line.recipients[0])) is not None:
            copy = (folder / line.kept).read_bytes() if line.kept else b""
            if what := lacking(copy, number, records):
                found.append(f"{line.message_id} to {line.recipients[0]}: came without {what}")
    return found


def crashed(data_dir: Path) -> list[str]:
    """The processes that ended by a defect, by their logs, and the tasks in which it was. What depends on a node ends
    with its node, which is no defect."""
    found = []
    for log in sorted((data_dir / "logs").glob("*.log")):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            before, _, told = line.partition(CRASHED)
            if told and not told.startswith("node"):
                found.append(f"{log.stem} crashed at {before[:24]}: {told[-300:]}")
    return found


def counted(events: Iterable[StoredEvent]) -> Events:
    """The number of events of each name, by message and recipient."""
    counts: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for one in events:
        of_copy = counts[one.message_id, one.recipient]
        of_copy[one.event] = of_copy.get(one.event, 0) + 1
    return dict(counts)


async def ask_messages(client: Client, message_ids: list[str], random: Random) -> tuple[list[Shown], list[str]]:
    """The API's answers for a sample of messages; and the failures."""
    shown: list[Shown] = []
    problems: list[str] = []
    for message_id in random.sample(message_ids, min(SAMPLE, len(message_ids))):
        if len(problems) == FAILURES:
            break
        body = await _ask(client, f"/v3/messages/{message_id}")
        if body is None:
            problems.append(f"GET /v3/messages/{message_id} failed at rest")
            continue
        events = body["events"]
        shown.append(
            Shown(message_id=message_id, status=body["status"], events=None if events is None else len(events))
        )
    return shown, problems


async def ask_batches(client: Client, batch_ids: list[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The API's answers for batches; and the failures."""
    shown: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for batch_id in batch_ids:
        if len(problems) == FAILURES:
            break
        body = await _ask(client, f"/v3/mail/batch/{batch_id}")
        if body is None:
            problems.append(f"GET /v3/mail/batch/{batch_id} failed at rest")
        else:
            shown[batch_id] = body
    return shown, problems


async def _ask(client: Client, path: str) -> Any:
    """The answer's JSON; None where there was none."""
    for _ in range(SAMPLE_TRIES):
        try:
            answer = await client.get(path)
        except (NotSent, Unanswered):
            pass
        else:
            if answer.status == 200:
                return answer.json()
        await asyncio.sleep(LOOK_S)
    return None
