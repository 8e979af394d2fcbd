"""The reduced options of a quick run of everything."""

import msgspec
import pytest

from benchmarks.everything import AMOUNTS, LEAST, QUICK, QUICK_REPEATS, quick_options
from benchmarks.measuring import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("share", [1.0, LEAST])
def test_every_scenario_takes_its_options(name: str, share: float) -> None:
    kind, _ = SCENARIOS[name]
    told = msgspec.convert(quick_options(name, share), kind)
    for field, amount in AMOUNTS.get(name, {}).items():
        assert getattr(told, field) == round(share * amount)


def test_nothing_is_told_to_a_scenario_that_does_not_exist() -> None:
    assert {*QUICK, *AMOUNTS, *QUICK_REPEATS} <= SCENARIOS.keys()
