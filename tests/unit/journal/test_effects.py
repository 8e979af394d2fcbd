"""Tests the check that compares the records of the integration tests' journals with the headers."""

from cluster.journal.statements import QUERIES
from cluster.policy.lifecycle import Status
from tests.journal_effects import ALLOWED, Effect, Moved, faults, moves

QUEUED, SENDING = Status.QUEUED, Status.SENDING
BOUNCED, DELIVERED, FAILED = Status.BOUNCED, Status.DELIVERED, Status.FAILED


def delivery(statement: str, before: Status | None, after: Status | None, number: int = 0, tx: int = 1) -> Effect:
    return Effect(tx, statement, False, "msg_1", number, before, after)


def outcome(statement: str, before: Status | None, after: Status | None, tx: int = 1) -> Effect:
    return Effect(tx, statement, True, "msg_1", None, before, after)


def test_a_statement_that_goes_beyond_its_header_is_a_fault() -> None:
    take_back = QUERIES["take_back"].replace("%(epoch)s", "$1")  # as the server receives it
    assert faults([delivery(take_back, SENDING, QUEUED)]) == []
    assert faults([delivery(take_back, FAILED, QUEUED)]) == ["take_back: failed -> queued"]
    assert faults([delivery(QUERIES["new_epoch"], SENDING, QUEUED)]) == ["new_epoch: sending -> queued"]
    assert ALLOWED["claim"] == {("queued", "sending"), ("processing", "sending")}


def test_a_message_gets_the_fold_of_its_deliveries() -> None:
    gone = [delivery("fold", DELIVERED, None), delivery("fold", BOUNCED, None, 1)]
    assert faults([*gone, outcome("fold", None, DELIVERED)]) == []
    assert faults([*gone, outcome("fold", None, BOUNCED)]) == ["fold: the fold of delivered, bounced is not bounced"]
    assert faults(gone) == ["fold: deliveries vanished that were delivered, bounced"]


def test_what_recipients_had_is_no_move_when_the_message_ends_or_is_retried() -> None:
    ended = [delivery("fail", QUEUED, None), delivery("fail", DELIVERED, None, 1), outcome("fail", None, FAILED)]
    taken = outcome("take", FAILED, None, tx=2)
    anew = [delivery("anew", None, QUEUED, tx=2), delivery("anew", None, DELIVERED, 1, tx=2)]
    assert moves([*ended, taken, *anew]) == {Moved("fail", "queued", "failed"), Moved("anew", "failed", "queued")}


def test_an_outcome_that_is_taken_away_is_followed_by_deliveries() -> None:
    taken = outcome("take", FAILED, None)
    assert faults([taken, delivery("anew", None, QUEUED, tx=2)]) == [
        "anew: new -> queued",
        "the outcome of msg_1 was taken away, and nothing made anew",
    ]


def test_nothing_is_made_in_a_finished_status() -> None:
    assert faults([delivery("made", None, DELIVERED)]) == ["made: new -> delivered"]
    taken = outcome("take", FAILED, None)
    assert faults([taken, delivery("anew", None, BOUNCED)]) == ["anew: failed -> bounced"]
