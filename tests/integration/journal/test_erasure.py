"""Everything that a deleted tenant had is erased, wherever the process that erases ends, and nothing of another."""

import pytest
from msgspec.structs import replace

from actors.erasing import TenantEraser
from cluster.journal.erasure import STEPS
from cluster.journal.journal import Journal
from cluster.journal.records import Address, Content, DueDelivery, PreparedPersonalization, encode
from cluster.message.dsn import Dsn
from tests.integration.journal.builders import a_message, a_request, a_tenant
from tests.integration.journal.stored import StoredJournal

OWN = """SELECT relname::text FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE attname = 'tenant_id' AND relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND NOT relispartition
    AND relpersistence = 'p'"""
"""The tables of what belongs to a tenant. Unlogged ones live for a moment."""


class Killed(Exception):
    """The process ends here."""


class World(StoredJournal):
    """``events``: the tenants that have events in ClickHouse."""

    def __init__(self, journal: Journal, dsn: str) -> None:
        super().__init__(journal, dsn)
        self.events: set[str] = set()
        self.asked = 0
        self.eraser = TenantEraser(journal, self._call, after_s=0, pause_s=0)

    async def _call(self, actor: str, method: str, tenant_id: str) -> bool:
        assert (actor, method) == ("recorder", "erase_events")
        self.asked += 1
        had = tenant_id in self.events
        self.events.discard(tenant_id)
        return not had

    async def fill(self, name: str) -> str:
        """A tenant with a row in every table, and all of its mail finished."""
        tenant_id = await a_tenant(self.journal, name)
        batch_id = await self.journal.batches.create(tenant_id)
        messages = [a_message(), a_message("a@example.com", "b@example.com")]
        request = a_request(tenant_id, *messages, batch_id=batch_id)
        await self.journal.intake.accept([request])
        await self.journal.scheduled_sends.schedule(tenant_id, batch_id, "pause")
        for message in messages:
            await self.journal.commands.cancel(tenant_id, message.id)
        await self.sql(
            f"""INSERT INTO api_keys (id, tenant_id, name, prefix, hash, scopes)
            VALUES ('key_{name}', '{tenant_id}', 'k', 'sg', '{name}', '{{}}');
            INSERT INTO sender_domains (tenant_id, domain) VALUES ('{tenant_id}', '{name}.example');
            INSERT INTO dkim_keys (domain_id, selector, public_key, sealed_private_key)
            SELECT id, 's', 'p', 'x' FROM sender_domains WHERE tenant_id = '{tenant_id}';
            INSERT INTO branded_links (tenant_id, domain, subdomain) VALUES ('{tenant_id}', '{name}.example', 'l');
            INSERT INTO attachments (tenant_id, sha256, content) VALUES ('{tenant_id}', 'f', 'x');
            INSERT INTO template_texts (tenant_id, sha256, texts) VALUES ('{tenant_id}', 't', 'x');
            INSERT INTO templates (id, tenant_id, name, generation) VALUES ('d-{name}', '{tenant_id}', 't', 'dynamic');
            INSERT INTO template_versions
                (id, template_id, tenant_id, name, generate_plain_content, texts, is_active)
            VALUES ('v_{name}', 'd-{name}', '{tenant_id}', 'v', true, 't', true);
            INSERT INTO image_opens VALUES ('{tenant_id}', '{messages[0].id}', 0, 'img_x');
            INSERT INTO image_files (tenant_id, sha256, content) VALUES ('{tenant_id}', 'i', 'x');
            INSERT INTO images (id, tenant_id, filename, original_filename, content_type, size, width, height, file,
                thumbnail, thumbnail_type)
            VALUES ('img_{name}', '{tenant_id}', 'i', 'i', 'image/png', 1, 1, 1, 'i', 'i', 'image/png');
            INSERT INTO suppressions (tenant_id, address, list, email) VALUES ('{tenant_id}', 'a', 'bounces', 'a');
            INSERT INTO suppression_groups (tenant_id, name, description) VALUES ('{tenant_id}', 'g', '');
            INSERT INTO suppression_imports (id, tenant_id, list) VALUES ('imp_{name}', '{tenant_id}', 'bounces');
            INSERT INTO webhooks (id, tenant_id, dialect, url, events)
            VALUES ('wh_{name}', '{tenant_id}', 'postray', 'https://hooks.example.com/', '{{*}}');
            INSERT INTO webhook_states (webhook_id) VALUES ('wh_{name}');
            INSERT INTO webhook_bundles (webhook_id, events, count) VALUES ('wh_{name}', 'x', 1);
            INSERT INTO mail_in (at, kind, why, sender, mailbox, tenant_id, message_id, size, digest)
            VALUES (now(), 'failed', '', '', '', '{tenant_id}', 'msg_x', 1, '{name}');
            INSERT INTO erase_jobs (id, tenant_id, addresses, look_at)
            VALUES ('ers_{name}', '{tenant_id}', '{{a}}', now());
            INSERT INTO erased_messages (message_id, tenant_id) VALUES ('msg_{name}', '{tenant_id}');
            INSERT INTO suppression_keys VALUES ('{tenant_id}', 'k');
            INSERT INTO complaints VALUES ('{tenant_id}', '{messages[0].id}', 0, now());
            INSERT INTO report_windows VALUES ('{messages[0].id}', '{tenant_id}', NULL, now());
            INSERT INTO idempotency_keys (tenant_id, sandbox, key, body_sha256, message_ids)
            VALUES ('{tenant_id}', false, 'k', 'x', '{{}}');
            INSERT INTO tenant_usage (tenant_id, day, shard, messages) VALUES ('{tenant_id}', now(), 's', 1);
            INSERT INTO tenant_bodies (tenant_id) VALUES ('{tenant_id}');
            INSERT INTO tenant_bodies_waiting VALUES ('{tenant_id}', '{messages[0].id}', now());
            INSERT INTO tenant_ends VALUES ('{tenant_id}', 's', 1, 0, 1, 0);
            INSERT INTO tenant_rates VALUES ('{tenant_id}', 1, 0, false, 1, 0, false);
            INSERT INTO suspensions (site, tenant_id, until, reason, made_by)
            VALUES ('s', '{tenant_id}', now(), '', 'operator');
            INSERT INTO strikes (request_id, life, message_id, shared, actor)
            VALUES ('{request.id}', 1, '{messages[0].id}', false, 'd')"""
        )
        self.events.add(tenant_id)
        return tenant_id

    async def delete(self, tenant_id: str) -> None:
        await self.journal.tenants.suspend(tenant_id)
        await self.journal.tenants.delete(tenant_id)

    async def left(self, tenant_id: str) -> dict[str, int]:
        """The rows of a tenant, by table."""
        counts = {}
        for (table,) in await self.sql(OWN):
            [(count,)] = await self.sql(f"SELECT count(*) FROM {table} WHERE tenant_id = '{tenant_id}'")
            counts[str(table)] = int(count)
        return counts


