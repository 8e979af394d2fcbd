"""Bodies of tenants that keep them for a shorter time than the settings say, down to none."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from actors.purging import BodiesOfTenants
from cluster.ids import first_id, new_ids
from cluster.journal.day_tables import span
from cluster.journal.journal import Journal
from cluster.journal.records import Address, Attachment, Content, NewMessage, NewRequest, encode
from cluster.journal.statements import QUERIES
from cluster.policy.lifecycle import Status
from tests.integration.journal.builders import (
    a_message,
    a_request,
    a_tenant,
    an_outcome,
    sent,
    some_messages,
    waiting,
)
from tests.integration.journal.plans import explained
from tests.integration.journal.stored import StoredJournal

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class World(StoredJournal):
    """A journal, and a clock that is moved by hand."""

    def __init__(self, journal: Journal, dsn: str) -> None:
        super().__init__(journal, dsn)
        self.now = datetime.now(UTC)
        self.bodies = BodiesOfTenants(journal, 7, lambda: self.now)

    async def keeps(self, tenant_id: str, days: int | None) -> None:
        await self.journal.tenants.change_settings(tenant_id, lambda own: replace(own, bodies_days=days))

    async def sweep(self, after: timedelta, page: int = 1000) -> None:
        self.now += after
        while await self.bodies.remove(page) == page:
            pass

    async def ended(self, tenant_id: str, *messages: NewMessage, status: Status = Status.DELIVERED) -> None:
        due = [one for message in messages for one in waiting(tenant_id, message)]
        await self.journal.queue.claim(due, owner=1, lease_s=60)
        await self.journal.queue.commit([an_outcome(one, status) for one in due], owner=1)

    async def with_body(self) -> set[str]:
        return {id for (id,) in await self.sql("SELECT id FROM messages WHERE personal <> ''")}

    async def contents(self) -> int:
        return len(await self.sql("SELECT id FROM requests WHERE content <> ''"))


@pytest.fixture
def world(journal: Journal, journal_dsn: str) -> World:
    return World(journal, journal_dsn)


async def test_none_is_kept_beyond_delivery_and_what_is_unfinished_is_kept_whole(world: World) -> None:
    tenant, other = await a_tenant(world.journal, "none"), await a_tenant(world.journal, "other")
    await world.keeps(tenant, 0)
    of_other = await sent(world.journal, other, delivered=2)
    done, waits = some_messages(2)
    request = a_request(tenant, done, waits)
    await world.journal.intake.accept([request])
    await world.ended(tenant, done)
    await world.sweep(3 * MINUTE, page=1)
    assert await world.with_body() == {waits.id, *(one.id for one in of_other)}
    assert await world.journal.messages.contents([request.id]) == {request.id: request.content}
    found = await world.journal.messages.find(tenant, done.id)
    assert found is not None and found.content_expired and found.status is Status.DELIVERED
    await world.ended(tenant, waits)
    await world.sweep(10 * MINUTE)
    assert await world.with_body() == {one.id for one in of_other}
    assert await world.contents() == 1
    assert await world.sql("SELECT message_id FROM tenant_bodies_waiting") == []


async def test_days_of_a_tenant_s_own_count_from_acceptance(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 2)
    await sent(world.journal, tenant, delivered=3)
    await world.sweep(2 * DAY - 10 * MINUTE)
    assert len(await world.with_body()) == 3
    await world.sweep(11 * MINUTE)
    assert await world.with_body() == set()
    assert await world.contents() == 0


async def test_no_tenant_keeps_bodies_longer_than_the_settings_say(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 7)
    await sent(world.journal, tenant, delivered=1)
    await world.sweep(8 * DAY)
    assert len(await world.with_body()) == 1  # which go with their day
    assert await world.sql("SELECT tenant_id FROM tenant_bodies") == []


async def test_what_was_cleared_is_not_retried_and_what_is_retried_is_not_cleared(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 0)
    gone, again = some_messages(2)
    await world.journal.intake.accept([a_request(tenant, gone, again)])
    await world.ended(tenant, gone, again, status=Status.BOUNCED)
    retried = await world.journal.commands.retry(tenant, again.id, again.recipients, 3600)
    assert retried is not None and retried.done
    await world.sweep(3 * MINUTE)
    assert await world.with_body() == {again.id}
    refused = await world.journal.commands.retry(tenant, gone.id, gone.recipients, 3600)
    assert refused is not None and not refused.done and refused.content_expired
    await world.ended(tenant, again)
    await world.sweep(10 * MINUTE)
    assert await world.with_body() == set()


async def test_a_message_that_a_command_has_locked_is_looked_at_again(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 0)
    (message,) = await sent(world.journal, tenant, delivered=1)
    async with world.journal._database.transaction() as connection:
        await connection.execute("SELECT FROM messages WHERE id = %s FOR NO KEY UPDATE", [message.id])
        await world.sweep(3 * MINUTE)
    assert await world.with_body() == {message.id}
    await world.sweep(10 * MINUTE)
    assert await world.with_body() == set()


async def test_a_message_that_hosts_may_report_on_keeps_its_body(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 0)
    (message,) = await sent(world.journal, tenant, delivered=1)
    await world.sql(
        "INSERT INTO report_windows (message_id, tenant_id, due_at) VALUES (%s, %s, now())", message.id, tenant
    )
    await world.sweep(3 * MINUTE)
    assert await world.with_body() == {message.id}


def with_file(tenant_id: str, hash: bytes, *messages: NewMessage) -> NewRequest:
    file = Attachment(filename="a.txt", sha256=hash, size=1)
    content = encode(Content(from_=Address("hello@mail.example.com"), attachments=(file,)))
    return replace(a_request(tenant_id, *messages), content=content, attachments={hash: b"x"})


async def test_files_go_a_day_after_their_messages_unless_one_waits(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 0)
    done, waits = a_message(), a_message()
    await world.journal.intake.accept([with_file(tenant, b"done", done), with_file(tenant, b"waits", waits)])
    await world.ended(tenant, done)
    await world.sweep(3 * MINUTE)
    assert len(await world.sql("SELECT sha256 FROM attachments")) == 2
    await world.sweep(2 * DAY)
    assert await world.sql("SELECT sha256 FROM attachments") == [(b"waits",)]
    assert waits.id in await world.with_body()


async def test_a_message_that_comes_after_later_ones_were_looked_at_is_found_and_its_files_stay(world: World) -> None:
    """Its API's clock is behind, or its commit took long."""
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 0)
    done, waits = [replace(a_message(), id=id) for id in new_ids("msg_", 2)]
    await sent(world.journal, tenant, delivered=1)
    await world.sweep(3 * MINUTE)
    await world.journal.intake.accept([with_file(tenant, b"waits", waits), with_file(tenant, b"done", done)])
    await world.ended(tenant, done)
    await world.sweep(2 * MINUTE)
    assert await world.with_body() == {done.id, waits.id}  # it is not there yet
    await world.sweep(2 * DAY, page=2)
    assert await world.with_body() == {waits.id}
    assert await world.sql("SELECT sha256 FROM attachments") == [(b"waits",)]
    await world.ended(tenant, waits)
    await world.sweep(2 * DAY)
    assert (await world.with_body(), await world.contents()) == (set(), 0)
    assert await world.sql("SELECT message_id FROM tenant_bodies_waiting") == []


