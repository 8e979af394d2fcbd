"""A process knows the endpoints as they are, whenever it looks."""

from cluster.journal.journal import Journal
from cluster.webhooks.known import NONE_FOR_S, KnownEndpoints
from tests.integration.journal.builders import a_tenant
from tests.integration.webhooks.client_world import Clock
from tests.integration.webhooks.world import an_endpoint


async def test_a_look_during_a_change_does_not_miss_it(journal: Journal, journal_dsn: str) -> None:
    known, tenant = KnownEndpoints(journal), await a_tenant(journal)
    endpoint = an_endpoint(tenant, "https://hooks.example.com/")
    await journal.webhooks.add(endpoint, 10)
    await known.refresh()
    async with journal._database.transaction() as connection:
        await connection.execute("UPDATE webhooks SET is_paused = true")
        await known.refresh()
        assert not known.by_id[endpoint.id].is_paused
    assert await known.refresh()
    assert known.by_id[endpoint.id].is_paused
    assert not await known.refresh(), "nothing was changed since"


async def test_the_first_endpoint_and_the_last_are_noticed(journal: Journal) -> None:
    clock = Clock()
    known, tenant = KnownEndpoints(journal, clock), await a_tenant(journal)
    await known.refresh()
    await known.refresh()
    clock.now += NONE_FOR_S
    endpoint = an_endpoint(tenant, "https://hooks.example.com/")
    await journal.webhooks.add(endpoint, 10)
    await known.refresh()
    assert list(known.by_id) == [endpoint.id]
    await journal.webhooks.remove(tenant, endpoint.id)
    await known.refresh()
    assert known.by_id == {}
