"""Uploaded lists: what their lines say, wherever an upload is cut."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.suppression import imported
from cluster.suppression.imported import BadHeader, Columns, LineFault, Listed, Progress, header, read

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FILE = (
    "\ufeffEmail;Created_At;reason;note\r\n"
    "ada@example.com;1767225600;550 no such user;x\r\n"
    "\r\n"
    'bob@bücher.example;2026-01-31T12:00:00+01:00;"550 ""no""; never\nsecond line";\r\n'
    "no address;;;\n"
    "eve@example.com\n"
    "mallory@example.com;tomorrow;;\n"
    " zoe@example.com ;;;;too many\n"
    "last@example.com;;\ttab;"
).encode()


def whole(data: bytes, size: int) -> tuple[list[Listed], list[LineFault]]:
    """A file that is read in parts of some bytes."""
    listed: list[Listed] = []
    faults: list[LineFault] = []
    progress = Progress()
    for at in range(0, max(len(data), 1), size):
        part, progress = read(progress, data[at : at + size], is_last=at + size >= len(data), now=NOW)
        listed += part.listed
        faults += part.faults
    return listed, faults


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_a_file_in_parts_of_any_size(size: int) -> None:
    listed, faults = whole(FILE, size)
    assert [(one.email, one.reason) for one in listed] == [
        ("ada@example.com", "550 no such user"),
        ("bob@bücher.example", '550 "no"; never second line'),
        ("eve@example.com", ""),
        ("last@example.com", "tab"),
    ]
    assert [one.created_at for one in listed] == [
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 31, 11, tzinfo=UTC),
        None,
        None,
    ]
    assert faults == [
        LineFault(6, imported.NO_ADDRESS),
        LineFault(8, imported.NO_TIME),
        LineFault(9, "The line has 5 fields, and the header 4"),
    ]


def test_a_header_names_columns_in_any_order() -> None:
    assert header(b"reason,EMAIL,nick\r") == (Columns(",", ("reason", "email", "")), ["nick"])
    assert header(b'"email"\t"ip"') == (Columns("\t", ("email", "ip")), [])


@pytest.mark.parametrize(
    "line",
    [b"", b"ada@example.com", b"reason", b"email,email", b"email,email_address", b'"email', b"\xff\xfee\0", b"\xe9"],
)
def test_a_file_without_column_names_is_refused(line: bytes) -> None:
    with pytest.raises(BadHeader):
        header(line)
    with pytest.raises(BadHeader):
        read(Progress(), line + b"\nada@example.com\n", is_last=True, now=NOW)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"\xe9@example.com", "The line is not UTF-8"),
        (b"a\0b@example.com", imported.NO_ADDRESS),
        (b"ada@example.com,9999999999", imported.FUTURE),
        (b"ada@example.com,99999999999999999999", imported.NO_TIME),
        (b"ada@example.com,-1", imported.NO_TIME),
        (b"ada@example.com,1969-12-31", imported.NO_TIME),
        (b"ada@example.com,0001-01-01T00:00:00+14:00", imported.NO_TIME),
        (b'"ada@example.com"x,', "The quotes of the line are misplaced"),
        (b'ada@example.com,"', imported.OPEN_QUOTE),
        (b"a" * (imported.LONGEST_RECORD + 1), imported.TOO_LONG),
        (b"a" * 3 * imported.LONGEST_RECORD, imported.TOO_LONG),
    ],
)
@pytest.mark.parametrize("size", [40_000, 1_000_000])
def test_a_faulty_line_takes_no_other_with_it(line: bytes, fault: str, size: int) -> None:
    following = b"".join(b"r%d@example.com\n" % number for number in range(imported.MOST_LINES_OF_RECORD))
    listed, faults = whole(b"email,created\n" + line + b"\n" + following, size)
    assert faults == [LineFault(2, fault)]
    assert len(listed) == imported.MOST_LINES_OF_RECORD


def test_an_open_quote_before_a_long_line_takes_no_other_with_it() -> None:
    data = b'email,reason\nada@example.com,"\n' + b"eve@example.com\n" * 50 + b"x" * imported.LONGEST_RECORD + b"\n"
    for size in (100, 64_000, 1_000_000):
        listed, faults = whole(data, size)
        assert len(listed) == 50
        assert faults == [LineFault(2, imported.OPEN_QUOTE), LineFault(53, imported.NO_ADDRESS)]


def test_a_clock_that_is_a_little_ahead_is_no_fault() -> None:
    soon = (NOW + timedelta(hours=14)).isoformat()
    [one], faults = whole(f"email,created\nada@example.com,{soon}\n".encode(), 100)
    assert not faults and one.created_at is not None


def test_texts_are_kept_short_and_on_one_line() -> None:
    [one], _ = whole(b"email,reason,status\na@example.com," + b"x\x1b" * 2000 + b",5.1.1\n", 100_000)
    assert len(one.reason) == imported.LONGEST_REASON and one.reason.isprintable()
    assert one.status == "5.1.1"


@given(st.binary(max_size=300) | st.text('",;\n\r@.aé0-\t\0', max_size=300).map(str.encode), st.integers(1, 60))
def test_any_bytes_are_read_alike_in_any_parts(data: bytes, size: int) -> None:
    data = b"email,created,reason\n" + data
    assert whole(data, size) == whole(data, len(data))
