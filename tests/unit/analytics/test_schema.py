import re

from analytics.client import migrations, statements
from analytics.queries import Details
from analytics.rows import COLUMNS

COLUMN = re.compile(r"^    (\w+)\s+(.+?)\s+COMMENT '[^']+'", re.MULTILINE)
ADDED = re.compile(r"ADD COLUMN IF NOT EXISTS\s+(\w+)\s+(.+?)\s+COMMENT '[^']+'(?: CODEC\(ZSTD\(1\)\))?\s+AFTER (\w+)")
DETAILS = re.compile(r"details\s+String MATERIALIZED toJSONString\(\((.+)\)\)$", re.MULTILINE | re.DOTALL)
RERUNNABLE = (
    "CREATE TABLE IF NOT EXISTS",
    "CREATE VIEW IF NOT EXISTS",
    "CREATE OR REPLACE VIEW",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS",
    "ALTER TABLE",
    "INSERT INTO quarters\nSELECT toStartOfFifteenMinutes(at) AS quarter, 0, 0, true, false",
)
"""What is inserted with version 0 changes no quarter that has been noted since."""


def test_the_table_has_the_columns_that_are_written_each_with_a_comment() -> None:
    (_, first), *later = migrations()
    columns = COLUMN.findall(statements(first)[0])
    for _, script in later:
        for name, kind, before in ADDED.findall(script):
            columns.insert([name for name, _ in columns].index(before) + 1, (name, kind))
    assert columns == list(COLUMNS.items())


def test_details_are_written_in_the_order_in_which_they_are_read() -> None:
    (made,) = [found for _, script in migrations() for found in DETAILS.findall(script)]
    assert re.sub(r"\w+\((\w+)\)", r"\1", " ".join(made.split())).split(", ") == list(Details.__struct_fields__)


def test_the_scripts_are_numbered_without_a_gap() -> None:
    assert [name[:5] for name, _ in migrations()] == [f"{n:04d}_" for n in range(1, len(migrations()) + 1)]


def test_every_statement_may_run_twice() -> None:
    for name, script in migrations():
        for statement in statements(script):
            code = re.sub(r"--.*\n", "", statement)
            assert code.startswith(RERUNNABLE), f"{name}: {code[:60]}"
            if code.startswith("ALTER"):
                assert "IF NOT EXISTS" in code or "IF EXISTS" in code or " MODIFY SETTING " in code


def test_a_script_is_split_at_semicolons_that_end_a_line() -> None:
    script = "-- one; two\nSELECT ';' AS x\nFROM y;  \n\nSELECT 2;\n-- the end\n"
    assert statements(script) == ["-- one; two\nSELECT ';' AS x\nFROM y", "SELECT 2"]
