import pytest

from actors.recorder import Bounds, blocks, next_limit
from cluster.journal.records import LogRow


def page(*sizes: int) -> list[LogRow]:
    return [LogRow(1, number, b"x" * size) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((), []),
        ((4, 4, 2), [[0, 1, 2]]),
        ((4, 4, 3), [[0, 1], [2]]),
        ((1, 50, 1), [[0], [1], [2]]),
    ],
)
def test_a_page_is_inserted_in_blocks_of_a_bounded_size(sizes: tuple[int, ...], expected: list[list[int]]) -> None:
    assert [[row.id for row in block] for block in blocks(page(*sizes), 10)] == expected


@pytest.mark.parametrize(("sizes", "limit"), [((1, 1), 500), ((40, 60), 20), ((5000,), 1), ((0,), 500)])
def test_large_rows_make_the_next_page_short(sizes: tuple[int, ...], limit: int) -> None:
    assert next_limit(page(*sizes), Bounds(page_rows=500, page_bytes=1000)) == limit