@pytest.fixture
def world(journal: Journal, journal_dsn: str) -> World:
    return World(journal, journal_dsn)


async def test_it_goes_on_wherever_it_was_killed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant_id, other = await world.fill("acme"), await world.fill("other")
    full = await world.left(other)
    assert {table for table, count in full.items() if not count} == {"deliveries", "site_actions"}
    assert await world.eraser.round() is False  # nothing is deleted
    await world.delete(tenant_id)
    step = world.journal.erasure.step
    for last in STEPS:
        done: list[str] = []

        async def killed(tenant_id: str, name: str, last: str = last, done: list[str] = done) -> bool:
            if name == last and name in done:
                raise Killed
            done.append(name)
            return await step(tenant_id, name)

        monkeypatch.setattr(world.journal.erasure, "step", killed)
        try:
            await world.eraser.round()
        except Killed:
            continue
    monkeypatch.undo()
    assert tenant_id in world.events  # ClickHouse may get more of them from the log
    await world.read_log()
    assert await world.eraser.round() is False  # its events are being deleted
    assert await world.eraser.round() is True
    assert await world.eraser.round() is False
    assert set((await world.left(tenant_id)).values()) == {0}
    assert await world.left(other) == full
    assert world.events == {other}
    for table in ("requests", "strikes", "dkim_keys", "batch_tallies"):
        [(count,)] = await world.sql(f"SELECT count(*) FROM {table}")
        assert count > 0, table
    [(count,)] = await world.sql("SELECT count(*) FROM strikes")
    assert count == 1
    [(name, erased)] = await world.sql(f"SELECT name, erased_at IS NOT NULL FROM tenants WHERE id = '{tenant_id}'")
    assert (name, erased) == ("", True)
    assert await world.journal.suspensions.active() == []


async def test_mail_that_was_accepted_while_the_tenant_was_deleted_is_ended_first(world: World) -> None:
    tenant_id = await world.fill("acme")
    await world.delete(tenant_id)
    first, second = a_message(), a_message()
    await world.journal.intake.accept([a_request(tenant_id, first, second)])
    waiting = [DueDelivery(first.id, 0, tenant_id, "example.com")]
    assert len(await world.journal.queue.claim(waiting, owner=1, lease_s=60)) == 1
    assert await world.eraser.round() is False
    assert await world.sql("SELECT message_id FROM deliveries") == [(first.id,)]
    assert (await world.left(tenant_id))["api_keys"] == 1  # nothing is erased while a transaction is under way
    await world.journal.queue.unclaim([(first.id, 0)], owner=1)
    assert await world.eraser.round() is False
    await world.read_log()
    assert [await world.eraser.round() for _ in range(2)] == [False, True]
    assert set((await world.left(tenant_id)).values()) == {0}


async def test_a_tenant_is_erased_only_when_its_last_requests_have_ended(world: World) -> None:
    tenant_id = await world.fill("acme")
    await world.delete(tenant_id)
    assert await world.journal.erasure.next() is None
    await world.sql("UPDATE tenants SET deleted_at = now() - interval '1 min'")
    assert await world.journal.erasure.next() == tenant_id


async def test_no_address_of_a_submitted_message_is_left(world: World) -> None:
    tenant_id = await a_tenant(world.journal, "acme")
    own = "secret-reader@example.net"
    message = a_message(
        personalization=PreparedPersonalization(
            to=(Address("ada@example.com"),), dsn=Dsn(original_recipients={"ada@example.com": f"rfc822;{own}"})
        )
    )
    original = f"From: hello@mail.example.com\r\nTo: {own}\r\nCc: X <{own}>\r\n\r\nHello {own}\r\n".encode()
    content = encode(Content(from_=Address("hello@mail.example.com"), original=original))
    await world.journal.intake.accept([replace(a_request(tenant_id, message), content=content)])
    assert await world.tables_with(own) == {"requests", "messages"}
    await world.journal.commands.cancel(tenant_id, message.id)
    await world.delete(tenant_id)
    assert await world.eraser.round() is False  # its events are not read yet
    await world.read_log()
    assert await world.eraser.round() is True
    assert await world.tables_with(own) == set()
