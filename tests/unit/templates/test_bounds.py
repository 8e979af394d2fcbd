"""The bounds of one message's templates are exact."""

import pytest

from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.errors import TooMuch


def test_the_last_step_is_allowed_and_the_next_is_not() -> None:
    budget = Budget(steps=1_000, output=0)
    budget.step(999)
    budget.step()
    with pytest.raises(TooMuch) as caught:
        budget.step()
    assert caught.value.reason == "The template takes more than 1,000 steps."


def test_the_last_character_is_allowed_and_the_next_is_not() -> None:
    budget = Budget(steps=0, output=1_000)
    budget.wrote(1_000)
    with pytest.raises(TooMuch) as caught:
        budget.wrote(1)
    assert caught.value.reason == "The template's texts have more than 1,000 characters."


def test_a_loop_takes_its_cost_for_each_item() -> None:
    budget = Budget(steps=100, output=100)
    budget.take((3, 5), 4)
    assert (budget.steps, budget.output) == (88, 80)
