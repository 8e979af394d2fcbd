"""The verdict: it finds each broken promise in the facts that show it, and no other."""

from typing import Any

import pytest
from msgspec.structs import replace

from benchmarks.chaos.records import Cancel, Events, SentRequest, Stored, VerdictFacts
from benchmarks.chaos.verdict import NOTED_S, judge
from benchmarks.sink_log import ConnectionEnded, Line, Receipt
from cluster.policy.limits.strikes import CONTENT, OTHERS, OWN

OK = "r0-0-0.ok@one.example.org"
NO = "r1-0-0.no@one.example.org"
POISON = "r3-0-0.poison@one.example.org"
GONE = "r2-0-0.ok@one.example.org"
DONE = {"processed": 1, "delivered": 1}


def stored(message_id: str, number: int, recipient: str, status: str | None, **fields: Any) -> Stored:
    return Stored(
        error_message=fields.get("error_message"),
        message_id=message_id,
        number=number,
        recipients=(recipient,),
        batch_id=fields.get("batch_id"),
        status=status,
        finished_at=fields.get("finished_at", 10.0),
    )


def sent(number: int, recipient: str, *message_ids: str, outcome: Any = "accepted") -> SentRequest:
    return SentRequest(number=number, recipients=[[recipient]], outcome=outcome, message_ids=list(message_ids), at=1.0)


def receipt(message_id: str, recipient: str, **fields: Any) -> Receipt:
    known: dict[str, Any] = {"at": 9.0, "session": 1, "accepted": True, "replied": True}
    return Receipt(message_id=message_id, recipients=(recipient,), **(known | fields))


@pytest.fixture
def facts() -> VerdictFacts:
    """Three messages: one delivered, one bounced, one cancelled."""
    return VerdictFacts(
        sent=[sent(0, OK, "msg_0"), sent(1, NO, "msg_1"), sent(2, GONE, "msg_2")],
        cancels=[Cancel(message_id="msg_2", status=200, at=11.0)],
        stored=[
            stored("msg_0", 0, OK, "sent"),
            stored("msg_1", 1, NO, "bounced"),
            stored("msg_2", 2, GONE, "cancelled"),
        ],
        unfinished=[],
        log_rows_left=0,
        tallies={},
        batches_shown={},
        shown=[],
        events={
            ("msg_0", OK): DONE,
            ("msg_1", NO): {"processed": 1, "deferred": 2, "bounce": 1},
            ("msg_2", GONE): {"processed": 1, "dropped": 1},
        },
        sink=[receipt("msg_0", OK), ConnectionEnded(at=30.0, session=1, heard_at=30.0, replied_at=9.1)],
        problems=[],
    )


def with_events(facts: VerdictFacts, **changed: dict[str, int]) -> VerdictFacts:
    recipients = {"msg_0": OK, "msg_1": NO, "msg_2": GONE}
    events: Events = dict(facts.events)
    for message_id, counts in changed.items():
        events[message_id, recipients[message_id]] = counts
    return replace(facts, events=events)


def test_kept_promises_are_counted_and_nothing_is_broken(facts: VerdictFacts) -> None:
    verdict = judge(facts)
    assert verdict.broken == []
    assert (verdict.promised, verdict.delivered, verdict.bounced, verdict.cancelled) == (3, 1, 1, 1)
    assert (verdict.copies, verdict.duplicated, verdict.surplus, verdict.bound) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("status", "error_message", "end", "broken"),
    [
        ("failed", OWN, "dropped", []),
        ("failed", CONTENT, "dropped", []),
        ("failed", OTHERS, "dropped", ["disagreements: 1"]),
        ("failed", "cannot be composed: too long", "dropped", ["disagreements: 1"]),
        ("bounced", "expired", "bounce", ["disagreements: 2"]),
        ("sent", None, "delivered", ["lost: 1", "disagreements: 2"]),
    ],
)
def test_poison_must_be_set_aside(
    facts: VerdictFacts, status: str, error_message: str | None, end: str, broken: list[str]
) -> None:
    poisoned = replace(
        facts,
        sent=[*facts.sent, sent(3, POISON, "msg_3")],
        stored=[*facts.stored, stored("msg_3", 3, POISON, status, error_message=error_message)],
        events={**facts.events, ("msg_3", POISON): {"processed": 1, end: 1}},
    )
    verdict = judge(poisoned)
    assert verdict.broken == broken
    assert verdict.set_aside == (broken == [])


