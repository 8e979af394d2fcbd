"""How long a test waits before it looks again whether something has happened."""

from collections.abc import Iterator

FIRST_S = 0.01
LONGER = 1.2


def pauses(most_s: float = 0.2) -> Iterator[float]:
    """Seconds before each look: short ones at first, then about a sixth of the time that has passed. A look often takes
    more CPU than what is waited for: a query, or a call of the API with several."""
    pause = FIRST_S
    while True:
        yield pause
        pause = min(pause * LONGER, most_s)
