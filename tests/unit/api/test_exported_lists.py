"""Lists as CSV files, which people open in spreadsheets and programs import."""

from datetime import UTC, datetime

from api.suppressions.exporting import page_as_csv
from cluster.journal.suppressions import Suppression
from cluster.suppression.imported import Progress, read

AT = datetime(2026, 4, 23, 10, 0, tzinfo=UTC)
FORMULA = '=HYPERLINK("https://x.example","Refund")'


def test_no_text_of_a_host_is_a_formula_and_an_import_reads_it_as_it_was() -> None:
    entry = Suppression("+a@b.example", AT, FORMULA, "-1", "", "+a@b.example")
    file = page_as_csv(("email", "created", "reason", "status"), [entry])
    line = file.decode().splitlines()[1]
    assert line == '+a@b.example,1776938400,"\'=HYPERLINK(""https://x.example"",""Refund"")",\'-1'
    part, _ = read(Progress(), file, is_last=True, now=AT)
    [listed] = part.listed
    assert (listed.email, listed.reason, listed.status, part.faults) == ("+a@b.example", FORMULA, "-1", [])
