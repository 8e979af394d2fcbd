"""Strikes and setting aside, against a real Postgres: what is ended, what is not, and what a retry makes of it."""

import pytest

from cluster.ids import new_id
from cluster.journal.ending import Ended
from cluster.journal.journal import Journal
from cluster.journal.records import DueDelivery, NewMessage, NewRequest
from cluster.journal.strikes import StrikeResult, Struck
from cluster.policy.lifecycle import Status
from cluster.policy.limits.strikes import CONTENT, OTHERS, OWN, SetAsideScope
from tests.integration.journal.builders import a_message, a_request, a_tenant, dropped, some_messages

LIFETIME_S = 3600.0


async def accepted(journal: Journal, *messages: NewMessage, batch_id: str | None = None) -> NewRequest:
    tenant = await a_tenant(journal, new_id("tnt_"))
    if batch_id is None:
        request = a_request(tenant, *messages)
    else:
        request = a_request(tenant, *messages, batch_id=await journal.batches.create(tenant))
    await journal.intake.accept([request])
    return request


def waiting(request: NewRequest, message: NewMessage) -> list[DueDelivery]:
    return [DueDelivery(message.id, n, request.tenant_id, r.domain) for n, r in enumerate(message.recipients)]


async def struck(
    journal: Journal,
    request: NewRequest,
    message: NewMessage,
    life: int,
    *,
    shared: bool = False,
) -> StrikeResult:
    struck = Struck(tenant_id=request.tenant_id, message_id=message.id, shared=shared)
    return await journal.strikes.record(struck, life=life, actor="delivery-0-0")


async def stands(journal: Journal, request: NewRequest, message: NewMessage) -> tuple[Status, str | None]:
    row = await journal.messages.find(request.tenant_id, message.id)
    assert row is not None
    return row.status, row.error_message


async def test_the_second_life_sets_the_message_aside(journal: Journal) -> None:
    poison, innocent = a_message(), a_message()
    request = await accepted(journal, poison, innocent, batch_id="one")
    assert request.batch_id is not None
    assert await journal.queue.claim(waiting(request, poison), owner=1, lease_s=600)
    assert await struck(journal, request, poison, 1) == StrikeResult(1, None, 0)
    assert await stands(journal, request, poison) == (Status.SENDING, None)
    (standing,) = await journal.fates.recipients(poison.id)
    assert standing.strikes == 1
    verdict = await struck(journal, request, poison, 2)
    # Claimed by a third life: not even known to be dead.
    assert (verdict.strikes, verdict.ended) == (2, 0)
    assert await stands(journal, request, poison) == (Status.SENDING, None)
    verdict = await struck(journal, request, poison, 1)
    assert (verdict.strikes, verdict.ended) == (2, 1)
    assert verdict.aside is not None and verdict.aside.scope is SetAsideScope.MESSAGE
    assert await stands(journal, request, poison) == (Status.FAILED, OWN)
    assert await stands(journal, request, innocent) == (Status.QUEUED, None)
    assert await dropped(journal, OWN) == [
        Ended(request.tenant_id, poison.id, "ada@example.com", request.batch_id, ("greetings",))
    ]
    counts = await journal.batches.counts(request.tenant_id, request.batch_id)
    assert counts is not None
    assert (counts.total, counts.by_status[Status.FAILED]) == (2, 1)


async def test_a_life_strikes_once_however_often_it_is_said(journal: Journal) -> None:
    poison = a_message()
    request = await accepted(journal, poison)
    for _ in range(3):
        assert await struck(journal, request, poison, 1) == StrikeResult(1, None, 0)


async def test_an_answer_that_was_lost_does_not_end_a_message_twice(journal: Journal) -> None:
    poison = a_message()
    request = await accepted(journal, poison)
    await struck(journal, request, poison, 1)
    await struck(journal, request, poison, 2)
    await struck(journal, request, poison, 2)
    assert len(await dropped(journal, OWN)) == 1


async def test_recipients_who_have_it_keep_it_and_those_being_sent_to_are_left_alone(journal: Journal) -> None:
    poison = a_message("a@example.com", "b@example.org", "c@example.net")
    request = await accepted(journal, poison)
    first, second, _ = waiting(request, poison)
    assert len(await journal.queue.claim([first], owner=1, lease_s=600)) == 1
    assert len(await journal.queue.claim([second], owner=9, lease_s=600)) == 1
    await struck(journal, request, poison, 1)
    assert (await struck(journal, request, poison, 2)).ended == 1  # the third
    assert (await struck(journal, request, poison, 1)).ended == 1  # the first, whose claim was of life 1
    status = {standing.recipient: standing.status for standing in await journal.fates.recipients(poison.id)}
    assert status == {"a@example.com": Status.FAILED, "b@example.org": Status.SENDING, "c@example.net": Status.FAILED}
    assert (await struck(journal, request, poison, 9)).ended == 1
    assert await stands(journal, request, poison) == (Status.FAILED, OWN)


async def test_what_is_finished_or_unknown_gets_no_strike(journal: Journal) -> None:
    message = a_message()
    request = await accepted(journal, message)
    await journal.commands.cancel(request.tenant_id, message.id)
    for known in (message, a_message()):
        for life in (1, 2):
            assert await struck(journal, request, known, life) == StrikeResult(0, None, 0)
    assert (await stands(journal, request, message))[0] is Status.CANCELLED


async def test_a_request_of_many_such_messages_costs_four_lives(journal: Journal) -> None:
    messages = some_messages(30)
    stranger = a_message()
    request = await accepted(journal, *messages)
    other = await accepted(journal, stranger)
    for life in (1, 2):
        await struck(journal, request, messages[3], life)
    await struck(journal, request, messages[5], 3)
    assert await stands(journal, request, messages[4]) == (Status.QUEUED, None)
    verdict = await struck(journal, request, messages[5], 4)
    assert verdict.aside is not None and verdict.aside.scope is SetAsideScope.REQUEST
    assert verdict.ended == 29
    assert await stands(journal, request, messages[5]) == (Status.FAILED, OWN)
    assert await stands(journal, request, messages[4]) == (Status.FAILED, OTHERS)
    assert await stands(journal, other, stranger) == (Status.QUEUED, None)
    ended = [*await dropped(journal, OWN), *await dropped(journal, OTHERS)]
    assert sorted(one.message_id for one in ended) == sorted(message.id for message in messages)


async def test_content_that_ends_two_lives_ends_its_request(journal: Journal) -> None:
    messages = some_messages(5)
    request = await accepted(journal, *messages)
    await struck(journal, request, messages[0], 1, shared=True)
    verdict = await struck(journal, request, messages[1], 2, shared=True)
    assert verdict.ended == 5
    for message in messages:
        assert await stands(journal, request, message) == (Status.FAILED, CONTENT)


@pytest.mark.parametrize("times", [1, 2])
async def test_a_retry_begins_anew(journal: Journal, times: int) -> None:
    poison = a_message()
    request = await accepted(journal, poison)
    lives = iter(range(1, 100))
    for _ in range(times):
        for _ in range(2):
            await struck(journal, request, poison, next(lives))
        assert await stands(journal, request, poison) == (Status.FAILED, OWN)
        change = await journal.commands.retry(request.tenant_id, poison.id, poison.recipients, LIFETIME_S)
        assert change is not None and change.done
    assert await struck(journal, request, poison, next(lives)) == StrikeResult(1, None, 0)
    assert (await stands(journal, request, poison))[0] is Status.QUEUED
