"""Whether work takes time in proportion to its input. The speed of the machine, and what else it does, cancel out: two
inputs are measured side by side, and of several tries the shortest counts, since other work can only add to it."""

import time
from collections.abc import Callable

TRIES = 10
TRIED_S = 10.0
"""Of processor time: work that takes as long as this is not tried ten times."""
MARGIN = 3.0
"""How many times longer than in proportion is still in proportion: caches and short inputs make small differences.
With 16 times the input, a quadratic algorithm takes 16 times longer than in proportion."""


def assert_in_proportion(work: Callable[[int], object], short: int, long: int) -> None:
    """``work`` does what is measured for an input of the given size; ``long`` should be at least 16 times ``short``."""
    assert_quicker(lambda: work(long), lambda: work(short), MARGIN * long / short)


def assert_quicker(work: Callable[[], object], reference: Callable[[], object], times: float = 1.0) -> None:
    """The work takes less processor time than ``times`` the reference."""
    began = time.thread_time()
    of_work, of_reference = float("inf"), float("inf")
    for _ in range(TRIES):
        of_reference = min(of_reference, _took_s(reference))
        of_work = min(of_work, _took_s(work))
        if of_work < times * of_reference:
            return
        if time.thread_time() - began > TRIED_S:
            break
    raise AssertionError(f"{of_work / of_reference:.1f} times the reference's time; less than {times:.1f} is right")


def _took_s(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began
