"""``formatDate`` formats as moment.js does."""

import json
from pathlib import Path

import pytest

from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.dates import format_date
from cluster.templates.handlebars.errors import TooMuch
from cluster.templates.handlebars.tree import UNDEFINED
from cluster.templates.handlebars.values import Value

DATES = json.loads((Path(__file__).parent / "corpus" / "dates.json").read_text())
DAY = "2020-01-01T23:00:00.000Z"


def formatted(value: Value, form: Value, zone: Value = UNDEFINED) -> str:
    return format_date(value, form, zone, Budget())


def test_dates_are_formatted_as_moment_formats_them() -> None:
    for date, form, zone, expected in DATES:
        pairs = zip(form.split("~"), formatted(date, form, zone).split("~"), expected.split("~"), strict=True)
        assert [(token, ours) for token, ours, _ in pairs] == list(
            zip(form.split("~"), expected.split("~"), strict=True)
        ), (date, zone)


def test_the_example_of_sendgrids_documentation() -> None:
    form = "MMMM DD, YYYY h:mm:ss A"
    assert formatted(DAY, form) == "January 01, 2020 11:00:00 PM"
    assert formatted(DAY, form, "-0800") == "January 01, 2020 3:00:00 PM"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1577919600, DAY),
        (1577919600.0, DAY),
        (1577919600000, DAY),
        ("1577919600", DAY),
        ("1577919600000", DAY),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.000Z"),
        (1577919600.5, "2020-01-01T23:00:00.500Z"),
        ("2020-01-01", "2020-01-01T00:00:00.000Z"),
        ("2020-01-01 23:00:00", DAY),
        ("2020-01-01 23:00:00 UTC", DAY),
        ("2020-01-01 15:00:00 -0800", DAY),
        (" 2020-01-01T23:00Z ", DAY),
        ("2020-01-01T23:00:00.000000000Z", DAY),
    ],
)
def test_dates_in_seconds_milliseconds_and_iso_8601(value: Value, expected: str) -> None:
    assert formatted(value, "YYYY-MM-DDTHH:mm:ss.SSS[Z]") == expected


def test_what_is_no_date_prints_as_it_is() -> None:
    cases: list[tuple[Value, str]] = [
        (UNDEFINED, ""),
        (None, ""),
        ("", ""),
        ("tomorrow", "tomorrow"),
        ("2/1/2018", "2/1/2018"),
        ("2020-13-01", "2020-13-01"),
        ("0000-01-01", "0000-01-01"),
        (float("nan"), "NaN"),
        (10**18, "1000000000000000000"),
        (10**400, "1" + "0" * 400),
        (-(10**15), "-1000000000000000"),
        (True, "true"),
        ([2020], "2020"),
        ({}, "[object Object]"),
        ("9" * 100_000, "9" * 100_000),
    ]
    for value, expected in cases:
        assert formatted(value, "YYYY") == expected


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "asia/tokyo", " Asia/Tokyo ", "+0900", "+09", "9", 9, 540, "+09:00"])
def test_zones(zone: Value) -> None:
    assert formatted(DAY, "DD HH:mm Z", zone) == "02 08:00 +09:00"


def test_a_zone_that_does_not_exist_is_utc() -> None:
    zones: list[Value] = [
        *(UNDEFINED, None, "", "UTC", "Z", "+0000", 0, False, True, [], {}),
        *("Mars/Olympus", "../../etc/passwd", "/etc/passwd", "localtime", "Asia/Tokyo\0", "+9900", 1e300),
        *(float("nan"), "x" * 1_000_000),
    ]
    for zone in zones:
        assert formatted(DAY, "HH:mm Z z", zone) == "23:00 +00:00 UTC"


def test_the_end_of_the_calendar() -> None:
    assert formatted("9999-12-31T23:00:00Z", "YYYY") == "9999"
    assert formatted("9999-12-31T23:00:00Z", "YYYY", "+0800") == "9999-12-31T23:00:00Z"
    assert formatted("0001-01-01T00:00:00Z", "YYYY-MM-DD w gggg W GGGG") == "0001-01-01 1 0001 1 0001"
    assert formatted("9999-12-31", "w gggg") == "1 10000"


def test_a_format_that_is_missing_is_iso_8601() -> None:
    for form in (UNDEFINED, None, ""):
        assert formatted(DAY, form, "-0800") == "2020-01-01T15:00:00-08:00"


def test_names_without_offsets_and_offsets_without_names() -> None:
    assert formatted(DAY, "z", "America/New_York") == "EST"
    assert formatted(DAY, "z", "-0800") == "-08:00"


def test_a_long_format_costs_steps() -> None:
    with pytest.raises(TooMuch):
        format_date(DAY, "MMMM" * 100_000, UNDEFINED, Budget(steps=10_000))


def test_a_bracket_is_looked_for_only_to_the_next_one() -> None:
    assert formatted(DAY, "[a[b]") == "[pmb"  # as moment.js
    assert formatted(DAY, "[" * 1_000_000) == "[" * 1_000_000
