"""The headers of the journal's statements and the table of transitions have the same moves, and docs/design.md shows
them."""

from pathlib import Path

import pytest

from cluster.policy.lifecycle import NEW, TRANSITIONS, Status, Transition, diagram
from tests.journal_moves import (
    BadHeader,
    Move,
    may_move,
    moves_of,
    python_texts,
    sql_statements,
    statuses_written,
)

DESIGN = Path(__file__).parents[3] / "docs" / "design.md"
TABLE = {Move(start, transition, end) for (start, transition), end in TRANSITIONS.items()}


def test_what_statements_move_is_in_the_table_and_all_of_the_table_is_moved_by_statements() -> None:
    said = {move: place for place, text in sql_statements() for move in moves_of(text) or ()}
    assert {place: move for move, place in said.items() if move not in TABLE} == {}
    assert TABLE - said.keys() == set()


def test_a_statement_that_moves_says_so_and_no_other_does() -> None:
    for place, text in sql_statements():
        said = moves_of(text)
        if may_move(text):
            assert said is not None, f"{place} has no header"
        elif said is not None:
            # It changes the due time of a delivery, and not its status.
            assert all(move.start is move.end for move in said), f"{place} moves nothing"


def test_a_status_that_is_written_in_a_statement_is_in_its_header() -> None:
    for place, text in sql_statements():
        assert statuses_written(text) <= {move.end for move in moves_of(text) or ()}, place


def test_only_sql_files_move_deliveries() -> None:
    assert [place for place, text in python_texts() if may_move(text)] == []


@pytest.mark.parametrize(
    ("statement", "moves"),
    [
        ("UPDATE deliveries AS d\nSET owner = NULL, status = 'sent'", True),
        ("update only deliveries set due_at = now(), status=t.status from t", True),
        ("WITH x AS (\n  DELETE FROM deliveries USING y) SELECT 1", True),
        ("INSERT INTO outcomes (status) SELECT 'failed'", True),
        ("INSERT  INTO\ndeliveries (message_id) SELECT 'm'", True),
        ("TRUNCATE deliveries", True),
        ("SELECT 1; UPDATE outcomes SET status = 'sent' WHERE true", True),
        ("UPDATE deliveries SET due_at = now() WHERE status = 'sending'", False),
        ("UPDATE deliveries SET lane = NULL FROM k RETURNING status = 'sent'", False),
        ("UPDATE scheduled_sends SET status = 'pause'", False),
        ("-- DELETE FROM deliveries\nSELECT status FROM deliveries", False),
        ("DELETE FROM deliveries_of_others", False),
    ],
)
def test_what_moves_is_found_by_its_text(statement: str, moves: bool) -> None:
    assert may_move(statement) is moves


def test_a_header_is_read() -> None:
    text = "-- moves: new, queued -> failed (expired_untried, failed)\n-- Why.\n-- moves: queued -> queued (resumed)\nX"
    assert moves_of(text) == {
        Move(None, Transition.EXPIRED_UNTRIED, Status.FAILED),
        Move(None, Transition.FAILED, Status.FAILED),
        Move(Status.QUEUED, Transition.EXPIRED_UNTRIED, Status.FAILED),
        Move(Status.QUEUED, Transition.FAILED, Status.FAILED),
        Move(Status.QUEUED, Transition.RESUMED, Status.QUEUED),
    }
    assert moves_of("-- moves: nothing\nX") == set()
    assert moves_of("-- It moves: nothing of it\nX") is None


@pytest.mark.parametrize(
    "header",
    [
        "-- moves: queued -> sending",
        "-- moves: queued → sending (claimed)",
        "-- moves: queued, -> sending (claimed)",
        "-- moves: waiting -> sending (claimed)",
        "-- moves: queued -> sending (taken)",
        "-- moves queued -> sending (claimed)",
        "-- moves: queued -> sending (claimed).",
        "-- moves: nothing\n-- moves: queued -> sending (claimed)",
        "-- moves: new -> new (claimed)",
        "--moves:nothing",
    ],
)
def test_a_header_that_is_not_understood_is_an_error(header: str) -> None:
    with pytest.raises(BadHeader):
        moves_of(header + "\nUPDATE deliveries SET status = 'sending'")


def test_each_transition_leads_to_one_status() -> None:
    for transition in Transition:
        assert len({end for (_, name), end in TRANSITIONS.items() if name is transition}) == 1


def test_the_design_page_draws_the_table() -> None:
    assert f"```\n{diagram()}\n```" in DESIGN.read_text(encoding="utf-8")


def test_the_drawing_has_the_table_and_no_more() -> None:
    drawn = set()
    for line in diagram().splitlines():
        starts, _, rest = line.partition(" ── ")
        transition, _, end = rest.partition(" ")
        for start in starts.split(" | "):
            start = start.strip()
            drawn.add(Move(None if start == NEW else Status(start), Transition(transition), Status(end.split("▶ ")[1])))
    assert drawn == TABLE
