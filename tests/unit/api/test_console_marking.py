"""CSV files of queries, as a spreadsheet reads them."""

import csv
import io

import pytest

from api.console.marking import marked


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://evil.example")', '\'=HYPERLINK("http://evil.example")'),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("'=1", "''=1"),
        ("ann@example.com", "ann@example.com"),
        ("'quoted'", "'quoted'"),
        ("", ""),
        ('a,"=1"\n"=2,', 'a,"=1"\n"=2,'),
        ("a,", "a,"),
        ("=ödön\udcff", "'=ödön\udcff"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_texts_that_begin_as_formulas_are_marked_and_nothing_else(text: str, cell: str, end: str) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator=end).writerows([["=n", "t"], [-5, text], [-6, "b"]])
    data = file.getvalue().encode(errors="surrogateescape")
    found = marked(data).decode(errors="surrogateescape")
    assert list(csv.reader(io.StringIO(found, newline=""))) == [["'=n", "t"], ["-5", cell], ["-6", "b"]]
    assert len(found) == len(data.decode(errors="surrogateescape")) + 1 + (cell != text)


def test_a_file_without_them_is_as_it_was() -> None:
    data = b'"n","t"\n-5,"a=1"\n\\N,"\xff"\n'
    assert marked(data) is data
    assert marked(b"") == b""
