"""Values are read and printed as JavaScript reads and prints them."""

import json
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.errors import TooMuch
from cluster.templates.handlebars.tree import UNDEFINED
from cluster.templates.handlebars.values import (
    Value,
    child,
    compare,
    equal,
    escaped,
    is_empty,
    keys,
    number,
    printed,
    property_name,
    truth,
)

NUMBERS = json.loads((Path(__file__).parent / "corpus" / "numbers.json").read_text())


def shown(value: Value) -> str:
    return printed(value, Budget())


@pytest.mark.parametrize(("written", "expected"), NUMBERS)
def test_numbers_print_as_javascript_prints_them(written: str, expected: str) -> None:
    assert shown(float(written)) == expected
    assert shown(json.loads(written)) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_printed_number_reads_back_as_the_same_number(value: float) -> None:
    assert float(shown(value)) == value


@given(st.integers(min_value=-(10**400), max_value=10**400))
def test_integers_print_exactly(value: int) -> None:
    assert shown(value) == str(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        (UNDEFINED, ""),
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (nan, "NaN"),
        (inf, "Infinity"),
        (-inf, "-Infinity"),
        ([], ""),
        ([1, 2.50, "x"], "1,2.5,x"),
        ([None, [None], [], UNDEFINED], ",,,"),
        ([[1, [2, 3]], [[], 4], 5], "1,2,3,,4,5"),
        ([True, {}], "true,[object Object]"),
        ({}, "[object Object]"),
        ({"toString": "x"}, "[object Object]"),
    ],
)
def test_other_values_print_as_javascript_prints_them(value: Value, expected: str) -> None:
    assert shown(value) == expected


def test_deep_data_prints() -> None:
    deep: list[Any] = ["x"]
    for _ in range(5_000):
        deep = [deep]
    assert shown(deep) == "x"


def test_each_element_that_is_printed_is_a_step() -> None:
    budget = Budget(steps=10)
    printed([1, 2, [3, 4]], budget)
    assert budget.steps == 5
    with pytest.raises(TooMuch):
        printed([1] * 6, budget)


def test_an_integer_that_python_does_not_print_is_too_much() -> None:
    assert len(shown(10**4_300 - 1)) == 4_300
    for value in (10**4_300, -(10**4_300)):
        with pytest.raises(TooMuch, match="4,300 digits"):
            shown(value)


TRUE: tuple[Value, ...] = (True, 1, -1, 0.5, inf, "0", " ", "false", [0], [[]], {}, {"a": 1})
ZERO: tuple[Value, ...] = (0, 0.0, -0.0)
EMPTY: tuple[Value, ...] = (False, nan, "", None, UNDEFINED, [])


def test_truth_and_emptiness() -> None:
    for value in TRUE:
        assert truth(value) and not is_empty(value), value
    for value in ZERO:
        assert not truth(value) and not is_empty(value), value
    for value in EMPTY:
        assert not truth(value) and is_empty(value), value


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ({"a": 1}, "a", 1),
        ({"a": 1}, "b", UNDEFINED),
        ({"length": "x"}, "length", "x"),
        ({"constructor": "x"}, "constructor", "x"),
        ({"__proto__": "x"}, "__proto__", "x"),
        ({}, "length", UNDEFINED),
        ({}, "__class__", UNDEFINED),
        ({}, "keys", UNDEFINED),
        ({}, "constructor", UNDEFINED),
        ([5, 6], "length", 2),
        ([5, 6], "1", 6),
        ([5, 6], "2", UNDEFINED),
        ([5, 6], "-1", UNDEFINED),
        ([5, 6], "01", UNDEFINED),
        ([5, 6], "1.0", UNDEFINED),
        ([5, 6], "\u0660", UNDEFINED),
        ([5, 6], "99999999999999999999", UNDEFINED),
        ([5, 6], "", UNDEFINED),
        ([5, 6], "append", UNDEFINED),
        ([5, 6], "__len__", UNDEFINED),
        ("abc", "length", 3),
        ("abc", "2", "c"),
        ("abc", "3", UNDEFINED),
        ("abc", "format", UNDEFINED),
        ("abc", "__class__", UNDEFINED),
        (5, "real", UNDEFINED),
        (True, "numerator", UNDEFINED),
        (1.5, "__class__", UNDEFINED),
        (None, "x", None),
        (UNDEFINED, "x", UNDEFINED),
        (UNDEFINED, "__struct_fields__", UNDEFINED),
    ],
)
def test_only_what_the_data_holds_is_found(value: Value, name: str, expected: Value) -> None:
    found = child(value, name)
    assert (found, type(found)) == (expected, type(expected))


