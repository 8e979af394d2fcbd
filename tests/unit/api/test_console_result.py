"""What a query has answered, as a table and as charts."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import pytest

from analytics.charts.scale import amount, amounts, exact
from analytics.charts.series import MOST_POINTS
from api.console.result import (
    LONGEST_CELL,
    MOST_CURVES,
    SEVERAL,
    SHOWN_COLUMNS,
    SHOWN_ROWS,
    Column,
    NotRead,
    Result,
    charts_of,
    result_of,
    table_of,
)

AT = datetime(2026, 4, 23, 10)


def a_result(types: list[str], *rows: Sequence[str | None]) -> Result:
    columns = [Column(name, type) for name, type in zip("abcdefghijkl", types, strict=False)]
    return Result(columns, rows)


def told(*lines: list[str]) -> bytes:
    return b"\n".join(map(msgspec.json.encode, lines)) + b"\n"


def minutes(count: int, step: int = 1) -> list[str]:
    return [str(AT + timedelta(minutes=step * i)) for i in range(count)]


def tips(chart: str) -> list[str]:
    return re.findall(r"<title>(.*?)</title>", chart)


def test_an_answer_is_read_with_what_is_null() -> None:
    types = ["Nullable(Int8)", "LowCardinality(Nullable(String))", "String"]
    result = result_of(told(["a", "b", "c"], types, ["ᴺᵁᴸᴸ", "ᴺᵁᴸᴸ", "ᴺᵁᴸᴸ"]))
    assert result.columns == [Column("a", "Int8"), Column("b", "String"), Column("c", "String")]
    assert result.rows == [[None, None, "ᴺᵁᴸᴸ"]]
    assert result_of(b'["a"]\n["String"]\n["\xff"]\n').rows == [["\ufffd"]]
    assert result_of(b"") == Result([], [])


HEAD = b'["a"]\n["String"]\n'


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (HEAD + b'["x"]\nCode: 395. DB::Exception: it went wrong\n', "Code: 395. DB::Exception: it went wrong"),
        (b"Code: 60. DB::Exception: no table\n", "Code: 60. DB::Exception: no table"),
        (HEAD + b'["x"', '["x"'),
        (HEAD + b'["x", "y"]\n', '["x", "y"]'),
        (b'["a", "b"]\n["String"]\n', '["String"]'),
    ],
)
def test_what_is_no_table_is_said(data: bytes, says: str) -> None:
    with pytest.raises(NotRead, match=re.escape(says)):
        result_of(data)


def test_an_answer_that_was_cut_in_its_head_has_no_rows() -> None:
    assert result_of(b'["a"]\n') == Result([], [])


def test_totals_are_in_the_table_and_in_no_chart() -> None:
    types = ["DateTime", "UInt64"]
    rows = [[minute, "1"] for minute in minutes(3)]
    result = result_of(told(["at", "n"], types, *rows) + b'\n["1970-01-01 00:00:00","3"]\n')
    assert (result.rows, result.totals) == (rows, [["1970-01-01 00:00:00", "3"]])
    table = table_of(result, is_whole=True)
    assert len(table.rows) == 4 and table.title == "3 rows; the last row is the totals"
    assert "1970" not in str(charts_of(result).curves[0].chart)
    assert result_of(told(["at", "n"], types) + b'\n["1970-01-01 00:00:00","0"]\n').rows == []


def test_values_that_are_written_otherwise_are_not_drawn() -> None:
    times = charts_of(a_result(["DateTime", "UInt8"], ["1776938400", "1"], ["1776938460", "2"]))
    assert times.curves == ()
    numbers = charts_of(a_result(["String", "UInt8"], ["x", "NULL"], ["y", "2"]))
    assert len(numbers.curves) == 1 and "none" in str(numbers.curves[0].chart)


@pytest.mark.parametrize("value", ["5e-324", "1e-323", "4e-308", "1.7976931348623157e308", "9e305"])
def test_numbers_at_the_ends_of_what_a_float_holds_are_drawn(value: str) -> None:
    marks = amounts(float(value))
    assert marks[0] == 0 and float(value) <= marks[-1] < float("inf")
    rows = [[minute, value] for minute in minutes(3)]
    for charts in (
        charts_of(a_result(["DateTime", "Float64"], *rows)),
        charts_of(a_result(["String", "Float64"], *rows)),
    ):
        assert len(charts.curves) == 1
        assert "nan" not in str(charts.curves[0].chart) and "inf" not in str(charts.curves[0].chart)


@pytest.mark.parametrize(
    ("type", "is_number", "is_time"),
    [
        ("UInt64", True, False),
        ("Int256", True, False),
        ("Float32", True, False),
        ("Decimal(18, 3)", True, False),
        ("DateTime", False, True),
        ("DateTime('Europe/Berlin')", False, True),
        ("DateTime64(3, 'UTC')", False, True),
        ("Date32", False, True),
        ("String", False, False),
        ("Array(UInt8)", False, False),
        ("Enum8('DateTime' = 1)", False, False),
        ("IntervalDay", False, False),
    ],
)
def test_types(type: str, is_number: bool, is_time: bool) -> None:
    column = Column("a", type)
    assert (column.is_number, column.is_time) == (is_number, is_time)


def test_a_table_is_bounded_in_rows_columns_and_cells() -> None:
    table = table_of(a_result(["String"], *[["x" * 5000]] * 1000), is_whole=True)
    assert len(table.rows) == SHOWN_ROWS and table.title == f"1,000 rows, the first {SHOWN_ROWS} of them"
    assert table.rows[0][0].text == "x" * LONGEST_CELL + "…"
    wide = Result([Column(f"c{n}", "UInt8") for n in range(500)], [["1"] * 500])
    table = table_of(wide, is_whole=True)
    assert len(table.columns) == len(table.rows[0]) == SHOWN_COLUMNS and "30 of 500 columns" in table.title
    assert table_of(a_result(["String"], ["a"]), is_whole=False).title == "The first 1 rows"
    assert "too long" in table_of(a_result(["String"]), is_whole=False).none


def test_names_and_numbers_make_bars_one_chart_for_each_column() -> None:
    charts = charts_of(a_result(["String", "UInt64", "Float64"], ["x", "3", "0.25"], ["", None, "nan"]))
    assert [curve.title for curve in charts.curves] == ["b", "c"] and charts.missing == ""
    assert tips(charts.curves[0].chart) == ["x: 3", "(empty): none"]
    assert tips(charts.curves[1].chart) == ["x: 0.25", "(empty): none"]
    many = charts_of(a_result(["String", "UInt64"], *[[str(n), "1"] for n in range(60)]))
    assert "first 50 rows" in many.missing and len(tips(many.curves[0].chart)) == 50


def test_times_and_numbers_make_curves_with_gaps_where_a_step_has_no_row() -> None:
    rows = [[at, str(n), "0.5"] for n, at in enumerate(minutes(10)) if n not in (4, 5)]
    charts = charts_of(a_result(["DateTime", "UInt64", "Float64"], *rows[::-1]))
    (curve,) = charts.curves
    assert len(tips(curve.chart)) == 10  # in the order of time, whatever that of the rows
    assert tips(curve.chart)[0] == "2026-04-23 10:00:00; b: 0; c: 0.5"
    assert tips(curve.chart)[4] == "2026-04-23 10:04:00"
    assert curve.chart.count('class="line blue"') == 2  # before and after the gap


def test_times_that_are_no_steps_apart_stand_in_their_order() -> None:
    rows = [[str(AT + timedelta(seconds=s)), "1"] for s in (0, 7, 100, 10_000)]
    (curve,) = charts_of(a_result(["DateTime64(3)", "UInt64"], *rows)).curves
    assert len(tips(curve.chart)) == 4


def test_names_beside_times_make_a_curve_each_the_largest() -> None:
    rows = [[at, f"site{n}", str(n)] for at in minutes(3) for n in range(9)]
    charts = charts_of(a_result(["DateTime", "String", "UInt64"], *rows))
    (curve,) = charts.curves
    assert f"{MOST_CURVES} curves of 9" in charts.missing
    assert "site8" in curve.legend and "site2" not in curve.legend
    repeated = charts_of(a_result(["DateTime", "String", "UInt64"], *rows, rows[0]))
    assert repeated.curves == () and repeated.missing == SEVERAL


def test_two_columns_of_one_name_make_two_curves() -> None:
    result = Result(
        [Column("at", "Date"), Column("n", "UInt8"), Column("n", "UInt8")],
        [["2026-01-01", "1", "2"], ["2026-01-02", "3", "4"]],
    )
    (curve,) = charts_of(result).curves
    assert tips(curve.chart) == ["2026-01-01 00:00:00; n: 1; n: 2", "2026-01-02 00:00:00; n: 3; n: 4"]


@pytest.mark.parametrize(
    ("result", "missing"),
    [
        (a_result(["DateTime", "UInt8"], *[[at, "1"] for at in minutes(MOST_POINTS + 1)]), "longer steps"),
        (a_result(["DateTime", "UInt8"], *[[at, "1"] for at in (*minutes(2), *minutes(2))]), SEVERAL),
        (a_result(["String", "Int8"], ["a", "-1"], ["b", "1"]), "below 0"),
        (a_result(["String", "UInt8"], ["a", "1"]), ""),
        (a_result(["String", "String"], ["a", "1"], ["b", "2"]), ""),
        (a_result(["UInt8", "UInt8"], ["1", "1"], ["2", "2"]), ""),
        (a_result(["DateTime", "UInt8"], [None, "1"], [None, "2"]), ""),
        (a_result([]), ""),
    ],
)
def test_what_cannot_be_drawn_is_said(result: Result, missing: str) -> None:
    charts = charts_of(result)
    assert not charts.curves and (missing in charts.missing if missing else charts.missing == "")


def test_a_column_below_zero_is_left_out_of_the_others() -> None:
    charts = charts_of(a_result(["String", "Int8", "UInt8"], ["a", "-1", "1"], ["b", "1", "2"]))
    assert [curve.title for curve in charts.curves] == ["c"] and charts.missing.startswith("b: below 0")


@pytest.mark.parametrize("values", [["0", "0"], ["1e308", "1"], ["inf", "nan"], ["0.0000001", "0.00000002"]])
def test_extreme_numbers_are_drawn_or_left_out(values: list[str]) -> None:
    for types in (["DateTime", "Float64"], ["String", "Float64"]):
        rows = [[at, value] for at, value in zip(minutes(2), values, strict=True)]
        (curve,) = charts_of(a_result(types, *rows)).curves
        assert "nan" not in curve.chart and "inf" not in curve.chart


def test_what_names_say_is_text() -> None:
    evil = "</title><script>"
    (curve,) = charts_of(a_result(["String", "UInt8"], [evil, "1"], ["b", "2"])).curves
    assert "<script>" not in curve.chart


def test_amounts_have_marks_of_their_size() -> None:
    assert amounts(0.25) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert amounts(0) == [0, 1] and amounts(1) == pytest.approx([0, 0.5, 1]) and amounts(950)[-1] >= 950
    assert [amount(value) for value in (0.025, 12.5, 950, 1200)] == ["0.025", "12.5", "950", "1.2k"]
    assert [exact(value) for value in (1_234_567, 0.0254321, 2.0)] == ["1,234,567", "0.0254321", "2"]
    for most in (1e-9, 0.3, 0.7, 1.1, 7, 1e12):
        assert len(amounts(most)) <= 7 and amounts(most)[-1] >= most * (1 - 1e-6)
