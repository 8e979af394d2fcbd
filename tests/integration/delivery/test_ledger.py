"""Accepted and not committed: a delivery actor is killed, the journal is down, and nothing is sent twice or lost."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from actors.delivery.committer import UNSTORABLE
from actors.delivery.ledger import Ledger, LedgerInUse
from cluster.events import Bounced, Delivered
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.journal.records import DueDelivery, NewMessage, Outcome, OutcomeWithEvent
from cluster.policy.lifecycle import Status
from cluster.smtpd.envelope import Answer, Behaviour, ServerReply
from cluster.suppression.lists import SuppressionList
from tests.integration.delivery.world import DELIVERY, MAX_WAIT_S, World, a_world
from tests.integration.journal.builders import a_message, with_event
from tests.waiting import until

NAME = "delivery-0-0"


def ledger_files(world: World) -> list[Path]:
    return list(world.deliverer.deps.ledger.directory.glob("*.ledger"))


@contextmanager
def no_commits(world: World) -> Iterator[None]:
    """The journal takes no outcomes meanwhile; everything else works."""

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("for the test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.journal.queue, "commit", away)
        yield


async def delivered_once(world: World, *messages: NewMessage) -> None:
    """Each is finished as delivered, was sent once, and has one event for it."""
    for message in messages:
        row = await world.finished(message)
        assert (row.status, row.retry_count) == (Status.DELIVERED, 0)
        (event,) = await world.events_of(message, 1)
        assert isinstance(event, Delivered)
    assert len(world.taken) == len(messages)
    assert len({event.id for event in world.events}) == len(world.events)


async def accepted_but_not_committed(world: World, *messages: NewMessage, batch_id: str | None = None) -> None:
    """On the wire and in the ledger, and then the actor is killed."""
    with no_commits(world):
        await world.accept(*messages, batch_id=batch_id)
        await world.scheduler.paging.round()
        deliveries = sum(len(message.recipients) for message in messages)
        await until(lambda: world.deliverer.parts.committer.uncommitted == deliveries, MAX_WAIT_S)
        await world.kill()


async def test_after_a_kill_the_next_life_finishes_what_was_accepted(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        batch = await journal.batches.create(world.tenant_id)
        messages = [a_message(f"u{i}@example.com") for i in range(20)]
        await accepted_but_not_committed(world, *messages, batch_id=batch)
        for message in messages:
            row = await journal.messages.find(world.tenant_id, message.id)
            assert row is not None and row.status is Status.SENDING
        await world.restart()
        await delivered_once(world, *messages)
        counts = await journal.batches.counts(world.tenant_id, batch)
        assert counts is not None
        assert (counts.total, counts.by_status[Status.DELIVERED]) == (20, 20)
        assert counts.completed_at is not None


async def test_a_node_that_comes_back_under_another_number_finishes_what_was_accepted(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        messages = [a_message(f"u{i}@example.com") for i in range(20)]
        await accepted_but_not_committed(world, *messages)
        own = world.deliverer.deps.ledger.directory
        former = own.rename(own.parent / "delivery-7-0")
        assert list(former.glob("*.ledger"))
        await world.restart()
        await delivered_once(world, *messages)
        assert list(former.glob("*.ledger")) == []


async def test_what_a_lost_actor_of_this_machine_had_accepted_is_finished_before_it_is_taken_back(
    journal: Journal, tmp_path: Path
) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        messages = [a_message(f"u{i}@example.com") for i in range(20)]
        await accepted_but_not_committed(world, *messages)
        own = world.deliverer.deps.ledger.directory
        other = own.parent / "delivery-7-0"
        aside = own.rename(tmp_path / "aside")
        await world.restart()
        aside.rename(other)
        await world.deliverer.settle_of("delivery-8-0")  # of another machine
        await world.deliverer.settle_of("delivery-7-0")
        await world.scheduler.paging.round()
        await delivered_once(world, *messages)
        assert list(other.glob("*.ledger")) == []


async def test_the_ledger_of_an_actor_that_lives_beside_it_is_left_alone(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        await accepted_but_not_committed(world, a_message())
        own = world.deliverer.deps.ledger.directory
        other = Ledger(own.rename(own.parent / "delivery-1-0"))
        assert len(other.unsettled()) == 1
        await world.restart()
        await world.deliverer.settle_of("delivery-1-0")
        assert len(list(other.directory.glob("*.ledger"))) == 1
        other.close()


async def test_a_message_of_several_recipients_is_finished_recipient_by_recipient(journal: Journal) -> None:
    left = [ServerReply(451, "4.3.0 later")]

    def rcpt(path: str) -> Answer:
        return left.pop() if "late" in path and left else None

    async with a_world(journal, Behaviour(rcpt=rcpt)) as world:
        world.zone("example.com", "127.0.0.1")
        batch = await journal.batches.create(world.tenant_id)
        message = a_message("a@example.com", "late@example.com", "b@example.com")
        await accepted_but_not_committed(world, message, batch_id=batch)
        await world.restart()
        # The deferral was lost with the process; the two acceptances were not.
        row = await world.finished(message)
        assert row.status is Status.DELIVERED
        sent = [envelope.rcpt_to for envelope in world.taken]
        assert sent == [("a@example.com", "b@example.com"), ("late@example.com",)]
        events = await world.events_of(message, 3)
        assert sorted(event.recipient for event in events) == ["a@example.com", "b@example.com", "late@example.com"]
        counts = await journal.batches.counts(world.tenant_id, batch)
        assert counts is not None and counts.by_status[Status.DELIVERED] == 1


async def test_a_commit_whose_answer_was_lost_is_replayed_without_effect(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        batch = await journal.batches.create(world.tenant_id)
        message = a_message()
        commit = journal.queue.commit

        async def unanswered(*args: object, **kwargs: object) -> None:
            await commit(*args, **kwargs)  # type: ignore[arg-type]
            raise Unavailable("the answer was lost")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(journal.queue, "commit", unanswered)
            await world.accept(message, batch_id=batch)
            await world.finished(message)
            await world.kill()
        await world.restart()
        events = await world.events_of(message, 2)
        assert len({event.id for event in events}) == 1, "a repeat can be told by its id"
        counts = await journal.batches.counts(world.tenant_id, batch)
        assert counts is not None and counts.by_status[Status.DELIVERED] == 1
        assert len(world.taken) == 1


async def test_files_are_gone_when_what_is_committed_is_to_be_forgotten(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        first, second = a_message(), a_message()
        await world.accept(first)
        await world.finished(first)
        assert ledger_files(world) != []
        await world.deliverer.forget_committed()
        await until(lambda: ledger_files(world) == [], MAX_WAIT_S)
        await world.accept(second)
        await delivered_once(world, first, second)


async def test_a_late_restart_finishes_what_was_taken_back_and_not_yet_sent(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        queued, offered, claimed = (a_message(f"{i}@example.com") for i in range(3))
        await accepted_but_not_committed(world, queued, offered, claimed)
        (actor,) = await journal.membership.actors(60)
        assert await journal.membership.retire(NAME, actor.epoch) == 3
        others = actor.epoch + 1000
        waiting = [DueDelivery(message.id, 0, world.tenant_id, "example.com") for message in (offered, claimed)]
        assert len(await journal.queue.claim(waiting[1:], owner=others, lease_s=60)) == 1
        await world.restart()
        assert "accepted=3 finished=3 known=0 perhaps_sent_twice=1" in caplog.text
        assert await journal.queue.claim(waiting[:1], owner=others, lease_s=60) == []
        for message in (queued, offered, claimed):
            assert (await world.finished(message)).status is Status.DELIVERED
        assert len(world.taken) == 3


async def test_what_a_client_sends_again_is_not_finished_by_an_old_entry(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message()
        await world.accept(message)
        outcome = Outcome(tenant_id=world.tenant_id, message_id=message.id, recipient_no=0, status=Status.DELIVERED)
        _, event = with_event(outcome)
        assert isinstance(event, Delivered)
        settlement = await journal.queue.settle([(outcome, event)])
        assert (settlement.finished, settlement.known, settlement.claimed_again) == (0, 1, 0)
        assert await world.events_of(message, 1) == [event]
        world.events.clear()
        await delivered_once(world, message)


async def test_what_is_not_committed_is_not_sent_again_though_its_lease_is_over(journal: Journal) -> None:
    settings = msgspec.structs.replace(DELIVERY, sending_lease_s=0.0)
    async with a_world(journal, settings=settings) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message()
        with no_commits(world):
            await world.accept(message)
            await world.scheduler.paging.round()
            await until(lambda: world.deliverer.parts.committer.uncommitted == 1, MAX_WAIT_S)
            page = await world.scheduler.paging.round()
            assert len(page) == 1, "the journal believes that it must be sent"
        await delivered_once(world, message)


async def test_a_life_waits_for_the_former_one_to_end(journal: Journal) -> None:
    async with a_world(journal) as world:
        successor = world.make_deliverer()
        with pytest.raises(LedgerInUse):
            await successor.start()
        (actor,) = await journal.membership.actors(60)
        assert actor.epoch == world.deliverer.parts.ownership.epoch, "the one that lives was not superseded"


async def test_a_full_disk_stops_claims_and_loses_nothing(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        folder = world.ledger.directory
        first, second = a_message(), a_message()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.ledger, "_begin", _no_room)
            with no_commits(world):
                await world.accept(first)
                await world.scheduler.paging.round()
                await until(lambda: world.ledger.problem is not None, MAX_WAIT_S)
            assert "No space left" in (await world.deliverer.problem() or "")
            assert (await world.finished(first)).status is Status.DELIVERED
            await world.accept(second)
            await world.scheduler.paging.round()
            await asyncio.sleep(0)
            assert world.deliverer.parts.claims._next() == []
        assert list(folder.glob("*.ledger")) == []
        # The next heartbeat finds room.
        assert (await world.finished(second)).status is Status.DELIVERED
        assert await world.deliverer.problem() is None
        assert len(world.taken) == 2


def _no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def test_words_that_cannot_be_stored_do_not_make_a_bounce_come_again(journal: Journal) -> None:
    async with a_world(journal, Behaviour(rcpt=lambda _: ServerReply(550, "5.1.1 no"))) as world:
        world.zone("example.com", "127.0.0.1")
        commit = journal.queue.commit

        async def picky(results: list[OutcomeWithEvent], *, owner: int, window_s: float) -> None:
            if any((outcome.error_message or "").startswith("550") for outcome, _ in results):
                raise Rejected("for the test")
            await commit(results, owner=owner, window_s=window_s)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(journal.queue, "commit", picky)
            messages = [a_message(), a_message()]
            await world.accept(*messages)
            for message in messages:
                row = await world.finished(message)
                assert (row.status, row.error_message) == (Status.BOUNCED, UNSTORABLE)
                (event,) = await world.events_of(message, 1)
                assert isinstance(event, Bounced) and event.reason == "550 5.1.1 no"
            entry = await journal.suppressions.entry(world.tenant_id, SuppressionList.BOUNCES, "ada@example.com")
            assert entry is not None and entry.reason == UNSTORABLE


async def test_a_claim_without_an_answer_is_given_back(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        claim = journal.queue.claim
        failures = 1

        async def unanswered(*args: object, **kwargs: object) -> object:
            nonlocal failures
            claimed = await claim(*args, **kwargs)  # type: ignore[arg-type]
            if failures:
                failures -= 1
                raise Unavailable("the answer was lost")
            return claimed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(journal.queue, "claim", unanswered)
            message = a_message()
            await world.accept(message)
            assert (await world.finished(message)).status is Status.DELIVERED
        assert len(world.taken) == 1


# A real SIGKILL

WRITER = """
import sys
from pathlib import Path
from actors.delivery.ledger import Ledger
from tests.unit.delivery.test_ledger import an_entry

ledger = Ledger(Path(sys.argv[1]), segment_bytes=100_000)
number = len(ledger.unsettled())
while True:
    ledger.append([an_entry(number), an_entry(number + 1)])
    number += 2
    print(number, flush=True)
"""


def test_what_was_appended_survives_sigkill(tmp_path: Path) -> None:
    appended = 0
    for _ in range(2):  # the second life begins with what the first left, and is killed as well
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as life:
            assert life.stdout is not None
            began = appended
            for line in life.stdout:
                appended = int(line)
                if appended == began + 1000:
                    life.kill()  # it goes on meanwhile, so that the kill falls into some append
        assert life.returncode == -signal.SIGKILL
    ledger = Ledger(tmp_path)
    numbers = [int(outcome.message_id.removeprefix("msg_")) for outcome, _ in ledger.unsettled()]
    ledger.close()
    assert numbers[:appended] == list(range(appended))
    assert len(numbers) <= appended + 2, "but for the append that was not told of"
