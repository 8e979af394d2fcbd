"""How sizes are said."""

import pytest

from cluster.sizes import size_text


@pytest.mark.parametrize(
    ("bytes", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1_500_000, "1.5 MB"),
        (999_960, "1 MB"),
        (5 * 10**9, "5 GB"),
        (-1500, "-1.5 KB"),
    ],
)
def test_a_size_in_the_largest_unit(bytes: int, said: str) -> None:
    assert size_text(bytes) == said
