"""How much one message's templates may do: counted, so that a template that fails, fails everywhere."""

from cluster.templates.handlebars.errors import TooMuch

MOST_STEPS = 100_000
"""Steps of one message: each tag that is evaluated, each subexpression in it, each item of a loop, each element of an
array that is printed."""
MOST_OUTPUT = 1_048_576
"""Characters of all texts of one message."""

Cost = tuple[int, int]
"""Steps, and characters of literal text."""


class Budget:
    """What is left of one message's bounds, and what is known of its data. All its texts take from the same one."""

    __slots__ = ("_most_output", "_most_steps", "is_plain", "output", "steps")

    def __init__(self, steps: int = MOST_STEPS, output: int = MOST_OUTPUT, *, is_plain: bool = False) -> None:
        self.steps = self._most_steps = steps
        """Steps that are left."""
        self.output = self._most_output = output
        """Characters that are left."""
        self.is_plain = is_plain
        """Whether no text in the data has a character that is escaped in html, so that none is searched for them."""

    def step(self, n: int = 1) -> None:
        """Count ``n`` steps. Raises TooMuch."""
        self.steps -= n
        if self.steps < 0:
            raise TooMuch(f"The template takes more than {self._most_steps:,} steps.")

    def wrote(self, n: int) -> None:
        """Count ``n`` characters of output. Raises TooMuch."""
        self.output -= n
        if self.output < 0:
            raise TooMuch(f"The template's texts have more than {self._most_output:,} characters.")

    def take(self, cost: Cost, times: int = 1) -> None:
        """Count a cost ``times`` times. Raises TooMuch."""
        self.step(cost[0] * times)
        if cost[1]:
            self.wrote(cost[1] * times)
