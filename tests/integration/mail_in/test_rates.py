"""Bounces in reply to mail, those reported later, and complaints make one rate, in which each counts once."""

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace

from actors.rating import TenantRating
from cluster.journal.journal import Journal
from cluster.journal.records import NOTICE, Address, NewMessage, PreparedPersonalization
from cluster.policy.lifecycle import Status
from cluster.suppression.lists import SuppressionList
from cluster.tenancy.rates import RateLimits
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, each, sent, waiting
from tests.integration.journal.stored import sql
from tests.integration.mail_in.world import FEEDBACK, MailInWorld, a_complaint, a_report, a_world

LIMITS = RateLimits(bounces=0.1, complaints=0.003)


async def report(world: MailInWorld, message: NewMessage, **said: str) -> None:
    await world.send(world.address(message.id), a_report(message.to_emails[0], **said))


async def rates(journal: Journal, dsn: str) -> tuple[float, ...]:
    """Recipients, hard bounces, recipients delivered to and complaints, after a count."""
    await TenantRating(journal, LIMITS, pause=False).round()
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute(b"SELECT ended, hard, delivered, complaints FROM tenant_rates")
        [found] = await cursor.fetchall()
        return tuple(found)


async def test_bounces_in_reply_and_by_report_pause_a_tenant(journal: Journal, tmp_path: Path) -> None:
    tenant_id = await a_tenant(journal)
    rating = TenantRating(journal, LIMITS, pause=True)
    messages = await sent(journal, tenant_id, 95, 5)
    async with a_world(journal, tmp_path) as world:
        for message in messages[:5]:
            for _ in range(2):  # the host did not see our answer
                await report(world, message)
        assert await rating.round() == [], "ten of a hundred are allowed"
        # The same failure again in other words is no second bounce, and a refusal of the content is no hard one.
        await report(world, messages[0], diagnostic="smtp; 550 5.1.1 still no such user")
        await report(world, messages[6], status="5.7.1", diagnostic="smtp; 550 5.7.1 message rejected as spam")
        await report(world, messages[7], action="delayed", status="4.4.1", diagnostic="smtp; 451 4.4.1 later")
        assert await rating.round() == []
        await report(world, messages[5])
        (found,) = await rating.round()
        assert found.is_paused and (rating.passed, rating.paused) == (1, 1)
        tenant = await journal.tenants.find(tenant_id)
        assert tenant is not None and tenant.is_suspended and tenant.suspended_for.startswith("11 % of the last 100")

        await journal.tenants.resume(tenant_id)
        await sent(journal, tenant_id, 100)
        for message in messages[8:40]:  # reports on what was sent before it was resumed
            await report(world, message)
        assert await rating.round() == []
        record = await journal.tenants.record(tenant_id)
        assert record is not None and record.suspended_at is None and record.bounce_rate == 0.0


async def test_complaints_count_once_of_what_was_delivered(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    tenant_id = await a_tenant(journal)
    first, second, *_ = await sent(journal, tenant_id, 50, 10)
    async with a_world(journal, tmp_path) as world:
        for kind in ("abuse", "fraud"):  # the second is another mail on the same complaint
            await world.send(FEEDBACK, a_complaint(world.address(first.id), feedback_type=kind))
        await world.send(FEEDBACK, a_complaint(world.address(second.id)))
        assert await rates(journal, journal_dsn) == (60, 10, 50, 2)
        # A recipient that has complained can still bounce: the report counts too.
        await report(world, first)
        assert await rates(journal, journal_dsn) == (60, 11, 50, 2)


async def test_postrays_own_mail_counts_for_nothing(journal: Journal, journal_dsn: str, tmp_path: Path) -> None:
    tenant_id = await a_tenant(journal)
    await sent(journal, tenant_id, 50)
    own = [a_message(f"{i}@example.net", personalization=a_notice(f"{i}@example.net")) for i in range(4)]
    await journal.intake.accept([a_request(tenant_id, *own)])
    due = [one for message in own for one in waiting(tenant_id, message)]
    await journal.queue.claim(due, owner=1, lease_s=60)
    ends = [
        an_outcome(one, end)
        for one, end in zip(due[:3], (Status.DELIVERED, Status.DELIVERED, Status.BOUNCED), strict=True)
    ]
    await journal.queue.commit([(replace(outcome, is_counted=False), event) for outcome, event in ends], owner=1)
    # The fourth is tried and expires in the queue.
    [last] = due[3:]
    await journal.queue.commit([an_outcome(last, Status.QUEUED, due_at=datetime.now(UTC))], owner=1)
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        await connection.execute("UPDATE deliveries SET expires_at = now() - interval '1 s', due_at = now()")
    assert (await journal.scheduling.page_in(10, 60, each(lambda _: 1))).expired == 1
    async with a_world(journal, tmp_path) as world:
        await report(world, own[0])
        await world.send(FEEDBACK, a_complaint(world.address(own[1].id)))
        changed = [one.effect for one in await journal.mail_in.page(10)]
        assert changed == ["1@example.net complained", "0@example.net bounced"]
    assert await rates(journal, journal_dsn) == (50, 0, 50, 0)
    for number in range(4):
        for list in (SuppressionList.BOUNCES, SuppressionList.SPAM_REPORTS):
            assert await journal.suppressions.entry(tenant_id, list, f"{number}@example.net") is None


@pytest.mark.parametrize("key_id", [None, "key_01HXYZ"])
async def test_postrays_own_mail_counts_for_nothing_after_its_body_has_gone(
    journal: Journal, journal_dsn: str, tmp_path: Path, key_id: str | None
) -> None:
    """A tenant's own mail may have the same category; but a key has sent it."""
    tenant_id = await a_tenant(journal)
    message = a_message("ada@example.net", personalization=a_notice("ada@example.net"))
    await journal.intake.accept([replace(a_request(tenant_id, message), categories=(NOTICE,), key_id=key_id)])
    await journal.queue.commit([an_outcome(one, Status.DELIVERED) for one in waiting(tenant_id, message)], owner=1)
    await sql(journal_dsn, "UPDATE messages SET personal = ''")
    async with a_world(journal, tmp_path) as world:
        await report(world, message)
        assert (await journal.mail_in.page(1))[0].effect == "ada@example.net bounced"
    entry = await journal.suppressions.entry(tenant_id, SuppressionList.BOUNCES, "ada@example.net")
    assert (entry is None) == (key_id is None)


def a_notice(email: str) -> PreparedPersonalization:
    return PreparedPersonalization(to=(Address(email),), is_notice=True)
