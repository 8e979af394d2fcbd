"""When the rows of each table go, in one place. ``BOUNDED_BY`` names every table of the journal, and what bounds it;
``ENDS`` has those whose rows go so long after a time in one of their columns. The scheduler removes them in steps
(``actors/purging.py``).
"""

from datetime import datetime, timedelta

from msgspec import Struct

from cluster.ids import first_id, made_at
from cluster.journal.database import JournalPart, execute, rows
from cluster.journal.idempotency import KEPT as IDEMPOTENCY_KEPT

AUDIT_DAYS = 400
"""How long it can be told what there was once: keys that were revoked, images that were deleted, and messages that were
erased, whose links are followed for so long; and what operators did."""


class End(Struct, frozen=True, kw_only=True):
    """Rows of ``table`` go once the time in ``column`` is ``after`` ago. NULL stays."""

    table: str
    column: str
    after: timedelta
    also: str = "true"
    """A further condition, in SQL."""


ENDS = (
    End(table="api_keys", column="revoked_at", after=timedelta(days=AUDIT_DAYS)),
    End(table="console_sessions", column="expires_at", after=timedelta()),
    End(table="dkim_keys", column="retired_at", after=timedelta(days=90)),
    End(table="erase_jobs", column="finished_at", after=timedelta(days=30)),
    End(table="erased_messages", column="erased_at", after=timedelta(days=AUDIT_DAYS)),
    End(table="idempotency_keys", column="created_at", after=IDEMPOTENCY_KEPT),
    End(table="images", column="deleted_at", after=timedelta(days=AUDIT_DAYS)),
    End(table="operator_audit", column="at", after=timedelta(days=AUDIT_DAYS)),
    End(table="operator_tokens", column="revoked_at", after=timedelta(days=AUDIT_DAYS)),
    End(
        table="policies",
        column="loaded_at",
        after=timedelta(days=30),
        also="version < (SELECT max(version) FROM policies)",
    ),
    End(table="site_actions", column="at", after=timedelta(days=30)),
    End(table="storage_samples", column="at", after=timedelta(days=14)),
    End(table="strikes", column="at", after=timedelta(days=30)),
    End(table="suspensions", column="until", after=timedelta(days=1)),
    End(table="happenings", column="noted_at", after=timedelta(days=1)),
    End(table="delivery_loads", column="at", after=timedelta(hours=1)),
    End(table="tenant_demand", column="at", after=timedelta(hours=1)),
    End(table="tenant_usage", column="day", after=timedelta(days=7)),
    End(table="tls_reports", column="day", after=timedelta(days=31)),
    End(table="warm_up_days", column="day", after=timedelta(days=7)),
    End(table="webhook_replays", column="finished_at", after=timedelta(days=30)),
)

_CONFIGURATION = "what operators and tenants make of it"
_OF_MESSAGES = "goes with its day: retention.messages_days"
BOUNDED_BY = {
    **{end.table: f"{end.column}, {end.after}" for end in ENDS},
    "attachments": "goes with its day: retention.bodies_days",
    "batch_tallies": "goes with its batch",
    "batches": "goes with its last message; an unused one after 30 days",
    "branded_links": _CONFIGURATION,
    "complaints": _OF_MESSAGES,
    "changed_rows": "emptied as partitions are rewritten",
    "day_partitions": "a row for each partition",
    "deliveries": "what is unfinished",
    "delivery_actors": "those that live: the supervisor takes the others back",
    "draining_nodes": "nodes that live",
    "erase_mentions": "goes with its job",
    "event_log": "what a consumer has still to read",
    "image_files": "goes with its last image",
    "image_opens": _OF_MESSAGES,
    "installation": "one row",
    "left_nodes": "nodes that live",
    "log_cursors": "a row for each consumer",
    "mail_in": "30 days, and a number of mails",
    "messages": _OF_MESSAGES,
    "migrations": "a row for each",
    "outcomes": _OF_MESSAGES,
    "report_windows": "delivery.dsn_window_s",
    "requests": _OF_MESSAGES,
    "retention": "one row",
    "scheduled_sends": "goes with its batch",
    "sender_domains": _CONFIGURATION,
    "site_assignment": "one row",
    "singletons": "a row for each kind of which a cluster has one",
    "staying_files": "emptied as partitions are rewritten",
    "staying_messages": "emptied as partitions are rewritten",
    "suppression_groups": _CONFIGURATION,
    "suppression_import_chunks": "goes as it is worked in, or with its import",
    "suppression_imports": "30 days; an upload that never ends, a day",
    "suppression_keys": "a row for each tenant that erased an address",
    "suppressions": "what is on the lists; bounce_purge of a tenant",
    "template_texts": "unused_since: a day longer than messages are kept, and mail that may name them is unfinished",
    "template_versions": _CONFIGURATION,
    "templates": _CONFIGURATION,
    "tenant_bodies": "a row for each tenant with bodies_days of its own",
    "tenant_bodies_waiting": "unfinished messages of such tenants",
    "tenant_ends": "a row for each tenant and process",
    "tenant_rates": "a row for each tenant",
    "tenants": _CONFIGURATION,
    "tls_results": "day, tls.results_keep_days",
    "token_keys": "255",
    "wanted_nodes": "one row",
    "webhook_bundles": "webhooks.keep_h and webhooks.keep_mb",
    "webhook_states": "a row for each webhook",
    "webhooks": _CONFIGURATION,
    "webhooks_version": "one row",
}
"""By table. The statements are those of ENDS, and of the parts of the journal that have these tables."""