async def test_files_of_mail_that_was_never_looked_at_stay_while_it_is_unfinished(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 0)
    message = a_message()
    await world.journal.intake.accept([with_file(tenant, b"waits", message)])
    (keeps,) = await world.bodies._bodies.tenants(world.now)
    await world.bodies._bodies.clear_files(replace(keeps, looked_upto=first_id("msg_", world.now + 5 * DAY)), 10)
    assert await world.sql("SELECT sha256 FROM attachments") == [(b"waits",)]
    await world.journal.commands.cancel(tenant, message.id)
    await world.bodies._bodies.clear_files(replace(keeps, looked_upto=first_id("msg_", world.now + 5 * DAY)), 10)
    assert await world.sql("SELECT sha256 FROM attachments") == []


async def test_a_clock_that_was_ahead_for_a_while_lets_nothing_be_passed_over(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 0)
    await sent(world.journal, tenant, delivered=1)
    await world.sweep(300 * DAY)
    world.now -= 300 * DAY
    request = with_file(tenant, b"x", a_message())
    await world.journal.intake.accept([request])
    await world.ended(tenant, *request.messages)
    await world.sweep(2 * DAY)
    await world.sweep(MINUTE)
    assert await world.with_body() == set()
    assert await world.sql("SELECT sha256 FROM attachments") == []


async def test_a_tenant_that_keeps_bodies_longer_than_before_keeps_those_of_unfinished_mail(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 0)
    (message,) = some_messages(1)
    await world.journal.intake.accept([a_request(tenant, message)])
    await world.sweep(3 * MINUTE)
    await world.keeps(tenant, 3)
    await world.ended(tenant, message)
    for _ in range(3):
        await world.sweep(DAY - 5 * MINUTE)
        assert await world.with_body() == {message.id}
    await world.sweep(75 * MINUTE)
    assert await world.with_body() == set()


async def test_a_tenant_that_keeps_all_again_is_forgotten(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await world.keeps(tenant, 0)
    (message,) = some_messages(1)
    await world.journal.intake.accept([a_request(tenant, message)])
    await world.sweep(3 * MINUTE)
    assert len(await world.sql("SELECT message_id FROM tenant_bodies_waiting")) == 1
    await world.keeps(tenant, None)
    await world.ended(tenant, message)
    await world.sweep(10 * MINUTE)
    assert await world.with_body() == {message.id}
    for table in ("tenant_bodies", "tenant_bodies_waiting"):
        assert await world.sql(f"SELECT tenant_id FROM {table}") == []


async def test_each_message_and_request_is_looked_up(world: World) -> None:
    """Never all that is queued, or all that the tenant has sent."""
    tenant = await a_tenant(world.journal)
    ids = [message.id for message in await sent(world.journal, tenant, delivered=50)]
    await world.sql("ANALYZE")
    key = {"tenant_id": tenant, **span(ids)}
    plan = await explained(world.dsn, QUERIES["clear_messages"], key | {"ids": ids})
    assert "Index Cond: (message_id = ANY (ARRAY[m.id]))" in plan and "Materialize" not in plan
    shared = {"request_ids": ["req_1"], "firsts": ids[:1], "lasts": ids[-1:]}
    plan = await explained(world.dsn, QUERIES["clear_requests"], key | shared)
    assert "(id >= k.first) AND (id <= k.last)" in plan and "Materialize" not in plan
    found = {"tenant_id": tenant, "after": ids[0], "before": "msg_7", "limit": 10}
    plan = await explained(world.dsn, QUERIES["next_to_clear"], found)
    assert "Sort" not in plan and "(never executed)" in plan

    queued = {"tenant_id": tenant, "after": "", "before": "msg_7", "limit": 10}
    plan = await explained(world.dsn, QUERIES["requests_with_bodies"], queued)
    assert "Seq Scan" not in plan and "(never executed)" in plan
