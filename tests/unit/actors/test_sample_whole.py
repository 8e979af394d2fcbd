"""From the metrics of actors to the sample of the whole."""

from actors.sampling.whole import STARTED_TOLD_S, Counts, WholeCounting, whole_sample
from cluster.metrics import Kind, Reading
from tests.unit.actors.test_sample_counting import a_state, an_end, sampled

NOW = 1_800_000_000.0


def of_taken(count: int) -> list[Reading]:
    return [a_reading("postray_intake_messages_total", {"": count})]


def a_reading(name: str, values: dict[str, float], kind: Kind = "counter", sum: float = 0.0) -> Reading:
    return Reading(name=name, kind=kind, help="", label="" if "" in values else "l", values=values, sum=sum)


def test_what_was_taken_survives_the_restart_of_a_process() -> None:
    counting = WholeCounting()
    assert counting.of_interval({"api-0": of_taken(100)}).grown.taken == 0
    assert counting.of_interval({"api-0": of_taken(130), "api-1": of_taken(7)}).grown.taken == 37
    assert counting.of_interval({"api-1": of_taken(9)}).grown.taken == 2
    assert counting.of_interval({"api-0": of_taken(5), "api-1": of_taken(9)}).grown.taken == 5


def test_the_whole_is_of_all_sites() -> None:
    readings = {
        "delivery-0-0": [
            Reading(name="postray_smtp_connections", kind="gauge", help="", values={"": 3}),
            Reading(name="postray_delivery_late_seconds", kind="gauge", help="", values={"": 0.5}),
        ],
        "delivery-0-1": [Reading(name="postray_delivery_late_seconds", kind="gauge", help="", values={"": 2.5})],
    }
    whole = WholeCounting().of_interval(readings)
    counts = {("", "a.example"): (1, 2, 3, 4, 0.5), ("s", "a.example"): (10, 20, 30, 40, 5.0)}
    answers = {"d": sampled(9.0, a_state(), a_state("b.example"), ended=[an_end(accepted=1, began=2.0)])}
    sample = whole_sample(whole, counts, answers, at=20, interval_s=10.0, left_out=4)
    assert (sample.accepted, sample.deferred, sample.bounced, sample.transactions, sample.spent_s) == (
        11,
        22,
        33,
        44,
        5.5,
    )
    assert (sample.connections, sample.late_s, sample.sites, sample.left_out) == (3, 2.5, 2, 4)


def a_process(began: float, *, turns: float = 50, long_turns: float = 0, late_s: float = 0.1) -> list[Reading]:
    lag = {"0.5": turns - long_turns, "1": turns - long_turns, "5": turns, "+Inf": turns}
    return [
        a_reading("postray_process_start_time_seconds", {"": began}, "gauge"),
        a_reading("postray_process_loop_lag_seconds", lag, "histogram", late_s),
    ]


def test_a_process_that_began_is_told_for_a_while_even_to_a_recorder_that_began_itself() -> None:
    counting = WholeCounting()
    readings = {"api-0": a_process(NOW - 5.4), "recorder": a_process(NOW - STARTED_TOLD_S - 1)}
    assert counting.of_interval(readings, NOW).started == {"api-0": int(NOW) - 5}
    assert counting.of_interval(readings, NOW + STARTED_TOLD_S - 10).started == {"api-0": int(NOW) - 5}
    assert counting.of_interval(readings, NOW + STARTED_TOLD_S).started == {}


def test_a_loop_that_stood_still_is_told_once_and_not_of_a_process_that_begins() -> None:
    counting = WholeCounting()
    assert counting.of_interval({"api-0": a_process(NOW, late_s=9.0, long_turns=3)}, NOW).stood_s == {}
    assert counting.of_interval({"api-0": a_process(NOW, late_s=9.4, long_turns=3)}, NOW).stood_s == {}
    later = {"api-0": a_process(NOW, late_s=13.5, long_turns=4), "api-1": a_process(NOW, late_s=5.0, long_turns=2)}
    assert {actor: round(s, 1) for actor, s in counting.of_interval(later, NOW).stood_s.items()} == {"api-0": 4.1}
    anew = {"api-0": a_process(NOW + 9, late_s=30.0, long_turns=6)}
    assert counting.of_interval(anew, NOW).stood_s == {}


def test_what_went_wrong_in_the_interval_is_counted_over_all_actors() -> None:
    def readings(count: float) -> list[Reading]:
        calls = {"0.5": 100 * count, "1": 100 * count, "5": 101 * count, "+Inf": 103 * count}
        return [
            a_reading("postray_intake_refused_total", {"": count}),
            a_reading("postray_intake_failed_total", {"": 2 * count}),
            a_reading("postray_intake_crowded_out_total", {"": 4 * count}),
            a_reading("postray_journal_failures_total", {"": 5 * count}),
            a_reading("postray_journal_call_seconds", calls, "histogram"),
            a_reading("postray_smtp_openings_total", {"opened": 9 * count, "failed": 6 * count}),
            a_reading("postray_smtp_connections_lost_total", {"": 7 * count}),
            a_reading("postray_partitions_rewritten_total", {"": count}),
        ]

    counting = WholeCounting()
    assert counting.of_interval({"a": readings(10)}).grown == Counts()
    found = counting.of_interval({"a": readings(11), "b": readings(1)})
    assert found.grown == Counts(
        refused=14,
        journal_failures=10,
        journal_slow=6,
        connections_failed=12,
        connections_lost=14,
        partitions=2,
    )
    sample = whole_sample(found, {}, {}, at=20, interval_s=10.0, left_out=0)
    assert (sample.refused, sample.journal_slow, sample.partitions, sample.taken) == (14, 6, 2, 0)


def test_the_nodes_and_how_far_clickhouse_lags() -> None:
    lags = a_reading("postray_event_log_lag_seconds", {"recorder": 12.5, "webhooks": 40.0}, "gauge")
    found = WholeCounting().of_interval({"supervisor": [a_reading("postray_nodes", {"": 3.0}, "gauge"), lags]})
    assert (found.nodes, found.log_lag_s) == (3, 12.5)
