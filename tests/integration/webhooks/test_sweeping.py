"""What waits too long for an endpoint, or is too much."""

from actors.webhooks.sweeping import Sweeping
from cluster.journal.journal import Journal
from cluster.settings import WebhookSettings
from tests.integration.journal.builders import a_tenant
from tests.integration.journal.stored import sql
from tests.integration.webhooks.builders import an_endpoint


async def bundles(dsn: str, webhook_id: str, *ages_h: float, size: int = 1) -> None:
    for age_h in ages_h:
        await sql(
            dsn,
            f"INSERT INTO webhook_bundles (webhook_id, events, count, since) VALUES "
            f"('{webhook_id}', convert_to(repeat('x', {size}), 'UTF8'), 10, now() - interval '{age_h} hours')",
        )


async def test_what_waits_too_long_is_dropped_and_counted(journal: Journal, journal_dsn: str) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id, other = await an_endpoint(journal, tenant_id), await an_endpoint(journal, tenant_id)
    await bundles(journal_dsn, webhook_id, 80, 73, 71, 0)
    await bundles(journal_dsn, other, 1)
    await sql(journal_dsn, "UPDATE webhook_bundles SET lease = 1 WHERE since < now() - interval '79 hours'")
    await Sweeping(journal, WebhookSettings()).sweep()
    standings = await journal.webhooks.standings([webhook_id, other])
    assert (standings[webhook_id].dropped, standings[webhook_id].waiting) == (10, 30)
    assert (standings[other].dropped, standings[other].waiting) == (0, 10)


async def test_of_too_much_the_oldest_is_dropped_and_of_one_tenant_only(journal: Journal, journal_dsn: str) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    full, small = await an_endpoint(journal, tenant_id), await an_endpoint(journal, other)
    await bundles(journal_dsn, full, 3, 2, 1, size=400 * 1024)
    await bundles(journal_dsn, small, 50, size=400 * 1024)
    await Sweeping(journal, WebhookSettings(keep_mb=1)).sweep()
    counts = dict(await sql(journal_dsn, "SELECT webhook_id, count(*) FROM webhook_bundles GROUP BY 1"))
    assert counts == {full: 2, small: 1}
    ((oldest,),) = await sql(
        journal_dsn, f"SELECT max(extract(epoch FROM now() - since)) FROM webhook_bundles WHERE webhook_id = '{full}'"
    )
    assert oldest < 2.5 * 3600
    standings = await journal.webhooks.standings([full, small])
    assert (standings[full].dropped, standings[small].dropped) == (10, 0)