def test_what_ended_on_days_that_have_gone_is_gone(facts: VerdictFacts) -> None:
    verdict = judge(replace(facts, ended_left=2))
    assert verdict.broken == ["disagreements: 1"]


def test_mail_of_past_days_comes_whole(facts: VerdictFacts) -> None:
    verdict = judge(replace(facts, past=facts.sent[:1], lacking=["msg_0: came without its file"]))
    assert (verdict.of_past_days, verdict.broken) == (1, ["without file or signature: 1"])


def test_nothing_else_may_be_set_aside(facts: VerdictFacts) -> None:
    aside = stored("msg_0", 0, OK, "failed", error_message=OWN)
    found = with_events(facts, msg_0={"processed": 1, "dropped": 1})
    verdict = judge(replace(found, stored=[aside, *facts.stored[1:]], sink=[]))
    assert verdict.broken == ["disagreements: 1"]
    assert verdict.set_aside == 0


def test_a_promise_that_the_journal_forgot_is_lost(facts: VerdictFacts) -> None:
    verdict = judge(replace(facts, sent=[*facts.sent, sent(3, "r3-0-0.ok@x", "msg_3")]))
    assert verdict.broken == ["lost: 1"]


def test_delivered_and_not_at_the_sink_is_lost(facts: VerdictFacts) -> None:
    assert judge(replace(facts, sink=[])).broken == ["lost: 1"]


def test_unfinished_is_stuck(facts: VerdictFacts) -> None:
    verdict = judge(replace(facts, stored=[stored("msg_0", 0, OK, None), *facts.stored[1:]]))
    assert "stuck: 1" in verdict.broken


def test_events_that_never_came_are_stuck(facts: VerdictFacts) -> None:
    assert judge(replace(facts, log_rows_left=2)).broken == ["stuck: 1"]


@pytest.mark.parametrize("accepted", [True, False])
def test_a_copy_after_the_cancel_is_found_even_if_the_sink_refused_it(facts: VerdictFacts, accepted: bool) -> None:
    late = receipt("msg_2", GONE, at=10.1, accepted=accepted, replied=False)
    assert "cancelled but sent: 1" in judge(replace(facts, sink=[*facts.sink, late])).broken


def test_a_copy_whose_reply_was_lost_before_the_cancel_is_excused(facts: VerdictFacts) -> None:
    early = receipt("msg_2", GONE, at=8.0, session=2, replied=False)
    verdict = judge(replace(facts, sink=[*facts.sink, early]))
    assert verdict.broken == []
    assert (verdict.surplus, verdict.bound) == (1, 1)


def test_a_200_to_a_cancel_that_changed_nothing_is_found(facts: VerdictFacts) -> None:
    cancels = [*facts.cancels, Cancel(message_id="msg_0", status=200, at=8.0)]
    assert judge(replace(facts, cancels=cancels)).broken == ["cancelled but sent: 1"]


def an_end(**known: Any) -> ConnectionEnded:
    return ConnectionEnded(session=1, **({"at": 30.0, "heard_at": 9.0, "replied_at": 9.1} | known))


def copies(end: ConnectionEnded | None = None, **first: Any) -> list[Line]:
    """The same message twice, on two connections; the first connection ends with this outcome."""
    return [
        receipt("msg_0", OK, session=1, at=9.0, **first),
        end or an_end(heard_at=30.0),
        receipt("msg_0", OK, session=2, at=12.0),
        ConnectionEnded(at=40.0, session=2, heard_at=40.0, replied_at=40.0),
    ]


def test_a_duplicate_after_a_reply_that_was_never_sent_is_excused(facts: VerdictFacts) -> None:
    verdict = judge(replace(facts, sink=copies(replied=False)))
    assert (verdict.duplicated, verdict.surplus, verdict.bound, verdict.broken) == (1, 1, 1, [])


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(an_end(at=9.1 + NOTED_S), id="ended at once"),
        pytest.param(an_end(reset=True), id="the reply lay unread, however long"),
        pytest.param(an_end(replied_at=8.0), id="gone before a slow reply could be written"),
    ],
)
def test_a_duplicate_after_a_reply_that_may_be_lost_is_excused(facts: VerdictFacts, end: ConnectionEnded) -> None:
    verdict = judge(replace(facts, sink=copies(end)))
    assert (verdict.duplicated, verdict.surplus, verdict.bound, verdict.broken) == (1, 1, 1, [])


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(an_end(at=9.2 + NOTED_S), id="all was read, and there was time to note it"),
        pytest.param(an_end(at=9.2, heard_at=9.15), id="the client said something after it"),
        pytest.param(an_end(at=9.2, heard_at=9.15, reset=True), id="and was killed before it read the next reply"),
    ],
)
def test_a_duplicate_after_a_reply_that_was_read_is_not_excused(facts: VerdictFacts, end: ConnectionEnded) -> None:
    verdict = judge(replace(facts, sink=copies(end)))
    assert (verdict.surplus, verdict.bound) == (1, 0)
    assert verdict.broken == ["inexcusable duplicates: 1", "copies beyond the bound: 1"]


