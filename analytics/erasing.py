"""Deleting what ClickHouse has of a tenant or of recipients, by mutations: they rewrite the parts that hold such rows,
which DELETE FROM only hides. What is replaced is on disk until ClickHouse removes old parts (docs/erasure.md).
"""

from collections.abc import Sequence

from analytics.client import ClickHouse

TABLES = ("events", "feed", "webhook_attempts", "firsts", "tallies", "slices")
"""All that have rows of tenants."""
ERASE_TENANT = "ALTER TABLE {table} DELETE WHERE tenant_id = {{tenant_id:String}}"
ANY_OF_TENANT = "SELECT 1 FROM {table} WHERE tenant_id = {{tenant_id:String}} LIMIT 1"
UNDER_WAY = """
SELECT 1 FROM system.mutations
WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done AND position(command, {name:String}) > 0
LIMIT 1
"""

ADDRESSES_AT_ONCE = 200
"""ClickHouse searches a text for at most 255 needles."""

# The text of these statements is not to be kept by a server that logs queries: it has the addresses.
UNLOGGED = "SETTINGS log_queries = 0"
ADDRESS = (
    "concat(lowerUTF8(arrayStringConcat(arraySlice(splitByChar('@', recipient), 1, -1), '@')), '@', recipient_domain)"
)
"""The recipient as addresses compare (``cluster.suppression.address``)."""
TEXTS = {
    "events": "concat(smtp_response, '\\n', reason, '\\n', url)",
    "webhook_attempts": "concat(url, '\\n', request_body, '\\n', answer_headers, '\\n', answer_body, '\\n', error)",
}
NAMED = "multiSearchAny(lowerUTF8({texts}), {{addresses:Array(String)}})"
FIND_EVENTS = f"""
INSERT INTO erasing
SELECT DISTINCT {{job_id:String}}, if({ADDRESS} IN {{addresses:Array(String)}}, 'event', 'mention') AS kind,
    message_id, event_id
FROM events
WHERE tenant_id = {{tenant_id:String}} AND message_id < {{before:String}}
    AND ({ADDRESS} IN {{addresses:Array(String)}} OR {NAMED.format(texts=TEXTS["events"])})
{UNLOGGED}
"""
FIND_FIRSTS = f"""
INSERT INTO erasing
SELECT DISTINCT {{job_id:String}}, 'first', message_id, toString(sipHash64(recipient))
FROM events
WHERE tenant_id = {{tenant_id:String}} AND message_id < {{before:String}} AND {ADDRESS} IN {{addresses:Array(String)}}
{UNLOGGED}
"""
_NAMING = NAMED.format(texts=TEXTS["webhook_attempts"])
_ASKED = "fromUnixTimestamp64Milli({asked:Int64})"
FIND_ATTEMPTS = f"""
INSERT INTO erasing
SELECT DISTINCT {{job_id:String}}, 'attempt', '', attempt_id
FROM webhook_attempts LEFT ARRAY JOIN event_ids AS event_id
WHERE tenant_id = {{tenant_id:String}}
    AND (event_id IN (SELECT id FROM erasing WHERE job_id = {{job_id:String}} AND kind = 'event')
        OR {_NAMING} AND (at < {_ASKED} OR event_id IN (
            SELECT event_id FROM events
            WHERE tenant_id = {{tenant_id:String}} AND message_id < {{before:String}} AND event_id IN (
                SELECT arrayJoin(event_ids) FROM webhook_attempts
                WHERE tenant_id = {{tenant_id:String}} AND at >= {_ASKED} AND {_NAMING}))))
{UNLOGGED}
"""
"""Posts with an event of the addresses; of those that name them otherwise, the posts from before the job was requested,
and later ones with an event of a message that the job covers."""
FOUND = "SELECT 1 FROM erasing WHERE job_id = {job_id:String} LIMIT 1"
FORGET = "ALTER TABLE erasing DROP PARTITION '{job_id}'"

_IDS = "(SELECT {column} FROM erasing WHERE job_id = '{{job_id}}' AND kind = '{kind}')"
_OF = "message_id IN {messages} AND event_id IN {events}"
_EVENTS = _OF.format(
    messages=_IDS.format(column="message_id", kind="event"), events=_IDS.format(column="id", kind="event")
)
_MENTIONS = _OF.format(
    messages=_IDS.format(column="message_id", kind="mention"), events=_IDS.format(column="id", kind="mention")
)
_FIRSTS = " AND ".join(
    (
        f"message_id IN {_IDS.format(column='message_id', kind='first')}",
        f"toString(recipient_hash) IN {_IDS.format(column='id', kind='first')}",
    )
)
_ATTEMPTS = f"attempt_id IN {_IDS.format(column='id', kind='attempt')}"
ERASED_TEXT = "[erased]"
STEPS = (
    ("webhook_attempts", "DELETE", _ATTEMPTS),
    ("feed", "DELETE", _EVENTS),
    ("firsts", "DELETE", _FIRSTS),
    ("events", "DELETE", _EVENTS),
    (
        "events",
        f"UPDATE smtp_response = '{ERASED_TEXT}', reason = '{ERASED_TEXT}', url = '{ERASED_TEXT}'",
        f"{_MENTIONS} AND smtp_response <> '{ERASED_TEXT}'",
    ),
)
"""Of each mutation the table, what it does, and to which rows: it is done when there is none. ``{job_id}`` is an id of
ours: mutations keep no parameters."""


def erase_tenant(client: ClickHouse, tenant_id: str) -> bool:
    """Begin to delete all that there is of a tenant, unless that is under way; returns whether nothing is left. Raises
    ClickHouseUnavailable."""
    left = [table for table in TABLES if client.rows(ANY_OF_TENANT.format(table=table), tenant_id=tenant_id)]
    for table in left:
        if not client.rows(UNDER_WAY, table=table, name=tenant_id):
            client.command(ERASE_TENANT.format(table=table), tenant_id=tenant_id)
    return not left


def erase_recipients(
    client: ClickHouse, job_id: str, tenant_id: str, addresses: Sequence[str], before: str, asked_ms: int
) -> bool:
    """Begin or go on to delete what there is about these addresses, given as they compare, in messages with ids below
    ``before``; ``asked_ms``: when it was asked for, in milliseconds since the epoch. Returns whether nothing is left.
    Call it until then. Raises ClickHouseUnavailable."""
    if not client.rows(FOUND, job_id=job_id):
        for start in range(0, len(addresses), ADDRESSES_AT_ONCE):
            some = list(addresses[start : start + ADDRESSES_AT_ONCE])
            of_job = {"job_id": job_id, "tenant_id": tenant_id, "addresses": some}
            client.command(FIND_EVENTS, before=before, **of_job)
            client.command(FIND_FIRSTS, before=before, **of_job)
            client.command(FIND_ATTEMPTS, before=before, asked=asked_ms, **of_job)
        if not client.rows(FOUND, job_id=job_id):
            return True
    for table, action, condition in STEPS:
        rows = condition.format(job_id=job_id)
        if client.rows(f"SELECT 1 FROM {table} WHERE {rows} LIMIT 1"):
            if not client.rows(UNDER_WAY, table=table, name=job_id):
                client.command(f"ALTER TABLE {table} {action} WHERE {rows}")
            return False
    # What was found is gone. The next call looks whether that was all: a killed process may have found a part.
    client.command(FORGET.format(job_id=job_id))
    return False
