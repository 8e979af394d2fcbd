"""What recipients do on unsubscribe pages, in the journal: the list and the event together, and each once."""

import asyncio

import pytest

from cluster.events import Event, GroupResubscribed, GroupUnsubscribed, Unsubscribed, decode_batch
from cluster.journal.journal import Journal
from cluster.journal.unsubscribing import Action, By, ShownGroup
from cluster.tracking.tokens import MOST_GROUPS, Preferences, Recipient
from tests.integration.journal.builders import a_message, a_request, a_tenant
from tests.integration.journal.stored import StoredJournal

CLIENT = By("203.0.113.0/24", "Mozilla/5.0 (X11)", "")


class World(StoredJournal):
    def __init__(self, journal: Journal, dsn: str) -> None:
        super().__init__(journal, dsn)
        self.pages = journal.unsubscribing

    async def recipient(self, tenant_id: str, email: str = "Ada@Example.com") -> Recipient:
        [[number]] = await self.sql(f"SELECT number FROM tenants WHERE id = '{tenant_id}'")
        message = a_message(email)
        await self.journal.intake.accept([a_request(tenant_id, message)])
        assert isinstance(number, int)
        return Recipient(tenant_number=number, message_id=message.id, recipient_no=0, email=email)

    async def group(self, tenant_id: str, name: str) -> int:
        [[id]] = await self.sql(
            f"INSERT INTO suppression_groups (tenant_id, name, description) VALUES ('{tenant_id}', '{name}', 'about') "
            "RETURNING id"
        )
        assert isinstance(id, int)
        return id

    async def events(self) -> list[Event]:
        rows = await self.journal.event_log.after("recorder", 1000, 10**9)
        kinds = (Unsubscribed, GroupUnsubscribed, GroupResubscribed)
        return [event for row in rows for event in decode_batch(row.events) if isinstance(event, kinds)]


@pytest.fixture
def world(journal: Journal, journal_dsn: str) -> World:
    return World(journal, journal_dsn)


async def test_a_recipient_leaves_and_comes_back(world: World) -> None:
    tenant_id = await a_tenant(world.journal, "acme")
    ada = await world.recipient(tenant_id)
    for _ in range(2):  # a mail program may send it twice
        assert await world.pages.act(ada, Action.UNSUBSCRIBE_ALL, CLIENT) is Action.UNSUBSCRIBE_ALL
    page = await world.pages.page(ada, Preferences())
    assert page is not None and page.is_unsubscribed and page.tenant_name == "acme"
    assert await world.sql("SELECT address, list::text FROM suppressions") == [("ada@example.com", "unsubscribes")]
    assert await world.pages.act(ada, Action.RESUBSCRIBE_ALL, CLIENT) is Action.RESUBSCRIBE_ALL
    page = await world.pages.page(ada, Preferences())
    assert page is not None and not page.is_unsubscribed
    events = await world.events()
    assert [type(event) for event in events] == [Unsubscribed, GroupResubscribed]
    left = events[0]
    assert isinstance(left, Unsubscribed)
    assert (left.recipient, left.ip, left.user_agent) == (ada.email, CLIENT.ip, CLIENT.user_agent)
    assert (left.tenant_id, left.message_id) == (tenant_id, ada.message_id)


async def test_groups(world: World) -> None:
    tenant_id = await a_tenant(world.journal, "acme")
    ada = await world.recipient(tenant_id)
    news, offers = await world.group(tenant_id, "News"), await world.group(tenant_id, "Offers")
    await world.group(await a_tenant(world.journal, "other"), "Other")
    assert await world.pages.act(ada, Action.UNSUBSCRIBE_GROUP, CLIENT, news) is Action.UNSUBSCRIBE_GROUP
    page = await world.pages.page(ada, Preferences())
    assert page is not None and not page.is_unsubscribed
    assert page.groups == (ShownGroup(news, "News", "about", True), ShownGroup(offers, "Offers", "about", False))
    page = await world.pages.page(ada, Preferences(None, (offers,)))
    assert page is not None and [group.id for group in page.groups] == [offers]
    assert await world.pages.act(ada, Action.RESUBSCRIBE_GROUP, CLIENT, news) is Action.RESUBSCRIBE_GROUP
    assert [getattr(event, "asm_group_id", None) for event in await world.events()] == [news, news]


@pytest.mark.parametrize("are_shown", [True, False])
async def test_the_group_of_the_message_is_shown_however_many_others_are(world: World, are_shown: bool) -> None:
    tenant_id = await a_tenant(world.journal, "acme")
    ada = await world.recipient(tenant_id)
    others = [await world.group(tenant_id, f"Group {number}") for number in range(MOST_GROUPS)]
    own = await world.group(tenant_id, "Own")
    page = await world.pages.page(ada, Preferences(own, tuple(others) if are_shown else ()))
    assert page is not None and [group.id for group in page.groups] == [*others[:-1], own]


async def test_who_leaves_a_group_that_is_gone_leaves_all(world: World) -> None:
    tenant_id = await a_tenant(world.journal, "acme")
    other = await world.group(await a_tenant(world.journal, "other"), "Other")
    ada = await world.recipient(tenant_id)
    assert await world.pages.act(ada, Action.UNSUBSCRIBE_GROUP, CLIENT, other) is Action.UNSUBSCRIBE_ALL
    assert await world.pages.act(ada, Action.RESUBSCRIBE_GROUP, CLIENT, other) is Action.RESUBSCRIBE_GROUP
    assert [type(event) for event in await world.events()] == [Unsubscribed]


async def test_it_works_after_the_message_is_gone_and_not_after_the_tenant(world: World) -> None:
    tenant_id = await a_tenant(world.journal, "acme")
    ada = await world.recipient(tenant_id)
    await world.sql("DELETE FROM messages; DELETE FROM requests")
    assert await world.pages.act(ada, Action.UNSUBSCRIBE_ALL, CLIENT) is Action.UNSUBSCRIBE_ALL
    assert len(await world.events()) == 1
    await world.sql(f"UPDATE tenants SET deleted_at = now() WHERE id = '{tenant_id}'")
    assert await world.pages.page(ada, Preferences()) is None
    assert await world.pages.act(ada, Action.UNSUBSCRIBE_ALL, CLIENT) is None


async def test_many_at_once_make_one_entry_and_one_event(world: World) -> None:
    tenant_id = await a_tenant(world.journal, "acme")
    ada = await world.recipient(tenant_id)
    await asyncio.gather(*[world.pages.act(ada, Action.UNSUBSCRIBE_ALL, CLIENT) for _ in range(8)])
    assert len(await world.events()) == 1
