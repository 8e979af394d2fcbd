"""What operators do, against a real Postgres: active policies and suspensions, ending queued mail, one message."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from cluster.journal.journal import Journal
from cluster.journal.queue_control import QueueFilter, QueueMark
from cluster.journal.records import DueDelivery, NewMessage
from cluster.journal.site_actions import SiteAction
from cluster.policy.lifecycle import Status
from tests.integration.journal.builders import (
    a_message,
    a_request,
    a_tenant,
    an_outcome,
    dropped,
    each,
    status,
    waiting,
)

EVERYTHING = QueueFilter()


async def leased(journal: Journal) -> list[DueDelivery]:
    """The due deliveries, leased."""
    page = await journal.scheduling.page_in(10, 600, each(lambda _: 1))
    assert page.expired == 0
    return page.leased


def soon(**ahead: float) -> datetime:
    return datetime.now(UTC) + timedelta(**ahead)


async def matched(journal: Journal, filter: QueueFilter, size: int = 100) -> list[str]:
    """The recipients that a filter matches in the whole queue."""
    found: list[str] = []
    mark: QueueMark | None = QueueMark()
    while mark is not None:
        part = await journal.queue_control.part(filter, mark, size)
        found += [queued.recipient for queued in part.queued]
        mark = part.next
    return found


async def give_up(journal: Journal, filter: QueueFilter = EVERYTHING) -> int:
    part = await journal.queue_control.part(filter, QueueMark(), 100)
    return await journal.queue_control.give_up(part.queued, "enough")


async def test_policies_are_versions_and_the_last_is_in_force(journal: Journal) -> None:
    assert await journal.policies.active() is None
    assert await journal.policies.version() == 0
    first = await journal.policies.activate("a = 1", b"sealed")
    second = await journal.policies.activate("a = 2", b"sealed again")
    assert second > first
    assert await journal.policies.version() == second
    found = await journal.policies.active()
    assert found is not None
    assert (found.version, found.shaping, found.routing) == (second, "a = 2", b"sealed again")


async def test_a_suspension_is_made_renewed_and_ended_and_all_of_it_noted(journal: Journal) -> None:
    assert await journal.suspensions.suspend("example.com", "", soon(hours=1), "too many complaints", "operator")
    until = soon(hours=2)
    assert await journal.suspensions.suspend("example.com", "", until, "still", "operator")
    (standing,) = await journal.suspensions.active()
    assert (standing.site, standing.tenant_id, standing.until, standing.reason) == ("example.com", "", until, "still")
    assert await journal.suspensions.resume("example.com", None, "operator") == [standing]
    assert await journal.suspensions.active() == []
    assert await journal.suspensions.resume("example.com", None, "operator") == []
    actions = await journal.site_actions.latest("example.com", 10)
    assert [(action.action, action.made_by) for action in actions] == [
        ("resumed", "operator"),
        ("suspended", "operator"),
        ("suspended", "operator"),
    ]
    assert actions[2].detail.endswith("too many complaints")


async def test_automation_does_not_change_an_operators_word(journal: Journal) -> None:
    until = soon(hours=1)
    assert await journal.suspensions.suspend("example.com", "", until, "mine", "operator")
    assert not await journal.suspensions.suspend("example.com", "", soon(minutes=1), "its", "automation")
    assert [s.until for s in await journal.suspensions.active()] == [until]
    assert len(await journal.site_actions.latest(None, 10)) == 1
    assert await journal.suspensions.suspend("example.org", "", soon(minutes=1), "its", "automation")
    assert await journal.suspensions.suspend("example.org", "", until, "mine", "operator")
    assert {s.made_by for s in await journal.suspensions.active()} == {"operator"}


async def test_what_is_over_is_no_suspension(journal: Journal) -> None:
    assert await journal.suspensions.suspend("example.com", "", soon(seconds=-1), "", "operator")
    assert await journal.suspensions.active() == []
    assert await journal.suspensions.suspend("example.com", "", soon(hours=1), "its", "automation")
    assert len(await journal.suspensions.active()) == 1


@pytest.mark.parametrize(
    ("site", "tenant", "left"),
    [
        ("a.example", None, {("", "tnt_1"), ("b.example", "tnt_1")}),
        (None, "tnt_1", {("a.example", "")}),
        ("a.example", "tnt_1", {("a.example", ""), ("", "tnt_1"), ("b.example", "tnt_1")}),
    ],
)
async def test_resuming_a_site_or_a_tenant_ends_all_of_its_suspensions(
    journal: Journal, site: str | None, tenant: str | None, left: set[tuple[str, str]]
) -> None:
    for place, whose in [("a.example", ""), ("a.example", "tnt_1"), ("b.example", "tnt_1"), ("", "tnt_1")]:
        await journal.suspensions.suspend(place, whose, soon(hours=1), "", "operator")
    await journal.suspensions.resume(site, tenant, "operator")
    assert {(s.site, s.tenant_id) for s in await journal.suspensions.active()} == left


async def test_actions_are_told_the_newest_first(journal: Journal) -> None:
    def action(site: str, **ago: float) -> SiteAction:
        at = datetime.now(UTC) - timedelta(**ago)
        return SiteAction(at=at, site=site, source="mta1", action="slowed", reply="421 slow down", made_by="automation")

    await journal.site_actions.record([])
    await journal.site_actions.record([action("a.example", days=29)])
    await journal.site_actions.record([action("b.example", days=0)])
    found = await journal.site_actions.latest(None, 10)
    assert [(a.site, a.source, a.reply) for a in found] == [
        ("b.example", "mta1", "421 slow down"),
        ("a.example", "mta1", "421 slow down"),
    ]
    assert len(await journal.site_actions.latest(None, 1)) == 1


async def test_what_is_parked_is_counted_by_lane(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    messages = [a_message(f"{i}@example.com") for i in range(3)]
    await journal.intake.accept([a_request(tenant, *messages)])
    parked = await leased(journal)
    await journal.scheduling.park(parked, ["example.com", "example.com", "mta1>example.com"])
    assert await journal.queue_control.lane_names() == ["example.com", "mta1>example.com"]
    named = ["example.com", "nothing.example", "mta1>example.com"]
    assert await journal.queue_control.parked_in(named) == {"example.com": 2, "mta1>example.com": 1}
    assert await journal.queue_control.parked_in(named, 1) == {"example.com": 1, "mta1>example.com": 1}


async def a_queue(journal: Journal) -> tuple[str, list[NewMessage]]:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    messages = [a_message("ada@example.com"), a_message("bob@example.org"), a_message("eve@example.com")]
    await journal.intake.accept([a_request(tenant, messages[0])])
    await journal.intake.accept([a_request(tenant, *messages[1:], batch_id=batch)])
    return tenant, messages


async def test_the_queue_is_searched_in_parts(journal: Journal) -> None:
    tenant, _ = await a_queue(journal)
    other = await a_tenant(journal, "other")
    await journal.intake.accept([a_request(other, a_message("zoe@example.com"))])
    batch = (await journal.queue_control.part(EVERYTHING, QueueMark(), 100)).queued[1].batch_id
    everybody = ["ada@example.com", "bob@example.org", "eve@example.com", "zoe@example.com"]
    for size in (1, 2, 3, 4, 100):
        assert await matched(journal, EVERYTHING, size) == everybody
        assert await matched(journal, QueueFilter(domain="example.com", tenant_id=tenant), size) == [
            "ada@example.com",
            "eve@example.com",
        ]
        assert await matched(journal, QueueFilter(batch_id=batch), size) == ["bob@example.org", "eve@example.com"]
        assert await matched(journal, QueueFilter(pool=""), size) == everybody
        assert await matched(journal, QueueFilter(pool="default"), size) == everybody
        assert await matched(journal, QueueFilter(pool="bulk"), size) == []
        assert await matched(journal, QueueFilter(accepted_before=soon(hours=-1)), size) == []
        assert await matched(journal, QueueFilter(accepted_before=soon(hours=1)), size) == everybody


async def test_what_is_given_up_has_failed_and_said_so(journal: Journal) -> None:
    tenant, messages = await a_queue(journal)
    assert await give_up(journal, QueueFilter(domain="example.com")) == 2
    ended = await dropped(journal, "enough")
    assert [e.recipient for e in ended] == ["ada@example.com", "eve@example.com"]
    assert {e.categories for e in ended} == {("greetings",)}
    assert await status(journal, tenant, messages[1]) == "queued"
    row = await journal.messages.find(tenant, messages[0].id)
    assert row is not None
    assert (row.status, row.error_message) == (Status.FAILED, "enough")
    batch = ended[1].batch_id
    assert batch is not None
    counts = await journal.batches.counts(tenant, batch)
    assert counts is not None
    assert (counts.total, counts.by_status[Status.FAILED], counts.by_status[Status.QUEUED]) == (2, 1, 1)
    assert await give_up(journal, QueueFilter(domain="example.com")) == 0


async def test_what_is_being_sent_is_left_alone(journal: Journal) -> None:
    tenant, messages = await a_queue(journal)
    (claimed,) = await journal.queue.claim(waiting(tenant, messages[0]), owner=1, lease_s=600)
    part = await journal.queue_control.part(EVERYTHING, QueueMark(), 100)
    assert [queued.sending for queued in part.queued] == [True, False, False]
    assert await journal.queue_control.give_up(part.queued, "enough") == 2
    await journal.queue.commit([an_outcome(waiting(tenant, messages[0])[0], Status.DELIVERED)], owner=1)
    assert await status(journal, tenant, messages[0]) == "delivered"
    assert claimed.attempts == 1


async def test_one_of_several_recipients_is_given_up(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    message = a_message("ada@example.com", "bob@example.org")
    await journal.intake.accept([a_request(tenant, message)])
    assert await give_up(journal, QueueFilter(domain="example.org")) == 1
    assert await status(journal, tenant, message) == "queued"
    first, _ = waiting(tenant, message)
    await journal.queue.claim([first], owner=1, lease_s=600)
    await journal.queue.commit([an_outcome(first, Status.DELIVERED, sole_recipient=False)], owner=1)
    assert await status(journal, tenant, message) == "delivered"


async def test_a_delivery_in_other_hands_is_passed_over(journal: Journal, journal_dsn: str) -> None:
    _, messages = await a_queue(journal)
    with psycopg.connect(journal_dsn) as other:
        other.execute("SELECT FROM deliveries WHERE message_id = %s FOR UPDATE", [messages[0].id])
        assert await give_up(journal) == 2
    assert await give_up(journal) == 1


async def test_where_a_message_stands(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    await a_tenant(journal, "other")
    batch = await journal.batches.create(tenant)
    message = a_message("ada@example.com", "bob@example.org")
    await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
    assert await journal.fates.find("msg_none") is None
    epoch, _ = await journal.membership.register("delivery-0-0", "node")
    first, _ = waiting(tenant, message)
    await journal.queue.claim([first], owner=epoch, lease_s=600)
    fate = await journal.fates.find(message.id)
    assert fate is not None
    assert (fate.tenant_id, fate.batch_id, fate.status, fate.batch_paused) == (tenant, batch, None, False)
    ada, bob = await journal.fates.recipients(message.id)
    assert (ada.recipient, ada.status, ada.attempts, ada.held, ada.actor) == (
        "ada@example.com",
        Status.SENDING,
        1,
        True,
        "delivery-0-0",
    )
    assert (bob.status, bob.held, bob.actor, bob.lane, bob.paused) == (Status.QUEUED, False, None, None, False)
    await journal.queue.commit([an_outcome(first, Status.DELIVERED, sole_recipient=False)], owner=epoch)
    ada, bob = await journal.fates.recipients(message.id)
    assert (ada.status, ada.due_at) == (Status.DELIVERED, None)
    await journal.scheduled_sends.schedule(tenant, batch, "pause")
    ada, bob = await journal.fates.recipients(message.id)
    assert (bob.paused, bob.due_at) == (True, bob.expires_at)
    fate = await journal.fates.find(message.id)
    assert fate is not None and fate.batch_paused


async def test_where_a_finished_message_ended(journal: Journal) -> None:
    _, messages = await a_queue(journal)
    await give_up(journal)
    fate = await journal.fates.find(messages[0].id)
    assert fate is not None
    assert (fate.status, fate.error_message) == (Status.FAILED, "enough")
    assert fate.finished_at is not None
    assert await journal.fates.recipients(messages[0].id) == []


async def test_an_actor_that_is_gone_has_no_name(journal: Journal) -> None:
    tenant, messages = await a_queue(journal)
    held = DueDelivery(messages[0].id, 0, tenant, "example.com")
    await journal.queue.claim([held], owner=4711, lease_s=600)
    (standing,) = await journal.fates.recipients(messages[0].id)
    assert (standing.held, standing.actor) == (True, None)
