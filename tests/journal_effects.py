"""Compares what happens to deliveries in a journal's Postgres with the headers of the statements.

Triggers record each change of a status, with the text of the statement; a rollback removes the records. A header that
is not in the table of transitions fails tests/unit/journal/test_moves.py, so a change that passes both tests is in the
table.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

import psycopg
from msgspec import Struct

from benchmarks.counts.journal_dialogue import StatementNames
from cluster.journal.statements import QUERIES
from cluster.policy.lifecycle import FINISHED, NEW, Status, fold
from tests.journal_moves import moves_of

HAS_IT = (Status.DELIVERED, Status.SENT)
"""The final statuses that recipients keep when other recipients of the message are retried."""

ERASING = frozenset(("erase_messages", "erase_messages_to"))
"""Statements that delete a finished message with its outcome."""

# A delivery that ends is deleted from the deliveries, and its outcome is inserted into the outcomes.
_WATCH = """
CREATE TABLE effects (
    id bigint GENERATED ALWAYS AS IDENTITY, tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    query text NOT NULL DEFAULT current_query(), is_outcome boolean NOT NULL,
    message_id text NOT NULL, recipient_no integer, before text, after text);
CREATE FUNCTION watch_{table}() RETURNS trigger LANGUAGE plpgsql SET enable_hashjoin TO on AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO effects (is_outcome, message_id, recipient_no, after)
        SELECT {is_outcome}, message_id, {recipient_no}, status FROM made;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO effects (is_outcome, message_id, recipient_no, before)
        SELECT {is_outcome}, message_id, {recipient_no}, status FROM gone;
    ELSE
        INSERT INTO effects (is_outcome, message_id, recipient_no, before, after)
        SELECT {is_outcome}, gone.message_id, {recipient_no}, gone.status, made.status
        FROM gone JOIN made USING ({key}) WHERE gone.status <> made.status;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER watch_inserts AFTER INSERT ON {table} REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION watch_{table}();
CREATE TRIGGER watch_deletes AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION watch_{table}();
CREATE TRIGGER watch_updates AFTER UPDATE ON {table} REFERENCING OLD TABLE AS gone NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION watch_{table}();
"""
_TABLE, _TRIGGERS = _WATCH.split(";\n", 1)


class Effect(Struct, frozen=True, array_like=True):
    """A row that was inserted (``before`` is None), deleted (``after`` is None), or whose status was changed."""

    tx: int
    query: str
    """The text of the statement, as the server received it."""
    is_outcome: bool
    message_id: str
    recipient_no: int | None
    before: Status | None
    after: Status | None


class Moved(Struct, frozen=True, order=True):
    """A statement moved a delivery from one status to another. An unnamed statement has its first words as name."""

    statement: str
    start: str
    end: str


def watch(dsn: str) -> None:
    """Install the triggers that record what happens to deliveries in a journal's database."""
    deliveries = {"table": "deliveries", "is_outcome": "false", "recipient_no": "recipient_no"}
    outcomes = {"table": "outcomes", "is_outcome": "true", "recipient_no": "NULL::integer"}
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_TABLE.encode())
        connection.execute(_TRIGGERS.format(key="message_id, recipient_no", **deliveries).encode())
        connection.execute(_TRIGGERS.format(key="tenant_id, message_id", **outcomes).encode())


def effects(dsn: str) -> list[Effect]:
    """The recorded effects, grouped by transaction."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT tx::text::bigint, query, is_outcome, message_id, recipient_no, before, after "
            "FROM effects ORDER BY tx, id"
        ).fetchall()
    return [
        Effect(tx, query, is_outcome, message_id, number, before and Status(before), after and Status(after))
        for tx, query, is_outcome, message_id, number, before, after in found
    ]


def faults(recorded: Sequence[Effect]) -> list[str]:
    """The moves that no header allows, one line each."""
    found = []
    for moved in _moves(recorded):
        if isinstance(moved, str):
            found.append(moved)
        elif (moved.start, moved.end) not in ALLOWED.get(moved.statement, ()):
            found.append(f"{moved.statement}: {moved.start} -> {moved.end}")
    return sorted(set(found))


def moves(recorded: Sequence[Effect]) -> set[Moved]:
    """The moves that the effects show."""
    return {moved for moved in _moves(recorded) if isinstance(moved, Moved)}


_NAMES = StatementNames(QUERIES)

ALLOWED = {
    name: {(move.start or NEW, move.end) for move in said}
    for name, text in QUERIES.items()
    if (said := moves_of(text)) is not None
}
"""The moves that each statement's header allows."""


def _moves(recorded: Sequence[Effect]) -> Iterator[Moved | str]:
    for _, transaction in groupby(recorded, key=lambda effect: effect.tx):
        retried: dict[str, Status] = {}
        for query, group in groupby(transaction, key=lambda effect: effect.query):
            name = _NAMES.of(re.sub(r"^EXPLAIN \([^)]*\) ", "", query))
            yield from _of_statement(name, list(group), retried)
        for message_id in retried:
            yield f"the outcome of {message_id} was taken away, and nothing made anew"


def _of_statement(name: str, group: list[Effect], retried: dict[str, Status]) -> Iterator[Moved | str]:
    """``retried``: the messages whose outcome the transaction has deleted, and their former final statuses."""
    ended = {e.message_id: e.after for e in group if e.is_outcome and e.after and e.before is None}
    gone: dict[str, list[Status]] = {}
    anew = set()
    for effect in group:
        match effect:
            case Effect(is_outcome=True, before=Status(), after=None) if name in ERASING:
                pass
            case Effect(is_outcome=True, before=Status() as before, after=None):
                retried[effect.message_id] = before
            case Effect(is_outcome=False, before=Status() as before, after=None):
                gone.setdefault(effect.message_id, []).append(before)
            case Effect(is_outcome=False, before=None, after=Status() as after):
                anew.add(effect.message_id)
                if after not in HAS_IT or effect.message_id not in retried:
                    yield Moved(name, retried.get(effect.message_id, NEW), after)
            case Effect(before=Status() as before, after=Status() as after):
                yield Moved(name, before, after)
    for message_id in anew:
        retried.pop(message_id, None)
    for message_id, statuses in gone.items():
        yield from _of_ended(name, statuses, ended.pop(message_id, None))
    for end in ended.values():
        if end is not None:
            yield Moved(name, NEW, end)


def _of_ended(name: str, statuses: list[Status], end: Status | None) -> Iterator[Moved | str]:
    """The deliveries of a message were deleted in these statuses, and it got the outcome ``end``."""
    unfinished = [status for status in statuses if status not in FINISHED]
    if end is None:
        yield f"{name}: deliveries vanished that were {', '.join(statuses)}"
    elif unfinished:
        yield from (Moved(name, start, end) for start in unfinished)
    elif fold(statuses) is not end:
        yield f"{name}: the fold of {', '.join(statuses)} is not {end}"
