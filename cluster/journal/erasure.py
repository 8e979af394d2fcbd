"""The journal's part that erases what deleted tenants had, in bounded steps. A step that is repeated does nothing, so
the process that erases may be killed between any two. The tenant's row stays, without a name: every process learns from
it that the tenant is gone."""

from cluster.journal.database import JournalPart, rows
from cluster.journal.queue_control import UnfinishedDelivery

AFTER_S = 15.0
"""How long after its deletion a tenant is erased. By then every process knows (``cluster.tenancy.directory.FRESH_S``),
and the requests that it was answering have been committed."""
PAGE = 500

STEPS = (
    "erase_messages",
    "erase_attachments",
    "erase_scheduled_sends",
    "erase_batches",
    "erase_api_keys",
    "erase_sender_domains",
    "erase_branded_links",
    "erase_templates",
    "erase_template_texts",
    "erase_images",
    "erase_image_opens",
    "erase_image_files",
    "erase_suppressions",
    "erase_suppression_groups",
    "erase_suppression_imports",
    "erase_webhook_bundles",
    "erase_webhooks",
    "erase_complaints",
    "erase_mail_in",
    "erase_erase_jobs",
    "erase_erased_messages",
    "erase_suppression_keys",
    "erase_idempotency_keys",
    "erase_usage",
    "erase_ends",
    "erase_rates",
    "erase_suspensions",
    "erase_site_actions",
    "erase_bodies_looked_at",
    "erase_bodies_waiting",
    "erase_name",
)
"""In this order: scheduled sends refer to batches, and the name is the last."""


class Erasure(JournalPart):
    """Finds deleted tenants and erases what they had."""

    async def next(self, after_s: float = AFTER_S) -> str | None:
        """The id of a tenant whose data is to be erased; None when there is none."""
        row = await self._database.row("next_to_erase", after_s=after_s)
        return row[0] if row else None

    async def unfinished(self, tenant_id: str) -> list[UnfinishedDelivery]:
        """Some deliveries that were accepted while the tenant was deleted. Reads the whole queue when there are
        none."""
        async with self._database.searching() as connection:
            found = await rows(connection, "unfinished_of_tenant", id=tenant_id, limit=PAGE)
        return [UnfinishedDelivery(*row) for row in found]

    async def step(self, tenant_id: str, name: str) -> bool:
        """Erase one part by one of ``STEPS``; returns whether there was anything."""
        return await self._database.execute(name, id=tenant_id, limit=PAGE) > 0

    async def is_log_read(self, tenant_id: str) -> bool:
        """Whether no consumer will see an event of the tenant any more. Call it when all steps are done."""
        row = await self._database.row("is_log_read", id=tenant_id)
        assert row is not None
        return bool(row[0])

    async def finish(self, tenant_id: str) -> None:
        """Everything of the tenant is erased, its events included."""
        await self._database.execute("erased", id=tenant_id)
