"""The journals of integration tests are watched: a move that a statement's header does not state is found."""

import psycopg
import pytest

from cluster.journal.journal import Journal
from cluster.journal.records import DueDelivery, Outcome
from cluster.policy.lifecycle import Status
from tests.integration.journal.builders import a_message, a_request, a_tenant, each, with_event
from tests.journal_effects import Moved, effects, faults, moves


async def test_each_move_is_recorded_with_its_statement(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    message = a_message()
    await journal.intake.accept([a_request(tenant, message, a_message(sandbox=True))])
    epoch, _ = await journal.membership.register("delivery-1", "node")
    page = await journal.scheduling.page_in(10, 60, each(lambda _: epoch))
    await journal.queue.claim(page.leased, owner=epoch, lease_s=60)
    bounced = Outcome(
        tenant_id=tenant,
        message_id=message.id,
        recipient_no=0,
        status=Status.BOUNCED,
        sole_recipient=True,
        error_message="no",
    )
    await journal.queue.commit([with_event(bounced)], owner=epoch)
    await journal.commands.retry(tenant, message.id, message.recipients, 60)
    await journal.commands.cancel(tenant, message.id)
    assert moves(effects(journal_dsn)) == {
        Moved("accept", "new", "queued"),
        Moved("finish_sandboxed", "new", "sandbox"),
        Moved("lease", "queued", "processing"),
        Moved("claim", "processing", "sending"),
        Moved("commit_sole_recipients", "sending", "bounced"),
        Moved("deliver_anew", "bounced", "queued"),
        Moved("cancel_message", "queued", "cancelled"),
    }


async def test_recipients_of_one_message_are_recorded_one_by_one(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    message = a_message("a@example.com", "b@example.com")
    await journal.intake.accept([a_request(tenant, message)])
    both = [DueDelivery(message.id, number, tenant, "example.com") for number in range(2)]
    await journal.queue.claim(both, owner=1, lease_s=60)
    ends = [
        Outcome(tenant_id=tenant, message_id=message.id, recipient_no=number, status=status, sole_recipient=False)
        for number, status in enumerate((Status.DELIVERED, Status.BOUNCED))
    ]
    await journal.queue.commit(list(map(with_event, ends)), owner=1)
    assert moves(effects(journal_dsn)) == {
        Moved("accept", "new", "queued"),
        Moved("claim", "queued", "sending"),
        Moved("finish_one_of_many", "sending", "delivered"),
        Moved("finish_one_of_many", "sending", "bounced"),
    }


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE deliveries SET status = 'rendered'", "UPDATE deliveries SET status =: queued -> rendered"),
        ("DELETE FROM deliveries", "DELETE FROM deliveries: deliveries vanished that were queued"),
        (
            "WITH gone AS (DELETE FROM deliveries RETURNING *) INSERT INTO outcomes "
            "SELECT tenant_id, message_id, 'delivered', now(), 0 FROM gone",
            "WITH gone AS (DELETE FROM: queued -> delivered",
        ),
        (
            "INSERT INTO outcomes SELECT tenant_id, id, 'bounced', now(), 0 FROM messages",
            "INSERT INTO outcomes SELECT tenant_id,: new -> bounced",
        ),
    ],
)
async def test_a_move_that_no_header_names_is_a_fault(
    journal: Journal, journal_dsn: str, statement: str, fault: str
) -> None:
    tenant = await a_tenant(journal)
    await journal.intake.accept([a_request(tenant)])
    with psycopg.connect(journal_dsn, autocommit=True) as other:
        with other.transaction(force_rollback=True):
            other.execute(statement.encode())
        assert faults(effects(journal_dsn)) == []  # nothing happened
        other.execute(statement.encode())
        assert faults(effects(journal_dsn)) == [fault]
        other.execute("DELETE FROM effects")
