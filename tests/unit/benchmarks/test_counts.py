"""From observed traffic to counts."""

import threading

from benchmarks.counts.calls import Calls
from benchmarks.counts.journal_dialogue import Transaction
from benchmarks.counts.smtp_dialogue import Flights
from benchmarks.counts.telling import Amounts, CountedRun, ObservedCounts, spread, tell
from cluster.policy.limits.retry import schedule_for


def by(part: str, *statements: str) -> Transaction:
    return Transaction(part, statements, len(statements))


RUN = CountedRun(idle_s=2.0, busy_s=4.0, single=4, bulk=2, messages=100)
SEEN = ObservedCounts(
    start=(by("api", "abandoned"),),
    idle=(by("api", "beat"), by("api", "beat"), by("scheduler", "next_due")),
    busy=(by("delivery", "beat"),),
    single=(by("api", "BEGIN", "accept", "COMMIT"), by("api", "key_by_hash"), by("delivery", "claim")),
    bulk=(by("api", "accept"), by("api", "accept"), by("api", "abandoned")),
    delivery=(by("delivery", "BEGIN", "finish", "beat", "COMMIT"), by("delivery", "BEGIN", "beat", "COMMIT")),
)


def test_statements_are_counted_where_they_belong() -> None:
    counts = tell(SEEN, RUN, intake="api", delivery="delivery")
    assert counts["intake.single.statements_per_request"] == 3 / 4
    assert counts["intake.bulk.accept_per_request"] == 1
    assert counts["delivery.claim_per_1000_messages"] == 10
    assert counts["clock.idle.statements_per_s"] == 1.5
    assert counts["clock.busy.statements_per_s"] == 0.25


def test_what_the_clock_does_is_not_the_mails() -> None:
    counts = tell(SEEN, RUN, intake="api", delivery="delivery")
    assert counts["intake.single.transactions_per_request"] == 1 / 4
    assert counts["intake.bulk.statements_per_request"] == 1
    # A transaction counts as a whole if a part of it is for the mail.
    assert counts["delivery.transactions_per_1000_messages"] == 20
    assert counts["delivery.round_trips_per_1000_messages"] == 50


def test_amounts_are_spread_over_the_messages() -> None:
    caused = Amounts({"wal": 500, "actors.offers": 4}) - Amounts({"wal": 100}) * 2
    assert spread(caused, 100) == {"wal_per_message": 3, "actors.offers_per_1000_messages": 40}


def test_a_flight_is_what_is_said_between_two_answers() -> None:
    flights = Flights()
    one, other = flights.connection(), flights.connection()
    one.asked(b"MAIL")
    one.asked(b"RCPT")
    other.asked(b"EHLO")
    one.answered(b"250")
    one.answered(b"250")
    one.asked(b"DATA")
    assert (flights.flights, flights.connections) == (3, 2)
    assert (flights.bytes_sent, flights.bytes_received) == (16, 6)


def test_calls_are_the_same_each_time_and_in_every_thread() -> None:
    def called() -> float:
        calls = Calls()
        calls.start()
        try:
            thread = threading.Thread(target=schedule_for, args=(None, (1.0,)))
            thread.start()
            thread.join()
            schedule_for(None, (1.0,))
        finally:
            calls.stop()
        assert calls.of("schedule_for") == 2
        return calls.by_package()["calls.cluster"]

    assert called() == called() >= 2