def test_a_connection_that_outlived_the_run_excuses_nothing(facts: VerdictFacts) -> None:
    sink = [line for line in copies() if not isinstance(line, ConnectionEnded)]
    assert "inexcusable duplicates: 1" in judge(replace(facts, sink=sink)).broken


def test_only_the_last_transaction_of_a_connection_can_be_in_flight(facts: VerdictFacts) -> None:
    sink = copies(an_end(at=9.2))
    other = receipt("msg_9", "r9-0-0.ok@x", session=1, at=9.1)
    verdict = judge(replace(facts, sink=[sink[0], other, *sink[1:]]))
    assert "inexcusable duplicates: 1" in verdict.broken


@pytest.mark.parametrize(
    ("message_id", "events"),
    [
        ("msg_0", {"delivered": 1}),
        ("msg_0", {"processed": 2, "delivered": 1}),
        ("msg_0", {"processed": 1, "delivered": 2}),
        ("msg_0", {"processed": 1, "delivered": 1, "bounce": 1}),
        ("msg_1", {"processed": 1}),
        ("msg_2", {"processed": 1, "bounce": 1}),
    ],
)
def test_events_that_do_not_fit_the_journal_disagree(
    facts: VerdictFacts, message_id: str, events: dict[str, int]
) -> None:
    assert judge(with_events(facts, **{message_id: events})).disagreements


def test_a_bounce_that_the_sink_never_asked_for_disagrees(facts: VerdictFacts) -> None:
    bounced = replace(facts, stored=[stored("msg_0", 0, OK, "bounced"), *facts.stored[1:]], sink=[])
    verdict = judge(with_events(bounced, msg_0={"processed": 1, "bounce": 1}))
    assert verdict.broken == ["disagreements: 1"]


def test_a_cancel_that_nobody_asked_for_disagrees(facts: VerdictFacts) -> None:
    assert judge(replace(facts, cancels=[])).broken == ["disagreements: 1"]


def test_half_a_request_disagrees(facts: VerdictFacts) -> None:
    half = SentRequest(number=0, recipients=[[OK], ["r0-1-0.ok@x"]], outcome="unanswered", at=1.0)
    verdict = judge(replace(facts, sent=[half, *facts.sent[1:]]))
    assert verdict.broken == ["disagreements: 1"]
    assert (verdict.unanswered, verdict.found) == (1, 1)


def test_a_message_that_nobody_sent_disagrees(facts: VerdictFacts) -> None:
    unknown = receipt("msg_9", "r9-0-0.ok@x", session=3)
    end = ConnectionEnded(at=50.0, session=3, heard_at=50.0, replied_at=50.0)
    assert "disagreements: 1" in judge(replace(facts, sink=[*facts.sink, unknown, end])).broken


def test_the_tallies_of_a_batch_must_sum_to_its_messages(facts: VerdictFacts) -> None:
    batched = [stored("msg_0", 0, OK, "sent", batch_id="bat_1"), *facts.stored[1:]]
    right = {"bat_1": {"accepted": 1, "sent": 1}}
    shown = {"bat_1": {"status_counts": {"sent": 1, "queued": 0}, "total_messages": 1, "is_complete": True}}
    assert judge(replace(facts, stored=batched, tallies=right, batches_shown=shown)).broken == []
    wrong = {"bat_1": {"accepted": 1, "sent": 2}}
    assert judge(replace(facts, stored=batched, tallies=wrong)).broken == ["disagreements: 1"]
    shown["bat_1"]["is_complete"] = False
    assert judge(replace(facts, stored=batched, tallies=right, batches_shown=shown)).broken == ["disagreements: 1"]


def test_an_api_that_does_not_come_back_is_a_problem(facts: VerdictFacts) -> None:
    assert judge(replace(facts, problems=["GET failed"])).broken == ["problems: 1"]