UNUSED_BATCH_DAYS = 30
TEXTS_MARGIN = timedelta(days=1)
"""By so much mail may be made after its texts count as unused: an hour where they were there already
(store_template_texts), moments where a version loses them while mail is accepted, and by what clocks differ."""


def ends_with(results_keep_days: int) -> tuple[End, ...]:
    """``ENDS``, and that of the table whose end is a setting."""
    return (*ENDS, End(table="tls_results", column="day", after=timedelta(days=results_keep_days)))


def removal(end: End) -> str:
    """The statement that removes rows past their end: a bounded number, and none that another transaction has locked.
    A row that is changed meanwhile is looked at again."""
    past = f"{end.column} < %(before)s AND {end.also}"
    return (
        f"DELETE FROM {end.table} WHERE ctid = ANY (ARRAY (SELECT ctid FROM {end.table} WHERE {past} "
        f"ORDER BY {end.column} LIMIT %(limit)s FOR UPDATE SKIP LOCKED)) AND {past}"
    )


class Ends(JournalPart):
    """Removes what is past its end."""

    async def remove(self, end: End, now: datetime, limit: int) -> int:
        """Remove at most ``limit`` rows; returns how many."""
        past = {"before": now - end.after, "limit": limit}
        async with self._database.connection() as connection:
            cursor = await connection.execute(removal(end).encode(), past, prepare=False)  # it runs a few times an hour
            return cursor.rowcount

    async def remove_texts(self, messages_days: int, now: datetime, limit: int) -> int:
        """Remove texts of templates that no version has, once no message names them: none that is kept, and none that
        is unfinished, however old. Returns how many."""
        before = now - timedelta(days=messages_days + 1)
        row = await self._database.row("oldest_unfinished")
        if row is not None and row[0] is not None:
            before = min(before, made_at(row[0]))
        return await self._database.execute("remove_unused_texts", before=before - TEXTS_MARGIN, limit=limit)

    async def remove_batches(self, now: datetime, after: str, limit: int) -> tuple[int, str]:
        """Look at up to ``limit`` batches that are old enough, after this id, and remove those without messages.
        Returns how many, and the last id that was looked at; "" when there are no more."""
        before = first_id("bat_", now - timedelta(days=UNUSED_BATCH_DAYS))
        async with self._database.transaction() as connection:
            page = [id for (id,) in await rows(connection, "old_batches", after=after, before=before, limit=limit)]
            # Only those that may go are locked: mail is added to the others meanwhile.
            empty = [id for (id,) in await rows(connection, "empty_batches", batch_ids=page)]
            locked = [id for (id,) in await rows(connection, "lock_batches", batch_ids=empty)] if empty else []
            removed = await execute(connection, "remove_batches", batch_ids=locked) if locked else 0
        return removed, page[-1] if len(page) == limit else ""