def test_keys_have_the_order_of_javascript() -> None:
    assert keys({"b": 1, "2": 1, "a": 1, "10": 1, "01": 1, "0": 1, "4294967295": 1, "-1": 1, "²": 1}) == [
        *("0", "2", "10"),
        *("b", "a", "01", "4294967295", "-1", "²"),
    ]
    assert keys({"b": 1, "a": 2}) == ["b", "a"]


def test_names_of_properties_that_are_computed() -> None:
    names = [property_name(value, Budget()) for value in (1, 1.0, "x", True, None, UNDEFINED, [1, 2])]
    assert names == ["1", "1", "x", "true", "null", "undefined", "1,2"]


def test_escaping_is_that_of_handlebars() -> None:
    assert escaped("a & <b> \"c\" 'd' `e` = &amp; /") == (
        "a &amp; &lt;b&gt; &quot;c&quot; &#x27;d&#x27; &#x60;e&#x60; &#x3D; &amp;amp; /"
    )
    assert escaped("plain\n\u00e9") == "plain\n\u00e9"


EQUAL: list[tuple[Value, Value]] = [
    (3, "3"),
    (3, 3.0),
    (3, "3.0"),
    (3, " 3 "),
    (0, "-0"),
    (0.5, ".5"),
    (True, True),
    (True, "true"),
    (False, "false"),
    (True, 1),
    (None, None),
    (None, UNDEFINED),
    ("", ""),
    (2**53 + 1, str(2**53 + 1)),
    (10**300, "1" + "0" * 300),
]
UNEQUAL: list[tuple[Value, Value]] = [
    (3, "4"),
    ("3", "3.0"),
    (nan, nan),
    (0, ""),
    (0, None),
    (False, None),
    (False, ""),
    (None, ""),
    (UNDEFINED, "undefined"),
    (True, "True"),
    (True, 2),
    (2**53 + 1, 2.0**53),
    (2**53 + 1, str(2**53)),
    ([], []),
    ({}, {}),
    ([3], 3),
    (3, "3 apples"),
    (3, "\u0663"),
    (16, "0x10"),
]


def test_equality_minds_no_types() -> None:
    for left, right in EQUAL:
        assert equal(left, right, Budget()) and equal(right, left, Budget()), (left, right)
    for left, right in UNEQUAL:
        assert not equal(left, right, Budget()) and not equal(right, left, Budget()), (left, right)
    same: list[Value] = [nan]
    assert equal(same, same, Budget())


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (100, 78, 1),
        (55, 78, -1),
        (78, 78.0, 0),
        ("100", "78", 1),
        ("100", 78, 1),
        ("b", "a", 1),
        ("2024-01-02", "2024-01-10", -1),
        ("10 apples", "9", -1),
        (2**53 + 1, 2**53, 1),
        (True, False, 1),
        (nan, 1, None),
        (None, 1, None),
        (UNDEFINED, 0, None),
        ("", 0, None),
        ("a", 1, None),
        ([], 1, None),
        ({}, {}, None),
    ],
)
def test_order(left: Value, right: Value, expected: int | None) -> None:
    assert compare(left, right, Budget()) == expected
    reverse = compare(right, left, Budget())
    assert reverse == (None if expected is None else -expected)


def test_long_texts_cost_steps() -> None:
    long = "x" * 256_000
    other = long[:-1] + "y"
    for work in (equal, compare):
        budget = Budget()
        work(long, other, budget)
        assert budget.steps <= 100_000 - 1_000
        with pytest.raises(TooMuch):
            for _ in range(100):
                work(long, other, budget)
    with pytest.raises(TooMuch):
        number("1" * 10_000, Budget(steps=10))


def test_a_number_of_a_million_digits_is_quick() -> None:
    assert number("9" * 1_000_000, Budget()) == inf
    assert number("1" * 4_300, Budget()) == int("1" * 4_300)
