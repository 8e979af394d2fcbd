"""The lateness of messages that became due later."""

from benchmarks.scenarios.backlog import SETTLED_S, lateness_ms


def test_lateness_counts_from_each_message_own_due_time_once_things_have_settled() -> None:
    first_due, apart_s = 1000.0, 0.5
    settled = int(SETTLED_S / apart_s) + 1  # the number of the first message that counts
    at = {f"msg_{number:026d}": first_due + (number - 1) * apart_s + number / 1000 for number in range(1, settled + 3)}
    assert [round(late) for late in lateness_ms(at, first_due, apart_s)] == [settled, settled + 1, settled + 2]


def test_nothing_arrived() -> None:
    assert lateness_ms({}, 1000.0, 0.5) == ()
