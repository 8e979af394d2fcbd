"""Arrays that are refused are posted in parts."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from actors.webhooks.halving import LONGEST_S, MOST_PARTS, Part, not_taken, posted_in_parts
from actors.webhooks.poster import Posted
from cluster.events import WebhookAttempt
from cluster.policy.webhooks.failing import PostResult
from cluster.webhooks.answer import Answer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENTS = [str(number) for number in range(1000)]
ATTEMPT = WebhookAttempt(
    id="att_1",
    at=0.0,
    tenant_id="tnt_1",
    webhook_id="wh_1",
    url="",
    attempt=1,
    event_ids=(),
    request_headers="",
    request_body="",
    request_bytes=0,
)


class Receiver:
    """Answers ``status`` to a post that has one of the bad events. Each post takes ``took_s``."""

    def __init__(
        self, bad: Sequence[str], *, status: int = 400, took_s: float = 0.0, is_unwritten: bool = False
    ) -> None:
        self.bad = set(bad)
        self.status = status
        self.took_s = took_s
        self.is_unwritten = is_unwritten
        self.now = 0.0

    async def post(self, events: Sequence[str]) -> Posted:
        self.now += self.took_s
        is_bad = bool(self.bad.intersection(events))
        status = 0 if is_bad and self.is_unwritten else self.status if is_bad else 200
        result = PostResult(began=NOON, ended=NOON, status=status, is_unwritten=is_bad and self.is_unwritten)
        return Posted(answer=Answer(result=result), attempt=ATTEMPT)

    async def parts(self, events: Sequence[str] = EVENTS) -> list[Part[str]]:
        return await posted_in_parts(events, self.post, lambda: self.now)


def sizes(parts: Sequence[Part[str]]) -> list[int]:
    return [len(part.events) for part in parts]


async def test_what_is_taken_is_posted_once() -> None:
    parts = await Receiver([]).parts()
    assert (sizes(parts), not_taken(parts)) == ([1000], [])


async def test_the_order_of_halves() -> None:
    parts = await Receiver(["5"]).parts(EVENTS[:8])
    assert ["".join(part.events) for part in parts] == ["01234567", "0123", "4567", "45", "4", "5", "67"]


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("bad", [["0"], ["499"], ["999"], ["3", "777"]])
async def test_all_but_the_bad_events_are_taken(status: int, bad: list[str]) -> None:
    parts = await Receiver(bad, status=status).parts()
    assert not_taken(parts) == bad
    assert len(parts) <= 20 * len(bad) + 1


async def test_events_that_cannot_be_written_are_found_however_many_are_next_to_each_other() -> None:
    parts = await Receiver(EVENTS[:6], is_unwritten=True).parts()
    assert not_taken(parts) == EVENTS[:6]


async def test_what_is_too_large_passes_in_smaller_parts() -> None:
    class Small(Receiver):
        async def post(self, events: Sequence[str]) -> Posted:
            self.bad = set(events) if len(events) > 300 else set()
            return await super().post(events)

    parts = await Small([], status=413).parts()
    assert (sizes(parts), not_taken(parts)) == ([1000, 500, 250, 250, 500, 250, 250], [])


async def test_one_that_refuses_everything_gets_a_few_posts() -> None:
    parts = await Receiver(EVENTS).parts()
    assert sizes(parts) == [1000, 500, 250, 125, 62, 31, 15, 7, 3, 1, 2, 1]
    assert not_taken(parts) == EVENTS


@pytest.mark.parametrize("status", [401, 404, 429, 500, 302, 0])
async def test_other_failures_are_not_of_the_events(status: int) -> None:
    assert sizes(await Receiver(["1"], status=status).parts()) == [1000]


async def test_a_single_event_has_no_parts() -> None:
    assert sizes(await Receiver(["1"]).parts(["1"])) == [1]


async def test_parts_are_bounded_in_number_and_in_time() -> None:
    many = await Receiver(EVENTS[::10]).parts()
    assert len(many) == MOST_PARTS + 1
    assert set(not_taken(many)) >= set(EVENTS[::10])
    slow = await Receiver(["999"], took_s=LONGEST_S / 4).parts()
    assert len(slow) == 5


async def test_a_failure_of_another_kind_ends_it() -> None:
    class Ending(Receiver):
        async def post(self, events: Sequence[str]) -> Posted:
            self.status = 400 if len(events) > 250 else 503
            return await super().post(events)

    parts = await Ending(EVENTS).parts()
    assert sizes(parts) == [1000, 500, 250]
    assert not_taken(parts) == EVENTS
