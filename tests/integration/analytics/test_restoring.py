"""A restored journal: what ledgers and ClickHouse know to have ended since the backup is marked; the rest is told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.delivery.ledger import Ledger
from actors.restoring import InDoubt, Lost, reconcile
from analytics.client import ClickHouse
from analytics.rows import columns
from cluster.events import Event
from cluster.ids import new_id
from cluster.journal.ending import CANCELLED
from cluster.journal.journal import Journal
from cluster.journal.records import NewMessage
from cluster.policy.lifecycle import Status
from cluster.settings import ClickHouseSettings
from tests.integration.journal.builders import a_message, a_request, a_tenant, an_outcome, status, waiting
from tests.unit.analytics.samples import bounced, delivered, dropped, processed


async def test_what_is_known_to_have_ended_is_marked_and_the_rest_is_told(journal: Journal, tmp_path: Path) -> None:
    tenant = await a_tenant(journal)
    began = datetime.now(UTC)
    later = datetime.now(UTC) + timedelta(days=1)
    names = ("delivered", "in_ledger", "bounced", "cancelled", "retried", "two", "unknown")
    messages = {name: a_message("ada@example.com") for name in names}
    messages["two"] = a_message("ada@example.com", "bob@example.com")
    messages["scheduled"] = a_message(send_at=later)
    await journal.intake.accept([a_request(tenant, *messages.values())])
    ended = datetime.now(UTC)
    since = ended.timestamp() + 1

    def event(make: object, message: NewMessage, number: int, at: float, **more: object) -> Event:
        facts = {"at": at, "message_id": message.id, "tenant_id": tenant, "batch_id": None, "attempt": 1, **more}
        return make(number, **facts)  # type: ignore[operator, no-any-return]

    lost = a_message()
    store(
        tmp_path,
        event(delivered, messages["delivered"], 1, since),
        event(bounced, messages["bounced"], 2, since),
        dropped(3, at=since, message_id=messages["cancelled"].id, tenant_id=tenant, reason=CANCELLED),
        # It bounced before the backup, and was queued again before it as well: the journal knows better.
        event(bounced, messages["retried"], 4, began.timestamp() - 60),
        event(delivered, messages["two"], 5, since, recipient="bob@example.com"),
        processed(6, at=since, message_id=lost.id, tenant_id=tenant, recipient="ada@example.com"),
    )
    # Accepted by a host after the backup, which does not have the claim; only the ledger knows.
    outcome, accepted = an_outcome(waiting(tenant, messages["in_ledger"])[0], Status.DELIVERED)
    ledger = Ledger(tmp_path / "ledger" / "delivery-0-0")
    ledger.unsettled()
    ledger.append([(outcome, accepted)])  # type: ignore[list-item]
    ledger.settle(1)

    told: list[InDoubt | Lost] = []
    found = await reconcile(
        journal,
        ClickHouseSettings(),
        tmp_path,
        [ledger.directory],
        began=began,
        ended=ended,
        tell=told.append,
    )
    ledger.close()

    assert {name: await status(journal, tenant, message) for name, message in messages.items()} == {
        "delivered": Status.DELIVERED,
        "in_ledger": Status.DELIVERED,
        "bounced": Status.BOUNCED,
        "cancelled": Status.CANCELLED,
        "retried": Status.QUEUED,
        "two": Status.QUEUED,
        "unknown": Status.QUEUED,
        "scheduled": Status.QUEUED,
    }
    doubts = {(one.message_id, one.recipient_no) for one in told if isinstance(one, InDoubt)}
    assert doubts == {(messages[name].id, 0) for name in ("retried", "two", "unknown")}
    assert [one.message_id for one in told if isinstance(one, Lost)] == [lost.id]
    assert (found.unfinished, found.ended, found.in_doubt, found.lost) == (9, 5, 3, 1)


async def test_lifetimes_do_not_run_while_a_backup_lies(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    await journal.intake.accept([a_request(tenant, message := a_message())])
    before = (await journal.fates.recipients(message.id))[0].expires_at
    await journal.restoring.prolong(timedelta(hours=5))
    assert (await journal.fates.recipients(message.id))[0].expires_at - before == timedelta(hours=5)


async def test_known_messages_and_the_epoch_of_transactions(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    await journal.intake.accept([a_request(tenant, message := a_message())])
    assert await journal.restoring.known([(tenant, message.id), (tenant, new_id("msg_"))]) == {message.id}
    assert await journal.restoring.transaction_epoch() == 0


def store(data_dir: Path, *events: Event) -> None:
    client = ClickHouse.open(ClickHouseSettings(), data_dir)
    client.migrate()
    client.insert(columns(events))
    client.close()
