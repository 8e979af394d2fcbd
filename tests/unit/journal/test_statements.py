"""The journal's statements are beside the parts that execute them, and each name is unique."""

import ast
from pathlib import Path

import pytest

from cluster import journal
from cluster.journal.statements import QUERIES, load_queries

FOLDER = Path(journal.__path__[0])


def test_each_file_of_statements_has_its_module() -> None:
    assert {file.stem for file in FOLDER.glob("*.sql")} <= {file.stem for file in FOLDER.glob("*.py")}


def test_each_statement_is_made_by_the_journal() -> None:
    texts = {
        node.value
        for file in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert QUERIES.keys() - texts == set()


def test_a_name_is_given_once() -> None:
    one, other = "-- name: one\nSELECT 1", "-- What it is for.\n\n-- name: other\n-- Why.\nSELECT 2\n"
    assert load_queries([one, other]) == {"one": "SELECT 1", "other": "-- Why.\nSELECT 2"}
    with pytest.raises(ValueError, match="one"):
        load_queries([one, other, one])
