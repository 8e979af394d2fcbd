"""Which hot tables are seen to."""

import pytest
from msgspec.structs import replace

from cluster.policy.upkeep import (
    HOT,
    LEAST,
    MIB,
    MOST_INDEXED,
    MOST_MOVED,
    NOTHING,
    RESTS,
    TRIES,
    HotTable,
    Past,
    Upkeep,
    upkeep,
)

QUEUE = HotTable(name="deliveries", rows=10_000, bytes=3 * MIB, index_bytes=2 * MIB)
DRAINED = replace(QUEUE, bytes=600 * MIB, index_bytes=500 * MIB)
LOG = HotTable(name="event_log", rows=10, bytes=MIB, index_bytes=MIB, chunks=100, chunk_bytes=MIB)
CALM = Past(looked=10_000)


def test_a_queue_that_is_as_large_as_its_rows_is_left_alone() -> None:
    assert upkeep(QUEUE, CALM) == NOTHING
    many = HotTable(name="deliveries", rows=10_000_000, bytes=3000 * MIB, index_bytes=2500 * MIB)
    assert upkeep(many, Past(looked=10_000_000)) == NOTHING


def test_a_drained_queue_is_shortened_and_its_indexes_are_rebuilt() -> None:
    assert upkeep(DRAINED, CALM) == Upkeep(vacuum=True, move=True, rebuild=True)


def test_each_is_seen_to_alone() -> None:
    assert upkeep(replace(QUEUE, bytes=600 * MIB), CALM) == Upkeep(vacuum=True, move=True)
    assert upkeep(replace(QUEUE, index_bytes=500 * MIB), CALM) == Upkeep(rebuild=True)


def test_a_log_that_was_read_gives_back_what_is_out_of_line_and_no_row_moves() -> None:
    read = replace(LOG, chunk_bytes=600 * MIB)
    assert upkeep(read, Past(looked=10)) == Upkeep(vacuum=True, rebuild=True)
    assert upkeep(replace(read, chunks=300_000), Past(looked=10)) == NOTHING
    assert not upkeep(replace(LOG, bytes=600 * MIB), Past(looked=10)).move


@pytest.mark.parametrize("looked", [None, 12_000])
def test_nothing_is_done_at_the_first_look_and_while_the_queue_gets_shorter(looked: int | None) -> None:
    assert upkeep(DRAINED, Past(looked=looked)) == NOTHING


def test_a_queue_that_grows_is_calm() -> None:
    assert upkeep(DRAINED, Past(looked=1))


def test_what_a_steady_load_leaves_between_two_vacuums_is_not_too_large() -> None:
    empty = HotTable(name="deliveries", rows=0, bytes=LEAST, index_bytes=LEAST)
    assert upkeep(empty, Past(looked=0)) == NOTHING
    assert upkeep(empty, Past(looked=0), least=MIB) == Upkeep(vacuum=True, move=True, rebuild=True)


def test_while_a_queue_gets_shorter_slowly_it_is_seen_to_until_it_is_as_large_as_its_rows() -> None:
    """Each time the file is as long as the rows then needed. Without looking closer, three times as much would stay."""
    rows, past, seen = 1_000_000, Past(looked=1_000_000), 0
    bytes_, index_bytes = 600 * MIB, 500 * MIB
    while rows > 5000:
        rows = round(rows * 0.97)
        table = HotTable(name="deliveries", rows=rows, bytes=bytes_, index_bytes=index_bytes)
        todo = upkeep(table, past)
        past = past.after_look(table)
        if todo:
            bytes_, index_bytes = table.needs, table.indexes_need
            past, seen = past.after_work(table, replace(table, bytes=bytes_, index_bytes=index_bytes)), seen + 1
    needed = HotTable(name="deliveries", rows=rows, bytes=0, index_bytes=0)
    assert bytes_ <= 1.3 * needed.needs
    assert index_bytes <= 1.3 * needed.indexes_need
    assert seen < 30


def test_what_vacuum_has_shortened_by_itself_is_seen_to_once() -> None:
    """A log that a consumer has read after hours."""
    past = Past().after_look(replace(LOG, rows=5000, chunks=300_000, chunk_bytes=600 * MIB))
    read = replace(LOG, bytes=MIB // 8, index_bytes=MIB // 8, chunk_bytes=5 * MIB)
    past = past.after_look(read)
    assert upkeep(read, past) == Upkeep(vacuum=True, rebuild=True)
    assert upkeep(read, Past(looked=10, most=10)) == NOTHING


def test_what_stays_large_under_its_load_is_seen_to_a_few_times_once_in_a_while() -> None:
    busy = replace(QUEUE, bytes=40 * MIB)
    past, seen = CALM, 0
    for _ in range((RESTS + TRIES) * 3):
        todo = upkeep(busy, past)
        past = past.after_look(busy)
        if todo:
            past, seen = past.after_work(busy, busy), seen + 1
    assert seen == 3 * TRIES


def test_a_file_that_could_not_be_cut_is_seen_to_again_though_it_is_no_longer_large() -> None:
    """After a long outage, its last rows gone and a part of its end cut off."""
    past = Past(looked=QUEUE.rows, most=10_000_000)
    left = replace(QUEUE, bytes=7 * MIB)
    past = past.after_work(left, left)
    assert upkeep(left, past).vacuum
    cut = replace(left, bytes=left.needs, index_bytes=left.indexes_need)
    assert upkeep(left, past.after_work(left, cut)) == NOTHING


def test_what_costs_much_is_not_done() -> None:
    many = replace(DRAINED, rows=MOST_MOVED + 1)
    assert upkeep(many, Past(looked=1)) == Upkeep(vacuum=True, move=False, rebuild=True)
    very_many = replace(DRAINED, rows=MOST_INDEXED + 1, bytes=9000 * MIB, index_bytes=5000 * MIB)
    assert upkeep(very_many, Past(looked=1)) == Upkeep(vacuum=True, move=False, rebuild=False)


def test_every_hot_table_has_its_widths() -> None:
    assert {name for name, widths in HOT.items() if widths.movable} == {"deliveries"}
