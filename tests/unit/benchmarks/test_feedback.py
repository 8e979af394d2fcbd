"""The verdict on unsubscribes, opens and clicks: it finds what was broken, and excuses what no promise covers."""

from typing import Any

import pytest
from msgspec.structs import replace

from benchmarks.chaos import feedback
from benchmarks.chaos.records import Fetch, FetchKind, Stored, Unsubscribe, VerdictFacts
from benchmarks.chaos.verdict import judge
from benchmarks.sink_log import Receipt
from cluster.suppression.lists import ALL_SUPPRESSED

ADA = "s2.ok@three.example.org"
ANSWERED = Unsubscribe(recipient=ADA, from_group=True, asked_at=99.0, answered_at=100.0)


def stored(status: str, claimed_after: float = 110.0, error_message: str | None = None) -> Stored:
    return Stored(
        message_id="msg_0",
        number=0,
        recipients=(ADA,),
        batch_id=None,
        status=status,
        finished_at=120.0,
        claimed_after=claimed_after,
        error_message=error_message,
    )


def receipt(at: float = 115.0) -> Receipt:
    return Receipt(at=at, session=1, message_id="msg_0", recipients=(ADA,), accepted=True, replied=True)


def facts_of(**known: Any) -> VerdictFacts:
    nothing: dict[str, Any] = {name: [] for name in ("sent", "cancels", "stored", "unfinished", "shown", "sink")}
    nothing |= {"tallies": {}, "batches_shown": {}, "events": {}, "log_rows_left": 0, "problems": []}
    return VerdictFacts(**(nothing | known))


def fetch(at: float = 100.0, *, is_answered: bool = True) -> Fetch:
    return Fetch(message_id="msg_0", recipient=ADA, kind=FetchKind.OPEN, is_answered=is_answered, at=at)


def test_an_answered_unsubscribe_is_on_its_list() -> None:
    facts = facts_of(unsubscribes=[ANSWERED], listed=[(ADA, "group")])
    assert judge(facts).broken == []
    assert judge(facts).unsubscribes == 1
    assert judge(replace(facts, listed=[])).broken == ["lost: 1"]
    assert judge(replace(facts, listed=[(ADA, "unsubscribes")])).broken == ["lost: 1"], "on another list"
    unanswered = Unsubscribe(recipient=ADA, from_group=True, asked_at=99.0)
    assert judge(replace(facts, listed=[], unsubscribes=[unanswered])).broken == []


@pytest.mark.parametrize(
    ("status", "error_message", "claimed_after", "is_at_sink", "broken"),
    [
        ("failed", ALL_SUPPRESSED, 110.0, False, 0),
        ("failed", ALL_SUPPRESSED, 110.0, True, 1),
        ("sent", None, 110.0, True, 1),
        ("sent", None, 110.0, False, 1),
        ("bounced", "550 no", 110.0, False, 1),
        ("cancelled", None, 110.0, False, 0),
        ("sent", None, 90.0, True, 0),
    ],
)
def test_what_is_claimed_after_an_unsubscribe_is_dropped(
    status: str, error_message: str | None, claimed_after: float, is_at_sink: bool, broken: int
) -> None:
    facts = facts_of(unsubscribes=[ANSWERED], stored=[stored(status, claimed_after, error_message)])
    assert len([*feedback.unsubscribed_but_sent(facts, [receipt()] if is_at_sink else [])]) == broken


def test_only_who_asked_is_suppressed() -> None:
    facts = facts_of(stored=[stored("failed", error_message=ALL_SUPPRESSED)])
    assert len([*feedback.suppressed_unasked(facts)]) == 1
    later = replace(ANSWERED, asked_at=121.0)
    assert len([*feedback.suppressed_unasked(replace(facts, unsubscribes=[later]))]) == 1
    unanswered = replace(ANSWERED, answered_at=None)
    assert [*feedback.suppressed_unasked(replace(facts, unsubscribes=[unanswered]))] == []


@pytest.mark.parametrize(
    ("fetches", "counted", "broken"),
    [
        ([fetch()], 1, 0),
        ([fetch()], 0, 1),
        ([fetch()], 2, 1),
        ([], 1, 1),
        ([fetch(is_answered=False)], 0, 0),
        ([fetch(is_answered=False)], 1, 0),
    ],
)
def test_opens_are_counted_once(fetches: list[Fetch], counted: int, broken: int) -> None:
    facts = facts_of(
        fetches=fetches, events={("msg_0", ADA): {"processed": 1} | ({"open": counted} if counted else {})}
    )
    assert len([*feedback.miscounted(facts)]) == broken


@pytest.mark.parametrize(
    ("killed", "away", "is_sure"),
    [
        ([], [], True),
        ([(100.1, 100.1)], [], False),
        ([(90.0, 90.1)], [], True),
        ([(115.0, 115.0)], [], True),
        ([(115.0, 115.0)], [(99.0, 112.0)], False),
        ([(115.0, 115.0)], [(80.0, 90.0)], True),
        ([(125.0, 125.0)], [(99.0, 112.0)], True),
        ([(125.0, 125.0)], [(117.0, 122.0), (99.0, 112.0)], False),
    ],
)
def test_an_open_may_be_lost_with_the_process_that_had_yet_to_write_it(
    killed: list[tuple[float, float]], away: list[tuple[float, float]], is_sure: bool
) -> None:
    assert feedback.is_sure(fetch(), facts_of(api_killed=killed, journal_away=away)) is is_sure
