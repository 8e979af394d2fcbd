"""What a message costs on clusters of several sizes, from what was counted."""

import msgspec
import pytest

from benchmarks.scenarios.nodes import Costs, Nodes, Options, Seen, costs, figures


def test_what_is_done_by_the_clock_is_not_counted_for_messages() -> None:
    found = costs(
        Seen(at=10.0, statements=1000, calls=500),
        Seen(at=20.0, statements=1300, calls=600),
        Seen(at=21.0, statements=1330, calls=610),
        Seen(at=25.0, statements=1330 + 120 + 930, calls=610 + 40 + 50),
        messages=1000,
        cpu_s=0.65,
        rest_cpu_s=0.4,
    )
    assert msgspec.to_builtins(found) == pytest.approx(
        {
            "cpu_us": 650 - 160,
            "statements": 0.93,
            "calls": 0.05,
            "rest_statements_per_s": 30,
            "rest_calls_per_s": 10,
            "rest_cpu_ms_per_s": 40,
        }
    )


def a_cost(times: float) -> Costs:
    return Costs(
        cpu_us=600 * times,
        statements=0.9 * times,
        calls=0.05 * times,
        rest_statements_per_s=30 * times,
        rest_calls_per_s=10 * times,
        rest_cpu_ms_per_s=40 * times,
    )


def test_the_largest_cluster_is_compared_with_one_node() -> None:
    told = figures({1: a_cost(1), 2: a_cost(3), 8: a_cost(1.1)})
    assert [told[f"{name}, times"] for name in ("CPU", "statements", "calls")] == pytest.approx([1.1, 1.1, 1.1])
    assert told["CPU, 2"] == 1800 and told["statements, 8"] == pytest.approx(990)


def test_every_figure_is_one_that_the_scenario_names() -> None:
    scenario = Nodes(Options(most_nodes=4))
    told = figures({1: a_cost(1), 2: a_cost(1), 4: a_cost(1)})
    assert told.keys() == {measure.name for measure in scenario.measures}
